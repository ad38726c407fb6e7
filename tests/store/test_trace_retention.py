"""Which spans stay, and for how long."""

from datetime import datetime, timedelta

from sqlalchemy import func, select

from tests.app.test_walking import TRACES, airflow_trace, count, hear, send, walk
from tests.builders import at, complete, fail, start
from tests.otlp import span
from watchtower.store import retention, trace_retention
from watchtower.store.database import Database
from watchtower.store.retention import Retention
from watchtower.store.schema.traces import operation_hours, spans, trace_operations, traces

DAY = timedelta(days=1)


def let_go(database: Database, now: datetime) -> None:
    trace_retention.let_go(database, now, traces_days=14, hours_days=400)


def kept(database: Database) -> dict[int, tuple[str | None, int]]:
    """Number of the trace → why it is kept, and how many spans it has still."""
    held = select(func.count()).select_from(spans).where(spans.c.trace_id == traces.c.trace_id).scalar_subquery()
    with database.read() as connection:
        rows = connection.execute(select(traces.c.trace_id, traces.c.kept, held))
        return {trace_id[0]: (why, left) for trace_id, why, left in rows}


def runs_with_traces(database: Database) -> None:
    """Traces 1 to 6: good runs of 10 s but for the fifth, which took long, and the sixth, which failed."""
    for number, seconds in enumerate((10, 10, 10, 10, 60, 10), start=1):
        begin = number * 3_600.0
        name, native = f"u{number}", f"r{number}"
        end = fail if number == 6 else complete
        hear(
            database,
            start(name, at(begin), native_run_id=native),
            end(name, at(begin + seconds), native_run_id=native),
        )
        send(database, *airflow_trace(native, bytes([number]) * 16, begin, seconds))
    walk(database, 7 * 3_600)


def test_after_a_day_only_spans_of_failed_slow_and_sampled_runs_stay(database: Database) -> None:
    runs_with_traces(database)
    sampled = next(number for number in range(7, 256) if trace_retention.is_sampled(bytes([number]) * 16))
    send(database, span(1, trace=bytes([sampled]) * 16), span(1, trace=bytes([sampled + 1]) * 16))
    walk(database, 7 * 3_600)
    let_go(database, at(8 * 3_600))
    assert {why for why, _ in kept(database).values()} == {None}
    let_go(database, at(8 * 3_600) + DAY)
    assert kept(database) == {
        **dict.fromkeys((1, 2, 3, 4), ("no", 0)),
        5: ("slow", 5),
        6: ("failed", 5),
        sampled: ("sampled", 1),
    }
    assert count(database, trace_operations) == 6 * 4 + 1


def test_after_their_own_time_these_go_too_but_not_what_they_came_to(database: Database) -> None:
    runs_with_traces(database)
    let_go(database, at(0) + 2 * DAY)
    let_go(database, at(0) + 20 * DAY)
    assert {why for why, _ in kept(database).values()} == {"no"}
    assert (count(database, spans), count(database, trace_operations)) == (0, 6 * 4)
    assert count(database, operation_hours) > 0


def test_with_its_run_goes_all_that_a_trace_came_to_and_the_hours_with_their_own_time(database: Database) -> None:
    runs_with_traces(database)
    now = at(0) + 401 * DAY
    retention.delete_old(database, Retention(), now)
    let_go(database, now)
    assert [count(database, table) for table in (traces, trace_operations, spans, operation_hours)] == [0] * 4


def test_spans_that_come_after_the_decision_are_counted_and_not_kept(database: Database) -> None:
    runs_with_traces(database)
    let_go(database, at(0) + 2 * DAY)
    send(database, span(77, "late", trace=TRACES[0]))
    walk(database, 3 * 86_400)
    assert kept(database)[1] == ("no", 0)
    with database.read() as connection:
        assert connection.scalar(select(func.sum(operation_hours.c.calls))) == 6 * 5 + 1


def test_the_spans_of_a_run_that_is_still_open_wait_for_its_end(database: Database) -> None:
    hear(database, start("u1", at(0), native_run_id="r1"))
    send(database, *airflow_trace("r1"))
    walk(database)
    let_go(database, at(0) + 3 * DAY)
    assert kept(database) == {1: (None, 5)}
    hear(database, complete("u1", at(0) + 3 * DAY, native_run_id="r1"))
    let_go(database, at(0) + 3 * DAY)
    assert kept(database) == {1: ("no", 0)}
