"""absence: after one thing another one must follow within a time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from rules.kinds.absence import Absence, AbsenceConfig
from tests.rules.timeline import FAILED, at, of_job, only, open_alert, rule, run, update
from watchtower.model.companion import Beside, Companion
from watchtower.model.past import past_of
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import DatasetUpdate, Run

KIND = Absence()
TABLE_AFTER = rule(KIND, expect={"dataset": "revenue"}, within="1h")
REVENUE, SHARD = Companion("dataset", "revenue"), Companion("job", "shard")
DONE = run("a", at(0, "06:00"), 30)


def beside(
    mine: Sequence[Run], updates: Sequence[DatasetUpdate] = (), runs: Sequence[Run] = (), **said: Any
) -> JobSnapshot:
    both = {REVENUE: Beside(updates=tuple(updates), **said), SHARD: Beside(past=tuple(map(past_of, runs)), **said)}
    return replace(of_job(mine, alerts=[open_alert()]), beside=both)


def test_it_is_told_at_the_end_of_the_time_and_over_when_it_comes_after_all() -> None:
    waiting = KIND.evaluate(TABLE_AFTER, beside([DONE]), at(0, "07:29"))
    assert (waiting.violations, waiting.next_at) == ((), at(0, "07:30"))
    evaluation = KIND.evaluate(TABLE_AFTER, beside([DONE]), at(0, "07:30"))
    found = only(evaluation)
    assert (found.since, evaluation.next_at) == (at(0, "07:30"), at(0, "07:31"))
    assert found.summary == "revenue has not updated within 1h after orders_daily succeeded at 2026-03-02 06:30 UTC"
    came = KIND.evaluate(TABLE_AFTER, beside([DONE], [update(at(0, "08:00"))]), at(0, "08:00"))
    assert (came.violations, came.resolution["came_at"]) == ((), "2026-03-02T08:00:00Z")


def test_what_came_before_does_not_count_and_a_failed_run_begins_no_wait() -> None:
    assert KIND.evaluate(TABLE_AFTER, beside([DONE], [update(at(0, "06:30"))]), at(0, "08:00")).violations
    failed = run("f", at(0, "06:00"), 30, FAILED)
    assert not KIND.evaluate(TABLE_AFTER, beside([failed]), at(0, "08:00")).violations
    ended = rule(KIND, after="ended", expect={"dataset": "revenue"}, within="1h")
    assert KIND.evaluate(ended, beside([failed]), at(0, "08:00")).violations


def test_an_older_wait_stands_while_a_newer_one_runs_and_is_over_when_that_is_met() -> None:
    both = [DONE, run("b", at(0, "07:30"), 15)]
    assert only(KIND.evaluate(TABLE_AFTER, beside(both), at(0, "08:00"))).evidence["run_id"] == "a"
    assert not KIND.evaluate(TABLE_AFTER, beside(both, [update(at(0, "07:50"))]), at(0, "08:00")).violations


def test_so_many_must_come() -> None:
    eight = rule(KIND, expect={"pipeline": "shard", "event": "ended"}, threshold=3, within="1h")
    shards = [run(f"s{number}", at(0, "06:40"), 10 * number, state=FAILED) for number in (1, 2)]
    found = only(KIND.evaluate(eight, beside([DONE], runs=shards), at(0, "07:30")))
    assert found.value == 2
    assert "has ended only 2 of 3 times" in found.summary


def test_only_what_is_meant_for_the_same_date_counts() -> None:
    daily = rule(KIND, expect={"dataset": "revenue"}, for_each="date", within="1h")
    other = [update(at(0, "07:00"), partition="2026-03-01")]
    assert KIND.evaluate(daily, beside([DONE], other), at(0, "08:00")).violations
    same = [update(at(0, "07:00"), partition="day=2026-03-02")]
    assert not KIND.evaluate(daily, beside([DONE], same), at(0, "08:00")).violations
    assert KIND.describe(daily) == (
        "each matching subject: within 1h (3600 s) after it succeeded, revenue must have updated for the same date."
    )


def test_a_name_that_is_known_twice_is_unknown_and_one_that_is_not_known_is_absent() -> None:
    assert KIND.evaluate(TABLE_AFTER, beside([DONE], problem="is known more than once"), at(1)).unknown
    assert KIND.evaluate(TABLE_AFTER, beside([DONE], problem="revenue was never heard of"), at(1)).violations


@pytest.mark.parametrize(
    "expect", [{"dataset": "x", "event": "ended"}, {"pipeline": "x", "event": "updated"}, {"namespace": "x"}]
)
def test_wrong_options_are_refused(expect: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        AbsenceConfig.model_validate({"expect": expect, "within": "1h"})
