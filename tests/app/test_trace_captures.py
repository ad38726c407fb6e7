"""What real Airflow 3, Prefect 3 and the OpenTelemetry SDK sent, where the recordings lie beside the checkout.

They are no part of the project; the same statements hold for hand-made spans in the other modules.
"""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from collectors.openlineage import OpenLineage
from collectors.otlp.spans import spans_of
from collectors.otlp.traces import OtlpTraces
from tests.app.test_walking import run_traces
from watchtower.app.walking import Walker
from watchtower.model.trace import SpanBatch
from watchtower.ports import Decoded, Received
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.schema.observed import runs
from watchtower.store.schema.traces import traces
from watchtower.store.span_batches import pack

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"
FOLDERS = ("airflow3_otlp_http_traces_gzip", "airflow3_otlp_grpc_traces", "otel_sdk_grpc", "otel_sdk_http")
FILES = sorted(
    file for folder in (*FOLDERS, "otel_sdk_http_json") for file in (CAPTURES / folder).glob("*_traces.json")
)
PREFECT = sorted((CAPTURES / "prefect3_otlp_http").glob("*_traces.json"))
LATER = datetime(2026, 11, 21, 12, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not FILES, reason="no recordings beside this checkout")


def decode(file: Path) -> Decoded:
    recorded: Any = json.loads(file.read_bytes())
    at = datetime.fromtimestamp(recorded["received_at"], UTC)
    if "body_file" not in recorded:
        body = json.dumps(recorded["body"]).encode()
        return OtlpTraces().decode(body, Received(at, content_type="application/json"))
    body = (file.parent / recorded["body_file"]).read_bytes()
    body = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    return OtlpTraces().decode(body, Received(at, content_type="application/x-protobuf"))


def batch(file: Path) -> SpanBatch:
    [found] = decode(file).batches
    return found


@pytest.mark.parametrize("file", [*FILES, *PREFECT], ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_recorded_batch_is_taken_whole_and_read(file: Path) -> None:
    decoded = decode(file)
    assert (decoded.rejects, decoded.refused) == ((), ())
    [one] = decoded.batches
    read = list(spans_of(one.body))
    assert len(read) == one.spans > 0
    assert all(span.operation.service not in ("", "unknown_service") for span in read)


def test_json_protobuf_and_gzip_say_the_same_of_one_pipeline() -> None:
    def said(folder: str, number: str = "001") -> list[tuple[Any, ...]]:
        [file] = (CAPTURES / folder).glob(f"{number}_traces.json")
        return [(span.operation, span.is_error, span.message) for span in spans_of(batch(file).body)]

    first = said("otel_sdk_http")
    assert len(first) > 3
    assert said("otel_sdk_http", "004") == said("otel_sdk_grpc") == said("otel_sdk_http_json") == first
    assert any(is_error for _, is_error, _ in first)


def test_prefect_names_its_flow_and_its_tasks_without_their_random_endings() -> None:
    read = [span for file in PREFECT for span in spans_of(batch(file).body)]
    assert {span.operation.name for span in read} >= {"extract", "flaky", "work", "make_asset"}
    assert sum(span.claim is not None for span in read) == 2  # a flow and its subflow


def hear_airflow(database: Database, scenario: str) -> None:
    for file in sorted((CAPTURES / "airflow3_openlineage" / scenario).glob("*.json")):
        recorded: Any = json.loads(file.read_bytes())
        at = datetime.fromtimestamp(recorded["received_at"], UTC)
        facts = OpenLineage().decode(json.dumps(recorded["body"]).encode(), Received(at)).facts
        append(database, Intake(facts)).result(10)


def walk(database: Database, folder: str, *, backwards: bool = False) -> None:
    files = sorted((CAPTURES / folder).glob("*_traces.json"), reverse=backwards)
    for file in files:
        append(database, Intake((), batches=[pack(batch(file))])).result(10)
    walker = Walker(database)
    while walker.step(LATER):
        pass


@pytest.mark.parametrize("backwards", [False, True], ids=["as sent", "backwards"])
def test_airflows_traces_belong_to_the_runs_that_openlineage_told_of(database: Database, backwards: bool) -> None:
    hear_airflow(database, "1_success_retry_mapped")
    walk(database, "airflow3_otlp_grpc_traces", backwards=backwards)
    with database.read() as connection:
        told = connection.execute(select(runs.c.id, runs.c.pipeline).where(runs.c.task.is_(None))).all()
    found = run_traces(database, *(row.id for row in told))
    by_pipeline = {row.pipeline: found[row.id] for row in told if row.id in found}
    assert set(by_pipeline) == {"wt_success", "wt_fail", "wt_mapped"}
    failing = {(one.operation.name, one.operation.task): one for one in by_pipeline["wt_fail"].operations}
    boom = failing["task_run.boom", "boom"]
    assert (boom.calls, boom.errors) == (3, 3)  # three tries under one span id
    assert (failing["task_run.flaky", "flaky"].calls, failing["task_run.flaky", "flaky"].errors) == (2, 1)
    mapped = {(one.operation.name, one.operation.task): one for one in by_pipeline["wt_mapped"].operations}
    assert (mapped["task_run.work[{}]", "work"].calls, mapped["task_run.work[{}]", "work"].errors) == (4, 2)


def test_the_trace_of_a_cleared_run_belongs_to_its_own_generation(database: Database) -> None:
    hear_airflow(database, "5_cleared_run")
    walk(database, "airflow3_otlp_http_traces_gzip")
    with database.read() as connection:
        query = select(runs.c.generation, traces.c.trace_id).join_from(traces, runs, runs.c.id == traces.c.run_id)
        joined = [(row.generation, row.trace_id) for row in connection.execute(query)]
    assert sorted(generation for generation, _ in joined) == [0, 1]
    assert len({trace_id for _, trace_id in joined}) == 2
