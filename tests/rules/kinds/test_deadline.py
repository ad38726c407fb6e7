"""deadline: due by a time of day or within a time of the expected start, and what meets it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from pydantic import ValidationError

from rules.kinds.deadline import Deadline, DeadlineConfig
from tests.rules.timeline import (
    FAILED,
    RUNNING,
    at,
    attempt,
    daily,
    moments_of_change,
    of_job,
    only,
    open_alert,
    rule,
    run,
)
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import Trigger

KIND = Deadline()
BY_SEVEN = rule(KIND, finish_by="07:00")
CRON: dict[str, Any] = {"schedule": "0 6 * * *"}


def test_a_run_that_still_runs_at_the_due_time_breaks_it_then() -> None:
    snapshot = of_job([*daily(1), run("b", at(1, "06:00"), None, RUNNING, nominal=at(1, "06:00"))], **CRON)
    before = KIND.evaluate(BY_SEVEN, snapshot, at(1, "06:59"))
    assert not before.violations
    assert before.next_at == at(1, "07:00")
    violation = only(KIND.evaluate(BY_SEVEN, snapshot, at(1, "07:00")))
    assert violation.since == at(1, "07:00")
    assert violation.summary == (
        "orders_daily was due at 2026-03-03 07:00 UTC and has not succeeded: "
        "its run is running since 2026-03-03 06:00 UTC"
    )


def test_it_needs_no_run_to_be_missed() -> None:
    snapshot = of_job(daily(1), **CRON)
    assert "no run for it has started" in only(KIND.evaluate(BY_SEVEN, snapshot, at(1, "07:00"))).summary
    never = of_job([], declared=True, first_seen=at(0, "12:00"))
    assert KIND.evaluate(BY_SEVEN, never, at(0, "13:00")).next_at == at(1, "07:00")
    assert only(KIND.evaluate(BY_SEVEN, never, at(1, "07:00"))).since == at(1, "07:00")


def test_a_late_success_resolves_it_and_says_by_how_much() -> None:
    late = run("b", at(1, "06:00"), 102, nominal=at(1, "06:00"))
    evaluation = KIND.evaluate(BY_SEVEN, of_job([*daily(1), late], alerts=[open_alert()], **CRON), at(1, "08:00"))
    assert not evaluation.violations
    assert evaluation.resolution["late_by"] == "42m"


def test_a_manual_run_after_a_miss_makes_it_good_but_not_the_next_day() -> None:
    by_hand = run("b", at(1, "08:00"), 20, trigger=Trigger.MANUAL)
    snapshot = of_job([*daily(1), by_hand], **CRON)
    assert not KIND.evaluate(BY_SEVEN, snapshot, at(1, "09:00")).violations
    assert KIND.evaluate(BY_SEVEN, snapshot, at(2, "07:00")).violations


def test_yesterdays_late_run_does_not_meet_todays_time() -> None:
    yesterday = run("a", at(1, "06:30"), 20, nominal=at(0, "06:00"))
    assert KIND.evaluate(BY_SEVEN, of_job([yesterday], **CRON), at(1, "07:00")).violations


def test_due_times_in_a_row_are_counted_from_the_first() -> None:
    violation = only(KIND.evaluate(BY_SEVEN, of_job(daily(2), **CRON), at(4, "12:00")))
    assert violation.value == 3
    assert violation.since == at(2, "07:00")


def test_where_a_rule_names_a_zone_what_is_learned_keeps_to_its_clock() -> None:
    """In the night in which Berlin puts its clocks forward: 02:15 is at 03:00, half an hour later it is due, and so is
    the run of the night before, which never came."""
    kept = rule(KIND, finish_by="02:45", timezone="Europe/Berlin")  # the job tells of no zone
    past = [run(f"n{day}", at(day, "01:15"), 10) for day in range(26)]
    missed = of_job(past, first_seen=at(0))
    assert only(KIND.evaluate(kept, missed, at(26, "01:45"))).since == at(26, "01:45")
    forward = at(27, "01:00")
    assert KIND.evaluate(kept, missed, forward).next_at == at(27, "01:45")
    late = of_job([*past, run("late", forward, 100)], alerts=[open_alert()], first_seen=at(0))
    assert not KIND.evaluate(kept, late, at(27, "02:40")).violations
    well = of_job([*past, run("n26", at(26, "01:15"), 10)], first_seen=at(0))
    assert only(KIND.evaluate(kept, well, at(27, "01:45"))).since == at(27, "01:45")


def test_days_and_zone_decide_when_it_is_due() -> None:
    weekdays = rule(KIND, finish_by="07:00", timezone="America/New_York", days="mon-fri")
    # The clocks of New York change on Sunday the 8th.
    assert moments_of_change(KIND, weekdays, of_job(daily(1)), at(3, "13:00"), at(8, "12:00")) == [
        at(4, "12:00"), at(7, "11:00"), at(8, "11:00"),
    ]  # fmt: skip


def test_within_counts_from_the_expected_start_whenever_it_started() -> None:
    within = rule(KIND, finish_within="1h")
    late = run("b", at(1, "06:50"), None, RUNNING, nominal=at(1, "06:00"))
    snapshot = of_job([*daily(1), late], **CRON)
    assert KIND.evaluate(within, snapshot, at(1, "06:51")).next_at == at(1, "07:00")
    assert only(KIND.evaluate(within, snapshot, at(1, "07:00"))).since == at(1, "07:00")


def test_within_without_a_schedule_counts_from_the_run() -> None:
    within = rule(KIND, finish_within="1h")
    snapshot = of_job([run("a", at(0, "09:13"), None, RUNNING, trigger=Trigger.EVENT)])
    assert KIND.evaluate(within, snapshot, at(0, "09:14")).next_at == at(0, "10:13")
    assert KIND.evaluate(within, snapshot, at(0, "10:13")).violations


def test_the_learned_time_is_one_and_a_half_p95_of_ten_runs() -> None:
    learned = rule(KIND)
    assert KIND.evaluate(learned, of_job(daily(7), **CRON), at(7)).learning == "7 of 10 completed runs"
    snapshot = of_job([run(f"r{day}", at(day, "06:00"), 20, nominal=at(day, "06:00")) for day in range(12)], **CRON)
    assert KIND.evaluate(learned, snapshot, at(11, "12:00")).next_at == at(12, "06:30")


@pytest.mark.parametrize("state", [FAILED, RUNNING], ids=["failed", "running"])
def test_only_a_failed_run_makes_it_yield_to_the_failure(state: object) -> None:
    minutes = 10 if state is FAILED else None
    broken = run("b", at(1, "06:00"), minutes, nominal=at(1, "06:00"), state=FAILED if minutes else RUNNING)
    violation = only(KIND.evaluate(BY_SEVEN, of_job([*daily(1), broken], **CRON), at(1, "07:00")))
    assert violation.yields_to == ("run_failure" if minutes else None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"finish_by": 420}, "write it in quotes"),
        ({"finish_by": "7 o'clock"}, "write it in quotes"),
        ({"finish_by": "07:00", "finish_within": "1h"}, "exclude each other"),
        ({"days": "mon-fri"}, "days needs finish_by"),
        ({"finish_by": "07:00", "days": "someday"}, "is no weekday"),
        ({"finish_by": "07:00", "timezone": "CEST-ish"}, "IANA"),
        ({"cron": "0 25 * * *"}, "no cron expression"),
        ({"finish_within": "-1h"}, "not understood"),
        ({"finish_in": "1h"}, "finish_in"),
    ],
)
def test_wrong_options_are_refused_with_a_remedy(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        DeadlineConfig.model_validate(options)


def test_weekday_ranges_may_pass_the_weekend() -> None:
    assert DeadlineConfig.model_validate({"finish_by": "07:00", "days": "fri-mon"}).days == {4, 5, 6, 0}
    assert DeadlineConfig.model_validate({"finish_by": "07:00", "days": ["sat", "Sunday"]}).days == {5, 6}


def test_a_due_time_before_the_job_was_known_is_not_missed() -> None:
    assert not KIND.evaluate(BY_SEVEN, of_job([], first_seen=at(0, "09:00"), **CRON), at(0, "10:00")).violations
    assert at(1, "07:00") - at(0, "07:00") == timedelta(days=1)


ALIVE = rule(KIND, finish_by="07:00", soft="15m", hard="2h")


def _running(last_event: str) -> JobSnapshot:
    open_run = run("b", at(1, "06:00"), None, RUNNING, nominal=at(1, "06:00"), last_event_at=at(1, last_event))
    return of_job([*daily(1), open_run], **CRON)


def test_signs_of_life_move_the_soft_deadline() -> None:
    waiting = KIND.evaluate(ALIVE, _running("06:50"), at(1, "07:00"))
    assert (waiting.violations, waiting.next_at) == ((), at(1, "07:05"))
    silent = only(KIND.evaluate(ALIVE, _running("06:50"), at(1, "07:05")))
    assert silent.since == at(1, "07:05")
    assert silent.summary.endswith("its last sign of life at 2026-03-03 06:50 UTC")
    assert only(KIND.evaluate(ALIVE, _running("06:30"), at(1, "07:00"))).since == at(1, "07:00")


def test_no_sign_of_life_moves_the_hard_deadline() -> None:
    waiting = KIND.evaluate(ALIVE, _running("08:50"), at(1, "08:59"))
    assert (waiting.violations, waiting.next_at) == ((), at(1, "09:00"))
    assert only(KIND.evaluate(ALIVE, _running("08:59"), at(1, "09:00"))).since == at(1, "09:00")


def test_a_sign_of_one_of_its_tasks_counts_and_what_never_started_is_not_waited_for() -> None:
    busy = structs.replace(attempt("b", "load", (1, 1), at(1, "06:01"), RUNNING), last_event_at=at(1, "07:10"))
    snapshot = replace(_running("06:00"), attempts={"b": (busy,)})
    assert KIND.evaluate(ALIVE, snapshot, at(1, "07:00")).next_at == at(1, "07:25")
    assert only(KIND.evaluate(ALIVE, of_job(daily(1), **CRON), at(1, "07:00"))).since == at(1, "07:00")


def test_so_many_due_times_in_a_row_must_be_missed() -> None:
    twice = rule(KIND, finish_by="07:00", fail_after=2)
    snapshot = of_job(daily(1), **CRON)
    assert not KIND.evaluate(twice, snapshot, at(1, "07:00")).violations
    assert only(KIND.evaluate(twice, snapshot, at(2, "07:00"))).since == at(2, "07:00")
    assert KIND.describe(twice).endswith("Alert when 2 due times in a row are missed.")
