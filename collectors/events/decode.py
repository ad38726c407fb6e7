"""The collector of events: a request's body → one fact per event, without I/O and without exceptions."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar, Final, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from collectors.events.change_event import read_change_event
from collectors.events.envelopes import Envelope, envelope_of
from collectors.events.fields import Json, Unfit
from collectors.events.mapping import Mapped, run_event_of
from collectors.events.quality_event import read_quality_event
from collectors.events.run_event import FREE, Naming, Told, read_run_event
from collectors.openlineage.reading import NotJson, TooDeep, check_depth, events_of, parse
from collectors.openlineage.texts import cut
from collectors.scrub import scrub
from watchtower.model.fact import Fact, fact_key
from watchtower.ports import Decoded, Received, Reject

_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


class EventsConfig(BaseModel):
    """`collectors: {events: …}`: what is posted to `/api/v1/events`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    namespace: str = Field(default="default", min_length=1, description="of jobs whose events name none")
    map: tuple[Mapped, ...] = Field(default=(), description="how events in the words of others are read")


class Events:
    """source_of: set by the composition root, so that an event meets what other sources tell of the same namespace."""

    kind: ClassVar[str] = "events"
    Config: ClassVar[type[EventsConfig]] = EventsConfig
    of_token: ClassVar[bool] = True

    def __init__(self, config: EventsConfig | None = None) -> None:
        self._config = config or EventsConfig()
        self.source_of: Callable[[str], str] = lambda namespace: f"openlineage:{namespace}"

    def decode(self, body: bytes, received: Received) -> Decoded:
        facts: list[Fact] = []
        rejects: list[Reject] = []
        skipped: list[str] = []
        try:
            for index, text in enumerate(events_of(body)):
                try:
                    facts.append(self._fact(text, received, skipped))
                except Unfit as unfit:
                    permanent = unfit.reason not in ("unmapped", "unknown_event")
                    rejects.append(Reject(unfit.reason, str(unfit), _clean(text), permanent=permanent, index=index))
                except TooDeep as error:
                    rejects.append(Reject("too_deep", str(error), text, permanent=True, index=index))
        except NotJson as error:
            message = f"the body is not JSON: {cut(str(error), 200)}; send one event or a list of them"
            return Decoded((), (Reject("not_json", message, body, permanent=True),))
        return Decoded(tuple(facts), tuple(rejects), tuple(dict.fromkeys(skipped)))

    def _fact(self, text: bytes, received: Received, skipped: list[str]) -> Fact:
        """Raises Unfit, NotJson, TooDeep."""
        check_depth(text)
        said = parse(text)
        if not isinstance(said, dict):
            raise Unfit("not_an_event", 'an event is a JSON object such as {"job": "backup", "event": "fail"}')
        whole = cast("dict[str, Any]", said)
        event = envelope_of(whole)
        clean = _without_secrets(whole, event)
        if clean is not whole:
            whole, text = clean, msgspec.json.encode(clean)
            event = envelope_of(whole)
        if event is None and "change" in whole and "event" not in whole:
            return self._change(whole, text, received)
        if event is None and "check" in whole and "event" not in whole:
            return self._result(whole, text, received, skipped)
        told = self._told(whole, event, received)
        skipped.extend(told.skipped)
        run = told.run
        if event:  # the same event is the same fact whenever it comes, also if it names no time
            key = fact_key(event.time or _NO_TIME, event.form, event.source, event.id)
        else:
            key = fact_key(told.at, run.job.source, sha256(text).digest())
        return Fact(
            key=key,
            source=run.job.source,
            kind="run",
            event_time=received.received_at if told.ahead else told.at,
            received_at=received.received_at,
            body=text,
            historical=received.replay or (received.received_at - told.at).total_seconds() > received.max_age_s,
            run=run,
            jobs=(told.job,),
            clock_suspect=told.ahead,
        )

    def _result(self, whole: Json, text: bytes, received: Received, skipped: list[str]) -> Fact:
        patch, missing = read_quality_event(whole, self._naming, received)
        skipped.extend(missing)
        (sample,) = patch.samples
        return Fact(
            key=fact_key(sample.at, patch.source, sha256(text).digest()),
            source=patch.source,
            kind="quality",
            event_time=sample.at,
            received_at=received.received_at,
            body=text,
            historical=sample.historical,
            series=(patch,),
        )

    @property
    def _naming(self) -> Naming:
        return Naming(self._config.namespace, self.source_of)

    def _change(self, whole: Json, text: bytes, received: Received) -> Fact:
        change = read_change_event(whole, received.received_at, received.source)
        return Fact(
            key=fact_key(change.at, change.source, sha256(text).digest()),
            source=change.source,
            kind="change",
            event_time=change.at,
            received_at=received.received_at,
            body=text,
            changes=(change,),
        )

    def _told(self, whole: Json, event: Envelope | None, received: Received) -> Told:
        naming = self._naming
        if event is None:
            return read_run_event(whole, naming, received.received_at, received.source)
        said = dict(run_event_of(event, self._config.map))
        if event.time and said.get("at") is None:
            said["at"] = event.time.isoformat()
        if event.traceparent and said.get("traceparent") is None:
            said["traceparent"] = event.traceparent
        return read_run_event(said, naming, received.received_at, received.source)


def _without_secrets(whole: dict[str, Any], event: Envelope | None) -> dict[str, Any]:
    """Names are left as they are: a job may well be called `token:refresh`. The same object if nothing was found."""
    free = FREE if event is None else ("data", "detail")
    clean = {name: scrub({name: value})[name] for name, value in whole.items() if name in free}
    changed = any(clean[name] is not whole[name] for name in clean)
    return {**whole, **clean} if changed else whole


def _clean(text: bytes) -> bytes:
    """text as it may be kept in quarantine."""
    parsed = parse(text)
    clean = scrub(parsed)
    return text if clean is parsed else msgspec.json.encode(clean)
