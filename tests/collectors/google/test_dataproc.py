"""Jobs and batches of Dataproc, after its published API v1; the service itself was never reached."""

from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.google.dataproc import Dataproc, DataprocConfig, PolledDataproc, job_name
from tests.app.polls import context
from tests.collectors.folding import assert_orderless, line
from tests.simulators.faults import Fault
from tests.simulators.google import GoogleSimulator
from watchtower.clock import ManualClock
from watchtower.errors import ConfigError, Permanent, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import RunPatch, RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Received

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
JOBS = "projects/shop-prod/regions/europe-west3/jobs"
BATCHES = "projects/shop-prod/locations/europe-west3/batches"


def at(minute: float) -> str:
    return (NOW + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def status(state: str, minute: float, details: str = "") -> dict[str, Any]:
    return {"state": state, "stateStartTime": at(minute), **({"details": details} if details else {})}


def job(ident: str, state: str, minute: float = -10, details: str = "", **more: Any) -> dict[str, Any]:
    history = [status("PENDING", -20), status("SETUP_DONE", -20), status("RUNNING", -19)]
    return {
        "reference": {"projectId": "shop-prod", "jobId": ident},
        "placement": {"clusterName": "shared", "clusterUuid": "c-1"},
        "pysparkJob": {"mainPythonFileUri": "gs://code/load.py", "args": ["--password", "hunter2"]},
        "status": status(state, minute, details),
        "statusHistory": history if state not in ("PENDING", "RUNNING") else [],
        "labels": {"team": "shop", "goog-dataproc-location": "europe-west3"},
        "jobUuid": f"uuid-{ident}",
        **more,
    }


def batch(ident: str, state: str, minute: float = -10, message: str = "", **more: Any) -> dict[str, Any]:
    return {
        "name": f"{BATCHES}/{ident}",
        "uuid": f"uuid-{ident}",
        "createTime": at(-20),
        "pysparkBatch": {"mainPythonFileUri": "gs://code/report.py", "args": ["hunter2"]},
        "state": state,
        "stateMessage": message,
        "stateTime": at(minute),
        "creator": "ada@example.com",
        "stateHistory": [
            {"state": "PENDING", "stateStartTime": at(-20)},
            {"state": "RUNNING", "stateStartTime": at(-18)},
        ],
        "runtimeInfo": {"approximateUsage": {"milliDcuSeconds": "1234500", "shuffleStorageGbSeconds": "12"}},
        **more,
    }


class Region(GoogleSimulator):
    def __init__(self) -> None:
        super().__init__(NOW)
        self.lists = {JOBS: [], BATCHES: []}

    def path_of(self, folder: str, row: dict[str, Any]) -> str:
        return f"{folder}/{row['reference']['jobId']}" if folder == JOBS else super().path_of(folder, row)

    def fits(self, path: str, row: dict[str, Any], query: Mapping[str, str]) -> bool:
        if path == JOBS:
            active = row["status"]["state"] in ("PENDING", "SETUP_DONE", "RUNNING", "CANCEL_PENDING", "CANCEL_STARTED")
            return active == (query["jobStateMatcher"] == "ACTIVE")
        since = query["filter"].removeprefix('create_time >= "').removesuffix('"')
        return datetime.fromisoformat(row["createTime"]) >= datetime.fromisoformat(since)


@pytest.fixture
def region() -> Generator[Region]:
    with Region() as simulator:
        yield simulator


def polled(region: Region, folder: Path, **options: Any) -> PolledDataproc:
    given = {"name": "spark", "project": "shop-prod", "region": "europe-west3", "base_url": region.url, **options}
    given["credentials"] = options.get("credentials") or str(region.key_file(folder))
    (source,) = DataprocConfig.model_validate({"sources": [given]}).sources
    return PolledDataproc(source, context(ManualClock(NOW)))


def window(cursor: str | None = None, minutes: float = 60.0, *, deep: bool = True) -> Window:
    return Window(NOW - timedelta(minutes=minutes), NOW, cursor=cursor, deep=deep)


def decoded(source: PolledDataproc, pages: list[Page]) -> list[Fact]:
    facts: list[Fact] = []
    for record in (record for page in pages for record in page.records):
        assert b"hunter2" not in record
        found = source.decode(record, Received(NOW, "spark"))
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts


def runs(facts: list[Fact], name: str) -> list[RunPatch]:
    return [fact.run for fact in facts if fact.run and fact.run.job.name == name]


def test_jobs_and_batches_are_runs(region: Region, tmp_path: Path) -> None:
    region.lists[JOBS] = [
        job("load-orders-3f2a9c11", "RUNNING", -19),
        job("load-orders-3f2a9c10", "ERROR", -5, "Job failed with exit code 1"),
        job("report-3f2a9c11", "DONE"),
    ]
    region.lists[BATCHES] = [batch("nightly-20261130-0900", "SUCCEEDED"), batch("f" * 32, "FAILED", -3, "OOM")]
    source = polled(region, tmp_path)
    facts = decoded(source, list(source.read(window())))
    golden = [line(fact) for fact in facts if fact.run]
    assert golden == [
        "load-orders RUNNING=running started=2026-11-30 09:11:00+00:00 tags={'cluster': 'shared', 'kind': 'pyspark'}",
        "load-orders ERROR=failed queued=2026-11-30 09:10:00+00:00 started=2026-11-30 09:11:00+00:00 "
        "ended=2026-11-30 09:25:00+00:00 error=ERROR: Job failed with exit code 1 (0 of stack) "
        "tags={'cluster': 'shared', 'kind': 'pyspark'}",
        "report DONE=succeeded queued=2026-11-30 09:10:00+00:00 started=2026-11-30 09:11:00+00:00 "
        "ended=2026-11-30 09:20:00+00:00 tags={'cluster': 'shared', 'kind': 'pyspark'}",
        "nightly SUCCEEDED=succeeded actor=ada@example.com queued=2026-11-30 09:10:00+00:00 "
        "started=2026-11-30 09:12:00+00:00 ended=2026-11-30 09:20:00+00:00 "
        "tags={'kind': 'pyspark', 'dcu_seconds': '1234.5'}",
        "report.py FAILED=failed actor=ada@example.com queued=2026-11-30 09:10:00+00:00 "
        "started=2026-11-30 09:12:00+00:00 ended=2026-11-30 09:27:00+00:00 error=FAILED: OOM (0 of stack) "
        "tags={'kind': 'pyspark', 'dcu_seconds': '1234.5'}",
    ]
    jobs = {job.ref.name: (job.owner, job.tags) for fact in facts for job in fact.jobs}
    assert jobs["report"] == ("shop", {"team": "shop"})
    assert_orderless(facts)


def test_what_had_not_ended_is_asked_for_until_it_has(region: Region, tmp_path: Path) -> None:
    region.lists[JOBS] = [job("load-3f2a9c11", "RUNNING", -19)]
    region.lists[BATCHES] = [batch("nightly", "RUNNING", -18)]
    source = polled(region, tmp_path)
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    region.lists[JOBS] = [job("load-3f2a9c11", "CANCELLED", -2)]
    region.lists[BATCHES] = [batch("nightly", "SUCCEEDED", -1)]
    pages = list(source.read(window(pages[-1].cursor, minutes=1, deep=False)))
    assert pages[-1].cursor == "[]"
    facts += decoded(source, pages)
    assert [run.state for run in runs(facts, "load")] == [RunState.RUNNING, RunState.CANCELLED]
    assert [run.state for run in runs(facts, "nightly")] == [RunState.RUNNING, RunState.SUCCEEDED]
    assert_orderless(facts)
    region.lists = {JOBS: [], BATCHES: []}  # deleted
    assert list(source.read(window(f'["{JOBS}/load-3f2a9c11"]', deep=False)))[-1].cursor == "[]"


def test_a_shallow_poll_stops_where_nothing_changed_since(region: Region, tmp_path: Path) -> None:
    region.lists[JOBS] = [job(f"load-3f2a9c{number:02}", "DONE", -90 - number) for number in range(9)]
    source = polled(region, tmp_path, batches=False)
    list(source.read(window(deep=False)))
    asked = len(region.requests)
    list(source.read(window(deep=True)))
    assert asked < len(region.requests) - asked


def test_a_job_that_is_restarted_waits_for_its_next_try(region: Region, tmp_path: Path) -> None:
    region.lists[JOBS] = [job("load-3f2a9c11", "ATTEMPT_FAILURE", -2)]
    source = polled(region, tmp_path)
    assert [run.state for run in runs(decoded(source, list(source.read(window()))), "load")] == [RunState.RETRY_WAIT]


@pytest.mark.parametrize(
    ("ident", "labels", "main", "label", "name"),
    [
        ("load-orders-3f2a9c11", {}, None, None, "load-orders"),
        ("load_orders_20261130_0900", {}, None, None, "load_orders"),
        ("nightly-2026-11-30", {}, None, None, "nightly"),
        ("report", {}, "report.py", None, "report"),
        ("3f2a9c11" * 4, {}, "report.py", None, "report.py"),
        ("3f2a9c11" * 4, {"job": "orders"}, "report.py", "job", "orders"),
        (
            "step-abcdefghijklm",
            {"goog-dataproc-workflow-template-id": "daily", "goog-dataproc-workflow-step-id": "load"},
            None,
            None,
            "daily.load",
        ),
    ],
)
def test_what_makes_an_id_unique_is_no_part_of_the_job(
    ident: str, labels: dict[str, str], main: str | None, label: str | None, name: str
) -> None:
    assert job_name(ident, labels, main, label) == name


def test_a_token_is_made_anew_when_it_has_ended_or_was_refused(region: Region, tmp_path: Path) -> None:
    region.valid_s = 60
    source = polled(region, tmp_path)
    list(source.read(window()))
    assert set(region.ledger) == {"https://www.googleapis.com/auth/cloud-platform"}
    given = len(region.tokens)
    assert given > 1
    region.valid_s = 3600
    list(source.read(window()))
    assert len(region.tokens) == given + 1
    region.tokens.append("revoked")
    with pytest.raises(Permanent, match=r"dataproc source 'spark'.*may read this project"):
        list(source.read(window()))
    list(source.read(window()))
    region.is_known = False
    with pytest.raises(Permanent, match=r"log in to Google Cloud.*account not found.*renew the key"):
        list(polled(region, tmp_path).read(window()))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.RATE_LIMITED_SECONDS, "HTTP 429"),
        (Fault.UNAVAILABLE, "HTTP 503"),
        (Fault.BAD_GATEWAY, "HTTP 502"),
        (Fault.INVALID_JSON, "not as expected"),
        (Fault.EMPTY_200, "not as expected"),
    ],
)
def test_a_service_that_is_unwell_is_asked_again_later(
    region: Region, tmp_path: Path, fault: Fault, expected: str
) -> None:
    region.fail_next(fault)
    with pytest.raises(Transient, match=f"dataproc source 'spark'.*{expected}"):
        list(polled(region, tmp_path).read(window()))


def test_a_log_in_that_the_guard_refuses_is_named(region: Region, tmp_path: Path) -> None:
    path = region.key_file(tmp_path)
    path.write_text(path.read_text().replace(f"{region.url}/token", "http://169.254.169.254/token"))
    source = polled(region, tmp_path, credentials=str(path))
    with pytest.raises(Permanent, match=r"169\.254\.169\.254"):
        list(source.read(window()))
    path.write_text("{}")
    with pytest.raises(Permanent, match="log in to Google Cloud"):
        list(polled(region, tmp_path, credentials=str(path)).read(window()))


def test_a_file_that_is_not_there_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    given = {"name": "spark", "project": "shop-prod", "region": "europe-west3", "base_url": "http://127.0.0.1:1"}
    config = DataprocConfig.model_validate({"sources": [{**given, "credentials": str(tmp_path / "none.json")}]})
    with pytest.raises(ConfigError, match=r"collectors\.dataproc\.sources\[0\]\.credentials: there is no file"):
        Dataproc(config).sources(context(ManualClock(NOW)))
