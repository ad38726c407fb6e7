"""Spans that real Airflow 3 sent of itself name a cause where there is one to name, and else nothing.

The recordings are no part of the project; these statements hold where they lie beside the checkout.
"""

from dataclasses import replace

import pytest

from rules.cause import cause_of
from rules.kinds.run_failure import RunFailure
from tests.app.test_trace_captures import FILES, hear_airflow, walk
from tests.app.test_walking import run_traces
from tests.rules.timeline import only, rule
from tests.rules.tracing import usual
from watchtower.model.rule import JobSnapshot
from watchtower.model.sketch import Sketch
from watchtower.model.trace import OperationStats, RunTrace
from watchtower.store.database import Database
from watchtower.store.snapshots import LOADERS

pytestmark = pytest.mark.skipif(not FILES, reason="no recordings beside this checkout")


def airflow(database: Database) -> dict[str, JobSnapshot]:
    """By pipeline."""
    hear_airflow(database, "1_success_retry_mapped")
    walk(database, "airflow3_otlp_grpc_traces")
    with database.read() as connection:
        found = LOADERS["job"].load(connection, LOADERS["job"].ids(connection, None)).values()
    jobs = [snapshot for snapshot in found if isinstance(snapshot, JobSnapshot)]
    return {snapshot.job.ref.name: snapshot for snapshot in jobs if not snapshot.job.ref.task}


def delayed(stats: OperationStats, seconds: float) -> OperationStats:
    later = Sketch.of([stats.total_s + seconds])
    return replace(stats, own_s=stats.own_s + seconds, total_s=stats.total_s + seconds, durations=later)


def test_spans_that_only_repeat_that_a_task_failed_name_nothing(database: Database) -> None:
    failing = airflow(database)["wt_fail"]
    assert any(one.own_errors for one in failing.traces[failing.runs[0].id].operations)
    found = only(RunFailure().evaluate(rule(RunFailure()), failing, failing.runs[0].last_event_at))
    assert "RuntimeError: schema mismatch" in found.summary
    assert "cause" not in found.evidence


def test_of_a_slow_run_the_task_is_named_that_took_longer(database: Database) -> None:
    good = airflow(database)["wt_success"].runs[0]
    seen = run_traces(database, good.id)[good.id]
    assert cause_of(seen, usual(*seen.operations)) is None
    slow = tuple(delayed(one, 40.0) if one.operation.name == "worker.load" else one for one in seen.operations)
    found = cause_of(RunTrace("slow", (), slow), usual(*seen.operations), pipeline="wt_success")
    assert found is not None
    assert found.sentence == "slow at load: worker.load took 40 s of own time against 200 ms"
