"""How often a person was woken in the last 24 hours, over all destinations: promise SR-17 caps it."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from watchtower.model.alert import AlertState
from watchtower.model.delivery import Sent
from watchtower.store.schema.alerting import alerts, notices
from watchtower.store.statements import given

DAY = timedelta(hours=24)

_SENT = select(func.count(), func.max(notices.c.first_attempt_at)).where(
    notices.c.person == given("person"), notices.c.first_attempt_at > given("since")
)


def sent(connection: Connection, person: str | None, now: datetime) -> Sent:
    """Texts and calls that were begun, whether or not they arrived: each of them costs."""
    if person is None:
        return Sent()
    count, last_at = connection.execute(_SENT, {"person": person, "since": now - DAY}).one()
    return Sent(count, last_at)


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
