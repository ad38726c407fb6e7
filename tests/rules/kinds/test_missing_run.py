"""missing_run: exact moments at which an expected start is missed, and what answers it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from rules.kinds.missing_run import MissingRun
from tests.rules.timeline import (
    QUEUED,
    RUNNING,
    at,
    daily,
    moments_of_change,
    of_job,
    only,
    open_alert,
    rule,
    run,
)
from watchtower.model.follower import Follower
from watchtower.model.rule import Evaluation
from watchtower.model.run import JobRef, Run, Trigger

KIND = MissingRun()
RULE = rule(KIND)
CRON: dict[str, Any] = {"schedule": "0 6 * * *"}


def test_a_declared_slot_is_missed_when_its_tolerance_has_passed() -> None:
    snapshot = of_job(daily(1), **CRON)
    before = KIND.evaluate(RULE, snapshot, at(1, "06:00"))
    assert not before.violations
    assert before.next_at == at(1, "06:05")
    violation = only(KIND.evaluate(RULE, snapshot, at(1, "06:05")))
    assert violation.since == at(1, "06:05")
    assert violation.summary == (
        "orders_daily was expected to start at 2026-03-03 06:00 UTC and no run began within 5m"
    )
    assert violation.evidence["last_run"]["run_id"] == "day0"


def test_each_missed_slot_is_counted_and_the_first_is_looked_at_for_who_came_instead() -> None:
    snapshot = of_job(daily(1), **CRON)
    assert moments_of_change(KIND, RULE, snapshot, at(0, "12:00"), at(3, "12:00")) == [
        *(at(1, clock) for clock in ("06:05", "06:15", "06:35", "07:05", "09:05", "18:05")),
        at(2, "06:05"), at(3, "06:05"),
    ]  # fmt: skip
    violation = only(KIND.evaluate(RULE, snapshot, at(3, "12:00")))
    assert violation.since == at(1, "06:05")
    assert violation.value == 3
    assert "3 of 3 expected runs are missing" in violation.summary


@pytest.mark.parametrize(
    ("other", "answered"),
    [
        (run("b", at(1, "06:40"), None, RUNNING, nominal=at(1, "06:00")), True),
        (run("b", at(1, "06:40"), None, RUNNING, trigger=None), True),
        (run("b", at(1, "06:40"), None, RUNNING, trigger=Trigger.MANUAL), True),
        (run("b", None, None, QUEUED, nominal=at(1, "06:00")), False),
        (run("b", at(1, "06:40"), 20, nominal=at(-5, "06:00"), trigger=Trigger.BACKFILL), False),
        (run("b", at(1, "05:59", 30), None, RUNNING, trigger=None), True),
        (run("b", at(1, "05:00"), None, RUNNING, trigger=None), False),
    ],
    ids=["late", "late ping", "by hand", "queued", "backfill", "clock half a minute ahead", "long before"],
)
def test_what_answers_a_slot(other: Run, answered: bool) -> None:
    evaluation = KIND.evaluate(RULE, of_job([*daily(1), other], **CRON), at(1, "07:00"))
    assert bool(evaluation.violations) is not answered


def test_a_run_that_came_late_resolves_it_and_says_by_how_much() -> None:
    late = run("b", at(1, "06:42"), None, RUNNING, nominal=at(1, "06:00"))
    evaluation = KIND.evaluate(RULE, of_job([*daily(1), late], alerts=[open_alert()], **CRON), at(1, "07:00"))
    assert evaluation.resolution["late_by"] == "42m"
    assert evaluation.resolution["late_by_s"] == 42 * 60


def test_a_queued_run_is_named() -> None:
    waiting = run("b", None, None, QUEUED, nominal=at(1, "06:00"))
    violation = only(KIND.evaluate(RULE, of_job([*daily(1), waiting], **CRON), at(1, "07:00")))
    assert "still queued" in violation.summary
    assert violation.evidence["queued_run"]["run_id"] == "b"


def test_a_data_interval_run_answers_the_end_of_its_interval() -> None:
    interval = [
        structs.replace(each, nominal_start=each.nominal_start - timedelta(days=1), nominal_end=each.nominal_start)
        for each in daily(3)
        if each.nominal_start
    ]
    evaluation = KIND.evaluate(RULE, of_job(interval, **CRON), at(2, "12:00"))
    assert not evaluation.violations
    assert evaluation.next_at == at(3, "06:05")


def test_a_job_that_was_declared_and_never_ran_is_missed_from_then_on() -> None:
    snapshot = of_job([], declared=True, first_seen=at(0, "10:00"), **CRON)
    assert KIND.evaluate(RULE, snapshot, at(0, "12:00")).next_at == at(1, "06:05")
    assert only(KIND.evaluate(RULE, snapshot, at(1, "06:05"))).since == at(1, "06:05")
    assert KIND.evaluate(RULE, of_job([], first_seen=None, **CRON), at(9)).learning


def test_the_schedule_follows_its_zone_over_a_change_of_the_clock() -> None:
    snapshot = of_job(daily(27, "05:00"), schedule="0 6 * * *", timezone="Europe/Berlin")  # ends on the 28th
    assert KIND.evaluate(RULE, snapshot, at(26, "12:00")).next_at == at(27, "04:05")


def test_a_learned_schedule_needs_ten_runs() -> None:
    assert KIND.evaluate(RULE, of_job(daily(7)), at(20)).learning == "7 of 10 completed runs"
    snapshot = of_job(daily(10))
    assert KIND.evaluate(RULE, snapshot, at(9, "12:00")).next_at == at(10, "06:05")
    violation = only(KIND.evaluate(RULE, snapshot, at(10, "06:05")))
    assert violation.evidence["learned"] is True


def test_a_learned_tolerance_is_at_least_the_usual_lateness() -> None:
    late = [
        structs.replace(each, started_at=each.started_at + timedelta(minutes=8))
        for each in daily(12)
        if each.started_at
    ]
    evaluation = KIND.evaluate(RULE, of_job(late), at(11, "12:00"))
    assert evaluation.next_at == at(12, "06:00") + timedelta(seconds=482 * 1.5)


def test_replayed_history_teaches_and_backfills_do_not() -> None:
    assert KIND.evaluate(RULE, of_job(daily(10, historical=True)), at(10, "06:05")).violations
    backfills = daily(10, trigger=Trigger.BACKFILL, historical=True)
    assert not KIND.evaluate(RULE, of_job(backfills), at(10, "06:05")).violations


def test_a_job_that_only_people_or_data_start_has_no_schedule() -> None:
    for trigger in (Trigger.MANUAL, Trigger.EVENT):
        evaluation = KIND.evaluate(RULE, of_job(daily(30, trigger=trigger)), at(40))
        assert not evaluation.violations
        assert evaluation.learning


def test_a_long_outage_of_a_minutely_job_is_counted_to_a_bound() -> None:
    snapshot = of_job([run("a", at(0), 0.1, nominal=at(0))], schedule="* * * * *")
    evaluation = KIND.evaluate(RULE, snapshot, at(5))
    assert only(evaluation).evidence["missed"] == "more than 99"
    assert evaluation.next_at is None


def test_the_rules_own_schedule_wins() -> None:
    own = rule(KIND, schedule="0 7 * * *", timezone="Europe/Berlin", start_within="1m")
    assert KIND.evaluate(own, of_job(daily(1), **CRON), at(0, "12:00")).next_at == at(1, "06:01")


def test_an_unknown_zone_from_an_event_is_no_fault() -> None:
    assert not KIND.evaluate(RULE, of_job(daily(12), timezone="Mars/Olympus", **CRON), at(11, "12:00")).violations


def test_nothing_is_expected_of_a_job_that_is_paused_unless_somebody_wrote_that_it_is() -> None:
    snapshot = of_job(daily(1), **CRON, paused=True, paused_at=at(2, "12:00"))
    shipped = replace(RULE, declared=False)
    assert KIND.evaluate(shipped, snapshot, at(3, "12:00")) == Evaluation()
    assert only(KIND.evaluate(RULE, snapshot, at(3, "12:00"))).evidence["paused"]


def test_what_was_not_started_while_it_was_paused_is_not_missed_afterwards() -> None:
    resumed = of_job(daily(1), **CRON, paused_at=at(2, "12:00"))
    assert not KIND.evaluate(RULE, resumed, at(2, "18:00")).violations
    assert only(KIND.evaluate(RULE, resumed, at(3, "06:05"))).value == 1


def test_so_many_starts_in_a_row_must_be_missing() -> None:
    thrice = rule(KIND, schedule="0 * * * *", fail_after=3)
    snapshot = of_job([run("a", at(0, "06:00"))])
    second = KIND.evaluate(thrice, snapshot, at(0, "08:05"))
    assert (second.violations, second.next_at) == ((), at(0, "09:05"))
    assert only(KIND.evaluate(thrice, snapshot, at(0, "09:05"))).since == at(0, "09:05")
    assert KIND.describe(thrice).endswith("Alert when 3 in a row are missing.")


# -- changed schedules and names ---------------------------------------------------------------------------------------

V2 = Follower(JobRef("airflow-prod", "prod", "orders_v2"), at(9, "06:00"), 1, "writes shop.orders, too")


def test_a_pipeline_that_came_in_its_place_is_named() -> None:
    snapshot = replace(of_job(daily(9), **CRON), followers=(V2,))
    violation = only(KIND.evaluate(RULE, snapshot, at(9, "06:05")))
    assert violation.summary.endswith(
        "; orders_v2 came at 2026-03-11 06:00 UTC and writes shop.orders, too: was it renamed?"
    )
    assert violation.evidence["renamed_to"]["pipeline"] == "orders_v2"


def test_what_was_only_learned_is_given_up_once_the_new_name_has_settled() -> None:
    learned, now = replace(RULE, declared=False), at(23, "06:10")
    settled = replace(of_job(daily(20)), followers=(replace(V2, ended_well=3),))
    assert KIND.evaluate(learned, of_job(daily(20)), now).violations
    evaluation = KIND.evaluate(learned, settled, now)
    assert not evaluation.violations
    assert evaluation.resolution["renamed_to"] == "orders_v2"
    assert KIND.evaluate(RULE, settled, now).violations  # somebody wrote that it must run under this name
    assert KIND.evaluate(learned, replace(settled, job=structs.replace(settled.job, declared=True)), now).violations


def test_a_changed_schedule_is_said_while_the_new_one_is_learned() -> None:
    moved = [*daily(20), *daily(3, "09:00", first=20)]
    assert KIND.describe(replace(RULE, declared=False), of_job(moved)) == (
        "orders_daily: no schedule declared, learning it "
        "(its schedule changed: at 06:00 UTC until 2026-03-23 09:00 UTC, and 2 of 10 runs since)."
    )
