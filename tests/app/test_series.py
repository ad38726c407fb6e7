"""A number told in one line becomes an alert with a sentence, in a whole Watchtower."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from tests.app.house import HTTP, House, running, until
from watchtower.model.derived import derived_id
from watchtower.model.run import JobRef

RULES = """
rules:
  - alert: ModelGotWorse
    kind: threshold
    match: {pipeline: train_churn}
    series: model_validation_score
    below: 0.8
    severity: page
  - {alert: FailsOften, kind: threshold, series: failure_count, stat: sum, runs: 10, above: 1}
"""


def emit(house: House, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`watchtower emit` in a process of its own, as it runs inside a pipeline's task."""
    told = {"WATCHTOWER_URL": house.instance.url, "WATCHTOWER_TOKEN": house.ingest, **environment}
    command = [sys.executable, "-m", "watchtower", "emit", *words]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCHTOWER")}
    return subprocess.run(
        command, env={**kept, **told}, capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )


def exporter(house: House, protocol: str) -> MetricExporter:
    token = {"authorization": f"Bearer {house.ingest}"}
    if protocol == "http":
        return HttpExporter(f"{house.instance.url}/v1/metrics", headers=token)
    assert house.instance.grpc is not None
    return GrpcExporter(f"http://{house.instance.grpc.address}", insecure=True, headers=token)


def firing(house: House) -> list[dict[str, Any]]:
    return [alert for alert in house.items("/api/v1/alerts") if alert["state"] == "firing"]


@pytest.fixture
def house(tmp_path: Path) -> Any:
    with running(tmp_path, RULES) as house:
        yield house


def test_a_score_below_its_limit_is_told_with_the_number_and_the_limit(house: House) -> None:
    house.store(house.event("COMPLETE", "train_churn", "r1"))
    done = emit(house, "model_validation_score", "0.71", "--job", "train_churn", "--run", "manual__1")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "success"), done.stderr
    [alert] = until(lambda: firing(house), "the alert fires")
    assert alert["annotations"]["summary"] == "model_validation_score is 0.71, below 0.80 (train_churn)"
    assert (alert["labels"]["series"], alert["labels"]["pipeline"], alert["labels"]["namespace"]) == (
        "model_validation_score", "train_churn", "prod",
    )  # fmt: skip
    assert (alert["evidence"]["native_run_id"], alert["value"]) == ("manual__1", 0.71)
    delivered = until(
        lambda: [item for item in house.items("/api/v1/deliveries") if item["state"] == "delivered"], "it is told"
    )
    assert delivered[0]["destination"] == "local"
    assert emit(house, "model_validation_score", "0.8", "--job", "train_churn").returncode == 0
    until(lambda: not firing(house), "a score at the limit ends it")


def test_a_number_off_its_own_baseline_is_told_without_a_limit(tmp_path: Path) -> None:
    rules = "rules:\n  - {alert: OddRows, kind: anomaly, series: orders_loaded, direction: down}\n"
    with running(tmp_path, rules) as house:
        now = house.instance.clock.now()
        rows = [1000, 1010, 990, 1005, 995, 1000, 1020, 985, 1000, 1010, 400]
        told = [
            {"name": "orders_loaded", "value": value, "at": (now - timedelta(minutes=len(rows) - place)).isoformat()}
            for place, value in enumerate(rows)
        ]
        headers = {"Authorization": f"Bearer {house.ingest}", "Content-Type": "application/json"}
        url = f"{house.instance.url}/api/v1/series"
        answer = HTTP.request("POST", url, body=json.dumps(told).encode(), headers=headers)
        assert answer.status in (200, 202), answer.data
        [alert] = until(lambda: firing(house), "the alert fires")
    assert alert["annotations"]["summary"] == (
        "orders_loaded is 400, below the 800 that is usual (0 of 10 samples before were nearly as low)"
    )
    assert alert["evidence"]["expected"] == "at least 800"


def test_a_job_that_fails_again_and_again_is_found_without_any_telling(house: House) -> None:
    for run in ("r1", "r2"):
        house.fail("orders_daily", run)
    told = until(
        lambda: [alert for alert in firing(house) if alert["labels"]["alertname"] == "FailsOften"], "the alert fires"
    )
    assert told[0]["annotations"]["summary"] == "sum of failure_count over 10 samples is 2, above 1 (orders_daily)"
    ident = derived_id("failure_count", JobRef("openlineage:prod", "prod", "orders_daily").id)
    assert [sample["value"] for sample in house.get(f"/api/v1/series/{ident}")["samples"]] == [1.0, 1.0]


