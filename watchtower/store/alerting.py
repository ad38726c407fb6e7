"""The store as alerting sees it (`ports.AlertingStore`): each method is one durable transaction."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from watchtower.model.alert import Incident, Receipt, Silence
from watchtower.model.delivery import (
    Agenda,
    Decide,
    DecideFlush,
    Failure,
    Overdue,
    Plan,
    Raised,
    Rush,
    SilenceEdit,
    Terms,
    Work,
)
from watchtower.model.incident import IncidentEdit
from watchtower.store import (
    alerts,
    attempts,
    audit,
    caps,
    due,
    flapping,
    incidents,
    ledger,
    notices,
    outbox,
    silences,
)
from watchtower.store.database import Database
from watchtower.store.touched import Touched
from watchtower.store.work import after_commit, ventured

T = TypeVar("T")

_GROUPS_PER_FLUSH = 50


class SqlAlertingStore:
    """Raises StoreUnavailable while the store is locked, full or away; the work is then still due."""

    def __init__(self, database: Database, audit_key: bytes | None = None) -> None:
        """audit_key: of the chain in which it stands what was kept quiet, and by what; None: nowhere."""
        self._database = database
        self._keep = partial(_keep, audit_key) if audit_key is not None else None

    def agenda(self, destinations: Collection[str]) -> Agenda:
        with self._database.read() as connection:
            return outbox.agenda(connection, destinations)

    def end_silences(self, now: datetime) -> int:
        return self._when_due(due.SILENCE, now, lambda connection: silences.end(connection, now))

    def end_flapping(self, now: datetime) -> int:
        return self._when_due(due.FLAP, now, lambda connection: flapping.end(connection, now))

    def end_acknowledgements(self, change: IncidentEdit, now: datetime) -> int:
        return self._when_due(due.ACK, now, lambda connection: incidents.end_acknowledgements(connection, now, change))

    def free_leases(self, now: datetime) -> int:
        """See store.outbox. Only where no other process can hold any."""
        return self._write(lambda connection: outbox.free_leases(connection, now))

    def flush(self, now: datetime, holder: str, decide: DecideFlush) -> int:
        return self._when_due(
            due.GROUP, now, lambda connection: outbox.flush(connection, now, _GROUPS_PER_FLUSH, holder, decide)
        )

    def at_once(
        self,
        connection: Connection,
        touched: Touched,
        rush: Rush,
        hand: Callable[[Sequence[Work], float], None],
    ) -> None:
        """Within the transaction that made these groups due: go on with them as far as the intents to send, and hand
        those over once it is committed. If that fails, nothing is lost but the haste: they stay due."""

        def go_on() -> list[Work]:
            return outbox.at_once(connection, touched, rush, keep=self._keep)

        works = ventured(connection, go_on) if touched else None
        if works:
            after_commit(connection, partial(hand, works, rush.start_by))

    def claim(self, destination: str, now: datetime, terms: Terms, decide: Decide) -> tuple[int, Work | None]:
        if not self._is_due(notices.lane(destination), now):
            return 0, None
        return self._write(
            lambda connection: outbox.claim(connection, destination, now, terms, decide, keep=self._keep)
        )

    def record_delivered(self, work: Work, receipt: Receipt, now: datetime, clears: str) -> bool:
        def unit(connection: Connection) -> bool:
            done = attempts.delivered(connection, work, receipt, now)
            if done:
                alerts.clear(connection, [clears], now)
            return done

        return self._write(unit)

    def record_failed(self, work: Work, failure: Failure, now: datetime, raises: Raised | None) -> bool:
        def unit(connection: Connection) -> bool:
            done = attempts.failed(connection, work, failure, now)
            if done and raises is not None:
                alerts.raise_once(connection, raises, now)
            return done

        return self._write(unit)

    def record_absent(self, work: Work, now: datetime, *, keyed: bool) -> bool:
        return self._write(lambda connection: attempts.absent(connection, work, now, keyed=keyed))

    def replan(self, plan: Plan, destinations: Collection[str], now: datetime) -> int:
        return self._write(lambda connection: alerts.replan(connection, plan, destinations, now))

    def revise_silence(self, silence_id: str | None, change: SilenceEdit) -> list[Silence]:
        return self._write(lambda connection: silences.revise(connection, silence_id, change))

    def edit_incident(self, incident_id: str, change: IncidentEdit) -> Incident:
        return self._write(lambda connection: incidents.edit(connection, incident_id, change))

    def relieve(self, rule: str, cap_of: Callable[[str], int | None], now: datetime) -> int:
        """Resolve alerts of rule about people who are woken seldom enough again (store.caps); their number."""
        with self._database.read() as connection:
            over = caps.relieved(connection, rule, cap_of, now)
        return self._write(lambda connection: alerts.clear(connection, over, now)) if over else 0

    def overdue(self, now: datetime) -> list[Overdue]:
        with self._database.read() as connection:
            return [*ledger.overdue(connection, now), *ledger.stalled(connection, now)]

    def replay(self, notice_id: str, now: datetime) -> bool:
        return self._write(lambda connection: attempts.replay(connection, notice_id, now))

    def _when_due(self, lane: str, now: datetime, unit: Callable[[Connection], int]) -> int:
        return self._write(unit) if self._is_due(lane, now) else 0

    def _is_due(self, lane: str, now: datetime) -> bool:
        """A look before the leap: to read costs a tenth of a commit that turns out to have nothing to do."""
        with self._database.read() as connection:
            free_at = due.free_at(connection, [lane]).get(lane)
        return free_at is not None and free_at <= now

    def _write(self, unit: Callable[[Connection], T]) -> T:
        return self._database.write(unit)


def _keep(key: bytes, connection: Connection, entry: audit.Entry) -> int:
    return audit.append(connection, key, entry)
