"""What `check` doubts of SLOs: targets that allow all, or less than one bad run in their period."""

import pytest

from rules.kinds.missing_run import MissingRunConfig
from rules.slo.sense import doubts
from tests.rules.objectives import NOW, objective, slo
from watchtower.model.labels import Matcher
from watchtower.model.rule import Rule
from watchtower.model.slo import Period, Slo

DAILY = Rule(
    "Missing", "missing_run", MissingRunConfig(schedule="0 6 * * *"), (Matcher("pipeline", "=", "orders_daily"),)
)


def said(given: Slo, *rules: Rule) -> list[str]:
    return [problem for problem, _ in doubts([given], rules, NOW)]


def test_a_target_of_nothing_allows_everything() -> None:
    (problem,) = said(slo("0"))
    assert "a target of 0 % allows everything" in problem


def test_a_target_that_the_first_failure_misses_is_doubted_with_one_that_allows_it() -> None:
    ((problem, remedy),) = doubts([slo("0.99", period=Period(7, "d"))], [DAILY], NOW)
    assert "of 7 runs (cron 0 6 * * * UTC) it allows 0.07 to be bad, so the first one is too many" in problem
    assert remedy == "write target: 0.85 or less, or a longer period"
    assert said(slo("0.85", period=Period(7, "d")), DAILY) == []


def test_a_period_shorter_than_the_time_between_two_runs_is_doubted() -> None:
    (problem,) = said(slo("0.9", period=Period(12, "h")), DAILY)
    assert "it sees 0 runs (cron 0 6 * * * UTC) in that time, so nothing can be said of its budget" in problem


@pytest.mark.parametrize("rules", [(), (Rule("Missing", "missing_run", MissingRunConfig(), DAILY.matchers),)])
def test_a_pipeline_of_which_no_schedule_is_declared_is_not_doubted(rules: tuple[Rule, ...]) -> None:
    assert said(slo("0.999", period=Period(1, "d")), *rules) == []


def test_a_target_that_leaves_room_is_not_doubted() -> None:
    assert said(slo("0.95"), DAILY) == []
    assert said(slo("0.95", objectives=(objective("0.95"), objective("0.99"))), DAILY) == []
