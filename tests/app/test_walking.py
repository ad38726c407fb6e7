"""Spans from their batch to figures by operation, and to the runs they belong to; on both stores."""

import random
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from sqlalchemy import Table, func, select

from collectors.otlp import spans as reader
from collectors.otlp.spans import spans_of
from tests.builders import DAY, ORDERS, alias, at, complete, fail, start, task_of
from tests.otlp import body, span
from watchtower.app.walking import Walker
from watchtower.model.fact import Fact
from watchtower.model.rule import JobSnapshot, SubjectKey
from watchtower.model.run import JobRef
from watchtower.model.trace import Operation, RunTrace, SpanBatch
from watchtower.store import due, spans
from watchtower.store import span_batches as batches
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append, in_quarantine
from watchtower.store.identities import resolve
from watchtower.store.reading import traces as reading
from watchtower.store.schema.observed import runs
from watchtower.store.schema.traces import operation_hours, span_batches, trace_operations, traces
from watchtower.store.schema.traces import spans as span_rows
from watchtower.store.snapshots import LOADERS
from watchtower.store.span_batches import pack

TRACES = [bytes([number]) * 16 for number in range(1, 60)]


def send(database: Database, *some: Span, source: str | None = None, resource: Mapping[str, str] | None = None) -> None:
    sent = SpanBatch(DAY, len(some), body(*some, resource=resource), source)
    append(database, Intake((), batches=[pack(sent)])).result(10)


def hear(database: Database, *facts: Fact) -> None:
    append(database, Intake(facts)).result(10)


def walk(database: Database, seconds: float = 0.0) -> None:
    walker = Walker(database)
    while walker.step(at(seconds)):
        pass


def count(database: Database, table: Table) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def rows(database: Database, table: Table) -> list[tuple[Any, ...]]:
    with database.read() as connection:
        return sorted(tuple(row) for row in connection.execute(select(table)))


def run_traces(database: Database, *runs: str) -> Mapping[str, RunTrace]:
    with database.read() as connection:
        return reading.of_runs(connection, runs)


def run_of(database: Database, trace_id: bytes = TRACES[0]) -> str | None:
    with database.read() as connection:
        return connection.scalar(select(traces.c.run_id).where(traces.c.trace_id == trace_id))


def run_id(database: Database, name: str, job: JobRef = ORDERS) -> str:
    with database.read() as connection:
        return resolve(connection, [alias(name, job)]).run_ids[alias(name, job)]


def snapshot(database: Database) -> JobSnapshot:
    with database.read() as connection:
        found = LOADERS["job"].load(connection, [ORDERS.id])[SubjectKey("job", ORDERS.id)]
    assert isinstance(found, JobSnapshot)
    return found


def airflow(run: str, dag: str = ORDERS.pipeline, task: str | None = None) -> dict[str, str]:
    said = {"airflow.dag_id": dag, "airflow.dag_run.run_id": run}
    return {**said, "airflow.task_id": task} if task else said


def airflow_trace(run: str, trace: bytes = TRACES[0], begin: float = 0.0, seconds: float = 10.0) -> list[Span]:
    """As Airflow sends it: the pipeline, a task, the worker's part of it, and what the user's code did in there."""
    of = partial(span, trace=trace, begin=at(begin))
    load = airflow(run, task="load")
    return [
        of(1, "dag_run.orders_hourly", seconds=seconds, said=airflow(run)),
        of(2, "task_run.load", parent=1, at=1, seconds=seconds - 2, said=load),
        of(3, "worker.load", parent=2, at=1.5, seconds=seconds - 3, said=load),
        of(4, "INSERT orders", parent=3, at=2, seconds=seconds - 5, kind=Span.SPAN_KIND_CLIENT),
        of(5, "INSERT orders", parent=3, at=2.5, seconds=seconds - 6, kind=Span.SPAN_KIND_CLIENT),
    ]


# -- what it comes to ---------------------------------------------------------------------------------------------


def test_spans_become_figures_of_their_run_by_operation_and_task(database: Database) -> None:
    hear(database, start("u1", at(0), native_run_id="r1"))
    send(database, *airflow_trace("r1"))
    walk(database)
    [found] = run_traces(database, run_id(database, "u1")).values()
    by_operation = {one.operation: one for one in found.operations}
    insert = by_operation[Operation("shop", "INSERT orders", "client", "load")]
    assert (insert.calls, insert.errors, insert.total_s, insert.own_s) == (2, 0, 9.0, 9.0)
    assert insert.span_id == (4).to_bytes(8, "big").hex()
    assert by_operation[Operation("shop", "worker.load", "internal", "load")].own_s == 2.0
    assert by_operation[Operation("shop", "dag_run.orders_hourly", "internal")].own_s == 2.0
    assert (found.trace_ids, found.last_span_at, found.complete) == ((TRACES[0].hex(),), at(10), True)
    assert count(database, span_batches) == 0


