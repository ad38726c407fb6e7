"""The page of one incident: evidence, timeline, the proof of every message, and its buttons."""

from collections import Counter
from collections.abc import Mapping, Sequence

from alerting import escalation, wording
from alerting import incidents as incident_acts
from dashboards import web
from rules.awaited import Cause
from watchtower.model.access import Permission
from watchtower.model.alert import IncidentStatus
from watchtower.model.change_words import change_words
from watchtower.model.incident import is_open
from watchtower.server.api import incidents
from watchtower.server.api.alerts import explanations
from watchtower.server.endpoints import Call, Raw, Redirect, html, not_found
from watchtower.server.impact import Hit, held_up_by, hit_by
from watchtower.server.pages.parts import BARS, REFRESH_S, alert_view, card, jobs_of, may, shell
from watchtower.server.pages.silence import holding, quiet_rows
from watchtower.server.signing_in import check_origin
from watchtower.store import conversations
from watchtower.store import incidents as incident_store
from watchtower.store.database import Connection
from watchtower.store.reading import alerting, changed, now_page
from watchtower.store.reading.alerting import LedgerFilter, Message
from watchtower.store.reading.paging import MAX_LIMIT, Window

_EXPLAINED = 10  # alerts, the worst first; each of their subjects is evaluated for it
_METHODS = {"sms": "text", "voice": "call", "slack": "message", "email": "mail"}


def incident(call: Call) -> Raw:
    """Evidence, timeline, and the proof of every message."""
    incident_id = call.path["id"]
    held = call.read(lambda c: incident_store.alerts_of(c, incident_id, limit=_EXPLAINED))
    explained = explanations(call, [alert for alert in held if is_open(alert)])
    stands = {each.alert.id: list(filter(None, (each.expects, each.clears))) for each in explained}
    view = call.read(lambda c: _incident_view(call, c, incident_id, stands))
    if view is None:
        raise not_found("incident", incident_id)
    return html(web.render_incident(view))


def _incident_view(
    call: Call, connection: Connection, incident_id: str, stands: Mapping[str, Sequence[str]]
) -> web.IncidentView | None:
    found = alerting.get_incident(connection, incident_id, call.principal.team)
    if found is None:
        return None
    alerts = incident_store.alerts_of(connection, incident_id, limit=100)
    jobs = jobs_of(connection, alerts)
    bars = now_page.bars_of(connection, sorted(jobs), BARS)
    held = holding(call, connection, [alert for alert in alerts if is_open(alert)])
    quiet = {*alerting.suppressors(connection, [alert.id for alert in alerts])}
    quiet |= {alert.id for alert in alerts if any(each.silences(alert.labels, call.now) for each in held)}
    wanted = LedgerFilter(incident_id=incident_id)
    owed = alerting.list_obligations(connection, wanted, Window(limit=MAX_LIMIT)).items
    tickets = [
        web.LinkView(f"Ticket {ref['ticket']}", str(ref["url"]))
        for _, ref in alerting.conversations_of(connection, incident_id)
        if ref.get("ticket") and wording.web_link(ref.get("url"))
    ]
    is_over = found.status is IncidentStatus.RESOLVED
    talks = conversations.of_incident(connection, incident_id)
    began = found.started_at
    return web.IncidentView(
        shell=shell(call, refresh_s=REFRESH_S if found.resolved_at is None else 0),
        card=card(found, alerts, jobs, bars),
        alerts=tuple(
            alert_view(alert, suppressed=alert.id in quiet, stands=stands.get(alert.id, ())) for alert in alerts
        ),
        held_up=tuple(_held_up(call, cause) for cause in held_up_by(call, connection, alerts)),
        downstream=tuple(map(_reader_view, hit_by(call, connection, alerts))),
        changes=tuple(
            web.ChangeView(each.at, change_words(each, began), wording.web_link(each.url))
            for each in changed.before_incident(connection, alerts, began)
        ),
        messages=tuple(_message_view(message) for message in alerting.messages_of(connection, incident_id)),
        obligations=tuple(Counter(entry.state for entry in owed).most_common()),
        tickets=tuple(tickets),
        calls=tuple(_call_view(call, rung) for rung in escalation.rungs(talks, call.now)),
        may_respond=not is_over and may(call, Permission.INCIDENTS_RESPOND),
        may_silence=not is_over and may(call, Permission.SILENCES_WRITE),
        quiet=tuple(quiet_rows(call, held)),
        timeline=tuple(
            web.TimelineRow(event.at, event.kind, event.text, (event.actor or "").removeprefix("person:"))
            for event in incident_store.timeline(connection, incident_id)
        ),
    )


def _held_up(call: Call, cause: Cause) -> web.HeldUpView:
    may_see = call.principal.team in (None, cause.job.team)
    return web.HeldUpView(cause.job.ref.pipeline, f"/pipelines/{cause.job.id}" if may_see else "", cause.what)


def _reader_view(hit: Hit) -> web.ReaderView:
    dataset = hit.fed.dataset
    readers = tuple(dict.fromkeys(reader.pipeline for reader in hit.fed.readers))
    return web.ReaderView(dataset.id, dataset.ref.name, hit.owner or "", readers, hit.next_at)


def _call_view(call: Call, rung: escalation.Rung) -> web.CallView:
    person = call.services.oncall.people.get(rung.person)
    return web.CallView(
        person=person.name if person else rung.person,
        method=_METHODS.get(rung.method, rung.method),
        after_s=rung.after_s,
        told_at=rung.told_at,
        next_at=rung.next_at,
        timezone=person.timezone if person else "UTC",
        redialed=rung.redialed,
    )


def acknowledge(call: Call) -> Redirect:
    """The button on the page of an incident."""
    check_origin(call)
    incidents.take(call, incident_acts.ACK_FOR)
    return Redirect(f"/incidents/{call.path['id']}", 303)


def unacknowledge(call: Call) -> Redirect:
    check_origin(call)
    incidents.unacknowledge(call)
    return Redirect(f"/incidents/{call.path['id']}", 303)


def _message_view(message: Message) -> web.MessageView:
    return web.MessageView(
        destination=message.destination,
        reason=message.reason,
        state=message.state,
        attempts=message.attempts,
        at=message.updated_at,
        proof=message.provider_id or "",
        error=message.error or "",
    )
