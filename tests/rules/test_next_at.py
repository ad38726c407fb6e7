"""The heart of the due queue: between now and next_at every answer is the same, word for word.

Histories are drawn at random: odd orders, open and failed runs, retries, replays, backfills, nominal times, runs from
a clock that is ahead. If this breaks, an alert comes late or never.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from rules.kinds.absence import Absence
from rules.kinds.anomaly import Anomaly
from rules.kinds.compare import Compare
from rules.kinds.deadline import Deadline
from rules.kinds.deadline_risk import DeadlineRisk
from rules.kinds.drift import Drift
from rules.kinds.duration import Duration
from rules.kinds.freshness import Freshness
from rules.kinds.missing_run import MissingRun
from rules.kinds.orphan import Orphan
from rules.kinds.out_of_sequence import OutOfSequence
from rules.kinds.queue_time import QueueTime
from rules.kinds.retry_storm import RetryStorm
from rules.kinds.run_failure import RunFailure
from rules.kinds.threshold import Threshold
from rules.kinds.unit_cost import UnitCost
from rules.kinds.volume import Volume
from tests.rules.telling import of_series, sample
from tests.rules.timeline import at, attempt, of_dataset, of_job, rule, run, update
from tests.rules.tracing import op, trace, usual
from watchtower.model.companion import Beside, Companion
from watchtower.model.rule import Rule, SeriesSnapshot, Snapshot
from watchtower.model.run import DatasetUpdate, Run, RunState, Trigger
from watchtower.model.series import SeriesKind
from watchtower.ports import RuleKind

DAYS = 14
FAR = timedelta(days=60)

JOB_RULES: list[tuple[str, RuleKind, dict[str, Any]]] = [
    ("run_failure", RunFailure(), {}),
    ("run_failure each attempt", RunFailure(), {"each_attempt": True, "fail_after": 2}),
    ("run_failure recovering", RunFailure(), {"fail_after": 2, "recover_after": 3}),
    ("missing_run", MissingRun(), {}),
    ("missing_run thrice", MissingRun(), {"schedule": "0 * * * *", "fail_after": 3}),
    ("missing_run cron", MissingRun(), {"schedule": "*/30 5-7 * * *", "timezone": "Europe/Berlin"}),
    ("deadline by", Deadline(), {"finish_by": "07:00", "timezone": "America/New_York", "days": "mon-fri"}),
    ("deadline cron", Deadline(), {"cron": "0 */5 * * *"}),
    ("deadline within", Deadline(), {"finish_within": "90m"}),
    ("deadline learned", Deadline(), {}),
    ("deadline soft", Deadline(), {"finish_within": "30m", "soft": "20m", "hard": "3h", "fail_after": 2}),
    ("deadline risk", DeadlineRisk(), {"finish_within": "50m", "warn_from": 0.2, "alert_from": 0.4}),
    ("deadline risk by", DeadlineRisk(), {"finish_by": "07:00", "warn_from": 0.1}),
    ("duration", Duration(), {}),
    ("duration limits", Duration(), {"max": "40m", "min": "3m", "consecutive": 2}),
    ("duration recovering", Duration(), {"max": "40m", "consecutive": 2, "recover_after": 3}),
    ("duration over", Duration(), {"over": {"quantile": 0.9, "by": 0.2}, "consecutive": 3}),
    ("orphan", Orphan(), {}),
    ("queue_time", QueueTime(), {"max": "10m", "fail_after": 2}),
    ("queue_time learned", QueueTime(), {}),
    ("out_of_sequence", OutOfSequence(), {"after": "other", "settle": "40m"}),
    ("absence", Absence(), {"expect": "other", "within": "25m"}),
    ("absence of data", Absence(), {"after": "ended", "expect": {"dataset": "table"}, "threshold": 3, "within": "3h"}),
    ("absence by date", Absence(), {"after": "started", "expect": "other", "for_each": "date", "within": "2h"}),
    ("compare runs", Compare(), {"against": "other", "of": ["outcome", "finish"], "settle": "70m", "dates": 3}),
    ("retry_storm", RetryStorm(), {"more_than": 1, "within": "2h"}),
    ("orphan limit", Orphan(), {"limit": "2h", "forget_after": "1d", "task_grace": "5m"}),
]
DATASET_RULES: list[tuple[str, RuleKind, dict[str, Any]]] = [
    ("freshness", Freshness(), {}),
    ("freshness pair", Freshness(), {"warn_after": "6h", "fail_after": "1d"}),
    ("volume", Volume(), {}),
    ("volume limits", Volume(), {"min": 5, "max": 200}),
    ("volume in a row", Volume(), {"min": 95, "fail_after": 2, "recover_after": 3}),
    ("compare", Compare(), {"against": {"dataset": "other"}, "settle": "90m"}),
    ("compare times", Compare(), {"against": {"dataset": "other"}, "of": ["finish", "rows"], "dates": 3}),
    ("unit cost", UnitCost(), {"per": "gb", "of": "dataset", "scope": {"service": "S3"}}),
    ("volume of bytes", Volume(), {"of": "bytes", "spikes": True}),
]
SERIES_RULES: list[tuple[str, RuleKind, dict[str, Any]]] = [
    ("threshold", Threshold(), {"above": 5}),
    ("threshold silent", Threshold(), {"below": 5, "no_data_after": "3h"}),
    ("threshold window", Threshold(), {"above": 5, "below": 2, "stat": "avg", "window": "2h"}),
    ("threshold last in a window", Threshold(), {"above": 5, "window": "30m", "no_data": "ok"}),
    ("threshold runs", Threshold(), {"above": 5, "stat": "p95", "runs": 5, "no_data_after": "90m"}),
    ("threshold count", Threshold(), {"below": 3, "stat": "count", "window": "1h"}),
    ("threshold rate", Threshold(), {"above": 0.001, "stat": "rate", "window": "1h"}),
    ("anomaly", Anomaly(), {"min_samples": 5}),
    ("anomaly high", Anomaly(), {"min_samples": 5, "direction": "up", "sensitivity": "high", "min_change": "1%"}),
    ("drift", Drift(), {"by": "ks", "newest": 20}),
    ("drift of a score", Drift(), {"drop": "10%", "rise": "50%"}),
    ("threshold increase", Threshold(), {"above": 3, "stat": "increase", "runs": 4}),
]

STATES = st.sampled_from([RunState.SUCCEEDED] * 6 + list(RunState))


@st.composite
def _runs(draw: st.DrawFn) -> tuple[list[Run], dict[str, list[Run]]]:
    """Mostly one run every period, each perhaps odd in some way, some with task attempts."""
    period = draw(st.sampled_from([30, 60, 360, 1440]))
    runs: list[Run] = []
    attempts: dict[str, list[Run]] = {}
    for index in range(draw(st.integers(0, 30))):
        meant = at(0) + timedelta(minutes=period * index)
        odd = draw(st.integers(0, 5)) == 0
        late = timedelta(seconds=draw(st.integers(-600, 7200) if odd else st.integers(0, 90)))
        state = draw(STATES) if odd else RunState.SUCCEEDED
        one = run(
            f"r{index}", meant + late, draw(st.floats(0, 120)), state, nominal=draw(st.sampled_from([None, meant]))
        )
        if odd:
            one = structs.replace(
                one,
                trigger=draw(st.sampled_from([None, *Trigger])),
                historical=draw(st.booleans()),
                started_at=draw(st.sampled_from([None, one.started_at])),
                queued_at=draw(st.sampled_from([None, meant])),
                nominal_end=draw(st.sampled_from([None, meant + timedelta(minutes=period)])),
            )
            count = draw(st.integers(0, 3))
            attempts[one.id] = [
                attempt(one.id, "load", (number, 3), meant + timedelta(minutes=number), draw(STATES))
                for number in range(1, count + 1)
            ]
        runs.append(one)
    return runs, attempts


@st.composite
def _updates(draw: st.DrawFn) -> list[DatasetUpdate]:
    step = draw(st.sampled_from([60, 720, 1440]))
    return [
        update(
            at(0) + timedelta(minutes=step * index + draw(st.integers(0, 30))),
            backfill=draw(st.integers(0, 9)) == 0,
            row_count=draw(st.sampled_from([100, 100, 100, 101, 90, 0, None])),
            size_bytes=draw(st.sampled_from([None, 2_000, 2_000, 9_000])),
            job_id=draw(st.sampled_from(["nightly", "nightly", "hourly", None])),
            partition=draw(st.sampled_from([None, None, f"2026-03-{index + 1:02}", "2026-02-01"])),
        )
        for index in range(draw(st.integers(0, 25)))
    ]


def _holds(kind: RuleKind, one: Rule, snapshot: Snapshot, seconds: int, share: float) -> None:
    """A forecast may find later that it can wait longer."""
    now = at(0) + timedelta(seconds=seconds)
    first = kind.evaluate(one, snapshot, now)
    assert first.next_at is None or first.next_at > now
    end = first.next_at or now + FAR
    last = end - timedelta(microseconds=1)
    for moment in (min(now + (end - now) * share, last), last):
        later = kind.evaluate(one, snapshot, moment)
        assert later.violations == first.violations
        assert later.next_at == first.next_at or (kind.kind == DeadlineRisk.kind and (later.next_at or end + FAR) > end)
        assert (later.unknown, later.learning) == (first.unknown, first.learning)


WHEN = st.tuples(st.integers(-86_400, (DAYS + 3) * 86_400), st.floats(0, 1, exclude_max=True))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
Case = tuple[str, RuleKind, dict[str, Any]]


@pytest.mark.parametrize("case", JOB_RULES, ids=[each[0] for each in JOB_RULES])
@given(_runs(), st.sampled_from([None, "0 6 * * *", "0 * * * *", "1 day, 0:00:00"]), WHEN)
@QUICK
def test_of_jobs(
    case: Case, history: tuple[list[Run], dict[str, list[Run]]], schedule: str | None, when: tuple[int, float]
) -> None:
    name, kind, options = case
    runs, attempts = history
    snapshot = of_job(runs, attempts=attempts, schedule=schedule, timezone="Europe/Berlin")
    told = {one.id: trace(op("GET /orders", [0.2] * 34 + [3.0] * 6), run=one.id) for one in runs}
    beside = {
        Companion("job", "other"): Beside(past=snapshot.past),
        Companion("dataset", "table"): Beside(updates=tuple(update(one.ended_at) for one in runs if one.ended_at)),
    }
    snapshot = replace(snapshot, beside=beside, traces=told, usual=usual(op("GET /orders", [0.2] * 40)))
    _holds(kind, rule(kind, name, **options), snapshot, *when)


@pytest.mark.parametrize("case", DATASET_RULES, ids=[each[0] for each in DATASET_RULES])
@given(_updates(), st.booleans(), WHEN)
@QUICK
def test_of_datasets(case: Case, updates: list[DatasetUpdate], declared: bool, when: tuple[int, float]) -> None:
    name, kind, options = case
    others = tuple(one for place, one in enumerate(updates) if place % 4)
    beside = {Companion("dataset", "other"): Beside(updates=others)}
    _holds(kind, rule(kind, name, **options), replace(of_dataset(updates, declared=declared), beside=beside), *when)


@st.composite
def _series(draw: st.DrawFn) -> SeriesSnapshot:
    """A gauge, counter or histogram told now and then over half a day, partly of moments that are still to come."""
    kind = draw(st.sampled_from(SeriesKind))
    values = st.integers(0, 10).map(float)
    samples = [
        sample(
            minute,
            draw(values),
            start=draw(st.sampled_from([None, at(0), at(0, "03:00")])),
            stats={"count": draw(values), "sum": draw(values), "p95": draw(values)},
            historical=draw(st.booleans()),
        )
        for minute in draw(st.sets(st.integers(0, 720), max_size=20))
    ]
    return of_series(samples, kind=kind, is_delta=draw(st.booleans()), derived=draw(st.booleans()), name="score")


WITHIN_A_DAY = st.tuples(st.integers(-3_600, 20 * 3_600), st.floats(0, 1, exclude_max=True))


@pytest.mark.parametrize("case", SERIES_RULES, ids=[each[0] for each in SERIES_RULES])
@given(_series(), WITHIN_A_DAY)
@QUICK
def test_of_series(case: Case, snapshot: SeriesSnapshot, when: tuple[int, float]) -> None:
    name, kind, options = case
    _holds(kind, rule(kind, name, series="score", **options), snapshot, *when)