def test_a_batch_that_an_exporter_repeats_counts_once(database: Database) -> None:
    hear(database, start("u1", at(0), native_run_id="r1"))
    for _ in range(3):
        send(database, *airflow_trace("r1"))
    walk(database)
    before = rows(database, trace_operations), rows(database, operation_hours)
    send(database, *airflow_trace("r1"))
    walk(database, 5)
    assert (rows(database, trace_operations), rows(database, operation_hours)) == before
    assert count(database, span_rows) == 5


def test_the_order_and_the_cutting_into_batches_make_no_difference(database: Database) -> None:
    hear(database, start("u1", at(0), native_run_id="r1"))
    some = airflow_trace("r1")
    send(database, *some)
    walk(database)
    wanted = [row[1:] for row in rows(database, trace_operations)], rows(database, operation_hours)
    for seed, trace in enumerate(TRACES[1:6]):
        other = airflow_trace("r1", trace)
        order = random.Random(seed)
        order.shuffle(other)
        while other:
            cut = order.randrange(1, 4)
            send(database, *other[:cut])
            del other[:cut]
            if order.random() < 0.5:
                walk(database)
        walk(database)
        found = [row[1:] for row in rows(database, trace_operations) if row[0] == trace]
        assert found == wanted[0], seed
    sums = {row[:2]: row[2:5] for row in rows(database, operation_hours)}
    assert sums == {row[:2]: tuple(6 * value for value in row[2:5]) for row in wanted[1]}


def test_two_tries_of_a_task_under_one_span_id_are_two_calls(database: Database) -> None:
    hear(database, start("u1", at(0), native_run_id="r1"))
    tries = [span(2, "task_run.load", at=begin, trace=TRACES[0], said=airflow("r1", task="load")) for begin in (0, 60)]
    send(database, tries[0])
    walk(database)
    send(database, tries[1])
    walk(database)
    [found] = run_traces(database, run_id(database, "u1")).values()
    assert [one.calls for one in found.operations] == [2]


def test_a_long_batch_is_walked_in_slices_and_a_kill_between_them_costs_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchtower.app.walking.SLICE", 7)
    send(database, *(span(number, f"op {number % 3}", at=number) for number in range(1, 31)))
    folded = spans.fold
    slices = 0

    def dies_at_the_third(*arguments: Any) -> Any:
        nonlocal slices
        slices += 1
        if slices == 3:
            raise TimeoutError("as if the process were gone: nothing of this slice is committed")
        return folded(*arguments)

    monkeypatch.setattr("watchtower.store.spans.fold", dies_at_the_third)
    with pytest.raises(TimeoutError):
        walk(database)
    assert count(database, span_rows) == 14
    walk(database)
    assert (count(database, span_rows), count(database, span_batches)) == (30, 0)
    assert sum(row[2] for row in rows(database, operation_hours)) == 30


def test_what_two_walkers_read_at_the_same_time_is_folded_by_one(database: Database) -> None:
    send(database, span(1, "a"), span(2, "b"))
    with database.read() as connection:
        [row] = batches.waiting(connection, limit=10)
    walk(database)
    again = list(spans_of(row.batch.body))
    assert database.write(lambda connection: spans.fold(connection, row, 2, again, at(1))) is None
    assert sum(one[2] for one in rows(database, operation_hours)) == 2


def test_two_walkers_at_once_lose_and_double_nothing(database: Database) -> None:
    """As replicas on one PostgreSQL are; on SQLite there is one writer."""
    for number in range(1, 41):
        send(database, *(span(number * 10 + one, f"op {one}", at=one) for one in range(3)))
    walkers = [threading.Thread(target=walk, args=(database,)) for _ in range(2)]
    other = Database(database.url.render_as_string(hide_password=False)) if not database.is_sqlite else database
    walkers.append(threading.Thread(target=walk, args=(other,)))
    for walker in walkers:
        walker.start()
    for walker in walkers:
        walker.join(60)
    walk(database, 10)
    if other is not database:
        other.close()
    with database.read() as connection:
        counted = connection.execute(select(traces.c.spans, traces.c.tallied)).one()
    assert tuple(counted) == (120, 120)
    assert count(database, span_rows) == sum(row[2] for row in rows(database, operation_hours)) == 120
    assert sum(row[3] for row in rows(database, trace_operations)) == 120


