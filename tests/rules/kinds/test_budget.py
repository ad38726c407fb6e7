"""A budget is broken to the cent, once, by what the bill says; and never called well by a bill that is late."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.judge import judge
from rules.kinds.budget import BudgetConfig
from rules.labels import Bound
from tests.rules.spending import BILL, BUDGET, THE_DAY, alert_of, at, budget, monthly, of_budget, rule
from tests.rules.timeline import only
from watchtower.model.alert import AlertState, Severity, TransitionKind
from watchtower.model.cost import BudgetPeriod, CostScope, Money
from watchtower.model.rule import BudgetSnapshot, Rule
from watchtower.model.spending import DAY, midnight

NEXT = THE_DAY + DAY
MORNING = at(NEXT, 6)
COVERED = midnight(NEXT)


@pytest.mark.parametrize(
    ("amount", "alerts"),
    [
        ("99.99", False),
        ("100", False),
        ("100.00", False),
        ("100.01", True),
        ("100.00000000000000000000000000000001", True),
        ("1" * 28 + "." + "1" * 10, True),
    ],
)
def test_only_more_than_the_limit_breaks_it(amount: str, alerts: bool) -> None:
    found = BUDGET.evaluate(rule(), of_budget({THE_DAY: amount}, COVERED), MORNING)
    assert bool(found.violations) is alerts
    assert found.unknown is None


def test_the_words_say_how_much_of_what_when() -> None:
    found = only(BUDGET.evaluate(rule(), of_budget({THE_DAY: "100.010000"}, COVERED), MORNING))
    assert found.summary == (
        "prod-daily: 100.01 USD on 2026-11-20 (limit 100.00 USD per day, tag Environment=prod-data-pipeline)"
    )
    assert found.labels == {"period": "2026-11-20", "threshold": "100%", "severity": "ticket"}
    assert (found.evidence["spent"], found.evidence["limit"]) == ("100.01 USD", "100.00 USD")
    assert found.evidence["bill_until"] == "2026-11-21T00:00:00Z"


def test_a_sum_of_many_days_is_exact_beyond_what_a_float_or_the_default_context_holds() -> None:
    days = {date(2026, 11, day): "0.1" for day in range(1, 11)}
    of = monthly(limit=Money(Decimal(1), "USD"))
    assert not BUDGET.evaluate(rule(), of_budget(days, COVERED, budget=of), MORNING).violations
    tiny = {**days, THE_DAY: "0.00000000000000000000000000000000000001"}
    found = only(BUDGET.evaluate(rule(), of_budget(tiny, COVERED, budget=of), MORNING))
    assert found.evidence["spent"] == "1.00000000000000000000000000000000000001 USD"


def test_a_day_that_is_not_over_alerts_at_once_and_says_so() -> None:
    snapshot = of_budget({THE_DAY: "99", NEXT: "100.01"}, midnight(NEXT))
    found = only(BUDGET.evaluate(rule(), snapshot, at(NEXT, 10)))
    assert "100.01 USD on 2026-11-21 so far, provisional (limit" in found.summary
    assert found.evidence["provisional"] is True


def test_a_month_is_summed_up_to_now() -> None:
    days = {date(2026, 10, 31): "5000", **{date(2026, 11, day): "10" for day in range(1, 21)}}
    of = monthly(limit=Money(Decimal(199), "USD"))
    found = only(BUDGET.evaluate(rule(), of_budget(days, COVERED, budget=of), MORNING))
    assert found.summary == (
        "prod-monthly: 200.00 USD in 2026-11 so far, provisional (limit 199.00 USD per month, "
        "tag Environment=prod-data-pipeline)"
    )
    assert found.labels["period"] == "2026-11"


def test_of_several_broken_thresholds_the_highest_alerts() -> None:
    of, one = budget(thresholds=(Decimal("0.8"), Decimal(1), Decimal("1.5"))), rule()
    assert [
        [
            each.labels["threshold"]
            for each in BUDGET.evaluate(one, of_budget({THE_DAY: a}, COVERED, budget=of), MORNING).violations
        ]
        for a in ("80", "80.01", "100.01", "151")
    ] == [[], ["80%"], ["100%"], ["150%"]]


def test_getting_worse_resolves_nothing() -> None:
    """80 % fired; at 100 % a second alert joins it, in the same group, with its own severity."""
    one = rule({"at": "0.8", "severity": "info"}, {"at": 1, "severity": "page"})
    warned = only(BUDGET.evaluate(one, of_budget({NEXT: "85"}, COVERED), at(NEXT, 10)))
    snapshot = of_budget({NEXT: "101"}, COVERED, alerts=[alert_of(warned)])
    both = BUDGET.evaluate(one, snapshot, at(NEXT, 12)).violations
    assert [(each.labels["threshold"], each.labels["severity"]) for each in both] == [("80%", "info"), ("100%", "page")]
    judged = judge(snapshot, [Bound.of(one, BUDGET)], at(NEXT, 12))
    assert [(each.kind, each.alert.severity) for each in judged.transitions] == [(TransitionKind.FIRING, Severity.PAGE)]


def test_each_day_is_an_alert_of_its_own_and_ends_when_its_bill_has_settled() -> None:
    days = {THE_DAY: "101", NEXT: "102"}
    snapshot = of_budget(days, midnight(NEXT + DAY * 2))
    periods = [
        [each.labels["period"] for each in BUDGET.evaluate(rule(), snapshot, moment).violations]
        for moment in (at(NEXT, 30), at(NEXT, 47), at(NEXT, 48), at(NEXT, 71), at(NEXT, 72))
    ]
    assert periods == [[f"{THE_DAY}", f"{NEXT}"]] * 2 + [[f"{NEXT}"]] * 2 + [[]]


def test_a_day_restated_upwards_alerts_and_downwards_resolves_with_evidence() -> None:
    before = of_budget({THE_DAY: "99"}, COVERED)
    assert not BUDGET.evaluate(rule(), before, MORNING).violations
    up = only(BUDGET.evaluate(rule(), of_budget({THE_DAY: "101"}, COVERED), at(NEXT, 20)))
    down = of_budget({THE_DAY: "99.5"}, COVERED, alerts=[alert_of(up)])
    judged = judge(down, [Bound.of(rule(), BUDGET)], at(NEXT, 21))
    (end,) = judged.transitions
    assert end.kind is TransitionKind.RESOLVED
    assert end.alert.evidence["resolution"] == {
        "spent": "99.50 USD on 2026-11-20",
        "bill_until": "2026-11-21T00:00:00Z",
    }


def test_a_new_period_ends_the_alert_of_the_old_one() -> None:
    of = monthly()
    november = of_budget({THE_DAY: "101"}, midnight(date(2026, 12, 2)), budget=of)
    assert BUDGET.evaluate(rule(), november, at(date(2026, 12, 2), 23)).violations
    assert not BUDGET.evaluate(rule(), november, at(date(2026, 12, 3))).violations


def test_a_bill_that_stands_still_ends_nothing() -> None:
    """Nobody knows what the 21st cost: that the 20th is long over is no all clear."""
    snapshot = of_budget({THE_DAY: "101"}, COVERED)
    for days in (1, 2, 3, 30):
        assert only(BUDGET.evaluate(rule(), snapshot, at(NEXT + DAY * days))).labels["period"] == "2026-11-20"


# -- a late bill --------------------------------------------------------------------------------------------------


def test_a_late_bill_is_never_green() -> None:
    """The 20th is not on the bill. It may be so until the end of the 22nd."""
    snapshot = of_budget({}, midnight(THE_DAY))
    due = at(NEXT, 48)
    before, after = (BUDGET.evaluate(rule(), snapshot, moment) for moment in (due - timedelta(seconds=1), due))
    assert (before.unknown, after.unknown) == (None, "the bill reaches only until 2026-11-20")


def test_while_the_bill_is_late_open_alerts_are_unknown_and_what_is_broken_stays_broken() -> None:
    broken = only(BUDGET.evaluate(rule(), of_budget({THE_DAY: "101"}, COVERED), MORNING))
    late = of_budget({THE_DAY: "99"}, COVERED, alerts=[alert_of(broken)])
    judged = judge(late, [Bound.of(rule(), BUDGET)], at(NEXT + DAY * 10))
    assert [alert.state for alert in judged.alerts] == [AlertState.UNKNOWN]
    assert not judged.transitions
    month = of_budget({THE_DAY: "101"}, COVERED, budget=monthly())
    found = BUDGET.evaluate(rule(), month, at(NEXT + DAY * 5))
    assert found.unknown
    assert only(found).labels["period"] == "2026-11", "more than the limit is more, whatever else is to come"


def test_days_that_a_late_bill_brings_are_judged_each_and_stay_for_a_day() -> None:
    """The days from the 20th to the 24th came on the 25th at once."""
    days = {THE_DAY + DAY * index: amount for index, amount in enumerate(["101", "99", "103", "104", "100"])}
    told_at = at(date(2026, 11, 25), 9)
    snapshot = of_budget(days, midnight(date(2026, 11, 25)), told=dict.fromkeys(days, told_at))
    found = BUDGET.evaluate(rule(), snapshot, told_at)
    assert [each.labels["period"] for each in found.violations] == ["2026-11-20", "2026-11-22", "2026-11-23"]
    later = BUDGET.evaluate(rule(), snapshot, told_at + DAY)
    assert [each.labels["period"] for each in later.violations] == []


def test_what_was_over_before_the_budget_was_declared_alerts_nobody() -> None:
    days = {THE_DAY - DAY * index: "500" for index in range(30)}
    told = dict.fromkeys(days, MORNING)
    found = BUDGET.evaluate(rule(), of_budget(days, COVERED, told=told, declared_at=MORNING), MORNING)
    assert [each.labels["period"] for each in found.violations] == ["2026-11-19", "2026-11-20"]


def test_two_currencies_are_never_added() -> None:
    snapshot = of_budget({THE_DAY: "500"}, COVERED, problem="amounts in EUR and USD cannot be added")
    found = BUDGET.evaluate(rule(), snapshot, MORNING)
    assert (found.violations, found.unknown) == ((), "amounts in EUR and USD cannot be added")


def test_a_bill_that_is_late_missing_or_unusable_is_told() -> None:
    one = Rule("BudgetUnknown", "bill", BILL.Config())
    late = of_budget({}, midnight(THE_DAY))
    assert BILL.evaluate(one, late, at(NEXT, 47)).next_at == at(NEXT, 48)
    found = only(BILL.evaluate(one, late, at(NEXT, 48)))
    assert found.summary == "prod-daily cannot be judged: the bill of aws-main reaches only until 2026-11-20"
    assert found.since == at(NEXT, 48)
    never = of_budget({}, None, declared_at=at(THE_DAY))
    assert not BILL.evaluate(one, never, at(THE_DAY, 47)).violations
    assert only(BILL.evaluate(one, never, at(THE_DAY, 48))).summary == "prod-daily cannot be judged: no bill has come"
    mixed = of_budget({}, COVERED, problem="amounts in EUR and USD cannot be added")
    assert "EUR and USD" in only(BILL.evaluate(one, mixed, MORNING)).summary


# -- the due queue ------------------------------------------------------------------------------------------------


@st.composite
def _snapshots(draw: st.DrawFn) -> BudgetSnapshot:
    first = date(2026, 10, 25)
    amounts = st.sampled_from(["0", "79.99", "80.01", "100", "100.01", "250"])
    days = {first + DAY * draw(st.integers(0, 45)): draw(amounts) for _ in range(draw(st.integers(0, 20)))}
    reach = draw(st.integers(0, 40))
    covered = draw(st.sampled_from([None, at(first, 24.0 * reach), at(first, 24.0 * reach + 7)]))
    told = {
        first + DAY * index: at(first + DAY * (index + 1), draw(st.sampled_from([5, 5, 30, 200])))
        for index in range(reach if covered else 0)
    }
    of = budget(
        period=draw(st.sampled_from(BudgetPeriod)),
        thresholds=(Decimal("0.8"), Decimal(1)),
        late_after_s=draw(st.sampled_from([3600.0, 172_800.0, 100_000.0])),
        scope=CostScope(),
    )
    fired = [
        alert_of(each)
        for each in BUDGET.evaluate(rule(), of_budget(days, covered, budget=of), at(first, 600)).violations
    ]
    declared = at(first, draw(st.integers(0, 900)))
    problem = draw(st.sampled_from([None, None, None, "two currencies"]))
    alerts = fired if draw(st.booleans()) else []
    return of_budget(days, covered, budget=of, told=told, declared_at=declared, problem=problem, alerts=alerts)


@pytest.mark.parametrize("case", [(BUDGET, rule()), (BILL, Rule("BudgetUnknown", "bill", BILL.Config()))])
@given(_snapshots(), st.integers(0, 50 * 86_400), st.floats(0, 1, exclude_max=True))
@settings(max_examples=150, deadline=None)
def test_the_answer_is_the_same_until_the_moment_that_it_names(
    case: Any, snapshot: BudgetSnapshot, seconds: int, share: float
) -> None:
    kind, one = case
    now = at(date(2026, 10, 25)) + timedelta(seconds=seconds)
    first = kind.evaluate(one, snapshot, now)
    assert first.next_at is None or first.next_at > now
    end = first.next_at or now + timedelta(days=60)
    last = end - timedelta(microseconds=1)
    for moment in (min(now + (end - now) * share, last), last):
        later = kind.evaluate(one, snapshot, moment)
        assert later == first


def test_a_description_says_the_limit_and_the_shares() -> None:
    of = budget(thresholds=(Decimal("0.8"), Decimal(1)))
    assert BUDGET.describe(rule(), of_budget({}, None, budget=of)) == (
        "prod-daily: 100.00 USD per day, tag Environment=prod-data-pipeline may be spent; alerts above 80%, 100% of it."
    )
    assert BUDGET.describe(rule("80%", 1)) == "each matching budget: alerts above 80%, 100% of its limit."
    assert BUDGET.describe(rule()) and BILL.describe(rule()) and BILL.describe(rule(), of_budget({}, None))


@pytest.mark.parametrize("wrong", [0, -1, "x", True, "0%", "1e3"])
def test_a_threshold_that_is_no_share_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="share of a limit"):
        BudgetConfig.model_validate({"thresholds": [wrong]})
