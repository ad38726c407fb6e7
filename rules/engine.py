"""The rules engine: claim due subjects, load their snapshots, evaluate, run the alerts' lives, commit.

Synchronous and without threads or sleeping: `watchtower.server` calls `step` in a loop, tests and backtests call it on
a clock of their own. One subject's fault never blocks another: a rule kind that raises leaves its alerts `unknown` and
is tried again a minute later; a snapshot or an outcome that the store cannot handle is taken apart from its batch.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rules.day_seasons import MIN_DAYS
from rules.history import BASELINE_RUNS, history_of
from rules.judge import Judgement, judge
from rules.labels import Bound, applicable, bound
from rules.words import former_words
from watchtower.errors import StoreUnavailable
from watchtower.model.companion import Wanted
from watchtower.model.incident import rank_of
from watchtower.model.labels import party_of
from watchtower.model.round_trip import SUBJECT as ROUND_TRIP
from watchtower.model.rule import DatasetSnapshot, JobSnapshot, Rule, Snapshot, SubjectKey
from watchtower.model.timing import RUNS
from watchtower.ports import Clock, DueSubject, Outcome, Planner, RuleKind, RuleStore
from watchtower.telemetry import metrics, traces

RETRY_AFTER = timedelta(seconds=60)
BATCH = 64  # subjects of one claim: one set-based load, one commit, then others have their turn

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Explained:
    """A judgement; what each of its rules expects of this very subject in one sentence, and when what it found is over,
    by the rule's name. at: the moment of it (aware UTC)."""

    judgement: Judgement
    expects: Mapping[str, str]
    clears: Mapping[str, str]
    at: datetime


@dataclass(frozen=True, slots=True)
class _Rules:
    given: tuple[Rule, ...]
    by_subject: Mapping[str, tuple[Bound, ...]]


