"""The bundled day is what Airflow sent, and shows what the demo says it shows."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from watchtower.demo import recording
from watchtower.demo.grid import _made_from, collect_runs, move  # pyright: ignore[reportPrivateUsage] - the formula

DAY = recording.load()
NOW = datetime(2027, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_every_run_id_is_made_by_the_published_formula() -> None:
    checked = Counter(
        _made_from(DAY.namespace, event, run.run_after) is not None
        for run in collect_runs(DAY)
        for _, event in run.events
    )
    assert set(checked) == {True}
    assert checked[True] == len(DAY.events) > 1000


def test_there_is_enough_to_learn_from() -> None:
    runs = Counter(run.dag_id for run in collect_runs(DAY))
    assert set(runs) == set(DAY.pipelines)
    assert min(runs.values()) >= 15


def test_one_pipeline_really_started_late() -> None:
    late = {run.dag_id for run in collect_runs(DAY) if run.delay > timedelta(minutes=5)}
    assert late == {dag.dag_id for dag in DAY.pipelines.values() if dag.scenario == "late"}


def test_moved_to_another_day_it_ends_a_minute_before_now_with_all_its_events() -> None:
    moved = move(DAY, NOW)
    assert len(moved.events) == len(DAY.events)
    last = moved.events[-1][0]
    assert timedelta(seconds=60) <= NOW - last < timedelta(seconds=120)
    assert moved.events == tuple(sorted(moved.events, key=lambda item: item[0]))


def test_moved_events_still_hang_together() -> None:
    events = [msgspec.json.decode(body) for _, body in move(DAY, NOW).events]
    known = {event["run"]["runId"] for event in events}
    parents = {
        event["run"]["facets"]["parent"]["run"]["runId"] for event in events if "parent" in event["run"]["facets"]
    }
    assert parents <= known
    assert not known & {event["run"]["runId"] for _, event in DAY.events}


@pytest.mark.parametrize("minutes", range(0, 60, 7))
def test_no_moved_name_is_taken_for_the_old_name_of_another_run(minutes: int) -> None:
    """Crons stand minutes apart, so a shift can turn one pipeline's cron, or run id, into another's old one."""
    for _, body in move(DAY, NOW + timedelta(minutes=minutes)).events:
        facets = msgspec.json.decode(body)["run"]["facets"]
        dag, dag_run = _dag_of(facets)
        slot = datetime.fromisoformat(dag_run["run_after"])
        assert dag_run["run_id"] == f"scheduled__{slot.isoformat()}"
        log_url = facets.get("airflow", {}).get("taskInstance", {}).get("log_url", "")
        assert not log_url or f"/{quote(dag_run['run_id'], safe='')}/" in log_url
        assert dag["timetable_summary"] == f"{slot.minute} * * * *"


def _dag_of(facets: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    facet = facets.get("airflowDagRun") or facets["airflow"]
    return facet["dag"], facet["dagRun"]


def test_nothing_of_the_recording_machine_is_left_in_it() -> None:
    text = msgspec.json.encode([event for _, event in DAY.events]).decode()
    for trace in ("/root/", "/home/", "/tmp/", "127.0.0.1", "localhost"):
        assert trace not in text, trace
