"""T8 for everything that tells or is asked: in any order, in any portions and repeated, facts come to the same rows.

A kind of source that has no entry here fails these tests. What asking sources tell is permuted in test_asked.py.
"""

import json
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from collectors.aws import emr, glue, lambda_functions, sagemaker, step_functions
from collectors.events import Events
from collectors.kafka import KafkaSource, PolledTopic
from collectors.openlineage import OpenLineage
from collectors.otlp.metrics import OtlpMetrics
from collectors.probes.dependencies import DependencySource, ProbedDependency, Sampled
from collectors.series import Series
from tests.app.polls import context
from tests.collectors import test_ci, test_otlp_metrics, test_pings
from tests.collectors.openlineage import events
from tests.collectors.openlineage.test_into_store import story
from tests.collectors.polled_records import RECEIVED, T0, T1, T2
from tests.collectors.worlds import CLOUDS, WORLDS
from tests.store.test_probed_folding import STORY as PROBED
from watchtower.clock import ManualClock
from watchtower.model.fact import Fact
from watchtower.model.instants import to_micros
from watchtower.ports import Decoded, Received
from watchtower.registry import COLLECTORS, POLLERS
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append_all
from watchtower.store.schema.changes import changes
from watchtower.store.schema.observed import dataset_updates, datasets, job_datasets, jobs, run_aliases, runs
from watchtower.store.schema.series import samples, series

ELSEWHERE = {"otlp_traces": "tests/app/test_walking.py: spans are no facts"}
TABLES = (runs, run_aliases, jobs, datasets, dataset_updates, job_datasets, series, samples, changes)
SEEDS = range(3)
NOW = RECEIVED.received_at


def read(decode: Callable[[bytes], Decoded], *documents: Any) -> list[Fact]:
    found = [decode(json.dumps(document).encode()) for document in documents]
    assert not any(each.rejects for each in found), found
    return [fact for each in found for fact in each.facts]


# -- told ---------------------------------------------------------------------------------------------------------


def _openlineage() -> list[Fact]:
    return read(lambda body: OpenLineage().decode(body, events.received(5)), *story())


def _kafka() -> list[Fact]:
    config = {"name": "lineage", "brokers": ["127.0.0.1:9092"], "topic": "events"}
    polled = PolledTopic(KafkaSource.model_validate(config), context(ManualClock(NOW)))
    return read(lambda body: polled.decode(body, events.received(5)), *story())


def _otlp_metrics() -> list[Fact]:
    one = test_otlp_metrics
    bodies = [
        one.request(one.Metric(name="rows", gauge=one.Gauge(data_points=[point]))).SerializeToString()
        for point in (
            one.NumberDataPoint(time_unix_nano=one.NS - minute * 60_000_000_000, as_double=minute)
            for minute in range(4)
        )
    ]
    received = Received(one.NOW, content_type=one.PROTOBUF)
    return [fact for body in bodies for fact in OtlpMetrics().decode(body, received).facts]


def _series() -> list[Fact]:
    told = [
        {"name": "rows", "value": value, "at": at, "job": "orders"}
        for value, at in ((1, T0), (3, T2), (2, T1), (4, T2))
    ]
    return read(lambda body: Series().decode(body, Received(NOW)), *told)


def _pings() -> list[Fact]:
    began, said, failed = test_pings.fact_of("start"), test_pings.fact_of("log", seconds=5), test_pings.fact_of("fail")
    return [began, said, failed]


def _events() -> list[Fact]:
    of = {"job": "orders", "run": "r1", "namespace": "prod", "owner": "data"}
    told = [
        {**of, "event": "start", "at": T0, "outputs": [{"namespace": "postgres://w:5432", "name": "b"}]},
        {**of, "task": "load", "event": "fail", "at": T1, "attempt": 1, "final": False},
        {**of, "task": "load", "event": "complete", "at": T2, "attempt": 2},
        {**of, "event": "complete", "at": T2, "tags": {"tier": 1}},
    ]
    return read(lambda body: Events().decode(body, Received(NOW)), *told)


def _ci() -> list[Fact]:
    one = test_ci
    begun = one.within(one.WORKFLOW, "workflow_run", status="in_progress", conclusion=None)
    told = [{**begun, "action": "in_progress"}, one.WORKFLOW]
    return [fact for payload in told for fact in one.facts("all", "workflow_run", payload)]


# -- asked, otherwise than over plain HTTP ------------------------------------------------------------------------


def _dependency() -> list[Fact]:
    config = {"name": "warehouse", "tcp": "127.0.0.1:5432"}
    probe = ProbedDependency(DependencySource.model_validate(config), context(ManualClock(NOW)))
    looks = [
        msgspec.json.encode(Sampled(to_micros(NOW - timedelta(minutes=minute)), {"up": float(minute % 2)}))
        for minute in range(4)
    ]
    return [fact for look in looks for fact in probe.decode(look, Received(NOW, "warehouse")).facts]


