"""Deliveries and the ledger: what every transition owes to every destination, and the proof that it was paid."""

from datetime import datetime
from typing import Annotated

import msgspec

from watchtower.model.alert import ObligationState
from watchtower.model.delivery import LedgerEntry
from watchtower.server.endpoints import Call, ListQuery, Problem, cut_page, known, not_found, one_of
from watchtower.store import attempts
from watchtower.store.audit import Entry
from watchtower.store.database import Connection
from watchtower.store.reading import alerting
from watchtower.store.reading.alerting import LedgerFilter


class DeliveryItem(msgspec.Struct, frozen=True):
    """One obligation. It ends as delivered (provider_id is the proof; error: what the provider reported afterwards),
    superseded (reason) or dead_letter (error).

    episode: the group episode; occasion: how many times the same transition has been owed again, e.g. after a silence.
    """

    id: str
    episode: str
    incident_id: str | None
    alert_id: str
    fingerprint: str
    transition: str
    occasion: int
    destination: str
    state: str
    provider_id: str | None
    attempts: int
    reason: str | None
    suppressed_by: str | None
    error: str | None
    notice_id: str | None
    created_at: datetime
    updated_at: datetime


class DeliveryList(msgspec.Struct, frozen=True):
    items: list[DeliveryItem]
    next_cursor: str | None


class LedgerTotals(msgspec.Struct, frozen=True):
    due: int
    sending: int
    delivered: int
    superseded: int
    dead_letter: int


class LedgerList(msgspec.Struct, frozen=True):
    """items: oldest first, so that a reader who keeps the cursor sees each once. totals: of all there are."""

    items: list[DeliveryItem]
    next_cursor: str | None
    totals: LedgerTotals


class DeliveryQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """state may be given more than once. from and to: of created_at."""

    state: list[Annotated[str, known(ObligationState)]] = msgspec.field(default_factory=list[str])
    destination: str | None = None
    episode: str | None = None
    incident: str | None = None
    alert: str | None = None


def list_deliveries(call: Call) -> DeliveryList:
    """Newest first."""
    query = call.asked(DeliveryQuery)
    page = call.read(lambda c: alerting.list_obligations(c, _filter(query), call.window(query)))
    return DeliveryList(*cut_page(page, delivery_item))


def list_ledger(call: Call) -> LedgerList:
    query = call.asked(DeliveryQuery)

    def read(connection: Connection) -> LedgerList:
        page = alerting.list_obligations(connection, _filter(query), call.window(query), oldest_first=True)
        totals = alerting.ledger_totals(connection, call.principal.team)
        counts = {state.value: count for state, count in totals.items()}
        return LedgerList(*cut_page(page, delivery_item), totals=LedgerTotals(**counts))

    return call.read(read)


def get_delivery(call: Call) -> DeliveryItem:
    delivery_id = call.path["id"]
    entry = call.read(lambda c: alerting.get_obligation(c, delivery_id, call.principal.team))
    if entry is None:
        raise not_found("delivery", delivery_id)
    return delivery_item(entry)


def replay_delivery(call: Call) -> DeliveryItem:
    """Let a dead letter be tried again, with the key it had, so that a provider that took it after all folds it."""
    delivery_id = call.path["id"]

    def work(connection: Connection) -> tuple[LedgerEntry | None, Entry]:
        team = call.principal.team
        entry = alerting.get_obligation(connection, delivery_id, team)
        if entry is None:
            raise not_found("delivery", delivery_id)
        if entry.notice_id is None or not attempts.replay(connection, entry.notice_id, call.now):
            raise Problem(
                409, f"delivery {delivery_id!r} is {entry.state.value}, no dead letter", slug="no_dead_letter"
            )
        after = alerting.get_obligation(connection, delivery_id, team)
        return after, call.entry("delivery.replay", f"delivery:{delivery_id}", before={"state": entry.state.value})

    after = call.write(work)
    assert after is not None
    return delivery_item(after)


def _filter(query: DeliveryQuery) -> LedgerFilter:
    return LedgerFilter(
        one_of("state", query.state, ObligationState), query.destination, query.episode, query.incident, query.alert
    )


def delivery_item(entry: LedgerEntry) -> DeliveryItem:
    return DeliveryItem(
        id=entry.id,
        episode=entry.episode,
        incident_id=entry.incident_id,
        alert_id=entry.alert_id,
        fingerprint=entry.fingerprint,
        transition=entry.transition.value,
        occasion=entry.occasion,
        destination=entry.destination,
        state=entry.state.value,
        provider_id=entry.provider_id,
        attempts=entry.attempts,
        reason=entry.reason,
        suppressed_by=entry.suppressed_by,
        error=entry.error,
        notice_id=entry.notice_id,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )
