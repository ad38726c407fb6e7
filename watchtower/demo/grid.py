"""Moves each recorded run as a whole, its spans with it, onto an hourly grid that ends a minute ago.

Airflow ran the day's earlier slots one after another in minutes (catch-up). Here each run gets back the place that
its own schedule gives it: its nominal time, moved by one whole number of minutes that is the same for all runs, plus
the delay with which it really started. Durations, order, errors and everything else stay as recorded.

    delay = START − the latest of (run_after, end of the DAG's run before, the moment the DAG was unpaused)
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from collectors.airflow import run_ids
from watchtower.demo import spans
from watchtower.demo.recording import Event, Recording

ENDS_BEFORE_NOW: Final = timedelta(seconds=60)
LINEAGE: Final = "/api/v1/lineage"
TRACES: Final = "/v1/traces"
_MINUTE: Final = timedelta(minutes=1)
# Whatever may be named after a moved time. Replaced in one pass: the new name of one run can be the old one of another.
_NAMES: Final = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    rb"|scheduled__(?:[0-9T:.+-]|%3A|%2B)+"
    rb'|"[0-9]+ \* \* \* \*"'
)
# Fields that name a slot of the schedule; every other time tells when something happened.
_NOMINAL: Final = frozenset(
    {"logical_date", "data_interval_start", "data_interval_end", "run_after", "nominalStartTime", "nominalEndTime"}
)


@dataclass(slots=True)
class RecordedRun:
    """One DAG run with the events of its tasks. Times as recorded (aware UTC)."""

    dag_id: str
    dag_run_id: str
    run_after: datetime
    started_at: datetime
    ended_at: datetime
    events: list[tuple[datetime, Event]] = field(default_factory=list[tuple[datetime, Event]])
    delay: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Post:
    """One request of the day. path: where it is posted to; received_at: aware UTC."""

    received_at: datetime
    path: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class MovedDay:
    """posts: in order of time; begins: just before the first; now: where the replay ends. events: how many of posts
    tell of runs; the others bring spans."""

    begins: datetime
    now: datetime
    posts: tuple[Post, ...]

    @property
    def events(self) -> int:
        return sum(post.path == LINEAGE for post in self.posts)


def move(recording: Recording, now: datetime) -> MovedDay:
    """The recorded day as if it ended a minute before now (aware UTC)."""
    runs = collect_runs(recording)
    last = max(run.run_after + run.delay + (_last_event(run) - run.started_at) for run in runs)
    shift = (now - ENDS_BEFORE_NOW - last) // _MINUTE * _MINUTE
    renamed = _renamed(recording, runs, shift)
    exports = _exports(recording)
    posts: list[Post] = []

    def rename(text: bytes) -> bytes:
        return _NAMES.sub(lambda found: renamed.get(found[0], found[0]), text)

    for run in runs:
        by = run.run_after + run.delay + shift - run.started_at
        for received_at, event in run.events:
            body = msgspec.json.encode(_retimed(event, happened=by, nominal=shift))
            posts.append(Post(received_at + by, LINEAGE, "application/json", rename(body)))
        for export in exports.get((run.dag_id, run.dag_run_id), ()):
            request = spans.moved(export, by, shift, lambda text: rename(text.encode()).decode())
            posts.append(Post(export.received_at + by, TRACES, "application/x-protobuf", request))
    posts.sort(key=lambda post: post.received_at)
    return MovedDay(posts[0].received_at - timedelta(seconds=1), now, tuple(posts))


def _exports(recording: Recording) -> dict[spans.RunKey, list[spans.Export]]:
    found: dict[spans.RunKey, list[spans.Export]] = {}
    for export in spans.by_run(recording.exports):
        found.setdefault(export.run, []).append(export)
    return found


def collect_runs(recording: Recording) -> list[RecordedRun]:
    """The DAG runs of the recording, by DAG and time, each with all events that belong to it and its delay."""
    runs: dict[tuple[str, str], RecordedRun] = {}
    by_run_id: dict[str, RecordedRun] = {}
    for received_at, event in recording.events:
        run = _run_of(event, runs, by_run_id)
        by_run_id[event["run"]["runId"]] = run
        run.events.append((received_at, event))
        when = datetime.fromisoformat(event["eventTime"])
        run.started_at, run.ended_at = min(run.started_at, when), max(run.ended_at, when)
    ordered = sorted(runs.values(), key=lambda run: (run.dag_id, run.run_after))
    _set_delays(recording, ordered)
    return ordered


def _set_delays(recording: Recording, ordered: Iterable[RecordedRun]) -> None:
    previous: RecordedRun | None = None
    for run in ordered:
        could_start = [run.run_after, recording.pipelines[run.dag_id].unpaused_at]
        if previous is not None and previous.dag_id == run.dag_id:
            could_start.append(previous.ended_at)
        run.delay = max(timedelta(0), run.started_at - max(could_start))
        previous = run


def _run_of(event: Event, runs: dict[tuple[str, str], RecordedRun], by_run_id: dict[str, RecordedRun]) -> RecordedRun:
    """The DAG run that event belongs to. A task that was marked failed by hand tells only its OpenLineage run id."""
    facets: dict[str, Event] = event["run"].get("facets", {})
    dag_run: Event | None = (facets.get("airflowDagRun") or facets.get("airflow") or {}).get("dagRun")
    if dag_run is None:
        return by_run_id[event["run"]["runId"]]
    key = (dag_run["dag_id"], dag_run["run_id"])
    if key not in runs:
        when = datetime.fromisoformat(event["eventTime"])
        runs[key] = RecordedRun(*key, datetime.fromisoformat(dag_run["run_after"]), when, when)
    return runs[key]


def _last_event(run: RecordedRun) -> datetime:
    return max(received_at for received_at, _ in run.events)


def _renamed(recording: Recording, runs: Iterable[RecordedRun], shift: timedelta) -> dict[bytes, bytes]:
    """Old → new, for everything that is named after a moved time: OpenLineage run ids, DAG run ids, cron texts."""
    names: dict[str, str] = {}
    for run in runs:
        new_run_id = run.dag_run_id.replace(run.run_after.isoformat(), (run.run_after + shift).isoformat())
        names[run.dag_run_id] = new_run_id
        names[quote(run.dag_run_id, safe="")] = quote(new_run_id, safe="")
        for _, event in run.events:
            run_id = event["run"]["runId"]
            if run_id not in names and (made := _made_from(recording.namespace, event, run.run_after)):
                names[run_id] = made(run.run_after + shift)
    for pipeline in recording.pipelines.values():
        names[f'"{pipeline.cron}"'] = f'"{moved_cron(pipeline.cron, shift)}"'
    return {old.encode(): new.encode() for old, new in names.items() if old != new}


def moved_cron(cron: str, shift: timedelta) -> str:
    """An hourly cron text (`M * * * *`) moved by whole minutes."""
    minute, rest = cron.split(" ", 1)
    return f"{(int(minute) + shift // _MINUTE) % 60} {rest}"


def _made_from(namespace: str, event: Event, instant: datetime) -> Callable[[datetime], str] | None:
    """How the event's run id is made from its run's logical date; None if it is not made by the formula."""
    facets: dict[str, Event] = event["run"]["facets"]
    dag: Event = facets.get("airflowDagRun", {}).get("dagRun", {})
    task: Event = facets.get("airflow", {})

    def of_dag(when: datetime) -> str:
        return run_ids.dag_run_id(namespace, dag["dag_id"], dag.get("clear_number", 0), when)

    def of_task(when: datetime) -> str:
        instance: Event = task["taskInstance"]
        return run_ids.task_run_id(
            namespace,
            task["dag"]["dag_id"],
            task["task"]["task_id"],
            try_number=instance["try_number"],
            map_index=instance.get("map_index", -1),
            instant=when,
        )

    make = of_dag if dag else of_task if task else None
    return make if make and make(instant) == event["run"]["runId"] else None


def _retimed(value: Any, *, happened: timedelta, nominal: timedelta, key: str = "") -> Any:
    """A copy in which every time is moved: slots of the schedule by nominal, all others by happened."""
    if isinstance(value, dict):
        return {
            name: item if name == "dag" else _retimed(item, happened=happened, nominal=nominal, key=name)
            for name, item in cast("Event", value).items()
        }
    if isinstance(value, list):
        return [_retimed(item, happened=happened, nominal=nominal, key=key) for item in cast("list[Any]", value)]
    if isinstance(value, str) and (when := _as_time(value)):
        return (when + (nominal if key in _NOMINAL else happened)).isoformat()
    return value


def _as_time(text: str) -> datetime | None:
    if not 20 <= len(text) <= 40 or text[4:5] != "-" or text[10:11] not in ("T", " "):
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when.astimezone(UTC) if when.tzinfo else None
