"""Costs and budgets over HTTP: unrounded decimal strings, by key, as known on a date; never of another team."""

from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.charges import Line, bring
from tests.rules.spending import budget, monthly
from tests.server.site import Site, running
from tests.server.test_api import NASTY, Judge
from watchtower.clock import ManualClock
from watchtower.model.access import Scope
from watchtower.model.cost import Money
from watchtower.store import budgets
from watchtower.store.database import Database

TODAY = datetime(2026, 11, 21, 6, tzinfo=UTC)
THE_DAY = date(2026, 11, 20)


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Generator[Site]:
    clock = ManualClock(TODAY)
    declared = (budget(team="ml"), monthly(limit=Money(Decimal("1000.50"), "USD"), description="all of it"))
    database.write(lambda connection: budgets.declare(connection, declared, TODAY))
    bring(database, [Line(THE_DAY, "1")], TODAY - timedelta(hours=9), covered_until=datetime(2026, 11, 20, tzinfo=UTC))
    some = [
        Line(THE_DAY, "100.010000000000000000000000000001"),
        Line(THE_DAY, "7.5", {"Team": "web"}, service="AmazonEC2"),
        Line(date(2026, 11, 21), "3", provisional=True),
    ]
    bring(database, some, TODAY, covered_until=datetime(2026, 11, 21, tzinfo=UTC))
    with running(database, tmp_path, clock) as site:
        yield site


def ask(site: Site, **query: Any) -> Any:
    asked = {name.rstrip("_"): value for name, value in query.items()}
    answer = site.get(f"/api/v1/costs?{urlencode(asked, doseq=True)}")
    Judge(site).check("GET", "/api/v1/costs", answer)
    return answer.json()


def test_the_last_two_weeks_by_day_to_the_last_digit(site: Site) -> None:
    found = ask(site)
    assert (found["from"], found["to"], found["metric"]) == ("2026-11-07", "2026-11-22", "billed")
    assert [(item["day"], item["cost"], item["provisional"]) for item in found["items"]] == [
        ("2026-11-20", {"amount": "107.510000000000000000000000000001", "currency": "USD"}, False),
        ("2026-11-21", {"amount": "3", "currency": "USD"}, True),
    ]
    assert found["bill"] == {
        "covered_until": "2026-11-21T00:00:00Z",
        "loaded_at": "2026-11-21T06:00:00Z",
        "sources": ["aws-main"],
        "problem": None,
    }


def test_costs_by_key_scope_and_moment(site: Site) -> None:
    by_tag = ask(site, by=["tag:Team", "service"])["items"]
    assert [(item["tags"], item["service"], item["cost"]["amount"]) for item in by_tag] == [
        ({"Team": None}, "AmazonS3", "103.010000000000000000000000000001"),
        ({"Team": "web"}, "AmazonEC2", "7.5"),
    ]
    (web,) = ask(site, tag="Team=web", from_="2026-11-20", to="2026-11-21")["items"]
    assert web["cost"]["amount"] == "7.5"
    (then,) = ask(site, as_of="2026-11-20T22:00:00Z")["items"]
    assert then["cost"]["amount"] == "1"
    assert ask(site, metric="effective")["items"] == []


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"by": "region"}, "cannot be grouped by 'region'"),
        ({"by": ["day", "service", "account", "source", "tag:x"]}, "at most 4 keys"),
        ({"tag": "Team"}, "not of the form NAME=VALUE"),
        ({"from_": "2026-11-21", "to": "2026-11-21"}, "to is exclusive"),
        ({"from_": "2020-01-01"}, "1 to 800 days"),
        ({"metric": "net"}, "known: billed, effective, list"),
        ({"as_of": "2026-11-20T22:00:00"}, "no time zone"),
    ],
)
def test_what_cannot_be_answered_is_said(site: Site, query: dict[str, Any], says: str) -> None:
    assert says in ask(site, **query)["detail"]


def test_no_query_makes_a_fault_of_ours(site: Site) -> None:
    judge = Judge(site)
    for path in ("/api/v1/costs", "/api/v1/budgets"):
        for parameter in judge.document["paths"][path]["get"]["parameters"]:
            for value in [*NASTY, "tag:\0", "tag:", "x=\0", "0001-01-01", "9999-12-31", "9999-12-31T23:59:59Z"]:
                query = urlencode({parameter["name"]: value.encode("utf-8", "surrogatepass")})
                answer = site.get(f"{path}?{query}")
                assert answer.status in (200, 400), f"{path}?{parameter['name']}={value!r}: {answer.body!r}"


def test_budgets_say_what_is_spent_of_what(site: Site) -> None:
    answer = site.get("/api/v1/budgets")
    Judge(site).check("GET", "/api/v1/budgets", answer)
    daily, month = answer.json()["items"]
    assert (daily["name"], daily["state"], daily["limit"]) == (
        "prod-daily",
        "over",
        {"amount": "100", "currency": "USD"},
    )
    assert [(each["period"], each["spent"]["amount"], each["share"]) for each in daily["over"]] == [
        ("2026-11-20", "100.010000000000000000000000000001", "1.0001")
    ]
    assert daily["current"] == {
        "period": "2026-11-21",
        "from": "2026-11-21",
        "to": "2026-11-22",
        "spent": {"amount": "3", "currency": "USD"},
        "share": "0.0300",
        "complete": False,
        "provisional": True,
    }
    assert (month["state"], month["description"], month["current"]["period"]) == ("ok", "all of it", "2026-11")
    assert month["bill"]["covered_until"] == "2026-11-21T00:00:00Z"
    assert [item["name"] for item in site.get("/api/v1/budgets?state=over&state=unknown").json()["items"]] == [
        "prod-daily"
    ]
    assert [item["name"] for item in site.get("/api/v1/budgets?name=prod-monthly").json()["items"]] == ["prod-monthly"]


def test_a_team_sees_its_own_budgets_and_no_bills(site: Site) -> None:
    token = site.new_token([Scope.READ], team="ml")
    assert [item["name"] for item in site.get("/api/v1/budgets", token).json()["items"]] == ["prod-daily"]
    assert site.get("/api/v1/costs", token).status == 403
    assert site.get("/api/v1/budgets", site.new_token([Scope.READ], team="other")).json() == {"items": []}


def test_the_page_now_shows_budgets_the_worst_first_and_only_those_of_the_team(site: Site) -> None:
    page = site.get("/").body.decode()
    assert page.index("prod-daily") < page.index("prod-monthly")
    for said in (
        "Budgets",
        "100.01 USD",
        "on 2026-11-20",
        "on 2026-11-21 so far, provisional",
        "1,000.50 USD per month",
    ):
        assert said in page
    other = site.get("/", site.new_token([Scope.READ], team="other")).body.decode()
    assert "Budgets" not in other
