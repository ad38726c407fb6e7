"""What was changed before something went wrong is named with it, by one function, whatever kind of rule found it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from rules.changes import with_change
from rules.judge import judge
from rules.kinds.duration import Duration
from rules.kinds.freshness import Freshness
from rules.kinds.volume import Volume
from rules.labels import bound
from tests.rules.telling import of_series
from tests.rules.timeline import PIPELINE, at, of_dataset, of_job, rule, run, update
from watchtower.model.change import BY_HAND, Change
from watchtower.model.rule import Snapshot, Violation
from watchtower.model.run import Job
from watchtower.registry import RULE_KINDS

NOW = at(0, "12:00")
LATE = Violation(NOW, "orders_daily is slow", evidence={"run_id": "r1"})
RULE = rule(Duration(), max="10m")


def change(hours_before: float, title: str = "", kind: str = "deploy", **said: Any) -> Change:
    return Change(NOW - timedelta(hours=hours_before), "github", kind, title, pipelines=(PIPELINE.pipeline,), **said)


class Told:
    """Answers as a store does, and remembers what it was asked."""

    def __init__(self, *changes: Change) -> None:
        self.changes = changes
        self.asked: list[tuple[list[str], datetime, timedelta]] = []

    def __call__(self, jobs: Sequence[Job], moment: datetime, within: timedelta) -> Sequence[Change]:
        self.asked.append(([job.ref.name for job in jobs], moment, within))
        return [each for each in self.changes if moment - within <= each.at <= moment]


def test_every_kind_about_a_run_or_a_dataset_names_them() -> None:
    kinds = {name for name in RULE_KINDS if "changed_within" in RULE_KINDS.get(name)().Config.model_fields}
    assert kinds == {
        *("run_failure", "duration", "deadline", "missing_run", "queue_time", "retry_storm"),
        *("freshness", "volume", "schema_change", "compare"),
        *("quality", "anomaly", "drift", "threshold"),
    }


def test_the_newest_is_named_in_the_sentence_and_in_the_evidence() -> None:
    told = Told(change(3, "Older"), change(1, "Round up", commit="abc12345def", actor="ada"))
    found = with_change(LATE, RULE, of_job([]), told)
    assert found.summary == "orders_daily is slow (deployed 1h before: commit abc12345 by ada)"
    assert found.evidence["run_id"] == "r1"
    assert found.evidence["changed"] == 'deployed 1h before: commit abc12345 "Round up" by ada (github)'
    assert found.evidence["changed_at"] == "2026-03-02T11:00:00Z"


def test_a_start_by_hand_is_named_only_if_nothing_else_changed() -> None:
    by_hand = change(0, "manual__1", BY_HAND)
    assert "Round up" in with_change(LATE, RULE, of_job([]), Told(by_hand, change(1, "Round up"))).summary
    assert "started by hand" in with_change(LATE, RULE, of_job([]), Told(by_hand)).summary


def test_what_is_older_than_the_rule_says_or_later_than_the_trouble_is_not_named() -> None:
    for each in (change(7), change(-1)):
        assert with_change(LATE, RULE, of_job([]), Told(each)) == LATE
    wider = rule(Duration(), max="10m", changed_within="8h")
    assert with_change(LATE, wider, of_job([]), Told(change(7))) != LATE


def test_zero_asks_nobody() -> None:
    told = Told(change(1))
    assert with_change(LATE, rule(Duration(), max="10m", changed_within="0s"), of_job([]), told) == LATE
    assert not told.asked


def test_it_is_looked_for_before_the_trouble_began_not_before_it_was_told() -> None:
    began = Violation(NOW, "orders_daily failed twice", began=NOW - timedelta(hours=2))
    assert with_change(began, RULE, of_job([]), Told(change(1))) == began
    assert "1h before" in with_change(began, RULE, of_job([]), Told(change(3))).summary


@pytest.mark.parametrize(
    ("snapshot", "jobs"),
    [
        (of_job([]), ["orders_daily"]),
        (of_dataset([]), ["orders_daily"]),
        (of_series([]), ["orders_daily"]),
        (of_series([], job=None), None),
    ],
    ids=["a job", "the writers of a dataset", "the job of a series", "a series of no job"],
)
def test_it_is_asked_of_the_jobs_behind_it(snapshot: Snapshot, jobs: list[str] | None) -> None:
    told = Told()
    with_change(LATE, RULE, snapshot, told)
    assert [each[0] for each in told.asked] == ([jobs] if jobs else [])


def test_nobody_is_asked_while_all_is_well_and_an_alert_says_what_was_changed() -> None:
    told = Told(change(2, "Round up"))
    slow = of_job([run("r1", at(0, "11:00"), 55)])
    rules = bound([RULE], {"duration": Duration()})["job"]
    judge(of_job([run("r1", at(0, "11:00"), 5)]), rules, NOW, told)
    assert not told.asked
    (alert,) = judge(slow, rules, NOW, told).alerts
    assert "Round up" in alert.evidence["changed"]


@pytest.mark.parametrize("kind", [Freshness(), Volume()], ids=["freshness", "volume"])
def test_a_dataset_names_what_was_changed_of_whoever_writes_it(kind: Freshness | Volume) -> None:
    options: dict[str, Any] = {"fail_after": "2h"} if isinstance(kind, Freshness) else {"min": 100}
    written = of_dataset([update(at(0, "09:00"), row_count=7)])
    rules = bound([rule(kind, **options)], {kind.kind: kind})["dataset"]
    (alert,) = judge(written, rules, NOW, Told(change(4, "Round up"))).alerts
    assert "Round up" in alert.evidence["changed"]
