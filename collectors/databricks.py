"""Databricks: runs of jobs with their tasks, asked of the Jobs API 2.2.

A run that Databricks retries by itself is a run of its own that names the first one; the chain of them is one run here.
A repair keeps the run's id and is a new generation of it. Sources: Databricks REST API reference, "Jobs" 2.2
(`runs/list`, `runs/get`, `list`), "TaskRun", "RunLifecycleStateV2", "TerminationCode".
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from pydantic import Field, field_validator

from collectors.asking import JsonApi, Row, kept, member, members, record
from collectors.crons import crontab
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier, task_alias
from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, cut, said, web_url
from collectors.paging import pages
from collectors.polled import unless_gone
from collectors.source import PollerOf, Seen, SlicedSource
from watchtower.config.polled import PolledConfig
from watchtower.config.types import Section, WebAddress
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState, Trigger
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, PollContext, Received
from watchtower.secrets import Secret

KIND: Final = "databricks"
REMEDY: Final = "renew `token`, and let its owner view the jobs"
PAGE: Final = 25  # the most that the API gives with tasks
JOBS: Final = 100
STATES: Final[Mapping[str, RunState]] = {
    "BLOCKED": RunState.QUEUED,
    "PENDING": RunState.QUEUED,
    "QUEUED": RunState.QUEUED,
    "WAITING": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "TERMINATING": RunState.RUNNING,
}
# By result_state, once a run has terminated.
RESULTS: Final[Mapping[str, RunState]] = {
    "SUCCESS": RunState.SUCCEEDED,
    "SUCCESS_WITH_FAILURES": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "MAXIMUM_CONCURRENT_RUNS_REACHED": RunState.FAILED,
    "TIMEDOUT": RunState.TIMED_OUT,
    "CANCELED": RunState.CANCELLED,
    "UPSTREAM_CANCELED": RunState.UPSTREAM_FAILED,
    "UPSTREAM_FAILED": RunState.UPSTREAM_FAILED,
    "EXCLUDED": RunState.SKIPPED,
    "DISABLED": RunState.SKIPPED,
}
_TRIGGERS: Final[Mapping[str, Trigger]] = {
    "PERIODIC": Trigger.SCHEDULE,
    "CONTINUOUS": Trigger.SCHEDULE,
    "FILE_ARRIVAL": Trigger.EVENT,
    "TABLE": Trigger.EVENT,
    "RUN_JOB_TASK": Trigger.EVENT,
    "ONE_TIME": Trigger.MANUAL,
}
_RUN: Final = (
    "run_id", "job_id", "run_name", "original_attempt_run_id", "attempt_number", "trigger", "creator_user_name",
    "start_time", "end_time", "run_page_url", "state", "git_source",
)  # fmt: skip
_TASK: Final = ("run_id", "task_key", "attempt_number", "start_time", "end_time", "state", "run_page_url")
_STATE: Final = ("life_cycle_state", "result_state", "state_message")


class DatabricksSource(PolledConfig):
    """One workspace."""

    base_url: WebAddress = Field(description="of the workspace, e.g. https://dbc-a1b2.cloud.databricks.com")
    token: Secret = Field(description="a personal access token, or one of a service principal")

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        return value.rstrip("/").removesuffix("/api")

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token.reveal()}"}


class DatabricksConfig(Section):
    """`collectors: {databricks: …}`."""

    sources: tuple[DatabricksSource, ...] = Field(default=(), description="what is asked")


class PolledDatabricks(SlicedSource[DatabricksSource]):
    """ports.PolledSource."""

    kind = KIND

    def __init__(self, config: DatabricksSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._api = JsonApi(context, config.base_url, self.what, config.headers, REMEDY)

    @property
    def clock_at(self) -> datetime | None:
        return self._api.clock_at

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace)

    def definitions(self, window: Window) -> Iterator[Page]:
        if window.deep:
            answers = self._answers("jobs/list", "jobs", limit=JOBS)
            jobs = tuple(record(job=_job(job)) for answer in answers for job in answer)
            yield Page(jobs, coverage={"jobs": len(jobs)})

    def between(self, since: datetime, until: datetime | None) -> Iterator[Sequence[Seen]]:
        span = {"start_time_from": _milliseconds(since)}
        if until is not None:
            span["start_time_to"] = _milliseconds(until)
        for runs in self._answers("jobs/runs/list", "runs", limit=PAGE, expand_tasks="true", **span):
            yield [_seen(run) for run in runs]

    def again(self, reference: str) -> Seen | None:
        """None for one that was deleted: Databricks keeps runs for 60 days."""
        path = f"api/2.2/jobs/runs/get?{urlencode({'run_id': reference})}"
        run = unless_gone(lambda: self._api.get(path), "does not exist")
        return _seen(run) if run is not None else None

    def _answers(self, path: str, name: str, **asked: Any) -> Iterator[list[Row]]:
        def ask(token: str) -> Row:
            following = {"page_token": token} if token else {}
            return self._api.get(f"api/2.2/{path}?{urlencode(asked | following)}")

        for answer in pages(f"{self.what}: {path}", ask, lambda answer: answer.get("next_page_token")):
            yield members(answer, name)


class Databricks(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = DatabricksConfig
    polled = PolledDatabricks


def _seen(run: Row) -> Seen:
    tasks = [{**kept(task, _TASK), "state": kept(member(task, "state"), _STATE)} for task in members(run, "tasks")]
    shown = {**kept(run, _RUN), "state": kept(member(run, "state"), _STATE)}
    repairs = sum(each.get("type") == "REPAIR" for each in members(run, "repair_history"))
    whole = record(run=shown, tasks=tasks, repairs=repairs or None)
    return Seen(str(run.get("run_id")), whole, not state_of(run).is_terminal)


def _job(job: Row) -> dict[str, Any]:
    settings = member(job, "settings")
    schedule = kept(member(settings, "schedule"), ("quartz_cron_expression", "timezone_id", "pause_status"))
    return {**kept(job, ("job_id", "creator_user_name")), **kept(settings, ("name", "tags")), "schedule": schedule}


def decode(body: bytes, received: Received, *, namespace: str) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if isinstance(document.get("run"), dict):
            return _run_facts(document, member(document, "run"), place)
        if isinstance(document.get("job"), dict):
            return _job_facts(member(document, "job"), place)
        return None

    return decode_documents(body, read, "a run or a job of Databricks")


def state_of(run: Row) -> RunState:
    """Of a run or of a task's run. One that never came to run, or broke down inside of Databricks, has failed."""
    state = member(run, "state")
    life = str(state.get("life_cycle_state"))
    if life == "SKIPPED":
        return RunState.SKIPPED
    if life == "INTERNAL_ERROR":
        return RunState.CRASHED
    if life == "TERMINATED":
        return RESULTS.get(str(state.get("result_state")), RunState.FAILED)
    return STATES.get(life, RunState.RUNNING)


