"""Brings a store from the schema it has to the one this program needs, and refuses a store it cannot serve.

Each step and its row in the table `migrations` are one transaction, so a process killed at any moment leaves a store
from which the next one goes on. Steps wait for one another, also among processes: SQLite by its write lock,
PostgreSQL by an advisory lock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from sqlalchemy import Connection, insert, inspect, select, text

from watchtower.errors import StoreError
from watchtower.ports import Clock
from watchtower.store.database import Database
from watchtower.store.migrations.steps import STEPS, Step, StepKind
from watchtower.store.schema.observed import migrations

__all__ = [
    "STEPS",
    "MigrationState",
    "Standing",
    "Step",
    "StepKind",
    "check_readable",
    "check_startable",
    "migrate",
    "state",
]

_ADVISORY_LOCK = 0x57415443_48544F57  # "WATCHTOW": the same for every Watchtower process on this database


class Standing(StrEnum):
    """How the store's schema stands to this program's."""

    EMPTY = "empty"
    CURRENT = "current"
    EXPAND = "expand"  # older, by steps beside which it can be served
    CONTRACT = "contract"  # older, by at least one step that needs the operator
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class MigrationState:
    """current: number of the newest step the store has taken, 0 if none; target: of the newest step known here."""

    current: int
    target: int
    pending: tuple[Step, ...]
    kind: Standing


def state(database: Database, steps: Sequence[Step] = STEPS) -> MigrationState:
    """Raises StoreError if the store belongs to something else, or took another step under a number known here."""
    with database.read() as connection:
        return _state(connection, steps)


def migrate(database: Database, clock: Clock, steps: Sequence[Step] = STEPS) -> list[Step]:
    """Take every pending step, in order, and return those taken here (another process may have taken some)."""
    pending = _not_newer(database, state(database, steps)).pending
    return [step for step in pending if database.write(partial(_take, step=step, steps=steps, clock=clock), None)]


def check_startable(database: Database, clock: Clock, steps: Sequence[Step] = STEPS) -> MigrationState:
    """Create an empty store; let an older one pass if only expand steps are pending (serve, then call `migrate`).

    Raises StoreError that names the remedy for a store that is newer, or older by a contract step.
    """
    found = _not_newer(database, state(database, steps))
    if found.kind is Standing.EMPTY:
        migrate(database, clock, steps)
        return state(database, steps)
    return _served(database, found)


def check_readable(database: Database, steps: Sequence[Step] = STEPS) -> MigrationState:
    """As `check_startable`, for those who only read: of an empty store nothing is made, and StoreError says so."""
    found = _not_newer(database, state(database, steps))
    if found.kind is Standing.EMPTY:
        raise StoreError(
            f"store {database.shown_url} is empty: no Watchtower has been started on it. Start `watchtower serve`, or "
            "look at `store` in the configuration"
        )
    return _served(database, found)


def _served(database: Database, found: MigrationState) -> MigrationState:
    if found.kind is Standing.CONTRACT:
        names = ", ".join(f"{step.number} ({step.name})" for step in found.pending)
        raise StoreError(
            f"store {database.shown_url}: its schema is at step {found.current}, this program needs {found.target}; "
            f"pending: {names}. Stop every Watchtower on it, back it up, then run `watchtower migrate`"
        )
    return found


def _state(connection: Connection, steps: Sequence[Step]) -> MigrationState:
    target = steps[-1].number
    tables = inspect(connection).get_table_names()
    if migrations.name not in tables:
        if tables:
            raise StoreError(
                f"store {_shown(connection)} is in use by something else (it holds the table {sorted(tables)[0]!r}); "
                "give Watchtower a database of its own"
            )
        return MigrationState(0, target, tuple(steps), Standing.EMPTY)
    taken = {row.number: row for row in connection.execute(select(migrations))}
    for step in steps:
        row = taken.get(step.number)
        if row is not None and row.digest != step.digest(connection.dialect.name):
            raise StoreError(
                f"store {_shown(connection)}: step {step.number} ({row.name}) was taken in another form than this "
                f"program's ({step.name}): an unreleased version made it. Create a new store, or run that version"
            )
    current = max(taken, default=0)
    pending = tuple(step for step in steps if step.number not in taken)
    return MigrationState(current, target, pending, _standing(current, target, pending))


def _standing(current: int, target: int, pending: tuple[Step, ...]) -> Standing:
    if current > target:
        return Standing.NEWER
    if not pending:
        return Standing.CURRENT
    return Standing.EXPAND if all(step.kind is StepKind.EXPAND for step in pending) else Standing.CONTRACT


def _not_newer(database: Database, found: MigrationState) -> MigrationState:
    if found.kind is Standing.NEWER:
        raise StoreError(
            f"store {database.shown_url}: a newer Watchtower made it (schema step {found.current}, this program knows "
            f"{found.target}). Start that version or a later one, or restore a backup from before the upgrade"
        )
    return found


def _take(connection: Connection, *, step: Step, steps: Sequence[Step], clock: Clock) -> bool:
    """One unit of work; False if the step was taken in the meantime."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    if step not in _state(connection, steps).pending:
        return False
    for statement in step.statements(connection.dialect.name):
        connection.exec_driver_sql(statement)
    connection.execute(
        insert(migrations).values(
            number=step.number, name=step.name, digest=step.digest(connection.dialect.name), applied_at=clock.now()
        )
    )
    return True


def _shown(connection: Connection) -> str:
    return connection.engine.url.render_as_string(hide_password=True)
