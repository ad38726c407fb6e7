"""The page on which an incident is kept quiet for a while, and the ends of what keeps it quiet."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import msgspec

from alerting import rendering
from dashboards import web
from watchtower.errors import BadInput
from watchtower.model.access import Permission
from watchtower.model.alert import Alert, Incident, IncidentStatus, Silence
from watchtower.model.incident import is_open
from watchtower.model.labels import Matcher
from watchtower.server.api.silences import MatcherItem, SilenceBody, end_silence, is_of_team, put
from watchtower.server.endpoints import Call, Problem, Raw, Redirect, html, not_found
from watchtower.server.pages.parts import may, shell
from watchtower.server.signing_in import check_origin
from watchtower.store import incidents as incident_store
from watchtower.store import silences
from watchtower.store.database import Connection
from watchtower.store.reading import alerting

_ALERTS = 100
_CHOICES = ((0.5, "30 min"), (2.0, "2 h"), (8.0, "8 h"), (24.0, "1 day"))
_USUAL = 2.0
MAX_HOURS = 168.0
MAX_REASON = 500


class SilenceForm(msgspec.Struct, frozen=True):
    """hours: for how long, above 0 and at most 168. comment: why, at most 500 characters. The form token is checked
    before."""

    hours: float = _USUAL
    comment: str = ""


class EndForm(msgspec.Struct, frozen=True):
    """silence: its id. The form token is checked before."""

    silence: str = ""


def silence_page(call: Call) -> Raw:
    """What would be kept quiet, for how long, and why."""
    found, alerts = call.read(lambda c: _found(call, c))
    matchers = _matchers(call, found, alerts)
    reached = sum(all(matcher.matches(alert.labels) for matcher in matchers) for alert in alerts)
    view = web.SilenceView(
        shell=shell(call, refresh_s=0),
        incident_id=found.id,
        title=found.title,
        matchers=tuple(map(str, matchers)),
        reached=reached,
        alerts=len(alerts),
        choices=tuple(web.Choice(f"{hours:g}", words, hours == _USUAL) for hours, words in _CHOICES),
    )
    return html(web.render_silence(view))


def silence(call: Call) -> Redirect:
    """The button on that page."""
    check_origin(call)
    form = call.sent(SilenceForm)
    if not 0 < form.hours <= MAX_HOURS:
        raise BadInput(f"hours {form.hours:g} is not above 0 and at most {MAX_HOURS:g}")
    if not form.comment.strip() or len(form.comment) > MAX_REASON:
        raise BadInput(f"say why it is kept quiet, in at most {MAX_REASON} characters")
    found, alerts = call.read(lambda c: _found(call, c))
    matchers = [MatcherItem(each.name, each.value) for each in _matchers(call, found, alerts)]
    if not matchers:
        raise Problem(409, "its alerts have nothing in common that a silence could match", slug="nothing_to_match")
    put(call, SilenceBody(matchers, call.now + timedelta(hours=form.hours), form.comment.strip()), found.id)
    return Redirect(f"/incidents/{found.id}", 303)


def unsilence(call: Call) -> Redirect:
    """The button beside a silence on the page of an incident."""
    check_origin(call)
    end_silence(call, call.sent(EndForm).silence)
    return Redirect(f"/incidents/{call.path['id']}", 303)


def holding(call: Call, connection: Connection, alerts: Sequence[Alert]) -> list[Silence]:
    """The silences that hold for one of alerts now, the last to end first."""
    found = [
        each
        for each in silences.active(connection, call.now)
        if any(each.silences(alert.labels, call.now) for alert in alerts)
    ]
    return sorted(found, key=lambda each: each.ends_at, reverse=True)


def quiet_rows(call: Call, held: Iterable[Silence]) -> Iterable[web.QuietView]:
    for each in held:
        yield web.QuietView(
            id=each.id,
            matchers=" ".join(map(str, each.matchers)),
            reason=each.comment,
            author=each.created_by.removeprefix("person:"),
            ends_at=each.ends_at,
            may_end=may(call, Permission.SILENCES_WRITE) and is_of_team(each.matchers, call.principal.team),
        )


def _found(call: Call, connection: Connection) -> tuple[Incident, list[Alert]]:
    """The incident, with its alerts that are not over."""
    found = alerting.get_incident(connection, call.path["id"], call.principal.team)
    if found is None:
        raise not_found("incident", call.path["id"])
    if found.status is IncidentStatus.RESOLVED:
        raise Problem(409, f"incident {found.id!r} is resolved already", slug="resolved")
    alerts = incident_store.alerts_of(connection, found.id, limit=_ALERTS)
    return found, [alert for alert in alerts if is_open(alert)] or alerts


def _matchers(call: Call, found: Incident, alerts: Sequence[Alert]) -> list[Matcher]:
    labels = rendering.to_silence(alerts, found.labels)
    if call.principal.team is not None and labels:
        labels["team"] = call.principal.team
    return [Matcher(name, "=", value) for name, value in sorted(labels.items())]
