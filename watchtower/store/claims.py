"""Scheduled work that must run once among replicas: each kind of work is one row that a replica claims."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select, update

from watchtower.store import dialect
from watchtower.store.schema.observed import claims


def claim(connection: Connection, name: str, holder: str, now: datetime, *, lease_s: float, every_s: float) -> bool:
    """Whether holder may do the work now: no other replica holds it, and it was not done within the last every_s
    seconds (less a tenth, for schedulers whose clocks drift)."""
    dialect.insert_new(connection, claims, [{"name": name}])
    due_before = now - timedelta(seconds=every_s * 0.9)
    taken = connection.execute(
        update(claims)
        .where(
            claims.c.name == name,
            or_(claims.c.until.is_(None), claims.c.until <= now, claims.c.holder == holder),
            or_(claims.c.last_done.is_(None), claims.c.last_done <= due_before, claims.c.last_done > now),
        )
        .values(holder=holder, until=now + timedelta(seconds=lease_s))
    )
    return taken.rowcount == 1


def renew(connection: Connection, name: str, holder: str, until: datetime) -> bool:
    """Hold on to work that takes long; whether it is still holder's."""
    taken = connection.execute(
        update(claims).where(claims.c.name == name, claims.c.holder == holder).values(until=until)
    )
    return taken.rowcount == 1


def done(connection: Connection, name: str, holder: str, now: datetime) -> None:
    connection.execute(
        update(claims).where(claims.c.name == name, claims.c.holder == holder).values(until=None, last_done=now)
    )


def free(connection: Connection) -> int:
    """Let go of all work that is in hand, when it is certain that whoever held it is gone; of how much."""
    return connection.execute(update(claims).where(claims.c.until.is_not(None)).values(until=None)).rowcount


def last_done(connection: Connection) -> dict[str, datetime]:
    """When each kind of work was last done, by name."""
    rows = connection.execute(select(claims.c.name, claims.c.last_done).where(claims.c.last_done.is_not(None)))
    return {row.name: row.last_done for row in rows}
