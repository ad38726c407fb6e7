"""Pipelines of Vertex AI, after its published API v1; the service itself was never reached."""

from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.google.vertex_ai import PolledVertexAi, VertexAiConfig, cron_of
from tests.app.polls import context
from tests.collectors.folding import assert_orderless, line
from tests.simulators.google import GoogleSimulator
from watchtower.clock import ManualClock
from watchtower.model.fact import Fact
from watchtower.model.run import RunPatch, RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Received

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
OF = "projects/shop-prod/locations/europe-west3"
FAILURE = {"code": 3, "message": "The replica workerpool0-0 exited with a non-zero status of 1."}


def at(minute: float) -> str:
    return (NOW + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def run(ident: str, state: str, minutes: tuple[float, ...] = (-30, -29, -5), **more: Any) -> dict[str, Any]:
    times = dict(zip(("createTime", "startTime", "endTime"), map(at, minutes), strict=False))
    return {
        "name": f"projects/123/locations/europe-west3/pipelineJobs/{ident}",
        "displayName": "train-20261130090000",
        "pipelineSpec": {"pipelineInfo": {"name": "train"}, "root": {"inputDefinitions": {}}},
        "runtimeConfig": {"parameterValues": {"password": "hunter2"}},
        "state": f"PIPELINE_STATE_{state}",
        "labels": {"team": "shop"},
        "updateTime": at(minutes[-1]),
        **times,
        **more,
    }


def task(ident: str, name: str, state: str, minutes: tuple[float, ...], **more: Any) -> dict[str, Any]:
    times = dict(zip(("createTime", "startTime", "endTime"), map(at, minutes), strict=False))
    return {"taskId": ident, "parentTaskId": "1", "taskName": name, "state": state, **times, **more}


class Region(GoogleSimulator):
    def __init__(self) -> None:
        super().__init__(NOW)
        self.lists = {f"{OF}/pipelineJobs": [], f"{OF}/schedules": []}

    def fits(self, path: str, row: dict[str, Any], query: Mapping[str, str]) -> bool:
        if "filter" not in query:
            return True
        at = datetime.fromisoformat(row["updateTime"])
        since, _, until = query["filter"].removesuffix('"').partition('" AND update_time<="')
        is_late = bool(until) and at > datetime.fromisoformat(until)
        return not is_late and at >= datetime.fromisoformat(since.removeprefix('update_time>="'))


@pytest.fixture
def region() -> Generator[Region]:
    with Region() as simulator:
        yield simulator


def polled(region: Region, folder: Path) -> PolledVertexAi:
    given = {"name": "ml", "project": "shop-prod", "region": "europe-west3", "base_url": region.url}
    path = str(region.key_file(folder))
    (source,) = VertexAiConfig.model_validate({"sources": [{**given, "credentials": path}]}).sources
    return PolledVertexAi(source, context(ManualClock(NOW)))


def window(cursor: str | None = None, minutes: float = 60.0) -> Window:
    return Window(NOW - timedelta(minutes=minutes), NOW, cursor=cursor)


def decoded(source: PolledVertexAi, pages: list[Page]) -> list[Fact]:
    facts: list[Fact] = []
    for record in (record for page in pages for record in page.records):
        assert b"hunter2" not in record
        found = source.decode(record, Received(NOW, "ml"))
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts


def runs(facts: list[Fact], name: str) -> list[RunPatch]:
    return [fact.run for fact in facts if fact.run and fact.run.job.name == name]


def test_pipelines_and_their_tasks_are_runs_with_attempts(region: Region, tmp_path: Path) -> None:
    tasks = [
        task("1", "train-run", "FAILED", (-30, -29, -5), parentTaskId=None),
        task("2", "load", "SUCCEEDED", (-29, -28, -20)),
        task("3", "fit", "FAILED", (-20, -19, -6), error=FAILURE),
        task("4", "publish", "NOT_TRIGGERED", (-6, -6, -6)),
    ]
    failed = run("a", "FAILED", error=FAILURE, jobDetail={"taskDetails": tasks}, scheduleName=f"{OF}/schedules/1")
    region.lists[f"{OF}/pipelineJobs"] = [failed, run("b", "SUCCEEDED")]
    source = polled(region, tmp_path)
    facts = decoded(source, list(source.read(window())))
    golden = [line(fact) for fact in facts if fact.run]
    error = "error=code 3: The replica workerpool0-0 exited with a non-zero status of 1. (0 of stack)"
    assert golden == [
        "train FAILED=failed trigger=schedule queued=2026-11-30 09:00:00+00:00 started=2026-11-30 09:01:00+00:00 "
        f"ended=2026-11-30 09:25:00+00:00 {error}",
        "train.load SUCCEEDED=succeeded final=True queued=2026-11-30 09:01:00+00:00 "
        "started=2026-11-30 09:02:00+00:00 ended=2026-11-30 09:10:00+00:00",
        "train.fit FAILED=failed final=True queued=2026-11-30 09:10:00+00:00 started=2026-11-30 09:11:00+00:00 "
        f"ended=2026-11-30 09:24:00+00:00 {error}",
        "train.publish NOT_TRIGGERED=skipped final=True queued=2026-11-30 09:24:00+00:00 "
        "started=2026-11-30 09:24:00+00:00 ended=2026-11-30 09:24:00+00:00",
        "train SUCCEEDED=succeeded queued=2026-11-30 09:00:00+00:00 started=2026-11-30 09:01:00+00:00 "
        "ended=2026-11-30 09:25:00+00:00",
    ]
    first = runs(facts, "train")[0]
    assert first.external_url and first.external_url.endswith("/locations/europe-west3/runs/a?project=shop-prod")
    assert_orderless(facts)


def test_a_run_is_followed_until_it_has_ended(region: Region, tmp_path: Path) -> None:
    path = f"{OF}/pipelineJobs"
    region.lists[path] = [run("a", "RUNNING", (-30, -29))]
    region.path_of = lambda folder, row: f"projects/123/locations/europe-west3/pipelineJobs/{row['name'][-1]}"  # type: ignore[method-assign]
    region.lists["projects/123/locations/europe-west3/pipelineJobs"] = region.lists[path]
    source = polled(region, tmp_path)
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    region.lists[path][0] = run("a", "FAILED", (-30, -29, -20), error={"code": 4, "message": "Deadline exceeded"})
    pages = list(source.read(window(pages[-1].cursor, minutes=1)))
    facts += decoded(source, pages)
    assert [each.state for each in runs(facts, "train")] == [RunState.RUNNING, RunState.TIMED_OUT]
    assert pages[-1].cursor == "[]"
    assert_orderless(facts)


def test_the_only_active_schedule_of_a_pipeline_is_waited_for(region: Region, tmp_path: Path) -> None:
    def schedule(name: str, cron: str, state: str) -> dict[str, Any]:
        request = {"parent": OF, "pipelineJob": {"pipelineSpec": {"pipelineInfo": {"name": name}}}}
        return {"name": f"{OF}/schedules/{name}", "cron": cron, "state": state, "createPipelineJobRequest": request}

    region.lists[f"{OF}/schedules"] = [
        schedule("train", "TZ=Europe/Berlin 0 6 * * *", "ACTIVE"),
        schedule("score", "0 6 * * *", "ACTIVE"),
        schedule("score", "0 18 * * *", "ACTIVE"),
        schedule("old", "0 6 * * *", "PAUSED"),
    ]
    source = polled(region, tmp_path)
    pages = list(source.read(window()))
    jobs = {
        job.ref.name: (job.schedule, job.timezone, job.paused) for fact in decoded(source, pages) for job in fact.jobs
    }
    assert jobs == {
        "train": ("0 6 * * *", "Europe/Berlin", False),
        "score": ("", None, False),
        "old": ("", None, True),
    }
    assert pages[0].coverage == {"schedules": 4}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("TZ=America/New_York 1 * * * *", ("1 * * * *", "America/New_York")),
        ("CRON_TZ=Europe/Berlin 0 6 * * MON", ("0 6 * * MON", "Europe/Berlin")),
        ("0 6 * * *", ("0 6 * * *", "UTC")),
        ("@daily", None),
    ],
)
def test_schedules_as_vertex_ai_writes_them(written: str, expected: tuple[str, str] | None) -> None:
    assert cron_of(written) == expected