def quartz(expression: str) -> str | None:
    """`0 30 7 ? * MON-FRI` → `30 7 * * MON-FRI`. None where seconds or years matter."""
    fields = expression.split()
    if len(fields) not in (6, 7) or fields[0] != "0" or fields[6:] not in ([], ["*"], ["?"]):
        return None
    return crontab(*fields[1:6])


def _run_facts(document: Document, run: Row, place: Place) -> Sequence[Fact] | None:
    run_id, name = run.get("run_id"), run.get("run_name")
    started = _instant(run.get("start_time"), place)
    if not isinstance(run_id, int) or not isinstance(name, str) or started is None:
        return None
    state = state_of(run)
    ended = _instant(run.get("end_time"), place) if state.is_terminal else None
    head = run.get("original_attempt_run_id") or run_id
    repairs = document.get("repairs")
    tried = run.get("attempt_number")
    patch = RunPatch(
        aliases=place.run_aliases(identifier(name), str(head), _whole(repairs)),
        job=JobRef(place.source, place.namespace, identifier(name)),
        event_type=cut(_words(run), 32),
        authority=Authority.API,
        state=state,
        native_run_id=str(head),
        generation=_whole(repairs),
        attempt=_whole(tried) + 1,
        trigger=_TRIGGERS.get(str(run.get("trigger"))),
        actor=said(str(run.get("creator_user_name") or ""), NAME_CHARS),
        code_version=_commit(run),
        started_at=started,
        ended_at=ended,
        error=_error(run) if state.is_bad else None,
        external_url=web_url(str(run.get("run_page_url") or "")),
    )
    key = ("run", str(run_id), str(repairs), _words(run))
    fact = place.fact(ended or started, key, stands=not state.is_terminal, run=patch)
    tasks = members(document, "tasks")
    last = {str(task.get("task_key")): _whole(task.get("attempt_number")) for task in sorted(tasks, key=_attempt)}
    return [fact, *(each for task in tasks if (each := _task_fact(task, patch, last, place)))]