def test_what_emit_cannot_send_is_said_in_a_sentence(house: House) -> None:
    wrong = {
        ("score", "NaN"): "VALUE 'NaN' is no finite number",
        ("score", "1", "--label", "model"): "--label 'model' is not NAME=VALUE",
        ("score", "1", "--at", "2026-03-02T08:00:00"): "has no time zone",
        ("a b", "1"): "'a b' is no name of a series",
        ("score", "1", "--task", "load"): "belong to a job",
    }
    for words, sentence in wrong.items():
        done = emit(house, *words)
        assert (done.returncode, sentence in done.stderr) == (2, True), (words, done.stderr)
    assert emit(house, "score", "-0.5", "-l", "model=churn", "--unit", "s").returncode == 0, "a negative number"
    denied = emit(house, "score", "1", WATCHTOWER_TOKEN="")
    assert (denied.returncode, "wants a token" in denied.stderr) == (2, True)


def test_an_ambiguous_job_is_told_with_its_namespaces(house: House) -> None:
    for namespace in ("prod", "staging"):
        house.store(
            house.event("COMPLETE", "train_churn", namespace, job={"namespace": namespace, "name": "train_churn"})
        )
    vague = emit(house, "rows", "1", "--job", "train_churn", "-o", "table")
    assert vague.returncode == 1
    assert "prod (source openlineage:prod), staging (source openlineage:staging)" in vague.stderr
    assert emit(house, "rows", "1", "--job", "train_churn", "--namespace", "prod").returncode == 0


def test_a_rule_that_comes_with_a_reload_is_judged_on_what_was_told_before(house: House) -> None:
    emit(house, "queue", "12")
    house.rewrite("rules:\n  - {alert: QueueFull, kind: threshold, series: queue, above: 10}\n")
    house.instance.reload()
    [alert] = until(lambda: firing(house), "the alert fires")
    assert alert["annotations"]["summary"] == "queue is 12, above 10"


def test_evaluate_shows_what_rules_say_of_series(house: House, tmp_path: Path) -> None:
    house.store(house.event("COMPLETE", "train_churn", "r1"))
    emit(house, "model_validation_score", "0.71", "--job", "train_churn")
    command = [sys.executable, "-m", "watchtower", "evaluate", "model_validation_score", "--output", "json"]
    where = ["--state", str(tmp_path / "state"), "--config", str(tmp_path / "watchtower.yaml")]
    done = subprocess.run([*command, *where], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    [row] = json.loads(done.stdout)
    assert (row["subject"], row["result"]) == ("model_validation_score of train_churn", "violation")
    assert row["says"] == "model_validation_score is 0.71, below 0.80 (train_churn)"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_what_an_opentelemetry_sdk_records_is_watched(house: House, protocol: str) -> None:
    house.store(house.event("COMPLETE", "train_churn", "r1"))
    rule = "alert: SlowApi, kind: threshold, series: api.duration, where: {peer: crm}, stat: max, runs: 5, above: 2"
    house.rewrite(f"rules:\n  - {{{rule}}}")
    house.instance.reload()
    resource = Resource({"service.name": "churn", "watchtower.job": "train_churn"})
    reader = PeriodicExportingMetricReader(exporter(house, protocol), export_interval_millis=3_600_000)
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    histogram = provider.get_meter("test").create_histogram("api.duration", unit="s")
    for seconds in (0.5, 0.6, 7.0):
        histogram.record(seconds, {"peer": "crm"})
        histogram.record(9.0, {"peer": "other"})
    provider.shutdown()
    [alert] = until(lambda: firing(house), "the alert fires")
    assert alert["annotations"]["summary"] == (
        "max of api.duration over 5 samples is 7 s, above 2 s (train_churn, peer=crm, service_name=churn)"
    )
    assert (alert["labels"]["namespace"], alert["labels"]["pipeline"]) == ("prod", "train_churn")
    titles = [item["title"] for item in house.items("/api/v1/incidents")]
    assert any("train_churn" in title for title in titles), titles
