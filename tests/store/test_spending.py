"""Reports of costs are exact, by key and as known at a moment; budgets are judged by the bills in force."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from rules.engine import Engine
from tests.charges import PROD, Line, bring
from tests.rules.memory import OneReceiver
from tests.rules.spending import THE_DAY, at, budget, monthly
from tests.rules.spending import rule as budget_rule
from tests.rules.test_docs import KINDS
from watchtower.clock import ManualClock
from watchtower.errors import BadInput
from watchtower.model.alert import AlertState
from watchtower.model.cost import CostMetric, CostScope, Money
from watchtower.model.spending import DAY, BudgetState, midnight
from watchtower.store import alerts, budgets, due
from watchtower.store.database import Database
from watchtower.store.reading.budgets import budget_status, snapshots
from watchtower.store.reading.costs import Line as CostLine
from watchtower.store.reading.costs import Question, lines
from watchtower.store.subjects import Subjects

NEXT = THE_DAY + DAY
MORNING = at(NEXT, 6)


def ask(database: Database, *by: str, **said: Any) -> list[CostLine]:
    with database.read() as connection:
        return lines(connection, Question(date(2026, 10, 1), date(2026, 12, 1), by, **said))


def shown(found: list[CostLine]) -> list[tuple[Any, ...]]:
    return [(*each.keys, f"{each.amount:f} {each.currency}") for each in found]


def test_costs_are_grouped_by_what_is_asked_for_and_no_currency_is_added_to_another(database: Database) -> None:
    some = [
        Line(THE_DAY, "1.5", {"Team": "ml"}),
        Line(THE_DAY, "2.25", {"Team": "ml"}, service="AmazonEC2"),
        Line(THE_DAY, "4", {}, service="AmazonEC2", account="9"),
        Line(NEXT, "8", {"Team": "data"}, currency="EUR", provisional=True),
        Line(NEXT, "100", metric=CostMetric.EFFECTIVE),
    ]
    bring(database, some, MORNING)
    assert shown(ask(database)) == [("8 EUR",), ("7.75 USD",)]
    assert shown(ask(database, "service")) == [
        ("AmazonEC2", "6.25 USD"),
        ("AmazonS3", "8 EUR"),
        ("AmazonS3", "1.5 USD"),
    ]
    assert shown(ask(database, "tag:Team")) == [(None, "4 USD"), ("data", "8 EUR"), ("ml", "3.75 USD")]
    assert shown(ask(database, "day", "account")) == [
        ("2026-11-20", "111122223333", "3.75 USD"),
        ("2026-11-20", "9", "4 USD"),
        ("2026-11-21", "111122223333", "8 EUR"),
    ]
    assert [each.provisional for each in ask(database, "day")] == [False, True]
    assert shown(ask(database, "source", metric=CostMetric.EFFECTIVE)) == [("aws-main", "100 USD")]


@pytest.mark.parametrize(
    ("scope", "amount"),
    [
        (CostScope(), "31"),
        (CostScope(PROD), "7"),
        (CostScope({**PROD, "Team": "ml"}), "4"),
        (CostScope({"Team": "ml"}), "12"),
        (CostScope(service="AmazonEC2"), "8"),
        (CostScope(account="9"), "16"),
        (CostScope(PROD, service="AmazonEC2"), None),
        (CostScope({'a"b.c$': "it's quoted"}), "16"),
        (CostScope({"environment": "prod-data-pipeline"}), None),
        (CostScope(source="other"), None),
    ],
)
def test_a_scope_is_met_letter_by_letter(database: Database, scope: CostScope, amount: str | None) -> None:
    some = [
        Line(THE_DAY, "1"),
        Line(THE_DAY, "2", {**PROD, "Team": "data"}),
        Line(THE_DAY, "4", {**PROD, "Team": "ml"}),
        Line(THE_DAY, "8", {"Team": "ml"}, service="AmazonEC2"),
        Line(THE_DAY, "16", {'a"b.c$': "it's quoted"}, account="9"),
    ]
    bring(database, some, MORNING)
    assert shown(ask(database, scope=scope)) == ([(f"{amount} USD",)] if amount else [])


def test_sums_are_exact_where_floats_and_64_bits_are_not(database: Database) -> None:
    some = [
        *(Line(THE_DAY, "0.999999999999999999999999999999999999", {"n": f"{n}"}) for n in range(20)),
        *(Line(THE_DAY, "0.1", {"tenth": f"{n}"}) for n in range(10)),
        Line(THE_DAY, "9000000000000000000"),
        Line(THE_DAY, "-0.000000000000000000000000000000000001", {"credit": "1"}),
    ]
    bring(database, some, MORNING)
    assert shown(ask(database)) == [("9000000000000000020.999999999999999999999999999999999979 USD",)]


def test_what_was_known_at_a_moment_is_told_by_the_versions_of_then(database: Database) -> None:
    bring(database, [Line(THE_DAY - DAY, "10"), Line(THE_DAY, "20")], MORNING)
    bring(database, [Line(THE_DAY, "25")], MORNING + DAY)
    known = [shown(ask(database, "day", as_of=moment)) for moment in (MORNING - DAY, MORNING, MORNING + DAY)]
    assert known == [[], [("2026-11-19", "10 USD"), ("2026-11-20", "20 USD")], [("2026-11-20", "25 USD")]]
    assert shown(ask(database, "day")) == [("2026-11-20", "25 USD")]


def test_an_unknown_key_is_named(database: Database) -> None:
    with pytest.raises(BadInput, match="'region'; known: day, service, account, source, tag:NAME"):
        ask(database, "region")


# -- budgets ------------------------------------------------------------------------------------------------------


def statuses(database: Database, now: datetime = MORNING, **said: Any) -> Mapping[str, Any]:
    with database.read() as connection:
        return {each.budget.name: each for each in budget_status(connection, now, **said)}


def declare(database: Database, *declared: Any, now: datetime = MORNING) -> None:
    database.write(lambda connection: budgets.declare(connection, declared, now))


def test_a_budget_is_judged_by_the_bill_in_force(database: Database) -> None:
    declare(database, budget(), monthly(limit=Money(Decimal(1000), "USD")))
    assert {each.state for each in statuses(database).values()} == {BudgetState.WAITING}
    bring(database, [Line(THE_DAY - DAY, "10"), Line(THE_DAY, "100.01"), Line(THE_DAY, "50", {})], MORNING)
    found = statuses(database)
    daily, month = found["prod-daily"], found["prod-monthly"]
    assert (daily.state, daily.shown.amount, daily.share) == (BudgetState.OVER, Decimal("100.01"), Decimal("1.0001"))
    assert (month.state, month.shown.amount, month.shown.complete) == (BudgetState.OK, Decimal("110.01"), False)
    assert daily.bill.covered_until == midnight(NEXT)
    late = statuses(database, at(NEXT + DAY, 48))
    assert (late["prod-monthly"].state, late["prod-monthly"].late_since) == (BudgetState.UNKNOWN, at(NEXT + DAY, 48))


def test_another_currency_than_that_of_the_limit_is_a_problem_and_no_amount(database: Database) -> None:
    declare(database, budget(limit=Money(Decimal(100), "EUR")))
    bring(database, [Line(THE_DAY, "500")], MORNING)
    one = statuses(database)["prod-daily"]
    assert (one.state, one.shown.amount) == (BudgetState.UNKNOWN, 0)
    assert one.bill.problem == "the bill is in USD and the limit in EUR, which are never converted"


def test_a_day_is_told_of_when_its_bill_first_reached_its_end(database: Database) -> None:
    declare(database, budget())
    bring(database, [Line(THE_DAY - DAY, "1")], at(THE_DAY, 6))
    bring(database, [Line(THE_DAY - DAY, "1"), Line(THE_DAY, "2")], MORNING)
    with database.read() as connection:
        (found,) = snapshots(connection)
    assert {day: told for day, told in found.told.items() if day >= THE_DAY - DAY} == {
        THE_DAY - DAY: at(THE_DAY, 6),
        THE_DAY: MORNING,
    }


def test_what_the_configuration_no_longer_names_is_gone_with_its_alerts(database: Database) -> None:
    clock = ManualClock(MORNING)
    store = Subjects(database, "test")
    engine = Engine(store, OneReceiver(), clock, lambda: (budget_rule(),), KINDS)
    declare(database, budget(), monthly(team="ml"))
    bring(database, [Line(THE_DAY, "100.01")], MORNING)
    while engine.step():
        pass
    with database.read() as connection:
        fired = alerts.list_alerts(connection, states=[AlertState.FIRING])
    assert sorted(each.alert.labels["budget"] for each in fired) == ["prod-daily", "prod-monthly"]
    declare(database, monthly(team="ml"), now=MORNING + DAY)
    with database.read() as connection:
        ended = alerts.list_alerts(connection, states=[AlertState.RESOLVED])
        (known,) = budgets.by_name(connection).values()
        planned = due.peek(connection, due.RULES, MORNING + timedelta(days=9), 10)
    assert [(each.alert.labels["budget"], each.alert.evidence["resolution"]) for each in ended] == [
        ("prod-daily", {"reason": "the budget was removed"})
    ]
    assert (known.budget.name, known.declared_at, known.team) == ("prod-monthly", MORNING, "ml")
    assert [row.subject for row in planned] == ["budget:prod-monthly"]
    assert list(statuses(database, team="other")) == []