def _commit(run: Row) -> str | None:
    """What was checked out of the repository that its tasks come from, else what the job names."""
    git = member(run, "git_source")
    used = member(git, "git_snapshot").get("used_commit")
    return said(str(used or git.get("git_commit") or git.get("git_tag") or ""), NAME_CHARS)


def _task_fact(task: Row, run: RunPatch, last: Mapping[str, int], place: Place) -> Fact | None:
    run_id, name = task.get("run_id"), task.get("task_key")
    state = state_of(task)
    started = _instant(task.get("start_time"), place)
    ended = _instant(task.get("end_time"), place) if state.is_terminal else None
    at = ended or started or run.started_at
    if not isinstance(run_id, int) or not isinstance(name, str) or at is None:
        return None
    over = run.state is not None and run.state.is_terminal
    is_last = _attempt(task) == last.get(name)
    patch = RunPatch(
        aliases=(task_alias(place.source, place.namespace, "", "", task=str(run_id), map_index=None, attempt=1),),
        job=JobRef(place.source, place.namespace, run.job.pipeline, identifier(name)),
        event_type=cut(_words(task), 32),
        authority=Authority.API,
        state=state,
        final=_is_final(state, is_last=is_last, over=over),
        parent_alias=run.aliases[0],
        native_run_id=run.native_run_id,
        generation=run.generation,
        attempt=_attempt(task) + 1,
        started_at=started,
        ended_at=ended,
        error=_error(task) if state.is_bad else None,
        external_url=web_url(str(task.get("run_page_url") or "")) or run.external_url,
    )
    return place.fact(at, ("task", str(run_id), _words(task)), stands=not state.is_terminal, run=patch)


def _is_final(state: RunState, *, is_last: bool, over: bool) -> bool | None:
    """How often a task may be tried is not said: its last failure is final once the run is over."""
    if not state.is_terminal:
        return None
    if not state.is_bad:
        return True
    return False if not is_last else True if over else None


def _job_facts(job: Row, place: Place) -> Sequence[Fact] | None:
    name = job.get("name")
    if not isinstance(name, str):
        return None
    schedule = member(job, "schedule")
    running = schedule.get("pause_status") != "PAUSED"
    cron = quartz(str(schedule.get("quartz_cron_expression") or "")) if running else None
    tags = {cut(key, NAME_CHARS): cut(str(value), NAME_CHARS) for key, value in member(job, "tags").items()}
    patch = JobPatch(
        JobRef(place.source, place.namespace, identifier(name)),
        owner=tags.get("owner") or tags.get("team"),
        tags=dict(list(tags.items())[:MAX_LABELS]) or None,
        job_type="JOB",
        integration="DATABRICKS",
        schedule=cron or "",
        timezone=str(schedule.get("timezone_id") or "UTC") if cron else None,
        paused=not running if schedule else None,
    )
    return [place.definition("job", jobs=(patch,))]


def _error(run: Row) -> RunError | None:
    state = member(run, "state")
    message = str(state.get("state_message") or "").strip()
    kind = str(state.get("result_state") or state.get("life_cycle_state") or "")
    return RunError(cut(message or kind, 4_096), cut(kind, NAME_CHARS)) if message or kind else None


def _words(run: Row) -> str:
    state = member(run, "state")
    return str(state.get("result_state") or state.get("life_cycle_state") or "")


def _instant(value: Any, place: Place) -> datetime | None:
    """Milliseconds since 1970; 0 says that there is none."""
    return place.instant(value / 1000) if isinstance(value, int) and value > 0 else None


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _attempt(task: Row) -> int:
    return _whole(task.get("attempt_number"))


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1_000_000 else 0
