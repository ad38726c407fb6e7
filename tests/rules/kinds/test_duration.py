"""duration: too long while it runs and after, too short, learned or declared."""

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs
from pydantic import ValidationError

from rules.kinds.duration import Duration, DurationConfig
from tests.rules.timeline import FAILED, RUNNING, at, daily, of_job, only, open_alert, rule, run
from watchtower.model.business import BusinessCalendar

KIND = Duration()
LEARNED = rule(KIND)
STEADY = [run(f"r{day}", at(day, "06:00"), 20, nominal=at(day, "06:00")) for day in range(20)]
# All alike, so p95 × 1.5 = 30 minutes is the largest of the four terms.
LIMIT = timedelta(minutes=30)


def test_a_running_run_is_too_long_at_the_very_moment_it_passes_the_limit() -> None:
    snapshot = of_job([*STEADY, run("b", at(20, "06:00"), None, RUNNING)])
    before = KIND.evaluate(LEARNED, snapshot, at(20, "06:10"))
    assert not before.violations
    assert before.next_at == at(20, "06:00") + LIMIT
    violation = only(KIND.evaluate(LEARNED, snapshot, at(20, "06:30")))
    assert violation.since == at(20, "06:30")
    assert violation.summary == (
        "orders_daily has been running since 2026-03-22 06:00 UTC, longer than 30m (usually 20m)"
    )


def test_it_stays_after_the_slow_run_has_ended_until_the_next_is_within_limits() -> None:
    slow = run("slow", at(20, "06:00"), 45, nominal=at(20, "06:00"))
    violation = only(KIND.evaluate(LEARNED, of_job([*STEADY, slow]), at(20, "08:00")))
    assert violation.since == at(20, "06:30")
    assert violation.value == 45 * 60
    following = run("next", at(21, "06:00"), None, RUNNING, nominal=at(21, "06:00"))
    assert KIND.evaluate(LEARNED, of_job([*STEADY, slow, following]), at(21, "06:10")).violations
    done = structs.replace(following, state=STEADY[0].state, ended_at=at(21, "06:20"))
    evaluation = KIND.evaluate(LEARNED, of_job([*STEADY, slow, done], alerts=[open_alert()]), at(21, "06:20"))
    assert not evaluation.violations
    assert evaluation.resolution["run_id"] == "next"


def test_it_learns_from_ten_runs_without_those_being_judged() -> None:
    assert KIND.evaluate(LEARNED, of_job(STEADY[:8]), at(9)).learning == "7 of 10 completed runs"
    assert KIND.evaluate(LEARNED, of_job(STEADY[:10]), at(10)).learning == "9 of 10 completed runs"
    assert KIND.evaluate(LEARNED, of_job(STEADY[:11]), at(11)).learning is None


def test_failed_runs_and_backfills_do_not_teach() -> None:
    failed = [structs.replace(each, state=FAILED) for each in STEADY]
    assert KIND.evaluate(LEARNED, of_job(failed), at(20)).learning == "0 of 10 completed runs"


def test_a_very_short_job_is_given_a_minute() -> None:
    short = [run(f"r{day}", at(day, "06:00"), 0.05, nominal=at(day, "06:00")) for day in range(20)]
    snapshot = of_job([*short, run("b", at(20, "06:00"), None, RUNNING)])
    assert KIND.evaluate(LEARNED, snapshot, at(20, "06:00")).next_at == at(20, "06:00", 63)


def test_two_hundred_percent_over_p95_is_three_times_p95() -> None:
    over = rule(KIND, over={"quantile": 0.95, "by": "200%"})
    snapshot = of_job([*STEADY, run("b", at(20, "06:00"), None, RUNNING)])
    assert KIND.evaluate(over, snapshot, at(20, "06:00")).next_at == at(20, "07:00")
    assert "at most 1h (3600 s)" in KIND.describe(over, snapshot)


def test_over_a_quantile_alone_is_longer_than_it_three_times_in_a_row() -> None:
    over = rule(KIND, over={"quantile": 0.95}, consecutive=3)
    slow = [run(f"s{day}", at(20 + day, "06:00"), 20 + day / 60, nominal=at(20 + day, "06:00")) for day in range(4)]
    # The first took 20 minutes, as all before it: the limit itself is quiet.
    assert not KIND.evaluate(over, of_job([*STEADY, *slow[:3]]), at(22, "08:00")).violations
    assert only(KIND.evaluate(over, of_job([*STEADY, *slow]), at(23, "08:00"))).evidence["in_a_row"] == 3


def test_declared_limits_need_no_history() -> None:
    within = rule(KIND, max="1h", min="5m")
    snapshot = of_job([run("a", at(0, "06:00"), None, RUNNING)])
    assert KIND.evaluate(within, snapshot, at(0, "06:00")).next_at == at(0, "07:00")
    quick = only(KIND.evaluate(within, of_job([run("a", at(0, "06:00"), 2)]), at(0, "08:00")))
    assert quick.since == at(0, "06:02")
    assert "took only 2m, less than 5m" in quick.summary
    # A run that failed quickly is no quick success.
    assert not KIND.evaluate(within, of_job([run("a", at(0, "06:00"), 2, FAILED)]), at(0, "08:00")).violations


def test_consecutive_counts_finished_and_running_ones() -> None:
    twice = rule(KIND, max="30m", consecutive=2)
    slow = run("a", at(0, "06:00"), 45)
    still = run("b", at(1, "06:00"), None, RUNNING)
    assert not KIND.evaluate(twice, of_job([slow]), at(0, "08:00")).violations
    assert not KIND.evaluate(twice, of_job([slow, still]), at(1, "06:29")).violations
    violation = only(KIND.evaluate(twice, of_job([slow, still]), at(1, "06:30")))
    assert violation.evidence["in_a_row"] == 2
    assert violation.evidence["run_id"] == "b"


