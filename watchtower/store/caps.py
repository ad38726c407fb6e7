"""How often a person was woken in the last 24 hours, and within minutes: promises SR-17 and P13 bound it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from watchtower.model.alert import AlertState, Planned
from watchtower.model.delivery import Sent
from watchtower.store import dialect, driver
from watchtower.store.schema.alerting import alerts, notices
from watchtower.store.statements import Row, given, prepared

DAY = timedelta(hours=24)
_TURNS = 0x77746361  # "wtca": PostgreSQL's advisory locks by which replicas take turns at one person

_SENT = prepared(
    select(func.count(), func.max(notices.c.first_attempt_at)).where(
        notices.c.person == given("person"), notices.c.first_attempt_at > given("since"), notices.c.rides.is_(None)
    )
)
_LATELY = prepared(
    select(notices.c.attempted_at)
    .where(
        notices.c.person == given("person"),
        notices.c.destination.like(given("method")),
        notices.c.attempted_at > given("since"),
        notices.c.rides.is_(None),
        notices.c.id != given("but"),
    )
    .order_by(notices.c.attempted_at.desc())
    .limit(given("most"))
)


def sent(connection: Connection, person: str | None, now: datetime) -> Sent:
    """Texts and calls that were begun, whether or not they arrived: each of them costs."""
    if person is None:
        return Sent()
    count, last_at = _SENT.one(connection, {"person": person, "since": now - DAY})
    return Sent(count, last_at)


def sent_by(connection: Connection, notice: Row, planned: Planned, now: datetime) -> Sent:
    """What was sent to the person of notice, and what of it lately by the same method, as far as the budget counts it.
    notice itself, which may be tried again, is not counted against itself. Each counts from its last attempt: what
    failed while a provider was away wakes people when it is back. Until the transaction ends, no other replica begins
    anything for this person."""
    person = notice.person
    if person is not None and not dialect.is_sqlite(connection):
        driver.rows(connection, "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_TURNS, person))
    found = sent(connection, person, now)
    if person is None or planned.burst is None:
        return found
    since = now - timedelta(seconds=planned.burst_s)
    asked = {"person": person, "method": like_method(planned.destination), "since": since}
    lately = _LATELY.scalars(connection, {**asked, "but": notice.id, "most": planned.burst})
    return replace(found, lately=tuple(lately))


def like_method(destination: str) -> str:
    """The destinations that tell people in the same way: the name ends in it, e.g. `/voice`."""
    return f"%/{destination.rpartition('/')[2]}"


def relieved(connection: Connection, rule: str, cap_of: Callable[[str], int | None], now: datetime) -> list[str]:
    """Fingerprints of open alerts of rule about people who were woken less often than half of their cap since. Half, so
    that an alert does not come and go with every message. cap_of: None for who is on call no more."""
    open_ones = connection.execute(
        select(alerts.c.fingerprint, alerts.c.labels).where(
            alerts.c.rule == rule, alerts.c.state == AlertState.FIRING.value
        )
    ).all()
    over: list[str] = []
    for row in open_ones:
        person = str(row.labels.get("person", ""))
        cap = cap_of(person)
        if cap is None or sent(connection, person, now).count * 2 < cap:
            over.append(row.fingerprint)
    return over
