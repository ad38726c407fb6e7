"""Pages of lists that are looked through: incidents of all times, and the ledger of what was owed to whom."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlencode

import msgspec

from dashboards import web
from watchtower.model.alert import Alert, Incident, IncidentStatus, ObligationState, TransitionKind
from watchtower.model.delivery import LedgerEntry
from watchtower.server.endpoints import Call, Raw, html, known, one_of
from watchtower.server.pages.parts import card, shell
from watchtower.store.database import Connection
from watchtower.store.reading import alerting, now_page
from watchtower.store.reading.alerting import IncidentFilter, LedgerFilter
from watchtower.store.reading.paging import Page, Window

_ROWS = 100
_OPEN = (ObligationState.DUE, ObligationState.SENDING)
_WHAT = {TransitionKind.FIRING: "it began", TransitionKind.RESOLVED: "it ended"}


class IncidentsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """q: a part of the title or the summary. status: "" for all. cursor: of the page before."""

    q: str = ""
    status: Annotated[str, known(IncidentStatus, "")] = ""
    cursor: str | None = None


def incident_list(call: Call) -> Raw:
    """All incidents, the newest first, or those that were searched for."""
    query = call.asked(IncidentsQuery)
    wanted = IncidentFilter(_asked("status", query.status, IncidentStatus), text=query.q.strip())
    window = Window(_ROWS, query.cursor, team=call.principal.team)
    page, firing = call.read(lambda c: _incidents(c, wanted, window))
    view = web.IncidentsView(
        shell=shell(call, refresh_s=0),
        rows=tuple(card(each, firing.get(each.id, ()), {}, {}) for each in page.items),
        text=query.q,
        statuses=tuple(_choices(IncidentStatus, query.status)),
        next_url=_next_url("/incidents", {"q": query.q, "status": query.status}, page.next),
    )
    return html(web.render_incidents(view))


def _incidents(
    connection: Connection, wanted: IncidentFilter, window: Window
) -> tuple[Page[Incident], dict[str, list[Alert]]]:
    page = alerting.list_incidents(connection, wanted, window)
    return page, now_page.first_alerts(connection, [each.id for each in page.items], each=1)


class DeliveriesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """destination: its exact name. state: "" for all. cursor: of the page before."""

    destination: str = ""
    state: Annotated[str, known(ObligationState, "")] = ""
    cursor: str | None = None


def delivery_list(call: Call) -> Raw:
    """What is owed, and what came of it: the newest first."""
    query = call.asked(DeliveriesQuery)
    destination = query.destination.strip()
    wanted = LedgerFilter(_asked("state", query.state, ObligationState), destination or None)
    window = Window(_ROWS, query.cursor, team=call.principal.team)
    return html(web.render_deliveries(call.read(lambda c: _deliveries(call, c, wanted, window))))


def _deliveries(call: Call, connection: Connection, wanted: LedgerFilter, window: Window) -> web.DeliveriesView:
    page = alerting.list_obligations(connection, wanted, window)
    titles = alerting.titles(connection, {each.incident_id for each in page.items if each.incident_id})
    state, destination = "".join(wanted.states), wanted.destination or ""
    return web.DeliveriesView(
        shell=shell(call, refresh_s=0),
        rows=tuple(_delivery(each, titles) for each in page.items),
        totals=tuple(alerting.ledger_totals(connection, window.team).items()),
        destination=destination,
        states=tuple(_choices(ObligationState, state)),
        next_url=_next_url("/deliveries", {"destination": destination, "state": state}, page.next),
    )


def _delivery(entry: LedgerEntry, titles: Mapping[str, str]) -> web.DeliveryRow:
    kept = f"kept quiet by {entry.suppressed_by}" if entry.suppressed_by else ""
    return web.DeliveryRow(
        destination=entry.destination,
        incident_id=entry.incident_id or "",
        title=titles.get(entry.incident_id or "", f"alert {entry.fingerprint}"),
        what=_WHAT[entry.transition],
        state=entry.state,
        attempts=entry.attempts,
        owed_at=entry.created_at,
        settled_s=None if entry.state in _OPEN else (entry.updated_at - entry.created_at).total_seconds(),
        proof=entry.provider_id or "",
        note=entry.error or kept or (entry.reason or "").replace("_", " "),
    )


def _asked(name: str, value: str, kind: type[StrEnum]) -> Sequence[str]:
    return one_of(name, [value], kind) if value else ()


def _choices(kind: type[StrEnum], chosen: str) -> Iterable[web.Choice]:
    yield web.Choice("", "all", not chosen)
    for each in kind:
        yield web.Choice(each.value, each.value.replace("_", " "), each.value == chosen)


def _next_url(path: str, asked: Mapping[str, str], cursor: str | None) -> str:
    if cursor is None:
        return ""
    return f"{path}?{urlencode({name: value for name, value in {**asked, 'cursor': cursor}.items() if value})}"