def test_a_replayed_slow_run_is_history() -> None:
    slow = run("slow", at(20, "06:00"), 45, nominal=at(20, "06:00"), historical=True)
    assert only(KIND.evaluate(LEARNED, of_job([*STEADY, slow]), at(20, "08:00"))).historical


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max": "5m", "min": "5m"}, "must be less than max"),
        ({"over": {"quantile": 1.5, "by": "10%"}}, "less than or equal to 1"),
        ({"over": {"quantile": 0.9, "by": "much%"}}, "write e.g. 50%"),
        ({"max": 0}, "greater than 0"),
        ({"max": True}, "write a duration"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        DurationConfig.model_validate(options)


def test_ordinary_variation_is_quiet() -> None:
    runs = daily(60)
    for day in range(12, 60):
        assert not KIND.evaluate(LEARNED, of_job(runs[:day]), at(day)).violations


def test_it_is_over_after_as_many_good_runs_in_a_row_as_are_asked_for() -> None:
    within = rule(KIND, max="30m", consecutive=2, recover_after=2)

    def after(*minutes: float) -> bool:
        runs = [run(f"r{day}", at(day, "06:00"), took) for day, took in enumerate(minutes)]
        return bool(KIND.evaluate(within, of_job(runs), at(60)).violations)

    assert not after(45)
    assert after(45, 45)
    assert after(45, 45, 20)
    assert not after(45, 45, 20, 20)
    assert after(45, 45, 20, 45, 20)
    runs = [run(f"r{day}", at(day, "06:00"), took) for day, took in enumerate((45.0, 45.0, 20.0))]
    assert only(KIND.evaluate(within, of_job(runs), at(60))).evidence["run_id"] == "r1"
    assert KIND.describe(within).endswith("Over after 2 in a row within limits.")


def test_long_mondays_are_usual_and_a_long_tuesday_is_not() -> None:
    """99 days, each Monday an hour: day 98 is a Monday."""
    runs = [run(f"r{day}", at(day, "06:00"), 20 if day % 7 else 60, nominal=at(day, "06:00")) for day in range(98)]
    monday = run("monday", at(98, "06:00"), 60, nominal=at(98, "06:00"))
    assert not KIND.evaluate(LEARNED, of_job([*runs, monday]), at(98, "08:00")).violations
    tuesday = run("tuesday", at(99, "06:00"), 60, nominal=at(99, "06:00"))
    violation = only(KIND.evaluate(LEARNED, of_job([*runs, monday, tuesday]), at(99, "08:00")))
    assert violation.summary == "orders_daily took 1h, longer than 30m (usually 20m)"
    far = run("far", at(98, "06:00"), 100, nominal=at(98, "06:00"))
    violation = only(KIND.evaluate(LEARNED, of_job([*runs, far]), at(98, "08:00")))
    assert violation.summary == "orders_daily took 1h40m, longer than 1h30m (usually 1h on Mondays)"
    assert violation.evidence["season"] == "on Mondays"
    running = run("still", at(98, "06:00"), None, RUNNING, nominal=at(98, "06:00"))
    assert KIND.evaluate(LEARNED, of_job([*runs, running]), at(98, "06:10")).next_at == at(98, "07:30")
    plain = rule(KIND, seasonality="none")
    assert not KIND.evaluate(plain, of_job([*runs, monday, tuesday]), at(99, "08:00")).violations


def test_the_end_of_a_month_is_told_three_times_and_then_known() -> None:
    def minutes(day: int) -> float:
        return 60 if at(day + 1).month != at(day).month else 20

    runs = [run(f"r{day}", at(day, "06:00"), minutes(day), nominal=at(day, "06:00")) for day in range(200)]
    ends = [day for day in range(200) if minutes(day) == 60]
    told = [day for day in ends if KIND.evaluate(LEARNED, of_job(runs[: day + 1]), at(day, "08:00")).violations]
    assert told == ends[:3]


def test_a_day_is_that_of_the_jobs_zone() -> None:
    """At 23:00 UTC it is Monday in Berlin on Sundays."""
    runs = [run(f"r{day}", at(day, "23:00"), 20 if day % 7 != 6 else 60) for day in range(97)]
    snapshot = of_job([*runs, run("b", at(97, "23:00"), 60)], timezone="Europe/Berlin")
    assert not KIND.evaluate(LEARNED, snapshot, at(99)).violations
    assert "on Mondays (usually 1h, from 13 runs)" in KIND.describe(LEARNED, snapshot)


def test_days_without_business_are_learned_apart() -> None:
    office = BusinessCalendar("office", frozenset(range(5)), frozenset({at(day).date() for day in (8, 30, 52, 74, 92)}))
    runs = [
        run(f"r{day}", at(day, "06:00"), 20 if office.is_open(at(day).date()) else 5, nominal=at(day, "06:00"))
        for day in range(92)
    ]
    quick = [*runs, run("holiday", at(92, "06:00"), 18, nominal=at(92, "06:00"))]  # a Tuesday
    own = rule(KIND, over={"quantile": 1, "by": "50%"}, calendar=office)
    assert only(KIND.evaluate(own, of_job(quick), at(92, "08:00"))).evidence["season"] == "on days without business"
    assert not KIND.evaluate(rule(KIND, over={"quantile": 1, "by": "50%"}), of_job(quick), at(92, "08:00")).violations
    said = replace(of_job(quick), calendar=office)
    assert KIND.evaluate(LEARNED, said, at(92, "08:00")).violations
