"""`/hooks/<name>`: what providers and CI systems send. Signed instead of sent with a token, and kept before answered.

The hook of each provider (`ports.Hook`) believes and reads; what it read is written here in one transaction with its
audit entry. A caller waits on the telephone, so the store has three seconds; after that nothing is promised to them.
"""

import logging
from dataclasses import replace

from alerting import incidents as incident_acts
from alerting.meta import delivery_failed
from watchtower.errors import DeliveryError, Reason, StoreError
from watchtower.model.alert import Incident
from watchtower.model.delivery import Failure, Raised
from watchtower.model.hook import (
    Acknowledge,
    Distrust,
    HookAct,
    HookRefused,
    HookRequest,
    HookResult,
    Keep,
    Nothing,
    Outcome,
    Recall,
    Reply,
    Report,
)
from watchtower.model.incident import IncidentEdit, IncidentEvent
from watchtower.server.endpoints import Call, Problem, Raw
from watchtower.spool import Spooled, SpoolFull
from watchtower.store import alerts, audit, callbacks
from watchtower.store.audit import Entry
from watchtower.store.callbacks import Acted
from watchtower.store.database import Connection
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)

MAX_BODY = 1 << 20  # GitHub names every job of a workflow
PATIENCE_S = 3.0
SAY_EVERY_S = 60.0

_told_at: dict[tuple[str, Distrust], float] = {}  # hook and reason → boot time at which the log was last told


def receive(call: Call) -> Raw:
    name = call.path["name"]
    hook = call.services.hooks.get(name)
    if hook is None:
        raise Problem(404, f"nothing here is called back at {name[:40]!r}", slug="not_found")
    rest = "/".join(call.path[part] for part in ("action", "token") if part in call.path)
    url = call.services.settings.external_url.rstrip("/") + call.target
    request = HookRequest(url, rest, call.headers, call.raw)
    try:
        act = hook.read(request, call.now)
    except HookRefused as error:
        metrics.HOOKS.labels(name, error.reason.value).inc()
        _tell(call, name, error)
        raise Problem(403, "this callback is not believed; see the log", slug="forbidden") from error
    except DeliveryError as error:  # a secret that cannot be read just now
        metrics.HOOKS.labels(name, Outcome.UNAVAILABLE.value).inc()
        raise Problem(503, "callbacks cannot be checked at present", slug="secret") from error
    result = _done(call, act)
    metrics.HOOKS.labels(name, result.outcome.value).inc()
    answer = hook.answer(request, act, result)
    return Raw(answer.body, answer.content_type, answer.status)


def _tell(call: Call, name: str, error: HookRefused) -> None:
    """Each reason once a minute: anybody may send here, and must not be able to fill the log."""
    place, now = (name, error.reason), call.services.clock.boottime()
    if now - _told_at.get(place, -SAY_EVERY_S) >= SAY_EVERY_S:
        _told_at[place] = now
        log.warning("a callback was refused", extra={"hook": name, "reason": error.reason.value, "why": str(error)})


def _done(call: Call, act: HookAct) -> HookResult:
    """What came of act; it is durable, or the outcome is UNAVAILABLE."""
    try:
        match act:
            case Nothing():
                return HookResult(Outcome.RECORDED)
            case Keep(collector, body):
                return _kept(call, collector, body)
            case Recall(notice_id):
                return call.read(lambda connection: callbacks.recall(connection, notice_id, call.now))
            case _:
                return call.services.database.write(
                    lambda connection: _write(call, act, connection), timeout_s=PATIENCE_S
                )
    except (StoreError, TimeoutError) as error:
        log.warning("a callback could not be recorded", extra={"why": str(error), "request_id": call.request_id})
        return HookResult(Outcome.UNAVAILABLE)


def _kept(call: Call, collector: str, body: bytes) -> HookResult:
    """Into the store, or into the spool: most of these come once and never again."""
    try:
        report = call.receive(Spooled(collector, call.now, body))
    except SpoolFull as error:
        log.warning("a hook's body can be kept nowhere", extra={"why": str(error), "request_id": call.request_id})
        return HookResult(Outcome.UNAVAILABLE)
    return HookResult(Outcome.RECORDED if report.refusal is None else Outcome.UNKNOWN)


def _write(call: Call, act: Acknowledge | Reply | Report, connection: Connection) -> HookResult:
    if isinstance(act, Report):
        done = callbacks.report(connection, act, call.now)
        _raise_hopeless(call, act, done.result, connection)
        return done.result

    def change(actor: str) -> IncidentEdit:
        return _acknowledging(actor, act.via, call)

    if isinstance(act, Acknowledge):
        done = callbacks.acknowledge(connection, act, call.now, change)
    else:
        done = callbacks.reply(connection, act, call.now, change)
    if done.before is not None and done.result.incident is not None:
        audit.append(connection, call.services.keys.audit, _entry(call, act.event, done, done.result.incident))
    return done.result


def _acknowledging(actor: str, via: str, call: Call) -> IncidentEdit:
    def change(incident: Incident) -> tuple[Incident, IncidentEvent]:
        after, event = incident_acts.acknowledge(incident, actor, call.now)
        return after, replace(event, text=f"{event.text.removesuffix('.')}, {via}.")

    return change


def _raise_hopeless(call: Call, act: Report, result: HookResult, connection: Connection) -> None:
    """A destination that cannot be reached is told to everybody whom it concerns, as a dead letter is."""
    if not act.hopeless or result.notice is None or result.outcome is not Outcome.RECORDED:
        return
    notice = result.notice
    alert = delivery_failed(notice, Failure(Reason.REJECTED, act.text, None), call.now)
    planned = tuple(item for item in call.services.plan(alert.labels) if item.destination != notice.destination)
    alerts.raise_once(connection, Raised(alert, planned), call.now)


def _entry(call: Call, event: str, done: Acted, after: Incident) -> Entry:
    before = done.before
    states = [
        {"status": one.status.value, "acknowledged_by": one.acknowledged_by} if one else None for one in (before, after)
    ]
    return Entry(
        call.now,
        done.actor,
        "incident.acknowledge",
        f"incident:{after.id}",
        after.labels.get("team"),
        call.request_id,
        states[0],
        {**(states[1] or {}), "callback": event},
    )
