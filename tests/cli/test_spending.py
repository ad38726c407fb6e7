"""`costs` and `budgets` against a running Watchtower: tables for people, exact numbers for programs."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.app.house import House, running
from tests.charges import PROD, Line, bring
from tests.cli.terminal import Watchtower
from watchtower.clock import ManualClock, SystemClock
from watchtower.model.spending import DAY, midnight

BUDGETS = """
budgets:
  - {name: prod-daily, scope: {tag: {Environment: prod-data-pipeline}}, period: day,
     limit: {amount: "100", currency: USD}, thresholds: [1]}
  - {name: everything, limit: {amount: "1000000", currency: USD}}
"""
NOW = SystemClock().now()  # commands have the machine's clock: "the last days" are those before now
TODAY = NOW.date()
YESTERDAY = TODAY - DAY


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Generator[House]:
    folder = tmp_path_factory.mktemp("spending")
    with running(folder, BUDGETS, clock=ManualClock(NOW)) as found:
        some = [
            Line(YESTERDAY, "100.010000000000000000000000000001"),
            Line(YESTERDAY, "7.5", {"Team": "web"}, service="AmazonEC2"),
            Line(YESTERDAY - DAY, "4", {**PROD, "Team": "=SUM(A1)"}),
        ]
        bring(found.instance.database, some, NOW, covered_until=midnight(TODAY))
        yield found


@pytest.fixture(autouse=True)
def here(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHTOWER_STATE", str(house.instance.state.path))
    monkeypatch.setenv("WATCHTOWER_CONFIG", str(house.config))


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_days_go_down_and_what_was_asked_for_across(watchtower: Watchtower) -> None:
    shown = watchtower("costs", "--by", "service", "--days", 3, terminal=True)
    assert shown.code == 0
    assert lines(shown.out) == [
        ["day", "(USD)", "AmazonS3", "AmazonEC2", "total"],
        [f"{YESTERDAY - DAY}", "4.00", "–", "4.00"],
        [f"{YESTERDAY}", "100.01", "7.50", "107.51"],
        ["total", "104.01", "7.50", "111.51"],
        ["the", "bills", "of", "aws-main", "reach", "until", f"{TODAY}"],
    ]


def test_csv_is_exact_and_runs_nothing(watchtower: Watchtower) -> None:
    found = watchtower("costs", "--by", "tag:Team", "--days", 3, "--output", "csv")
    assert found.out.splitlines() == [
        "day,currency,none,web,'=SUM(A1),total",
        f"{YESTERDAY - DAY},USD,,,4,4",
        f"{YESTERDAY},USD,100.010000000000000000000000000001,7.5,,107.510000000000000000000000000001",
        "total,USD,100.010000000000000000000000000001,7.5,4,111.510000000000000000000000000001",
    ]
    long = watchtower("costs", "--by", "service", "--by", "tag:Team", "--days", 3, "-o", "csv").out.splitlines()
    assert long[:2] == ["day,service,tag:Team,amount,currency", f"{YESTERDAY - DAY},AmazonS3,'=SUM(A1),4,USD"]


def test_json_is_what_the_api_says(watchtower: Watchtower, house: House) -> None:
    found = json.loads(watchtower("costs", "--tag", "Team=web", "--from", YESTERDAY, "--to", TODAY).out)
    assert [(item["day"], item["cost"]["amount"]) for item in found] == [(f"{YESTERDAY}", "7.5")]
    assert json.loads(watchtower("budgets").out) == house.items("/api/v1/budgets")


def test_a_table_of_one_or_many_keys(watchtower: Watchtower) -> None:
    assert lines(watchtower("costs", terminal=True).out)[0] == ["day", "(USD)", "cost", "total"]
    many = lines(watchtower("costs", "--by", "service", "--by", "account", terminal=True).out)
    assert many[0] == ["day", "service", "account", "cost"]
    assert watchtower("costs", "--tag", "Team=nobody", terminal=True).said.startswith("no charges in these days")


def test_budgets_say_what_is_over_and_end_with_1(watchtower: Watchtower) -> None:
    shown = watchtower("budgets", terminal=True)
    assert shown.code == 1
    head, everything, daily = lines(shown.out)
    assert head[:5] == ["name", "state", "spent", "limit", "share"]
    assert everything[:5] == ["everything", "ok", "111.51", "USD", "1,000,000.00"]
    assert daily[:6] == ["prod-daily", "over", "100.01", "USD", "100.00", "USD"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "yesterday"], "write a day as 2026-11-01"),
        (["--by", "region"], "cannot be grouped by 'region'"),
        (["--tag", "Team"], "not of the form NAME=VALUE"),
    ],
)
def test_a_wrong_question_is_answered_with_the_remedy(
    watchtower: Watchtower, arguments: list[str], says: str, tmp_path: Path
) -> None:
    found = watchtower("costs", *arguments)
    assert (found.code, says in found.said) == (2, True), found.said