def test_a_batch_that_cannot_be_walked_is_set_aside_and_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reader.read_span

    def fails(one: Span, *others: Any) -> Any:
        if one.name == "poison":
            raise RuntimeError("a bug")
        return read(one, *others)

    monkeypatch.setattr(reader, "read_span", fails)
    send(database, span(1, "poison"))
    send(database, span(2, "fine"))
    walk(database)
    with database.read() as connection:
        [(_, kept)] = in_quarantine(connection)
    assert (kept.collector, kept.body) == ("otlp_traces", body(span(1, "poison")))
    assert [row[5] for row in rows(database, span_rows)] == ["fine"]


def test_the_operations_of_a_service_are_bounded(database: Database) -> None:
    names = spans.OperationNames(most=5)
    some = [spans_of_one(number, f"op-x{number}") for number in range(20)]
    with database.read() as connection:
        bounded = names.bounded(connection, some)
    assert len({one.operation for one in bounded}) == 6
    assert bounded[-1].operation.name == "(other)"


def spans_of_one(number: int, name: str) -> Any:
    [found] = spans_of(body(span(number + 1, name)))
    return found


# -- which run it is ----------------------------------------------------------------------------------------------


def test_a_trace_that_came_before_its_run_is_joined_when_the_run_is_known(database: Database) -> None:
    send(database, *airflow_trace("r1"))
    walk(database)
    assert run_of(database) is None
    hear(database, start("u1", at(0), native_run_id="r1"))
    walk(database, 1)
    assert run_of(database) is None  # it is looked for again after five seconds
    walk(database, 6)
    assert run_of(database) == run_id(database, "u1")


def test_children_that_name_no_run_belong_to_that_of_their_trace(database: Database) -> None:
    hear(database, start("u1", at(0), native_run_id="r1"))
    *_, worker, query, other = airflow_trace("r1")
    send(database, query, other)
    walk(database)
    assert run_of(database) is None
    send(database, worker)
    walk(database)
    [found] = run_traces(database, run_id(database, "u1")).values()
    assert {one.operation.task for one in found.operations} == {"load"}


def test_a_joined_trace_and_each_further_span_of_it_make_the_job_due(database: Database) -> None:
    def due_now() -> list[str]:
        with database.read() as connection:
            found = [one.subject for one in due.peek(connection, due.RULES, at(1_000), 10)]
        return [subject for subject in found if subject.startswith("job:")]

    def settle() -> None:
        database.write(lambda connection: due.forget(connection, due.RULES, [f"job:{ORDERS.id}"]))

    hear(database, start("u1", at(0), native_run_id="r1"))
    settle()
    first, *others = airflow_trace("r1")
    send(database, first)
    walk(database)
    assert due_now() == [f"job:{ORDERS.id}"]
    settle()
    send(database, *others)
    walk(database)
    assert due_now() == [f"job:{ORDERS.id}"]


def test_the_same_run_in_two_places_is_ambiguous_and_joined_to_neither(database: Database) -> None:
    other = JobRef("airflow-test", "test", ORDERS.pipeline)
    hear(database, start("u1", at(0), native_run_id="r1"), start("u2", at(0), job=other, native_run_id="r1"))
    send(database, *airflow_trace("r1"))
    walk(database)
    assert run_of(database) is None
    # A token of one source, or the namespace among the attributes, tells them apart.
    send(database, *airflow_trace("r1", TRACES[1]), source="airflow-test")
    send(database, *airflow_trace("r1", TRACES[2]), resource={"watchtower.namespace": "prod"})
    walk(database)
    assert run_of(database, TRACES[1]) == run_id(database, "u2", other)
    assert run_of(database, TRACES[2]) == run_id(database, "u1")


def test_a_run_of_another_pipeline_with_the_same_id_is_not_meant(database: Database) -> None:
    other = JobRef(ORDERS.source, ORDERS.namespace, "payments_hourly")
    hear(database, start("u1", at(0), job=other, native_run_id="r1"), start("u2", at(0), native_run_id="r1"))
    send(database, *airflow_trace("r1"))
    walk(database)
    assert run_of(database) == run_id(database, "u2")


