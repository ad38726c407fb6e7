"""A RuleStore in memory that is the reference of what the engine may expect: a versioned due queue and snapshots."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from watchtower.model.alert import Alert, AlertState, Planned, Transition
from watchtower.model.change import Change
from watchtower.model.companion import Beside, Companion, Wanted
from watchtower.model.cost import BillState
from watchtower.model.day_medians import DayMedians
from watchtower.model.follower import Follower
from watchtower.model.labels import Labels
from watchtower.model.rule import Snapshot, SubjectKey
from watchtower.model.run import Job, JobRef
from watchtower.model.spent import Asked, Spent
from watchtower.model.timing import UNTIMED, Timings
from watchtower.ports import DueSubject, Outcome


class MemoryStore:
    """put: replaces what is known of a subject and marks it due, as writing a fact does."""

    def __init__(self) -> None:
        self.subjects: dict[SubjectKey, Snapshot] = {}
        self.due: dict[SubjectKey, tuple[datetime | None, int]] = {}
        self.alerts: dict[str, Alert] = {}
        self.transitions: list[tuple[Transition, tuple[Planned, ...]]] = []
        self.unreadable: set[SubjectKey] = set()
        self.uncommittable: set[SubjectKey] = set()
        self.urgent: set[SubjectKey] = set()
        self.places: dict[SubjectKey, tuple[str | None, int | None]] = {}  # party and gravity
        self.commits = 0
        self.changes: list[Change] = []
        self.timed: dict[JobRef, Timings] = {}
        self.besides: dict[Companion, Beside] = {}
        self.days: dict[str, DayMedians] = {}
        self.followed: dict[JobRef, tuple[Follower, ...]] = {}
        self.bills: dict[tuple[SubjectKey, Asked], Spent] = {}

    def put(self, snapshot: Snapshot, now: datetime) -> None:
        self.subjects[snapshot.key] = snapshot
        _, version = self.due.get(snapshot.key, (None, 0))
        self.due[snapshot.key] = (now, version + 1)

    def next_at(self) -> datetime | None:
        return min((at for at, _ in self.due.values() if at), default=None)

    def claim_due_subjects(self, now: datetime, limit: int) -> list[DueSubject]:
        found = [
            DueSubject(key, version, at, key in self.urgent)
            for key, (at, version) in self.due.items()
            if at and at <= now
        ]
        return sorted(found, key=lambda each: each.at)[:limit]

    def snapshots(self, keys: Sequence[SubjectKey]) -> Mapping[SubjectKey, Snapshot]:
        if self.unreadable & set(keys):
            raise ValueError("a row that cannot be read")
        return {key: replace(self.subjects[key], alerts=self.open_of(key)) for key in keys if key in self.subjects}

    def timings(self, pipelines: Mapping[JobRef, Sequence[str]]) -> Mapping[JobRef, Timings]:
        return {ref: self.timed.get(ref, UNTIMED) for ref in pipelines}

    def companions(self, wanted: Collection[Wanted]) -> Mapping[Wanted, Beside]:
        return {each: self.besides.get(each.companion, _unknown(each)) for each in wanted}

    def followers(self, ref: JobRef, since: datetime) -> tuple[Follower, ...]:
        return self.followed.get(ref, ())

    def day_medians(self, job_ids: Collection[str]) -> Mapping[str, DayMedians]:
        return {ident: self.days[ident] for ident in job_ids if ident in self.days}

    def spent(self, key: SubjectKey, asked: Collection[Asked]) -> Mapping[Asked, Spent]:
        return {each: self.bills.get((key, each), Spent(BillState(None, None))) for each in asked}

    def changed(self, jobs: Sequence[Job], moment: datetime, within: timedelta) -> Sequence[Change]:
        names = {job.ref.pipeline for job in jobs}
        return [each for each in self.changes if names & {*each.pipelines} and moment - within <= each.at <= moment]

    def commit_outcomes(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        if any(outcome.key in self.uncommittable and outcome.alerts for outcome in outcomes):
            raise ValueError("a row that cannot be written")
        self.commits += 1
        for outcome in outcomes:
            self.alerts.update({alert.id: alert for alert in outcome.alerts})
            self.transitions += outcome.transitions
            self.places[outcome.key] = outcome.party, outcome.gravity
            at, version = self.due[outcome.key]
            self.due[outcome.key] = (outcome.next_at if version == outcome.version else at, version)

    def open_of(self, key: SubjectKey) -> tuple[Alert, ...]:
        return tuple(
            alert
            for alert in self.alerts.values()
            if alert.subject == str(key) and alert.state is not AlertState.RESOLVED
        )

    def told(self) -> list[tuple[str, str]]:
        """(alert name, firing or resolved), in order."""
        return [(each.alert.labels["alertname"], each.kind.value) for each, _ in self.transitions]


def _unknown(wanted: Wanted) -> Beside:
    return Beside(problem=f"{wanted.companion} was never heard of")


class OneReceiver:
    """A planner with one destination, the label `team` in its key."""

    def plan(self, labels: Labels) -> tuple[Planned, ...]:
        group = {"team": labels.get("team", "")}
        return (Planned("team", "team/webhook[0]", f"{{}}:{group}", group, 0.0, 300.0, 14_400.0, True),)
