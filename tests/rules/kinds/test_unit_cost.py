"""unit_cost: a day of the bill by what was moved on it, against the days before; and why nothing is said."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from rules.engine import Engine
from rules.kinds.unit_cost import UnitCost, UnitCostConfig
from tests.rules.memory import MemoryStore
from tests.rules.timeline import daily, of_dataset, of_job, only, rule
from watchtower.clock import ManualClock
from watchtower.model.cost import BillState
from watchtower.model.rule import Evaluation, JobSnapshot, Rule
from watchtower.model.spent import Asked, Per, Spent, end_of

KIND = UnitCost()
FIRST = date(2026, 3, 2)  # a Monday
SCOPE = {"tag": {"Pipeline": "orders"}}
GB = 10**9
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def a_rule(**options: Any) -> Rule:
    made: dict[str, Any] = {"per": "gb", "scope": SCOPE} | options
    return rule(KIND, **made)


def spent(costs: Sequence[str | None], gb: Sequence[float] = (), **bill: Any) -> Spent:
    """From FIRST on a day each; without gb ten of them a day. The bill reaches the end of the last one."""
    days = [FIRST + timedelta(days=place) for place in range(len(costs))]
    until = end_of(days[-1]) if days else None
    said: dict[str, Any] = {"covered_until": until, "loaded_at": until and until + timedelta(hours=6)}
    moved = [int(each * GB) for each in gb] or [10 * GB] * len(days)
    return Spent(
        BillState(**(said | bill)),
        "USD",
        {day: Decimal(cost) for day, cost in zip(days, costs, strict=True) if cost is not None},
        {day: count for day, count in zip(days, moved, strict=True) if count},
    )


def snapshot(found: Spent | None, one: Rule) -> JobSnapshot:
    told: Mapping[Asked, Spent] = {} if found is None else {one.options.asked: found}
    return replace(of_job(daily(3)), spent=told)


def evaluate(found: Spent | None, **options: Any) -> Evaluation:
    one = a_rule(**options)
    return KIND.evaluate(one, snapshot(found, one), NOW)


STEADY = ["0.21", "0.20", "0.22", "0.21", "0.20", "0.21", "0.22", "0.20", "0.21", "0.21", "0.20", "0.22"]


def test_a_day_on_which_a_gb_costs_half_as_much_again_is_told_with_its_numbers() -> None:
    """2.1 cents a GB as a rule, 3.2 on the day."""
    found = only(evaluate(spent([*STEADY, "0.32"])))
    assert found.summary == "orders_daily: a GB cost 0.0320 USD on 2026-03-14, above the 0.0262 USD that is usual"
    assert found.since == datetime(2026, 3, 15, tzinfo=UTC)
    assert {name: found.evidence[name] for name in ("cost", "moved", "currency", "day")} == {
        "cost": "0.32",
        "moved": 10 * GB,
        "currency": "USD",
        "day": "2026-03-14",
    }
    assert not found.historical
    assert not evaluate(spent([*STEADY, "0.24"])).violations


def test_twice_the_cost_for_twice_the_data_is_as_usual() -> None:
    assert not evaluate(spent([*STEADY, "0.42"], gb=[10] * 12 + [20])).violations
    assert evaluate(spent([*STEADY, "0.42"], gb=[10] * 13)).violations


def test_a_day_that_the_bill_has_not_told_whole_is_not_judged() -> None:
    half = spent([*STEADY, "0.60"], covered_until=end_of(FIRST + timedelta(days=12)) - timedelta(hours=1))
    assert not evaluate(half).violations


def test_a_restated_day_ends_the_alert_and_days_in_a_row_are_one() -> None:
    twice = only(evaluate(spent([*STEADY, "0.40", "0.41"])))
    assert (twice.evidence["in_a_row"], twice.since) == (2, datetime(2026, 3, 15, tzinfo=UTC))
    restated = evaluate(spent([*STEADY, "0.21", "0.21"]))
    assert (restated.violations, restated.resolution["day"]) == ((), "2026-03-15")


def test_days_without_a_charge_or_without_data_have_no_cost_per_unit() -> None:
    costs = [*STEADY[:6], None, *STEADY[6:], "0.32"]
    gb = [10.0] * 3 + [0] + [10] * 10
    assert only(evaluate(spent(costs, gb=gb))).evidence["learned_from"] == 11


def test_mondays_may_be_dear_where_they_always_are() -> None:
    """Eight weeks in which a GB costs three times as much on Mondays; then a Tuesday does."""
    weeks = [("0.63" if place % 7 == 0 else STEADY[place % 12]) for place in range(56)]
    assert not evaluate(spent([*weeks, "0.63"])).violations
    assert evaluate(spent([*weeks, "0.63", "0.63"])).violations


def test_cheaper_is_told_only_where_it_is_asked_for() -> None:
    assert not evaluate(spent([*STEADY, "0.10"])).violations
    assert ", below the " in only(evaluate(spent([*STEADY, "0.10"]), direction="both")).summary


def test_a_day_that_was_billed_weeks_later_is_history() -> None:
    late = end_of(FIRST + timedelta(days=12)) + timedelta(days=8)
    assert only(evaluate(spent([*STEADY, "0.50"], loaded_at=late))).historical


@pytest.mark.parametrize(
    ("found", "learning"),
    [
        (None, "no bill yet"),
        (Spent(BillState(None, None)), "no bill yet"),
        (spent([None] * 5), "no charge of the bill meets its scope"),
        (spent(["1"] * 5, gb=[0] * 5), "no bytes that were written were told on the days of the bill"),
        (spent(["1"] * 5), "5 of 10 days with a charge and something to divide it by"),
    ],
    ids=["no snapshot", "no bill", "no charge", "no bytes", "few days"],
)
def test_why_nothing_is_known_is_said(found: Spent | None, learning: str) -> None:
    evaluation = evaluate(found)
    assert (evaluation.violations, evaluation.learning) == ((), learning)
    assert evaluation.next_at == NOW + timedelta(hours=1)
    one = a_rule()
    assert f"being learned ({learning})" in KIND.describe(one, snapshot(found, one))


def test_a_bill_that_cannot_be_added_up_leaves_it_unknown() -> None:
    assert evaluate(spent(STEADY, problem="its charges are in several currencies")).unknown


def test_people_read_what_a_unit_costs_and_may_cost() -> None:
    one = a_rule()
    said = KIND.describe(one, snapshot(spent(STEADY), one))
    assert said.startswith("orders_daily: a GB must cost at most 0.02")
    assert "the newest day of the bill, 2026-03-13: 0.022 USD; learned from 11 days before" in said
    assert KIND.describe(a_rule(per="run")).endswith("a run must cost what it usually does.")


def test_the_engine_asks_the_store_for_the_rules_that_ask() -> None:
    store, one = MemoryStore(), a_rule()
    job, table = of_job(daily(3)), of_dataset([])
    store.bills[job.key, one.options.asked] = spent([*STEADY, "0.50"])
    store.put(job, NOW)
    store.put(table, NOW)
    engine = Engine(store, NoPlan(), ManualClock(NOW), lambda: (one,), {"unit_cost": KIND})
    engine.step(NOW)
    assert [alert.labels["pipeline"] for alert in store.alerts.values()] == ["orders_daily"]


class NoPlan:
    def plan(self, labels: Any) -> tuple[()]:
        return ()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValidationError, match="a dataset has no runs"):
        UnitCostConfig.model_validate({"per": "run", "of": "dataset", "scope": SCOPE})
    assert UnitCostConfig.model_validate({"per": "gb", "of": "dataset", "scope": SCOPE}).subject == "dataset"
    assert Per.GB.size == GB