class Engine:
    """rules: asked before each batch, so that a reload takes effect with the next one. kinds: by name."""

    def __init__(
        self,
        store: RuleStore,
        planner: Planner,
        clock: Clock,
        rules: Callable[[], tuple[Rule, ...]],
        kinds: Mapping[str, RuleKind],
        *,
        batch: int = BATCH,
    ) -> None:
        self._store = store
        self._planner = planner
        self._clock = clock
        self._given = rules
        self._kinds = kinds
        self._batch = batch
        self._rules = _Rules((), {})
        self._seen = Counter[tuple[str, str]]()  # (kind, result) of this batch
        self.in_haste = False  # the last batch was of what is urgent, and more of it may wait

    def step(self, now: datetime | None = None) -> int:
        """Evaluate one batch of what is due at now; returns how many subjects were claimed, 0 when none is due.
        Raises StoreUnavailable: nothing is lost, the claims run out and are claimed again."""
        now = now or self._clock.now()
        began = self._clock.boottime()
        claimed = self._store.claim_due_subjects(now, self._batch)
        if not claimed:
            return 0
        with traces.span("evaluate", {"subjects": len(claimed)}):
            snapshots = self._snapshots([due.key for due in claimed])
            outcomes = [self._outcome(due, snapshots, now) for due in claimed]
            self._commit(outcomes, now)
        # Of more than one party each has its turn in a claim, so one that came alone left none behind.
        self.in_haste = len(claimed) > 1 and any(due.urgent for due in claimed)
        metrics.RULE_SECONDS.observe(self._clock.boottime() - began)
        self._tell_what_was_seen()
        lag = metrics.DUE_LAG.labels("rules")
        for due in claimed:
            lag.observe(max(0.0, (now - due.at).total_seconds()))
        return len(claimed)

    def _tell_what_was_seen(self) -> None:
        """Once for a batch: to find a metric by its labels costs as much as a simple rule."""
        for (kind, result), count in self._seen.items():
            metrics.RULE_EVALUATIONS.labels(kind, result).inc(count)
        self._seen.clear()

    def evaluate_now(self, keys: Sequence[SubjectKey], now: datetime | None = None) -> list[Judgement]:
        """What every rule says of these subjects now, and what would come of it; writes nothing. Unknown keys give
        nothing. To act on it, mark the subjects due and step."""
        now = now or self._clock.now()
        found = self._snapshots(keys)
        snapshots = (found.get(key) for key in keys)
        return [self._judged(snapshot, now) for snapshot in snapshots if snapshot]

    def explain(self, keys: Sequence[SubjectKey], now: datetime | None = None) -> list[Explained]:
        """As `evaluate_now`, for people: with the numbers that each rule has learned or was given."""
        now = now or self._clock.now()
        found = self._snapshots(keys)
        return [self._explained(snapshot, now) for key in keys if (snapshot := found.get(key))]

    def _explained(self, snapshot: Snapshot, now: datetime) -> Explained:
        judgement = self._judged(snapshot, now)
        bound = applicable(self._bound().get(snapshot.key.kind, ()), snapshot, snapshot.labels)
        former = former_words(snapshot)
        expects = {each.rule.name: f"{each.kind.describe(each.rule, snapshot)}{former}" for each in bound}
        clears = {each.rule.name: each.kind.clears for each in bound}
        return Explained(judgement, expects, clears, now)

    def _judged(self, snapshot: Snapshot, now: datetime) -> Judgement:
        rules = self._bound().get(snapshot.key.kind, ())
        judgement = judge(snapshot, rules, now, self._store.changed)
        asking = {each.rule.name for each in rules if each.asks_who_follows}
        missing = any(each.rule.name in asking and each.evaluation.violations for each in judgement.verdicts)
        if missing and isinstance(snapshot, JobSnapshot) and snapshot.job.ref.task is None:
            newest = history_of(snapshot).newest
            since = newest[0] if newest else snapshot.job.first_seen
            if since and (followers := self._store.followers(snapshot.job.ref, since)):
                return judge(replace(snapshot, followers=followers), rules, now, self._store.changed)
        return judgement

    def _bound(self) -> Mapping[str, tuple[Bound, ...]]:
        given = self._given()
        if given is not self._rules.given:
            self._rules = _Rules(given, bound(given, self._kinds))
        return self._rules.by_subject

    def _outcome(self, due: DueSubject, snapshots: Mapping[SubjectKey, Snapshot | None], now: datetime) -> Outcome:
        snapshot = snapshots.get(due.key)
        if snapshot is None:
            # Gone from the store, or unreadable: then it is None in the mapping, and tried again.
            next_at = now + RETRY_AFTER if due.key in snapshots else None
            return Outcome(due.key, due.version, next_at, (), ())
        try:
            judgement = self._judged(snapshot, now)
            planned = tuple((each, self._planner.plan(each.alert.labels)) for each in judgement.transitions)
        except StoreUnavailable:
            raise
        except Exception:
            metrics.RULE_EVALUATIONS.labels(due.key.kind, "error").inc()
            _log.exception("subject not evaluated", extra={"subject": str(due.key)})
            return Outcome(due.key, due.version, now + RETRY_AFTER, (), ())
        self._seen.update((verdict.rule.kind, verdict.result) for verdict in judgement.verdicts)
        _count(judgement)
        next_at = _earliest(judgement.next_at, now + RETRY_AFTER if judgement.has_failed else None)
        party, gravity = party_of(judgement.labels), _gravity(judgement)
        return Outcome(due.key, due.version, next_at, judgement.changed, planned, party, gravity)

    def _snapshots(self, keys: Sequence[SubjectKey]) -> dict[SubjectKey, Snapshot | None]:
        """One set-based load; if it fails for another reason than the store being away, subject by subject."""
        try:
            return self._completed(self._store.snapshots(keys))
        except StoreUnavailable:
            raise
        except Exception:
            _log.exception("snapshots not loaded together; loading one by one", extra={"subjects": len(keys)})
        found: dict[SubjectKey, Snapshot | None] = {}
        for key in keys:
            try:
                found.update(self._completed(self._store.snapshots([key])))
            except StoreUnavailable:
                raise
            except Exception:
                metrics.RULE_EVALUATIONS.labels(key.kind, "unreadable").inc()
                _log.exception("snapshot not loaded", extra={"subject": str(key)})
                found[key] = None
        return found

    def _completed(self, found: Mapping[SubjectKey, Snapshot]) -> dict[SubjectKey, Snapshot | None]:
        """With what only some rules read."""
        return self._with_spent(self._with_companions(self._with_days(self._with_timings(found))))

    def _with_companions(self, found: Mapping[SubjectKey, Snapshot | None]) -> dict[SubjectKey, Snapshot | None]:
        """With what the rules that watch a subject look at beside it."""
        looking = {kind: some for kind, rules in self._bound().items() if (some := [r for r in rules if r.companions])}
        wanted: dict[SubjectKey, list[Wanted]] = {}
        for key, snapshot in found.items() if looking else ():
            if isinstance(snapshot, JobSnapshot | DatasetSnapshot) and key.kind in looking:
                labels = snapshot.labels
                for each in applicable(looking[key.kind], snapshot, labels):
                    wanted.setdefault(key, []).extend(one.of(labels["namespace"], key.id) for one in each.companions)
        if not wanted:
            return dict(found)
        told = self._store.companions({each for some in wanted.values() for each in some})
        completed = {
            key: replace(snapshot, beside={each.companion: told[each] for each in wanted[key]})
            for key, snapshot in found.items()
            if key in wanted and isinstance(snapshot, JobSnapshot | DatasetSnapshot)
        }
        return {**found, **completed}

    def _with_spent(self, found: Mapping[SubjectKey, Snapshot | None]) -> dict[SubjectKey, Snapshot | None]:
        """With what bills say of the subjects whose rules ask for that."""
        asking = {kind: some for kind, rules in self._bound().items() if (some := [r for r in rules if r.asked])}
        completed = dict(found)
        for key, snapshot in found.items() if asking else ():
            if isinstance(snapshot, JobSnapshot | DatasetSnapshot) and key.kind in asking:
                rules = applicable(asking[key.kind], snapshot, snapshot.labels)
                asked = {each.asked for each in rules if each.asked}
                if asked:
                    completed[key] = replace(snapshot, spent=self._store.spent(key, asked))
        return completed

    def _with_timings(self, found: Mapping[SubjectKey, Snapshot]) -> dict[SubjectKey, Snapshot | None]:
        """Of the jobs that a rule watches which reads them."""
        rules = [each for each in self._bound().get("job", ()) if each.reads_timings]
        wanted = {
            snapshot.job.ref: snapshot
            for snapshot in (found.values() if rules else ())
            if isinstance(snapshot, JobSnapshot) and applicable(rules, snapshot, snapshot.labels)
        }
        if not wanted:
            return dict(found)
        runs = {ref: [run.id for run, _ in history_of(snapshot).completed[:RUNS]] for ref, snapshot in wanted.items()}
        told = self._store.timings(runs)
        timed = {snapshot.key: replace(snapshot, timings=told[ref]) for ref, snapshot in wanted.items()}
        return {**found, **timed}

    def _with_days(self, found: Mapping[SubjectKey, Snapshot | None]) -> dict[SubjectKey, Snapshot | None]:
        """Of the jobs whose past is too few days to show more than hours."""
        completed = dict(found)
        rules = [each for each in self._bound().get("job", ()) if each.reads_days]
        busy = {
            snapshot.key: snapshot
            for snapshot in (found.values() if rules else ())
            if isinstance(snapshot, JobSnapshot) and _is_busy(snapshot)
        }
        if busy:
            days = self._store.day_medians([key.id for key in busy])
            completed |= {key: replace(each, days=days[key.id]) for key, each in busy.items() if key.id in days}
        return completed

    def _commit(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """One transaction; if it fails for another reason than the store being away, subject by subject, and what
        cannot be committed is put off, so that it does not come back at once."""
        try:
            self._store.commit_outcomes(outcomes, now)
            return
        except StoreUnavailable:
            raise
        except Exception:
            _log.exception("outcomes not committed together; committing one by one", extra={"subjects": len(outcomes)})
        for outcome in outcomes:
            try:
                self._store.commit_outcomes([outcome], now)
            except StoreUnavailable:
                raise
            except Exception:
                metrics.RULE_EVALUATIONS.labels(outcome.key.kind, "not_committed").inc()
                _log.exception("outcome not committed", extra={"subject": str(outcome.key)})
                self._store.commit_outcomes([Outcome(outcome.key, outcome.version, now + RETRY_AFTER, (), ())], now)


def _is_busy(snapshot: JobSnapshot) -> bool:
    """Whether its past is whole and shorter than the days that show a weekday four times."""
    past = snapshot.past
    return len(past) >= BASELINE_RUNS and past[0].position - past[-1].position < timedelta(days=MIN_DAYS)


def _count(judgement: Judgement) -> None:
    if judgement.key.kind == ROUND_TRIP:  # an alert that nobody has
        return
    for transition in judgement.transitions:
        metrics.ALERT_TRANSITIONS.labels(transition.alert.labels.get("kind", ""), transition.kind.value).inc()


def _gravity(judgement: Judgement) -> int | None:
    """What the most severe of its rules may tell; None: no rule watches it."""
    return min((rank_of(verdict.rule.severity) for verdict in judgement.verdicts), default=None)


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
