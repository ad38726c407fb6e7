"""deadline_risk: the miss of a deadline is told of before it comes, and taken back when it does not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from pydantic import ValidationError

from rules.kinds.deadline_risk import DeadlineRisk, DeadlineRiskConfig
from tests.rules.timeline import FAILED, OK, RUNNING, at, attempt, daily, of_job, only, rule, run
from watchtower.model.alert import Alert, AlertState, Severity
from watchtower.model.instants import to_micros
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import Run, RunState
from watchtower.model.timing import Timings

KIND = DeadlineRisk()
BY = rule(KIND, finish_by="06:25", severity=Severity.PAGE)
DAILY: dict[str, Any] = {"schedule": "0 6 * * *"}
PAST = daily(12)  # 20 to 22 minutes each
TODAY = 12


def today(state: RunState = RUNNING, started: str = "06:00", minutes: float | None = None, **said: Any) -> Run:
    return run("today", at(TODAY, started, 2), minutes, state, nominal=at(TODAY, "06:00"), **said)


def with_run(*runs: Run, alerts: tuple[Alert, ...] = (), **said: Any) -> JobSnapshot:
    return of_job([*PAST, *runs], alerts=alerts, **{**DAILY, **said})


def told(severity: Severity, state: AlertState = AlertState.FIRING) -> Alert:
    labels = {"severity": severity.value}
    return Alert("1", "f", BY.name, "job:1", labels, {}, state, at(TODAY, "06:05"), at(TODAY, "06:05"))


def test_a_run_that_goes_as_usual_is_not_told_of() -> None:
    evaluation = KIND.evaluate(BY, with_run(today()), at(TODAY, "06:01"))
    assert not evaluation.violations
    assert evaluation.next_at == at(TODAY, "06:03"), (
        "the longest ever ends 2:58 before it is due: until then all is well"
    )


def test_a_run_that_began_late_is_told_of_at_once_with_its_numbers() -> None:
    warning, alert = KIND.evaluate(BY, with_run(today(started="06:09")), at(TODAY, "06:09", 30)).violations
    assert (warning.labels["severity"], alert.labels["severity"]) == ("ticket", "page")
    assert alert.summary == (
        "orders_daily is likely to miss 2026-03-14 06:25 UTC: chance 96%, "
        "its end is expected at 2026-03-14 06:30 UTC, 5m late"
    )
    assert alert.evidence["left_s"] == 16 * 60
    assert alert.evidence["forecast_end"] == "2026-03-14T06:30:00Z"
    assert alert.evidence["run_id"] == "today"


def test_between_the_limits_it_only_warns() -> None:
    """Of twelve runs eight would end behind the due time."""
    half = rule(KIND, finish_by="06:25", severity=Severity.PAGE, warn_from=0.5, alert_from=0.7)
    snapshot = with_run(today(started="06:04"))
    violation = only(KIND.evaluate(half, snapshot, at(TODAY, "06:05")))
    assert (violation.labels, violation.value) == ({"severity": "ticket"}, 0.65)


def test_what_was_told_is_taken_back_only_when_the_chance_has_clearly_fallen() -> None:
    alert = rule(KIND, "Rule", finish_by="06:25", severity=Severity.PAGE, warn_from=0.5, alert_from=0.7)
    snapshot = with_run(today(started="06:04"), alerts=(told(Severity.PAGE),))
    assert len(KIND.evaluate(alert, snapshot, at(TODAY, "06:05")).violations) == 2


def test_a_run_that_is_expected_but_does_not_come_is_told_of_before_the_deadline() -> None:
    first = next(
        minute for minute in range(60) if KIND.evaluate(BY, with_run(), at(TODAY, f"06:{minute:02}")).violations
    )
    assert first == 5, "20 to 22 minutes are needed"


def test_the_task_that_holds_it_up_is_named() -> None:
    timings = Timings({one.id: _tasks(one) for one in PAST})
    attempts = {
        "today": [
            structs.replace(attempt("today", "extract", (1, 1), at(TODAY, "06:00"), OK), ended_at=at(TODAY, "06:10")),
            structs.replace(attempt("today", "load", (1, 1), at(TODAY, "06:10"), RUNNING), ended_at=None),
        ]
    }
    snapshot = replace(with_run(today(), attempts=attempts), timings=timings)
    assert not KIND.evaluate(BY, snapshot, at(TODAY, "06:19")).violations
    late = KIND.evaluate(BY, snapshot, at(TODAY, "06:24")).violations[-1]
    assert late.summary.endswith("it waits for load, which runs 3m longer than usual")
    assert (late.evidence["waits_for"], late.evidence["overdue_s"]) == ("load", 180)


def _tasks(one: Run) -> dict[str, tuple[int, int]]:
    """Ten minutes each, one behind the other; what is left of the run is its own."""
    assert one.started_at
    assert one.ended_at
    began, minutes = one.started_at, timedelta(minutes=10)
    return {
        "extract": (to_micros(began), to_micros(began + minutes)),
        "load": (to_micros(began + minutes), to_micros(one.ended_at)),
    }


def test_a_task_that_is_tried_again_still_runs() -> None:
    timings = Timings({one.id: _tasks(one) for one in PAST})
    attempts = {"today": [attempt("today", "extract", (1, 3), at(TODAY, "06:00"), FAILED)]}
    snapshot = replace(with_run(today(), attempts=attempts), timings=timings)
    assert KIND.evaluate(BY, snapshot, at(TODAY, "06:20")).violations[-1].evidence["waits_for"] == "extract"


def test_a_failed_run_is_not_forecast() -> None:
    assert not KIND.evaluate(BY, with_run(today(FAILED, "06:09", 1)), at(TODAY, "06:15")).violations
    final = {"today": [attempt("today", "load", (3, 3), at(TODAY, "06:10"))]}
    assert not KIND.evaluate(BY, with_run(today(started="06:09"), attempts=final), at(TODAY, "06:15")).violations


def test_a_run_that_has_ended_well_is_no_risk_and_the_next_due_time_is_looked_at() -> None:
    evaluation = KIND.evaluate(BY, with_run(today(OK, minutes=20)), at(TODAY, "06:21"))
    assert not evaluation.violations
    assert evaluation.next_at == at(TODAY, "06:25")


def test_what_was_forecast_and_came_true_lasts_until_the_run_has_ended_well() -> None:
    alerts = (told(Severity.TICKET), told(Severity.PAGE))
    late = with_run(today(started="06:09"), alerts=alerts)
    missed = KIND.evaluate(BY, late, at(TODAY, "06:26")).violations
    assert {each.labels["severity"] for each in missed} == {"ticket", "page"}
    assert missed[0].summary == "orders_daily missed 2026-03-14 06:25 UTC, as was forecast"
    ended = with_run(today(OK, "06:09", 20), alerts=alerts)
    assert not KIND.evaluate(BY, ended, at(TODAY, "06:30")).violations
    untold = KIND.evaluate(BY, with_run(today(started="06:09")), at(TODAY, "06:26"))
    assert not untold.violations, "what was not foreseen is for `deadline` to tell"


def test_it_learns_until_ten_runs_have_completed() -> None:
    assert KIND.evaluate(BY, of_job([*daily(9)], **DAILY), at(9, "06:20")).learning == "9 of 10 completed runs"


def test_each_limit_is_a_chance_and_the_warning_comes_first() -> None:
    with pytest.raises(ValidationError, match="the warning comes first"):
        DeadlineRiskConfig.model_validate({"finish_by": "07:00", "warn_from": 0.8, "alert_from": 0.7})
    with pytest.raises(ValidationError, match="exclude each other"):
        DeadlineRiskConfig.model_validate({"finish_by": "07:00", "cron": "0 7 * * *"})


def test_it_says_what_it_expects() -> None:
    assert KIND.describe(BY, with_run()) == (
        "orders_daily: warn when a miss of the deadline is 50% likely, alert from 70%; due by 06:25 UTC."
    )