def _step_functions() -> list[Fact]:
    arn = "arn:aws:states:eu-west-1:123456789012:execution:orders:run-1"
    of = {"executionArn": arn, "stateMachineArn": "arn:aws:states:eu-west-1:123456789012:stateMachine:orders"}
    told = [
        {"execution": {**of, "status": "RUNNING", "startDate": T0}},
        {"execution": {**of, "status": "FAILED", "startDate": T0, "stopDate": T2, "error": "E", "cause": "no column"}},
        {"execution": {**of, "status": "SUCCEEDED", "startDate": T0, "stopDate": T2, "redriveCount": 1}},
    ]
    return read(lambda body: step_functions.decode(body, RECEIVED, namespace="prod"), *told)


def _glue() -> list[Fact]:
    first = {"Id": "jr_1", "JobName": "orders", "JobRunState": "RUNNING", "StartedOn": T0}
    failed = {**first, "JobRunState": "FAILED", "CompletedOn": T1, "ErrorMessage": "ValueError: no column"}
    second = {**first, "Id": "jr_1_attempt_1", "Attempt": 1, "JobRunState": "SUCCEEDED", "CompletedOn": T2}
    told = [{"run": each, "retries": 1} for each in (first, failed, second)]
    return read(lambda body: glue.decode(body, RECEIVED, namespace="prod", region="eu-west-1"), *told)


def _emr() -> list[Fact]:
    times = {"CreationDateTime": T0, "StartDateTime": T1}
    step = {"Id": "s-1", "Name": "load", "State": "RUNNING", "Timeline": times}
    ended = {**step, "State": "FAILED", "Timeline": {**times, "EndDateTime": T2}}
    told = [{"step": each, "of": {"Id": "j-1"}} for each in (step, ended)]
    return read(lambda body: emr.decode(body, RECEIVED, namespace="prod", region="eu-west-1"), *told)


def _sagemaker() -> list[Fact]:
    name = "churn-2026-11-30-06-00-00-123"
    arn = f"arn:aws:sagemaker:eu-west-1:123456789012:training-job/{name}"
    of = {"TrainingJobName": name, "TrainingJobArn": arn, "CreationTime": T0}
    begun = {**of, "TrainingJobStatus": "InProgress", "TrainingStartTime": T1}
    ended = {**begun, "TrainingJobStatus": "Completed", "TrainingEndTime": T2}
    told = [{"kind": "Training", "job": each} for each in (begun, ended)]
    return read(lambda body: sagemaker.decode(body, RECEIVED, namespace="prod", region="eu-west-1"), *told)


def _lambda() -> list[Fact]:
    values = {name: 3.0 for _, _, name, _ in lambda_functions.METRICS}
    told: list[Any] = [{"minute": at, "function": "orders", "values": values} for at in (T0, T1)]
    run = {"id": "r-1", "at": 1_796_029_200_000, "status": "success", "duration": 120.5}
    told.append({"function": "orders", "invocation": run})
    return read(lambda body: lambda_functions.decode(body, RECEIVED, namespace="prod", region="eu-west-1"), *told)


FACTS: Mapping[str, Callable[[], Sequence[Fact]]] = {
    "openlineage": _openlineage,
    "kafka": _kafka,
    "otlp_metrics": _otlp_metrics,
    "series": _series,
    "pings": _pings,
    "events": _events,
    "ci": _ci,
    "dataset_probe": lambda: PROBED,
    "object_probe": lambda: PROBED,
    "dependency_probe": _dependency,
    "step_functions": _step_functions,
    "glue": _glue,
    "emr": _emr,
    "sagemaker": _sagemaker,
    "lambda": _lambda,
}


def test_every_kind_of_source_is_here_or_where_it_is_said() -> None:
    assert {*FACTS, *WORLDS, *ELSEWHERE} - {*CLOUDS} == {*COLLECTORS.names, *POLLERS.names}


@pytest.mark.parametrize("kind", FACTS)
def test_any_order_and_repetition_comes_to_the_same_rows(kind: str, tmp_path: Path, migrated_sqlite: Path) -> None:
    facts = list(FACTS[kind]())
    assert len(facts) > 1
    expected = stored(migrated_sqlite, tmp_path / "in-order.db", [[fact] for fact in facts])
    assert any(expected.values())
    for seed in SEEDS:
        dice = random.Random(seed)
        shuffled = [*facts, *dice.sample(facts, len(facts) // 2 + 1)]
        dice.shuffle(shuffled)
        cut = dice.randrange(1, len(shuffled))
        found = stored(migrated_sqlite, tmp_path / f"{seed}.db", [shuffled[:cut], shuffled[cut:]])
        assert found == expected, f"seed {seed}"


def stored(template: Path, file: Path, batches: Sequence[Sequence[Fact]]) -> dict[str, list[str]]:
    """The rows of a store that was told batches."""
    shutil.copyfile(template, file)
    database = Database(f"sqlite:///{file}")
    try:
        for batch in batches:
            database.write(lambda connection, batch=batch: append_all(connection, [Intake(batch)]))
        with database.read() as connection:
            return {table.name: sorted(map(repr, connection.execute(select(table)).all())) for table in TABLES}
    finally:
        database.close()
