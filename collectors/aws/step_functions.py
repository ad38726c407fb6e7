"""AWS Step Functions: executions with what their states did, asked of its API, and told by EventBridge.

A list of executions begins with the newest start and knows no other order, so those that have not ended are remembered
from poll to poll by their ARNs and asked for one by one. Express workflows keep no executions and are not seen.
Sources: AWS Step Functions API reference; "Step Functions Execution Status Change" events.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from pydantic import Field

from collectors.asking import Row, member, members, record
from collectors.aws.history import Ended, Tried, history_of
from collectors.aws.source import Ask, AwsPoller, QueuedAwsSource, QueuedSourceOf, instant, pages, plain
from collectors.aws.tags import owner_of, tags_of
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier, run_alias, task_alias
from collectors.openlineage.texts import NAME_CHARS, cut
from collectors.polled import unless_gone
from collectors.polled_ids import open_ids, to_cursor
from collectors.remembered import forget_oldest
from watchtower.config.types import Section
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, PollContext, Received

KIND: Final = "step_functions"
MOST_EVENTS: Final = 25_000  # what a history can hold
MOST_KNOWN: Final = 50_000  # executions whose state was told
STATES: Final[Mapping[str, RunState]] = {
    "RUNNING": RunState.RUNNING,
    "PENDING_REDRIVE": RunState.RUNNING,
    "SUCCEEDED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "TIMED_OUT": RunState.TIMED_OUT,
    "ABORTED": RunState.CANCELLED,
}
_EXECUTION: Final = (
    "executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate", "error", "cause", "redriveCount",
    "redriveDate", "stateMachineVersionArn",
)  # fmt: skip
_DETAILS: Final = ("name", "index", "error", "cause")


class StepFunctionsSource(QueuedAwsSource):
    """Executions of standard workflows."""

    state_machines: tuple[str, ...] = Field(default=("*",), description="names; `*` and `?` are wildcards")
    history: bool = Field(default=True, description="read what the states of an execution did, too")


class StepFunctionsConfig(Section):
    """`collectors: {step_functions: …}`."""

    sources: tuple[StepFunctionsSource, ...] = Field(default=(), description="what is asked")


class PolledStepFunctions(QueuedSourceOf[StepFunctionsSource]):
    """ports.PolledSource."""

    kind = KIND
    service = "stepfunctions"

    def __init__(self, config: StepFunctionsSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._known: dict[str, str] = {}  # executions that were read whole, with their status

    def read(self, window: Window) -> Iterator[Page]:
        ask = self.ask
        machines = [each for each in self._machines(ask) if self._wanted(str(each["name"]))]
        started = ask.now
        if window.deep:
            yield Page(tuple(self._machine(ask, each) for each in machines), coverage={"state machines": len(machines)})
        remembered = open_ids(window.cursor)
        still: dict[str, None] = {}
        for arn in remembered:
            yield from self._execution(ask, arn, still)
        for machine in machines:
            for row in _executions(ask, str(machine["stateMachineArn"]), window.since):
                if str(row["executionArn"]) not in still:
                    yield from self._execution(ask, str(row["executionArn"]), still, str(row["status"]))
        yield from self.beside()
        yield Page(mark=started or window.until, cursor=to_cursor(list(still)))

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace)

    def _wanted(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.config.state_machines)

    def _machines(self, ask: Ask) -> Iterator[Row]:
        for page in pages(ask, "list_state_machines"):
            yield from (each for each in page["stateMachines"] if each.get("type") != "EXPRESS")

    def _machine(self, ask: Ask, machine: Row) -> bytes:
        tags = ask("list_tags_for_resource", resourceArn=machine["stateMachineArn"]).get("tags", [])
        return record(state_machine={"name": machine["name"], "arn": machine["stateMachineArn"]}, tags=plain(tags))

    def _execution(self, ask: Ask, arn: str, still: dict[str, None], status: str | None = None) -> Iterator[Page]:
        """What became of one; nothing where that is known. One that was deleted meanwhile is forgotten."""
        before = self._known.get(arn)
        if before and status in (None, before) and STATES.get(before, RunState.RUNNING).is_terminal:
            return
        execution = unless_gone(lambda: ask("describe_execution", executionArn=arn), "ExecutionDoesNotExist")
        if execution is None:
            return
        events = self._history(ask, arn) if self.config.history else ()
        yield Page((record(execution=plain({name: execution.get(name) for name in _EXECUTION}), events=events),))
        known = str(execution.get("status"))
        if not STATES.get(known, RunState.RUNNING).is_terminal:
            still[arn] = None
        self._known[arn] = known
        forget_oldest(self._known, MOST_KNOWN)

    def _history(self, ask: Ask, arn: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in pages(ask, "get_execution_history", executionArn=arn, maxResults=1000, includeExecutionData=False):
            found += [_event(event) for event in page["events"]]
            if len(found) >= MOST_EVENTS:
                break
        return found


class StepFunctions(AwsPoller):
    """ports.Poller."""

    kind = KIND
    Config = StepFunctionsConfig
    polled = PolledStepFunctions


def decode(body: bytes, received: Received, *, namespace: str) -> Decoded:
    """Records of the poll, and events of EventBridge."""

    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if document.get("detail-type") == "Step Functions Execution Status Change":
            return _execution_facts(member(document, "detail"), (), replace(place, authority=Authority.STREAM))
        if isinstance(document.get("execution"), dict):
            return _execution_facts(member(document, "execution"), members(document, "events"), place)
        if isinstance(document.get("state_machine"), dict):
            return [_machine_fact(document, place)]
        return None

    return decode_documents(body, read, "an execution of Step Functions, or an event of one")


def _execution_facts(execution: Row, events: Sequence[Row], place: Place) -> Sequence[Fact] | None:
    arn, status = execution.get("executionArn"), execution.get("status")
    state = STATES.get(str(status))
    started, stopped = instant(execution.get("startDate")), instant(execution.get("stopDate"))
    if not isinstance(arn, str) or state is None or started is None:
        return None
    generation = execution.get("redriveCount") or 0
    generation = generation if isinstance(generation, int) else 0
    redriven = instant(execution.get("redriveDate")) if generation else None
    over = state.is_terminal
    at = place.instant(stopped if over and stopped else redriven or started)
    if at is None:
        return None
    patch = RunPatch(
        aliases=place.run_aliases(_machine_name(execution, arn), arn, generation),
        job=JobRef(place.source, place.namespace, _machine_name(execution, arn)),
        event_type=cut(str(status), 32),
        authority=place.authority,
        state=state,
        native_run_id=identifier(arn),
        generation=generation,
        code_version=_version(execution),
        started_at=place.instant(redriven or started),
        ended_at=place.instant(stopped) if over else None,
        error=_error(execution) if state.is_bad else None,
        external_url=execution_url(arn),
    )
    run = place.fact(at, ("execution", arn, str(generation), str(status)), stands=not over, run=patch)
    history = history_of(events, over=over)
    before = [_ended_fact(number, ended, patch, place) for number, ended in enumerate(history.ends[:generation])]
    tried = [_attempt_fact(each, patch, place) for each in history.tries]
    return [*(fact for fact in before if fact), run, *(fact for fact in tried if fact)]


def _version(execution: Row) -> str | None:
    """The number behind the name of the machine; of one that publishes none nothing is known."""
    number = str(execution.get("stateMachineVersionArn") or "").rpartition(":")[2]
    return number if number.isdecimal() else None


def _ended_fact(generation: int, ended: Ended, run: RunPatch, place: Place) -> Fact | None:
    """How the execution had ended before it was redriven, which its description has forgotten."""
    at, arn = place.instant(ended.at), run.native_run_id or ""
    if at is None:
        return None
    patch = RunPatch(
        aliases=place.run_aliases(run.job.pipeline, arn, generation),
        job=run.job,
        event_type="FAILED",
        authority=place.authority,
        state=ended.state,
        native_run_id=arn,
        generation=generation,
        ended_at=at,
        error=_said(ended.error, ended.cause),
        external_url=run.external_url,
    )
    return place.fact(at, ("execution", arn, str(generation), ended.state.value), run=patch)


def _attempt_fact(tried: Tried, run: RunPatch, place: Place) -> Fact | None:
    arn = run.native_run_id or ""
    at = place.instant(tried.ended_at or tried.started_at or tried.queued_at)
    if at is None:
        return None
    task = f"{tried.name}#{tried.entered}"
    patch = RunPatch(
        aliases=(
            task_alias(
                place.source, place.namespace, "", arn, task=task, map_index=tried.map_index, attempt=tried.number
            ),
        ),
        job=JobRef(place.source, place.namespace, run.job.pipeline, identifier(tried.name)),
        event_type=cut(tried.state.value.upper(), 32),
        authority=Authority.API,
        state=tried.state,
        final=tried.final,
        parent_alias=_alias(place, arn, tried.generation),
        native_run_id=identifier(arn),
        generation=tried.generation,
        attempt=tried.number,
        map_index=tried.map_index,
        queued_at=place.instant(tried.queued_at),
        started_at=place.instant(tried.started_at),
        ended_at=place.instant(tried.ended_at) if tried.state.is_terminal else None,
        error=_said(tried.error, tried.cause) if tried.state.is_bad else None,
        external_url=run.external_url,
    )
    key = ("attempt", arn, task, str(tried.number), str(tried.last), tried.state.value)
    return place.fact(at, key, stands=not tried.state.is_terminal, run=patch)


def _machine_fact(document: Document, place: Place) -> Fact:
    machine = cast("Row", document["state_machine"])
    tags = tags_of(document.get("tags"))
    patch = JobPatch(
        JobRef(place.source, place.namespace, identifier(str(machine.get("name")))),
        owner=owner_of(tags),
        tags=tags or None,
        job_type="STATE_MACHINE",
        integration="STEP_FUNCTIONS",
    )
    return place.definition("state_machine", jobs=(patch,))


def execution_url(arn: str) -> str | None:
    parts = arn.split(":")
    if len(parts) < 8:
        return None
    return f"https://{parts[3]}.console.aws.amazon.com/states/home?region={parts[3]}#/v2/executions/details/{arn}"


def _executions(ask: Ask, machine: str, since: datetime) -> Iterator[Row]:
    """Those that began at or after since, and all that are running, newest first."""
    for page in pages(ask, "list_executions", stateMachineArn=machine, maxResults=200):
        rows: Sequence[Row] = page["executions"]
        for row in rows:
            began = instant(row.get("redriveDate") or row.get("startDate"))
            if began is not None and began < since:
                return
            yield row


def _event(event: Row) -> dict[str, Any]:
    """What is read of an event, without what it worked on."""
    kept: dict[str, Any] = {name: plain(event.get(name)) for name in ("id", "previousEventId", "type", "timestamp")}
    for name, value in event.items():
        if name.endswith("Details") and isinstance(value, dict):
            details = cast("Row", value)
            kept[name] = {key: plain(details[key]) for key in _DETAILS if details.get(key) is not None}
    return kept


def _alias(place: Place, arn: str, generation: int) -> str:
    return run_alias(place.source, place.namespace, "", arn, generation)


def _machine_name(execution: Row, arn: str) -> str:
    """`arn:aws:states:REGION:ACCOUNT:stateMachine:NAME`; a part of the execution's own ARN says the same."""
    machine = str(execution.get("stateMachineArn") or "").split(":")
    parts = arn.split(":")
    return identifier(machine[6] if len(machine) > 6 else parts[6] if len(parts) > 6 else arn)


def _error(execution: Row) -> RunError | None:
    return _said(str(execution.get("error") or ""), str(execution.get("cause") or ""))


def _said(error: str, cause: str) -> RunError | None:
    if not error and not cause:
        return None
    return RunError(cut(cause or error, 4_096), cut(error, NAME_CHARS))