def test_a_cleared_run_has_its_own_trace(database: Database) -> None:
    """The id is the same; the trace belongs to the run that had begun by then, also while that is not known yet."""
    hear(database, start("u1", at(0), native_run_id="r1"), fail("u1", at(20), native_run_id="r1"))
    send(database, *airflow_trace("r1", TRACES[1], begin=900))
    walk(database, 901)
    assert run_of(database, TRACES[1]) is None
    hear(database, start("u2", at(900), native_run_id="r1", generation=1))
    send(database, *airflow_trace("r1", TRACES[0]))
    walk(database, 920)
    assert run_of(database, TRACES[0]) == run_id(database, "u1")
    assert run_of(database, TRACES[1]) == run_id(database, "u2")


def test_spans_may_name_a_run_by_our_id_by_openlineage_or_on_their_resource(database: Database) -> None:
    load = task_of(ORDERS, "load")
    hear(database, start("u1", at(0)), start("t1", at(1), job=load, parent="u1"))
    ours = run_id(database, "u1")
    named = [
        {"watchtower.run_id": ours},
        {"openlineage.run_id": "u1", "openlineage.job.namespace": "prod", "openlineage.job.name": ORDERS.name},
        {"openlineage.run_id": "t1", "openlineage.job.namespace": "prod", "openlineage.job.name": load.name},
    ]
    for trace, said in zip(TRACES, named, strict=False):
        send(database, span(1, trace=trace, said=said))
    send(database, span(1, trace=TRACES[5]), resource=named[1])
    walk(database)
    assert [run_of(database, trace) for trace in (*TRACES[:3], TRACES[5])] == [ours] * 4


def test_a_run_that_names_its_trace_is_joined_without_any_attribute(database: Database) -> None:
    hear(database, start("u1", at(0), trace_id=TRACES[0].hex()))
    send(database, span(1, trace=TRACES[0]))
    walk(database)
    assert run_of(database) == run_id(database, "u1")


def test_spans_that_name_no_run_are_never_looked_for(database: Database) -> None:
    send(database, span(1), span(2, parent=1))
    walk(database)
    assert Walker(database).next_at() is None


def test_a_run_that_never_comes_is_given_up_after_a_day(database: Database) -> None:
    send(database, span(1, trace=TRACES[0], said=airflow("never")))
    walk(database)
    for hours in range(1, 30):
        walk(database, hours * 3_600)
    assert Walker(database).next_at() is None


def test_spans_alone_make_no_run(database: Database) -> None:
    send(database, *airflow_trace("r1"))
    walk(database)
    assert count(database, runs) == 0


# -- what rules see -----------------------------------------------------------------------------------------------


def story(database: Database, *durations: float, last: str = "fail") -> None:
    """Hourly runs u0, u1, … with their traces; the last one ends as told."""
    for number, seconds in enumerate(durations):
        begin = number * 3_600.0
        ended = fail if last == "fail" and number == len(durations) - 1 else complete
        hear(
            database,
            start(f"u{number}", at(begin), native_run_id=f"r{number}"),
            ended(f"u{number}", at(begin + seconds), native_run_id=f"r{number}"),
        )
        send(database, *airflow_trace(f"r{number}", TRACES[number], begin, seconds))
    walk(database)


def test_a_failed_run_is_seen_with_its_trace_and_with_what_is_usual(database: Database) -> None:
    story(database, 10, 10, 10, 30)
    seen = snapshot(database)
    assert list(seen.traces) == [run_id(database, "u3")]
    operation = Operation("shop", "INSERT orders", "client", "load")
    [slow] = [one for one in seen.traces[run_id(database, "u3")].operations if one.operation == operation]
    assert (slow.calls, slow.total_s) == (2, 49.0)
    assert (seen.usual.runs, seen.usual.operations[operation].calls) == (3, 6)
    assert seen.usual.operations[operation].total_s == 27.0


def test_a_run_that_took_long_is_seen_with_its_trace_and_not_among_the_usual(database: Database) -> None:
    story(database, 10, 10, 10, 30, last="complete")
    seen = snapshot(database)
    assert (list(seen.traces), seen.usual.runs) == ([run_id(database, "u3")], 3)


def test_while_all_is_well_no_trace_is_read(database: Database) -> None:
    story(database, 10, 10, 10, last="complete")
    seen = snapshot(database)
    assert (seen.traces, seen.usual.runs) == ({}, 0)


def test_at_most_twenty_good_runs_are_what_is_usual(database: Database) -> None:
    story(database, *[10.0] * 25)
    assert snapshot(database).usual.runs == 20


def test_without_traces_a_snapshot_has_none(database: Database) -> None:
    hear(database, start("u1", at(0)), fail("u1", at(5)))
    assert snapshot(database).traces == {}
