"""What is gone is not well: no alert is resolved because nothing is known any more of what it rests on."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.judge import Judgement, judge
from rules.labels import bound
from tests.rules.telling import of_series, sample
from tests.rules.timeline import FAILED, QUEUED, RUNNING, at, attempt, of_dataset, of_job, rule, run, update
from watchtower.model.alert import Alert, AlertState
from watchtower.model.companion import Beside, Companion
from watchtower.model.quality import QUALITY, Verdict
from watchtower.model.rule import DatasetSnapshot, JobSnapshot, SeriesSnapshot, Snapshot
from watchtower.model.run import SchemaVersion
from watchtower.registry import RULE_KINDS

NOW = at(3, "12:00")
STEADY = [run(f"r{day}", at(0, f"{day:02}:00"), 20, nominal=at(0, f"{day:02}:00")) for day in range(15)]
SLOW = run("slow", at(1), 300, nominal=at(1))
RETRIES = {"f": [attempt("f", "load", (number, 9), at(3, "11:50")) for number in range(1, 9)]}
OTHER = Companion("job", "other")
SHAPES = (SchemaVersion(at(0), at(2), (("id", "int"), ("x", "int"))), SchemaVersion(at(3), at(3), (("id", "int"),)))

FORGETTING = ("orphan", "retry_storm", "schema_change")  # by themselves, after a time that is an option of theirs

# Each is wrong at NOW.
WRONG: list[tuple[str, dict[str, Any], Snapshot]] = [
    ("run_failure", {}, of_job([run("f", at(1), 20, FAILED)])),
    ("missing_run", {"schedule": "0 * * * *"}, of_job(STEADY)),
    ("deadline", {"finish_by": "07:00"}, of_job(STEADY)),
    ("duration", {"max": "1h"}, of_job([*STEADY, SLOW])),
    ("duration", {}, of_job([*STEADY, SLOW])),
    ("orphan", {"limit": "1h"}, of_job([run("o", at(1), None, RUNNING)])),
    ("queue_time", {"max": "1h"}, of_job([run("q", None, None, QUEUED, nominal=at(1), queued_at=at(1))])),
    ("retry_storm", {}, of_job([run("f", at(3, "11:40"), 20, FAILED)], attempts=RETRIES)),
    ("out_of_sequence", {"after": "other"}, replace(of_job([SLOW]), beside={OTHER: Beside()})),
    ("absence", {"expect": "other", "within": "1h"}, replace(of_job([SLOW]), beside={OTHER: Beside()})),
    ("freshness", {"fail_after": "1h"}, of_dataset([update(at(1))])),
    ("volume", {"min": 100}, of_dataset([update(at(1), row_count=5)])),
    ("schema_change", {}, of_dataset([update(at(3, "01:00"))], fields=SHAPES[1].fields, versions=SHAPES)),
    ("threshold", {"series": "score", "below": 5}, of_series([sample(0, 1.0)])),
    ("drift", {"series": "score", "drop": "1%"}, of_series([sample(0, 2.0), sample(1, 1.0)])),
    ("quality", {}, of_series([sample(0, float(Verdict.FAIL))], name=QUALITY)),
]


def emptied(snapshot: Snapshot) -> Snapshot:
    """The same subject, of which nothing is known any more."""
    match snapshot:
        case JobSnapshot():
            return replace(snapshot, past=(), runs=(), attempts={}, traces={})
        case DatasetSnapshot():
            return replace(snapshot, updates=(), writers=())
        case SeriesSnapshot():
            return replace(snapshot, samples=())
        case _:
            return snapshot


def judged(kind: str, options: dict[str, Any], snapshot: Snapshot, now: datetime) -> Judgement:
    made = RULE_KINDS.get(kind)()
    given_rule = rule(made, "Rule", **options)
    return judge(snapshot, bound([given_rule], {kind: made})[made.subject], now)


def alerts_of(kind: str, options: dict[str, Any], snapshot: Snapshot) -> tuple[Alert, ...]:
    found = judged(kind, options, snapshot, NOW).alerts
    assert [alert.state for alert in found] == [AlertState.FIRING], f"{kind} is not wrong at all"
    return found


@pytest.mark.parametrize(("kind", "options", "snapshot"), WRONG, ids=[each[0] for each in WRONG])
def test_nothing_left_to_look_at_resolves_nothing(kind: str, options: dict[str, Any], snapshot: Snapshot) -> None:
    alerts = alerts_of(kind, options, snapshot)
    later = judged(kind, options, replace(emptied(snapshot), alerts=alerts), NOW)
    assert [alert.state for alert in later.alerts] in ([AlertState.UNKNOWN], [AlertState.FIRING])
    assert later.transitions == ()


@given(st.sampled_from([each for each in WRONG if each[0] not in FORGETTING]), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_a_job_that_is_never_heard_of_again_keeps_its_alerts(
    case: tuple[str, dict[str, Any], Snapshot], days: int
) -> None:
    kind, options, snapshot = case
    alerts = alerts_of(kind, options, snapshot)
    later = judged(kind, options, replace(snapshot, alerts=alerts), NOW + timedelta(days=days))
    assert AlertState.RESOLVED not in [alert.state for alert in later.alerts]


def test_what_comes_again_is_judged_again() -> None:
    failed = of_job([run("f", at(1), 20, FAILED)])
    alerts = alerts_of("run_failure", {}, failed)
    gone = judged("run_failure", {}, replace(emptied(failed), alerts=alerts), NOW)
    well = of_job([run("f", at(1), 20, FAILED), run("g", at(2), 20)], alerts=gone.alerts)
    assert [alert.state for alert in judged("run_failure", {}, well, NOW).alerts] == [AlertState.RESOLVED]
