"""The collector of CI: what a hook believed → a change marker, and a run if runs are wanted. Without exceptions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, ClassVar, Final, Literal, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from collectors.ci import github, gitlab, jenkins
from collectors.ci.hooks import CiHook
from collectors.ci.told import Told, Unread
from collectors.identity import identifier, run_alias
from collectors.openlineage.texts import cut, web_url
from collectors.scrub import scrub, scrub_text
from watchtower.model.change import Change
from watchtower.model.fact import Fact, fact_key
from watchtower.model.run import JobPatch, JobRef, RunPatch, RunState, Trigger
from watchtower.ports import Decoded, Received, Reject
from watchtower.secrets import Secret

_READERS: Final = {"github": github.read, "gitlab": gitlab.read, "jenkins": jenkins.read}
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TRIGGERS: Final[Mapping[str, Trigger]] = {
    "schedule": Trigger.SCHEDULE,
    "workflow_dispatch": Trigger.MANUAL,
    "web": Trigger.MANUAL,
    "push": Trigger.EVENT,
    "release": Trigger.EVENT,
    "merge_request_event": Trigger.EVENT,
}
_EVENT_TYPES: Final = {RunState.RUNNING: "START", RunState.SUCCEEDED: "COMPLETE", RunState.CANCELLED: "ABORT"}


class HookOptions(BaseModel):
    """One entry of `hooks`, at `/hooks/NAME`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: Literal["github", "gitlab", "jenkins"] = Field(description="which CI system sends here")
    secret: Secret = Field(description="GitHub: signs the body; GitLab: its token; Jenkins: ends the address")
    previous_secret: Secret | None = Field(default=None, description="good as well, while the secret is rotated")
    deploys: tuple[str, ...] = Field(
        default=("*deploy*", "*release*", "*publish*"),
        description="workflows, stages and jobs whose success on the main branch is a change",
    )
    runs: bool = Field(default=False, description="its workflows are jobs, too, and alert like all others")


class Concern(BaseModel):
    """One entry of `concerns`: which pipelines a change can break. The first that fits counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repository: str = Field(default="*", description="where the change was made; * is any text")
    environment: str | None = Field(default=None, description="where it went; others concern nothing")
    pipelines: tuple[str, ...] = Field(default=(), description="names of pipelines; * is any text")
    team: str | None = Field(default=None, description="all pipelines of this team")


class CiConfig(BaseModel):
    """`collectors: {ci: …}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hooks: Mapping[str, HookOptions] = Field(default_factory=dict[str, HookOptions], description="by name")
    concerns: tuple[Concern, ...] = Field(default=(), description="without an entry, a change concerns everything")

    @field_validator("hooks")
    @classmethod
    def _names(cls, hooks: Mapping[str, HookOptions]) -> Mapping[str, HookOptions]:
        for name in hooks:
            if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
                raise ValueError(f"the hook {name!r} is part of an address: letters, digits, - and _ only")
        return hooks


class Ci:
    kind: ClassVar[str] = "ci"
    Config: ClassVar[type[CiConfig]] = CiConfig

    def __init__(self, config: CiConfig | None = None) -> None:
        self._config = config or CiConfig()

    def hooks(self) -> dict[str, CiHook]:
        """By name, for the server."""
        made: dict[str, CiHook] = {}
        for name, options in self._config.hooks.items():
            secrets = [secret for secret in (options.secret, options.previous_secret) if secret is not None]
            made[name] = CiHook(name, options.system, secrets)
        return made

    def decode(self, body: bytes, received: Received) -> Decoded:
        try:
            kept = msgspec.json.decode(body)
            system, hook, event = kept["system"], kept["hook"], kept["event"]
            payload = kept["payload"]
            if not isinstance(payload, dict):
                raise Unread("the payload is no object")
            told = _READERS[system](event, cast("dict[str, Any]", payload))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError) as error:
            return Decoded((), (Reject("not_a_hook", f"not as a hook keeps it: {error!r}", body),))
        except Unread as unread:
            return Decoded((), (Reject("unreadable", str(unread), body),))
        if told is None or told.state is None:
            return Decoded(())
        options = self._config.hooks.get(hook)
        fact = self._fact(told, str(hook), options, kept, received)
        return Decoded((fact,) if fact.run or fact.changes else ())

    def _fact(
        self, told: Told, hook: str, options: HookOptions | None, kept: dict[str, Any], received: Received
    ) -> Fact:
        body = msgspec.json.encode(scrub(kept))
        at = min(told.at, received.received_at) if told.at else received.received_at
        wants_runs = options is not None and options.runs
        job = JobRef(f"ci:{hook}", identifier(told.repository), identifier(told.workflow))
        return Fact(
            key=fact_key(told.at or _NO_TIME, job.source, sha256(body).digest()),
            source=job.source,
            kind="run" if wants_runs else "change",
            event_time=at,
            received_at=received.received_at,
            body=body,
            historical=received.replay or (received.received_at - at).total_seconds() > received.max_age_s,
            run=_run(told, job, at) if wants_runs else None,
            jobs=(JobPatch(job, job_type="WORKFLOW", integration="CI"),) if wants_runs else (),
            changes=self._changes(told, hook, options, at),
        )

    def _changes(self, told: Told, hook: str, options: HookOptions | None, at: datetime) -> tuple[Change, ...]:
        """A success that deployed something on the branch that counts."""
        patterns = (options or HookOptions.model_construct(deploys=())).deploys
        deploys = told.deploys or any(_fits(step, patterns) for step in told.steps)
        if told.state is not RunState.SUCCEEDED or not (deploys and told.is_main):
            return ()
        concern = self._concern(told)
        if concern is None:
            return ()
        change = Change(
            at=at,
            source=hook,
            kind="deploy",
            title=cut(scrub_text(told.title), 256),
            commit=told.commit,
            actor=told.actor,
            url=web_url(told.url),
            environment=told.environment,
            repository=told.repository,
            pipelines=concern.pipelines,
            team=concern.team,
        )
        return (change,)

    def _concern(self, told: Told) -> Concern | None:
        """None: it concerns nothing that is watched."""
        if not self._config.concerns:
            return Concern()
        for concern in self._config.concerns:
            if fnmatchcase(told.repository, concern.repository) and concern.environment in (None, told.environment):
                return concern
        return None


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _run(told: Told, job: JobRef, at: datetime) -> RunPatch:
    assert told.state is not None
    name = f"{told.number}#{told.attempt}" if told.attempt > 1 else told.number
    return RunPatch(
        aliases=(run_alias(job.source, job.namespace, job.pipeline, told.number, told.attempt - 1),),
        job=job,
        event_type=_EVENT_TYPES.get(told.state, "FAIL" if told.state.is_bad else "OTHER"),
        state=told.state,
        native_run_id=identifier(name),
        generation=told.attempt - 1,
        trigger=_TRIGGERS.get(told.trigger or ""),
        actor=told.actor,
        environment=told.environment,
        code_version=told.commit,
        queued_at=at if told.state is RunState.QUEUED else None,
        started_at=told.started_at or (at if told.state is RunState.RUNNING else None),
        ended_at=at if told.state.is_terminal else None,
        external_url=web_url(told.url),
    )
