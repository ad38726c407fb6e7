"""What the rules engine asks of the store: due subjects, one snapshot each, and one transaction for what came of it."""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from watchtower.model.change import Change
from watchtower.model.companion import Beside, Wanted
from watchtower.model.day_medians import DayMedians
from watchtower.model.follower import Follower
from watchtower.model.rule import JobSnapshot, Snapshot, SubjectKey
from watchtower.model.run import Job, JobRef
from watchtower.model.spent import Asked, Spent
from watchtower.model.timing import Timings
from watchtower.ports import DueSubject, Outcome
from watchtower.store import alerts, changes, due
from watchtower.store.companions import companions, with_former
from watchtower.store.database import Database
from watchtower.store.day_medians import KeptMedians
from watchtower.store.followers import followers
from watchtower.store.snapshots import LOADERS
from watchtower.store.snapshots.loader import Loader
from watchtower.store.timings import timings
from watchtower.store.touched import Touched
from watchtower.store.unit_costs import spent


class Subjects:
    """ports.RuleStore on a Database. holder: names this process among replicas; owned: gives a snapshot the owner and
    team that the configuration in force names; loaders: by kind of subject. at_once: what follows in the transaction of
    the outcomes, for the groups in which something changed."""

    def __init__(
        self,
        database: Database,
        holder: str,
        *,
        owned: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
        loaders: Mapping[str, Loader] = LOADERS,
        at_once: Callable[[Connection, Touched], None] = lambda connection, touched: None,
    ) -> None:
        self._database = database
        self._holder = holder
        self._owned = owned
        self._loaders = loaders
        self._at_once = at_once
        self._medians, self._medians_lock = KeptMedians(), threading.Lock()  # rules, and people who ask
        self._teams: dict[SubjectKey, str | None] = {}

    def claim_due_subjects(self, now: datetime, limit: int) -> list[DueSubject]:
        """On SQLite this process is the only one (it holds the lock of the state directory): no lease is written."""
        if self._database.is_sqlite:
            with self._database.read() as connection:
                claimed = due.peek(connection, due.RULES, now, limit)
        else:
            claimed = self._database.write(
                lambda connection: due.claim(connection, due.RULES, now, limit, self._holder)
            )
        return [DueSubject(SubjectKey.parse(row.subject), row.version, row.at, row.rank is not None) for row in claimed]

    def snapshots(self, keys: Sequence[SubjectKey]) -> Mapping[SubjectKey, Snapshot]:
        """One snapshot per key that exists, all read from one consistent state."""
        found: dict[SubjectKey, Snapshot] = {}
        with self._database.read() as connection:
            for kind, ids in _by_kind(keys).items():
                if kind in self._loaders:
                    found |= self._loaders[kind].load(connection, ids)
            owned = {key: self._with_owner(key, snapshot) for key, snapshot in found.items()}
            return {
                key: with_former(connection, each) if isinstance(each, JobSnapshot) and each.formerly else each
                for key, each in owned.items()
            }

    def timings(self, pipelines: Mapping[JobRef, Sequence[str]]) -> Mapping[JobRef, Timings]:
        with self._database.read() as connection:
            return timings(connection, pipelines)

    def companions(self, wanted: Collection[Wanted]) -> Mapping[Wanted, Beside]:
        with self._database.read() as connection:
            return companions(connection, wanted)

    def followers(self, ref: JobRef, since: datetime) -> tuple[Follower, ...]:
        with self._database.read() as connection:
            return followers(connection, ref, since)

    def day_medians(self, job_ids: Collection[str]) -> Mapping[str, DayMedians]:
        with self._medians_lock, self._database.read() as connection:
            return self._medians.of(connection, job_ids)

    def spent(self, key: SubjectKey, asked: Collection[Asked]) -> Mapping[Asked, Spent]:
        with self._database.read() as connection:
            return {each: spent(connection, key, each) for each in asked}

    def changed(self, jobs: Sequence[Job], moment: datetime, within: timedelta) -> Sequence[Change]:
        with self._database.read() as connection:
            return [change for job in jobs for change in changes.before(connection, job, moment, within)]

    def commit_outcomes(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Write all outcomes in one transaction. One whose subject was marked meanwhile keeps its subject due."""
        teams = {outcome.key: self._teams.pop(outcome.key) for outcome in outcomes if outcome.key in self._teams}

        def unit(connection: Connection) -> None:
            for kind, ids in _by_kind(list(teams)).items():
                self._loaders[kind].set_team(connection, {ident: teams[SubjectKey(kind, ident)] for ident in ids})
            touched = alerts.write_outcomes(connection, outcomes, now)
            due.settle_judged(
                connection,
                [due.Judged(str(one.key), one.version, one.next_at, one.party, one.gravity) for one in outcomes],
            )
            self._at_once(connection, touched)

        if outcomes:
            self._database.write(unit)

    def named(self, name: str | None) -> list[SubjectKey]:
        """Subjects that people call name (a pipeline with its tasks, a dataset, a series, a budget); all for None."""
        with self._database.read() as connection:
            return [
                SubjectKey(kind, ident)
                for kind, loader in self._loaders.items()
                for ident in loader.ids(connection, name)
            ]

    def mark_all(self, now: datetime) -> int:
        """Make every subject due now: after a change of the rules. The number of subjects."""

        def unit(connection: Connection) -> int:
            subjects = [
                str(SubjectKey(kind, ident))
                for kind, loader in self._loaders.items()
                for ident in loader.ids(connection, None)
            ]
            due.mark(connection, due.RULES, subjects, now)
            return len(subjects)

        return self._database.write(unit)

    def _with_owner(self, key: SubjectKey, snapshot: Snapshot) -> Snapshot:
        """The team is a scope of access too, so a new one is written down with the outcome of the evaluation."""
        owned = self._owned(snapshot)
        if owned.team != snapshot.team:
            self._teams[key] = owned.team
        return owned


def _by_kind(keys: Sequence[SubjectKey]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        found[key.kind].append(key.id)
    return found
