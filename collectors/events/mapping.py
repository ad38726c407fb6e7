"""Events in the words of others → run events: what stands where, said once for each type of event.

The built-in entries are those of AWS and Azure; the configuration adds its own before them. What an entry says is where
in the event a field stands (`detail.status`), or the value itself (`=nightly`).
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collectors.events.envelopes import Envelope
from collectors.events.fields import Unfit
from collectors.events.states import SHOWN, state_of

RUN_TYPE: Final = "watchtower.run"  # a CloudEvent of this type carries a run event as its data
_PATHS: Final = (
    *("job", "run", "task", "attempt", "namespace", "started_at", "ended_at", "error", "url"),
    *("trigger", "set_off_by", "actor", "environment", "code_version"),
)


class Mapped(BaseModel):
    """One entry of `map`: how events of a type are read. Values are paths into the event, or `=` and a literal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(description="type of the event (EventBridge: detail-type, Event Grid: eventType); * is any text")
    source: str = Field(default="*", description="its source (Event Grid: topic)")
    job: str = Field(default="source", description="name of the pipeline")
    run: str = Field(default="subject", description="id of the run")
    state: str | None = Field(default=None, description="its state; default: the last word of the type")
    states: Mapping[str, str] = Field(default_factory=dict[str, str], description="words of its own → ours")
    task: str | None = Field(default=None, description="name of the task")
    attempt: str | None = Field(default=None, description="which attempt of it")
    namespace: str | None = Field(default=None, description="of the job")
    started_at: str | None = Field(default=None, description="when it began")
    ended_at: str | None = Field(default=None, description="when it ended")
    error: str | None = Field(default=None, description="why it failed")
    url: str | None = Field(default=None, description="where it is shown")
    trigger: str | None = Field(default=None, description="what started it: schedule, event, manual or backfill")
    set_off_by: str | None = Field(default=None, description="what set it off, e.g. an order: see the run event")
    actor: str | None = Field(default=None, description="who started it")
    environment: str | None = Field(default=None, description="prod, staging …")
    code_version: str | None = Field(default=None, description="commit or version of the code")

    @model_validator(mode="after")
    def _known_words(self) -> "Mapped":
        for word, meant in self.states.items():
            if state_of(meant) is None:
                raise ValueError(f"states: {word!r} means {meant!r}, which is not known; known: {SHOWN}")
        return self

    def fits(self, event: Envelope) -> bool:
        return fnmatchcase(event.type, self.type) and fnmatchcase(event.source, self.source)


BUILT_IN: Final = (
    Mapped(
        type="Step Functions Execution Status Change",
        job="detail.stateMachineArn",
        run="detail.executionArn",
        state="detail.status",
        namespace="account",
        started_at="detail.startDate",
        ended_at="detail.stopDate",
        error="detail.cause",
    ),
    Mapped(
        type="Glue Job State Change",
        job="detail.jobName",
        run="detail.jobRunId",
        state="detail.state",
        namespace="account",
        error="detail.message",
    ),
    Mapped(
        type="Batch Job State Change",
        job="detail.jobName",
        run="detail.jobId",
        state="detail.status",
        states={"SUBMITTED": "queued", "RUNNABLE": "queued", "STARTING": "queued"},
        namespace="account",
        started_at="detail.startedAt",
        ended_at="detail.stoppedAt",
        error="detail.statusReason",
    ),
)


def run_event_of(event: Envelope, entries: Sequence[Mapped]) -> dict[str, Any]:
    """event as a run event of ours. Raises Unfit for a type that nothing tells how to read."""
    if event.type == RUN_TYPE or event.type.startswith(f"{RUN_TYPE}."):
        data = event.data
        if not isinstance(data, dict):
            raise Unfit("no_data", f"an event of the type {RUN_TYPE} carries a run event as its data")
        return cast("dict[str, Any]", data)
    entry = next((each for each in (*entries, *BUILT_IN) if each.fits(event)), None)
    if entry is None:
        remedy = f'add an entry under collectors.events.map: {{type: "{event.type[:80]}", job: …, run: …, state: …}}'
        raise Unfit("unmapped", f"nothing tells how to read events of the type {event.type[:80]!r}; {remedy}")
    return _mapped(event, entry)


def _mapped(event: Envelope, entry: Mapped) -> dict[str, Any]:
    said = {name: value_at(event.whole, path) for name in _PATHS if (path := getattr(entry, name)) is not None}
    if isinstance(said.get("job"), str):
        said["job"] = _short(said["job"])
    attempt = said.get("attempt")
    if isinstance(attempt, str) and attempt.isdecimal():
        said["attempt"] = int(attempt)
    word = value_at(event.whole, entry.state) if entry.state else event.type.replace(":", ".").rpartition(".")[2]
    said["event"] = entry.states.get(str(word), word)
    if "error" in said and not isinstance(said["error"], str | dict):
        said["error"] = str(said["error"]) if said["error"] is not None else None
    return said


def value_at(whole: Any, path: str) -> Any:
    """`detail.status` → what stands there, None if nothing does; `=text` → text. A name may hold dots itself."""
    if path.startswith("="):
        return path[1:]
    if isinstance(whole, dict):
        fields = cast("dict[str, Any]", whole)
        if path in fields:
            return fields[path]
        for cut_at in range(len(path)):
            if path[cut_at] == "." and path[:cut_at] in fields:
                return value_at(fields[path[:cut_at]], path[cut_at + 1 :])
        return None
    if isinstance(whole, list):
        items = cast("list[Any]", whole)
        head, _, rest = path.partition(".")
        if head.isdecimal() and int(head) < len(items):
            return value_at(items[int(head)], rest) if rest else items[int(head)]
    return None


def _short(name: str) -> str:
    """What people call it: the last part of an ARN or of a resource's path."""
    if name.startswith("arn:"):
        return name.replace("/", ":").rpartition(":")[2] or name
    return name.rstrip("/").rpartition("/")[2] or name if name.startswith("/") else name
