"""A source is read from its mark on, once among replicas; one that fails is put off, keeps its mark, holds up none."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Event

import pytest
from sqlalchemy import select

from tests.app.house import until
from tests.app.polls import FakeSource, ask, polling, record, state_of
from watchtower.app.polling import MAX_AGE_S, declared, max_age_s, wait_s, window_of
from watchtower.clock import ManualClock, SystemClock
from watchtower.errors import ConfigError, Fault, Permanent, Reason, Transient
from watchtower.model.run import RunState
from watchtower.model.source import Page, Problem, Source, Window
from watchtower.ports import Decoded, Received
from watchtower.secrets import REDACTOR
from watchtower.store import claims, facts, sources
from watchtower.store.database import Database
from watchtower.store.schema.observed import runs

MINUTE = timedelta(minutes=1)


def states(database: Database) -> dict[str, str]:
    with database.read() as connection:
        return {row.native_run_id: row.state for row in connection.execute(select(runs).order_by(runs.c.id))}


def test_what_a_poll_brings_is_stored_with_the_mark_that_it_reaches(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    source = FakeSource([[Page((record("r1", RunState.RUNNING, now),)), Page(mark=now, coverage={"flows": 3})]])
    assert ask(polling(database, clock), source)
    known = state_of(database, "prod")
    assert states(database) == {"r1": "running"}
    assert (known.mark, known.last_success, known.last_event, known.failures) == (now, now, now, 0)
    assert (known.recent, known.records, dict(known.coverage)) == (".", 1, {"flows": 3})


def test_the_first_poll_reads_far_back_and_the_next_from_before_the_mark(
    database: Database, clock: ManualClock
) -> None:
    now = clock.now()
    source = FakeSource([[Page(mark=now, cursor="c1")], [Page(mark=now + MINUTE)], []])
    frame = polling(database, clock)
    ask(frame, source)
    clock.advance(60)
    ask(frame, source)
    clock.advance(3_600)
    ask(frame, source)
    first, second, third = source.windows
    assert (first.since, first.mark, first.cursor, first.deep) == (now - timedelta(days=1), None, None, True)
    assert (second.since, second.mark, second.cursor, second.deep) == (now - 3 * MINUTE, now, "c1", False)
    assert (third.since, third.deep) == (now + MINUTE - timedelta(hours=1), True)


def test_a_poll_that_fails_half_way_keeps_what_it_stored_and_its_mark(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    away = Transient(Reason.SERVER_ERROR, "fake GET /runs: HTTP 503", retry_after_s=90)
    source = FakeSource(
        [
            [Page(mark=now)],
            [Page((record("r1", RunState.FAILED, now),)), away],
            [Page((record("r1", RunState.FAILED, now),), mark=now + 2 * MINUTE)],
        ]
    )
    frame = polling(database, clock)
    ask(frame, source)
    clock.advance(60)
    assert not ask(frame, source)
    known = state_of(database, "prod")
    assert (known.mark, known.failures, known.error, known.recent) == (now, 1, str(away), ".x")
    assert states(database) == {"r1": "failed"}
    clock.advance(60)
    assert not ask(frame, source)  # it asked for 90 seconds
    assert len(source.windows) == 2
    clock.advance(60)
    assert ask(frame, source)
    known = state_of(database, "prod")
    assert (known.mark, known.failures, known.failing_since, known.error) == (now + 2 * MINUTE, 0, None, None)
    assert known.error_rate == pytest.approx(1 / 3)


def test_a_record_that_is_as_it_was_is_not_decoded_again(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    same, other = record("r1", RunState.RUNNING, now), record("r1", RunState.SUCCEEDED, now)
    source = FakeSource([[Page((same,))], [Page((same, other))]])
    frame = polling(database, clock)
    ask(frame, source)
    ask(frame, source)
    assert source.decoded == [same, other]
    assert states(database) == {"r1": "succeeded"}


def test_another_process_reads_the_same_records_to_no_effect(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    same = record("r1", RunState.RUNNING, now)
    ask(polling(database, clock), FakeSource([[Page((same,))]]))
    ask(polling(database, clock, "wt-b"), FakeSource([[Page((same,))]]), "wt-b")
    with database.read() as connection:
        assert len(facts.recorded(connection, 0, 10)) == 1


def test_a_record_that_cannot_be_read_is_kept_and_costs_no_other(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    bad, broken, good = b'{"nothing": 1}', b"{", record("r1", RunState.RUNNING, now)
    assert ask(polling(database, clock), FakeSource([[Page((bad, broken, good), mark=now)]]))
    assert states(database) == {"r1": "running"}
    with database.read() as connection:
        kept = [(each.collector, each.source, each.reason) for _, each in facts.in_quarantine(connection)]
    assert kept == [("fake", "prod", "incomplete"), ("fake", "prod", "fault")]


def test_a_poller_that_breaks_is_told_as_a_failing_source(
    database: Database, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    assert not ask(polling(database, clock), FakeSource([[KeyError("dag_id")]]))
    assert state_of(database, "prod").error == "KeyError: 'dag_id'"
    assert "Traceback" in caplog.text


def test_what_a_source_sends_back_of_a_secret_is_not_kept(database: Database, clock: ManualClock) -> None:
    REDACTOR.learn("a-token-of-the-polls")
    refused = Permanent(Reason.REJECTED, "HTTP 400: bad request with Bearer a-token-of-the-polls")
    troubled = Problem("pool:x", "a-token-of-the-polls is refused")
    frame, source = polling(database, clock), FakeSource([[Page(problems=(troubled,))], [refused]])
    assert ask(frame, source)
    clock.advance(60)
    assert not ask(frame, source)
    known = state_of(database, "prod")
    assert known.error is not None
    assert known.error.startswith("HTTP 400: bad request")
    assert "a-token-of-the-polls" not in f"{known.error} {known.problems}"


def test_a_process_that_lost_its_turn_neither_moves_the_mark_nor_stores(database: Database, clock: ManualClock) -> None:
    now = clock.now()

    class Stalls(FakeSource):
        """While its page is read, another process takes over."""

        def decode(self, record: bytes, received: Received) -> Decoded:
            later = now + timedelta(seconds=301)
            taken = database.write(
                lambda connection: claims.claim(connection, "poll:prod", "wt-b", later, lease_s=300, every_s=0)
            )
            assert taken
            return super().decode(record, received)

    source = Stalls([[Page((record("r1", RunState.RUNNING, now),), mark=now)]])
    assert not ask(polling(database, clock), source)
    assert (state_of(database, "prod").mark, states(database)) == (None, {})


def test_problems_keep_the_moment_at_which_they_were_first_told(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    scheduler, pool = Problem("scheduler", "no scheduler is alive"), Problem("pool:x", "the pool x is full")
    source = FakeSource(
        [[Page(problems=(scheduler,))], [Page(problems=(pool, scheduler))], [Page()], [Page(problems=())]]
    )
    frame = polling(database, clock)
    ask(frame, source)
    clock.advance(60)
    ask(frame, source)
    told = {problem.key: problem.since for problem in state_of(database, "prod").problems}
    assert told == {"scheduler": now, "pool:x": now + MINUTE}
    ask(frame, source)
    assert len(state_of(database, "prod").problems) == 2
    ask(frame, source)
    assert state_of(database, "prod").problems == ()


@pytest.mark.parametrize("engine", ["sqlite"])
def test_sources_that_hang_hold_up_none(database: Database) -> None:
    """However many they are."""
    clock, over = SystemClock(), Event()

    class Hangs(FakeSource):
        def read(self, window: Window) -> Iterator[Page]:
            over.wait(120)
            yield Page()

    hanging = [Hangs(name=f"hangs-{number}") for number in range(24)]
    well = FakeSource([[Page(mark=clock.now())]], name="well")
    database.write(lambda connection: sources.declare(connection, declared([*hanging, well]), clock.now()))
    frame = polling(database, clock)
    try:
        frame.watch([*hanging, well])
        assert until(lambda: state_of(database, "well").last_success, "a poll of the one that is well", 100)
        assert not any(state_of(database, each.name).last_poll for each in hanging)
    finally:
        over.set()
        frame.stop_watching()


def test_a_source_that_left_the_configuration_goes_on_from_its_mark_when_it_returns(
    database: Database, clock: ManualClock
) -> None:
    now = clock.now()
    source = FakeSource([[Page(mark=now)], []])
    frame = polling(database, clock)
    ask(frame, source)
    database.write(lambda connection: sources.declare(connection, [], clock.now()))
    with database.read() as connection:
        assert sources.by_name(connection) == {}
    clock.advance(7_200)
    ask(frame, source)
    assert source.windows[1].mark == now


def known(now: datetime, mark: datetime | None) -> Source:
    return Source("prod", "fake", "prod", 60.0, now, mark=mark)


def test_a_mark_that_a_wrong_clock_put_into_the_future_is_not_believed(clock: ManualClock) -> None:
    now = clock.now()
    window = window_of(known(now, now + timedelta(days=2)), now, deep=False, lookback_s=3_600)
    assert (window.since, window.mark) == (now - timedelta(hours=1), None)


def test_what_happened_while_watchtower_was_away_is_news_and_what_is_older_is_history(clock: ManualClock) -> None:
    now = clock.now()
    assert max_age_s(None, now) == MAX_AGE_S
    assert max_age_s(now - timedelta(hours=6), now) == MAX_AGE_S + 6 * 3_600
    assert max_age_s(now - timedelta(days=30), now) == MAX_AGE_S + 86_400


@pytest.mark.parametrize(
    ("failures", "error", "expected"),
    [
        (1, Transient(Reason.CONNECT, ""), 30),
        (3, Transient(Reason.CONNECT, ""), 120),
        (9, Transient(Reason.CONNECT, ""), 300),
        (9, Transient(Reason.RATE_LIMITED, "", retry_after_s=17), 17),
        (1, Transient(Reason.RATE_LIMITED, "", retry_after_s=1e9), 3_600),
        (1, Permanent(Reason.AUTH, ""), 300),
        (1, ConfigError([Fault("", "no such variable")]), 300),
    ],
    ids=["first", "third", "ninth", "asked for", "asked for too much", "refused", "no secret"],
)
def test_a_source_that_fails_is_put_off(
    failures: int, error: Transient | Permanent | ConfigError, expected: float
) -> None:
    assert wait_s(failures, error, 60.0) == expected
