"""Pings of checks in the form of healthchecks.io: a check began, ended, failed, or has something to say.

A ping brings neither a time nor a name of its own, so the server (`watchtower.server.pings`) completes it on receipt:
which job it means, when it came, and which run it belongs to where its sender gave no `rid`. That whole is the body
that is kept; decoding it again, from the spool or the quarantine, gives the same fact.
"""

from datetime import datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Annotated, ClassVar, Final, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from collectors.identity import identifier, run_alias
from collectors.openlineage.texts import STACK_BYTES, both_ends, cut
from collectors.scrub import scrub_text
from watchtower.model.fact import Fact, fact_key
from watchtower.model.run import JobPatch, JobRef, RunError, RunPatch, RunState
from watchtower.ports import Decoded, Received, Reject

SOURCE: Final = "pings"  # of a key that names no source
BODY_BYTES: Final = 100_000  # kept of what a ping says; so many take healthchecks' clients for granted
OUTPUT_CHARS: Final = 4_000
_MESSAGE_CHARS: Final = 300

Action = Literal["success", "start", "fail", "log"]
Keyword = Annotated[str, Field(min_length=1, max_length=200)]
_STATES: Final[dict[Action, tuple[str, RunState | None]]] = {
    "start": ("START", RunState.RUNNING),
    "success": ("COMPLETE", RunState.SUCCEEDED),
    "fail": ("FAIL", RunState.FAILED),
    "log": ("OTHER", None),
}


class Ping(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ping, whole. job: the pipeline; run: the rid, or what the server calls the run; "" for a log that belongs to
    none. said: its body, as text; rest: how many bytes of it were not kept. by: the client's word for itself."""

    job: str
    action: Action
    at: datetime
    run: str = ""
    exit_status: int | None = None
    said: str = ""
    rest: int = 0
    by: str = ""


class PingFilter(BaseModel):
    """What the body of a ping says instead of its address, as healthchecks' filtering rules have it: the first list of
    which a word is in it decides, failures before successes before starts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: str = Field(default="*", min_length=1, description="names of the checks, with * and ?")
    failure: tuple[Keyword, ...] = Field(default=(), description="it failed, if any of these is in the body")
    success: tuple[Keyword, ...] = Field(default=(), description="it ended well")
    start: tuple[Keyword, ...] = Field(default=(), description="it began")
    otherwise: Literal["log", "fail"] = Field(
        default="log", description="where none is: kept without changing anything, or a failure"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.failure or self.success or self.start):
            raise ValueError("no keyword is given: write failure:, success: or start:")
        return self

    def action(self, said: str) -> Action:
        lists: tuple[tuple[Action, tuple[str, ...]], ...] = (
            ("fail", self.failure),
            ("success", self.success),
            ("start", self.start),
        )
        for action, words in lists:
            if any(word in said for word in words):
                return action
        return self.otherwise


class PingsConfig(BaseModel):
    """`collectors: {pings: …}`: what is pinged at `/ping/…`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    namespace: str = Field(default="cron", min_length=1, description="of the jobs that are pinged")
    per_minute: int = Field(
        default=5, ge=1, le=600, description="pings of one check that are kept a minute; ends of runs always are"
    )
    filters: tuple[PingFilter, ...] = Field(
        default=(), description="words in the body that say what happened; the first that fits a check's name counts"
    )


class Pings:
    kind: ClassVar[str] = "pings"
    Config: ClassVar[type[PingsConfig]] = PingsConfig
    of_token: ClassVar[bool] = True

    def __init__(self, config: PingsConfig | None = None) -> None:
        self.config = config or PingsConfig()

    def job(self, source: str | None, name: str) -> JobRef:
        return JobRef(source or SOURCE, self.config.namespace, name)

    def action(self, name: str, given: Action, said: str) -> Action:
        """What a ping of the check name means. given: what its address says."""
        for each in self.config.filters:
            if fnmatchcase(name, each.job):
                return each.action(said)
        return given

    def decode(self, body: bytes, received: Received) -> Decoded:
        try:
            ping = msgspec.json.decode(body, type=Ping)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Decoded((), (Reject("not_a_ping", f"no ping as the server writes it: {error}", body),))
        job = self.job(received.source, ping.job)
        return Decoded((_fact(ping, job, body, received),))


def completed(ping: Ping) -> bytes:
    """The body that is kept. Secrets are taken out of what the check said before it reaches any disk."""
    return msgspec.json.encode(msgspec.structs.replace(ping, said=scrub_text(ping.said)))


def as_text(raw: bytes) -> tuple[str, int]:
    """What a ping said, whatever it is, as text that can be kept; and how many bytes were not."""
    kept = raw[:BODY_BYTES]
    return kept.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}"), len(raw) - len(kept)


def _fact(ping: Ping, job: JobRef, body: bytes, received: Received) -> Fact:
    return Fact(
        key=fact_key(ping.at, job.id, sha256(body).digest()),
        source=job.source,
        kind=Pings.kind,
        event_time=ping.at,
        received_at=received.received_at,
        body=body,
        historical=received.replay or (received.received_at - ping.at).total_seconds() > received.max_age_s,
        run=_patch(ping, job) if ping.run else None,
        jobs=(JobPatch(job, job_type="CHECK", integration="PING"),),
    )


def _patch(ping: Ping, job: JobRef) -> RunPatch:
    event_type, state = _STATES[ping.action]
    ends = state is not None and state.is_terminal
    return RunPatch(
        aliases=(run_alias(job.source, job.namespace, job.pipeline, ping.run),),
        job=job,
        event_type=event_type,
        state=state,
        native_run_id=identifier(ping.run),
        started_at=ping.at if ping.action == "start" else None,
        ended_at=ping.at if ends else None,
        error=_error(ping) if ping.action == "fail" else None,
        output=tail(ping.said) or None,
    )


def _error(ping: Ping) -> RunError:
    """The last line that says something is the one in which shells and most programs name what went wrong."""
    lines = [line.strip() for line in ping.said.splitlines() if line.strip()]
    status = f"exit status {ping.exit_status}" if ping.exit_status else ""
    said = cut(lines[-1], _MESSAGE_CHARS) if lines else ""
    message = ": ".join(part for part in (status, said) if part) or "it said that it failed"
    return RunError(message, stack=both_ends(ping.said, STACK_BYTES))


def tail(text: str, chars: int = OUTPUT_CHARS) -> str:
    """The last lines of text, whole ones if there is one that is short enough."""
    text = text.rstrip()
    if len(text) <= chars:
        return text
    kept = text[-chars:]
    _, newline, rest = kept.partition("\n")
    return rest if newline and rest else kept
