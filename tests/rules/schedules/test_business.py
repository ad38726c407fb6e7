"""Schedules on business days: what falls on another day is not expected."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from rules.kinds.deadline import Deadline, DeadlineConfig
from rules.kinds.missing_run import MissingRun, MissingRunConfig
from rules.schedules.business import OnBusinessDays
from rules.schedules.declared import CronSchedule
from rules.schedules.learned import learn
from tests.rules.timeline import at, daily, of_job, only, rule
from watchtower.model.business import BusinessCalendar

# Monday 2026-03-02 is day 0; Wednesday is closed.
OFFICE = BusinessCalendar("office", frozenset(range(5)), frozenset({date(2026, 3, 4)}))
SIX: dict[str, Any] = {"schedule": "0 6 * * *", "calendar": OFFICE}
MISSING, LATE = MissingRun(), Deadline()


def test_closed_days_are_left_out_in_both_directions() -> None:
    days = OnBusinessDays(CronSchedule("0 6 * * *"), OFFICE, "UTC")
    assert days.after(at(1, "06:00")) == at(3, "06:00")
    assert days.before(at(3, "05:00")) == at(1, "06:00")
    assert days.after(at(4, "06:00")) == at(7, "06:00")
    assert days.describe() == "cron 0 6 * * * UTC on days of office"


def test_the_day_is_that_of_the_zone() -> None:
    night = OnBusinessDays(CronSchedule("0 23 * * *"), OFFICE, "Europe/Berlin")
    assert night.after(at(1, "12:00")) == at(2, "23:00")  # Tuesday 23:00 UTC is Wednesday in Berlin


def test_nothing_closed_ever_opens() -> None:
    never = OnBusinessDays(CronSchedule("0 6 * * 0"), OFFICE, "UTC")
    assert never.after(at(0)) is None
    assert never.before(at(0)) is None
    with pytest.raises(ValidationError, match="never falls on a day of the calendar 'office'"):
        MissingRunConfig.model_validate({"schedule": "0 6 * * 0", "calendar": OFFICE})
    with pytest.raises(ValidationError, match="never falls on a day"):
        DeadlineConfig.model_validate({"finish_by": "07:00", "days": "sat-sun", "calendar": OFFICE})


def test_a_start_on_a_holiday_is_not_missed_and_the_next_one_is() -> None:
    one = rule(MISSING, **SIX)
    snapshot = of_job(daily(2))
    holiday = MISSING.evaluate(one, snapshot, at(2, "12:00"))
    assert (holiday.violations, holiday.next_at) == ((), at(3, "06:05"))
    assert only(MISSING.evaluate(one, snapshot, at(3, "06:05"))).value == 1


def test_a_run_that_comes_on_a_holiday_is_no_fault() -> None:
    assert not MISSING.evaluate(rule(MISSING, **SIX), of_job(daily(4)), at(3, "12:00")).violations


def test_a_due_time_on_a_holiday_is_none() -> None:
    one = rule(LATE, finish_by="07:00", calendar=OFFICE)
    snapshot = of_job(daily(2), schedule="0 6 * * *")
    assert not LATE.evaluate(one, snapshot, at(2, "12:00")).violations
    assert only(LATE.evaluate(one, snapshot, at(3, "07:00"))).since == at(3, "07:00")
    within = rule(LATE, finish_within="1h", calendar=OFFICE)
    assert not LATE.evaluate(within, snapshot, at(2, "12:00")).violations
    assert only(LATE.evaluate(within, snapshot, at(3, "07:00"))).since == at(3, "07:00")


def test_a_learned_schedule_keeps_its_tolerance_on_business_days() -> None:
    learned = rule(MISSING, calendar=OFFICE)
    snapshot = of_job(daily(12, first=-12))
    assert MISSING.evaluate(learned, snapshot, at(0, "05:00")).next_at == at(0, "06:05")
    assert only(MISSING.evaluate(learned, snapshot, at(0, "12:00"))).evidence["learned"] is True


def test_a_schedule_is_learned_on_days_of_business() -> None:
    """Of the last twenty weekdays eight were holidays: irregular, for whoever does not know it."""
    closed = frozenset(at(day).date() for day in (1, 3, 7, 9, 11, 15, 17, 22))
    office = BusinessCalendar("office", frozenset(range(5)), closed)
    starts = [at(day, "06:00") for day in range(26) if office.is_open(at(day).date())]
    assert learn(starts) is None
    learned = learn(starts, calendar=office)
    assert learned is not None
    assert learned.confidence == 1
    assert learned.pattern.describe() == "at 06:00 UTC on Mon-Fri"


def test_the_calendar_of_a_job_holds_for_the_shipped_rules() -> None:
    """On Wednesday, which is closed, nothing is missing; on Thursday it is."""
    starts = [each for each in daily(40, first=-38) if OFFICE.is_open((each.nominal_start or at(0)).date())]
    snapshot = replace(of_job(starts), calendar=OFFICE)
    assert not MISSING.evaluate(rule(MISSING), snapshot, at(2, "23:00")).violations
    assert only(MISSING.evaluate(rule(MISSING), snapshot, at(3, "06:06"))).evidence["expected"].startswith("2026-03-05")
    assert MISSING.evaluate(rule(MISSING), of_job(starts), at(2, "23:00")).violations
