"""The bundled day is what Airflow sent, and shows what the demo says it shows."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from watchtower.demo import recording
from watchtower.demo.grid import LINEAGE, TRACES, _made_from, collect_runs, move  # pyright: ignore[reportPrivateUsage] - the formula

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
    assert moved.events == len(DAY.events)
    last = moved.posts[-1].received_at
    assert timedelta(seconds=60) <= NOW - last < timedelta(seconds=120)
    assert moved.posts == tuple(sorted(moved.posts, key=lambda post: post.received_at))


def test_moved_events_still_hang_together() -> None:
    events = [msgspec.json.decode(post.body) for post in move(DAY, NOW).posts if post.path == LINEAGE]
    known = {event["run"]["runId"] for event in events}
    parents = {
        event["run"]["facets"]["parent"]["run"]["runId"] for event in events if "parent" in event["run"]["facets"]
    }
    assert parents <= known
    assert not known & {event["run"]["runId"] for _, event in DAY.events}


@pytest.mark.parametrize("minutes", range(0, 60, 7))
def test_no_moved_name_is_taken_for_the_old_name_of_another_run(minutes: int) -> None:
    """Crons stand minutes apart, so a shift can turn one pipeline's cron, or run id, into another's old one."""
    posts = move(DAY, NOW + timedelta(minutes=minutes)).posts
    for post in (post for post in posts if post.path == LINEAGE):
        facets = msgspec.json.decode(post.body)["run"]["facets"]
        dag, dag_run = _dag_of(facets)
        slot = datetime.fromisoformat(dag_run["run_after"])
        assert dag_run["run_id"] == f"scheduled__{slot.isoformat()}"
        log_url = facets.get("airflow", {}).get("taskInstance", {}).get("log_url", "")
        assert not log_url or f"/{quote(dag_run['run_id'], safe='')}/" in log_url
        assert dag["timetable_summary"] == f"{slot.minute} * * * *"


def test_spans_move_with_their_run_and_keep_their_shape() -> None:
    """Each moved trace lies within a minute around the moved run that it names, and no span changes its length."""
    moved = move(DAY, NOW)
    events = [msgspec.json.decode(post.body) for post in moved.posts if post.path == LINEAGE]
    began: dict[str, datetime] = {}
    for event in events:
        _, dag_run = _dag_of(event["run"]["facets"])
        name = f"{dag_run['dag_id']} {dag_run['run_id']}"
        when = datetime.fromisoformat(event["eventTime"])
        began[name] = min(when, began.get(name, when))
    named = 0
    for span in _spans(post.body for post in moved.posts if post.path == TRACES):
        said = {item.key: item.value.string_value for item in span.attributes}
        if "airflow.dag_run.run_id" in said:
            start = began[f"{said['airflow.dag_id']} {said['airflow.dag_run.run_id']}"].timestamp()
            assert -60 < span.start_time_unix_nano / 1e9 - start < 300
            named += 1
    assert named > 300
    assert _lengths(body for _, body in DAY.exports) >= _lengths(
        post.body for post in moved.posts if post.path == TRACES
    )


def test_the_slow_run_has_the_spans_of_its_slow_pages() -> None:
    longest = max(_spans(body for _, body in DAY.exports), key=_length)
    pages = [span for span in _spans(body for _, body in DAY.exports) if span.name == "GET /profiles"]
    assert longest.end_time_unix_nano and max(map(_length, pages)) > 30e9
    assert statistics.median(map(_length, pages)) < 1e9


def _spans(bodies: Iterable[bytes]) -> Iterator[Span]:
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                yield from scope.spans


def _length(span: Span) -> int:
    return span.end_time_unix_nano - span.start_time_unix_nano


def _lengths(bodies: Iterable[bytes]) -> Counter[tuple[bytes, bytes, int]]:
    return Counter((span.trace_id, span.span_id, _length(span)) for span in _spans(bodies))


def _dag_of(facets: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    facet = facets.get("airflowDagRun") or facets["airflow"]
    return facet["dag"], facet["dagRun"]


def test_nothing_of_the_recording_machine_is_left_in_it() -> None:
    text = msgspec.json.encode([event for _, event in DAY.events]).decode()
    text += b"".join(body for _, body in DAY.exports).decode("latin-1")
    for trace in ("/root/", "/home/", "/tmp/", "127.0.0.1", "localhost"):
        assert trace not in text, trace
