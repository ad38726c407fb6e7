"""Bills that a running Watchtower brings by itself: new ones once, changed ones as versions, bad ones told and left."""

import os
from collections.abc import Callable, Generator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from alerting import meta
from tests import bills
from tests.app.house import running, until
from tests.bills import line
from watchtower.app.bills import Bills
from watchtower.app.own_alerts import OwnAlerts
from watchtower.clock import ManualClock
from watchtower.config import load_text
from watchtower.config.asked import feeds_of
from watchtower.model.alert import Alert
from watchtower.model.cost import Bill, CostGroup, CostMetric, CostScope, DaySum
from watchtower.store import alerts, costs
from watchtower.store.database import Database

NOW = datetime(2024, 9, 20, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def brought(database: Database, tmp_path: Path, clock: ManualClock) -> Generator[Bills]:
    made = Bills(database, tmp_path / "state", clock, "wt-test", OwnAlerts(database, clock, lambda labels: ()))
    yield made
    made.close()


@pytest.fixture
def look(brought: Bills, clock: ManualClock, tmp_path: Path) -> Callable[..., list[tuple[str, int]]]:
    """Look at the folder `exports`; what changed, as (period, version)."""

    def run(**more: str) -> list[tuple[str, int]]:
        options = "".join(f", {name}: {value}" for name, value in more.items())
        text = f"collectors: {{focus: {{sources: [{{name: aws, path: exports{options}}}]}}}}\n"
        (feed,) = feeds_of(load_text(text, tmp_path), clock)
        found = brought.look(feed, clock.now())
        return [(each.bill.bill.period, each.bill.version) for each in found if each.changed]

    (tmp_path / "exports").mkdir()
    return run


def put(tmp_path: Path, name: str, lines: list[dict[str, str]], age_h: float = 1) -> None:
    file = tmp_path / "exports" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(bills.text(lines))
    at = (NOW - timedelta(hours=age_h)).timestamp()
    os.utime(file, (at, at))


def total(database: Database) -> Decimal:
    with database.read() as connection:
        found = costs.day_costs(
            connection, CostScope(source="aws"), CostMetric.BILLED, date(2000, 1, 1), date(2100, 1, 1)
        )
    return sum((amount for _, _, amount, _ in found), Decimal(0))


def alerts_of(database: Database) -> list[Alert]:
    with database.read() as connection:
        return alerts.open_by_rule(connection, meta.BILL_MISSED)


Look = Callable[..., list[tuple[str, int]]]


def test_a_new_export_is_brought_once_and_a_changed_one_again(look: Look, database: Database, tmp_path: Path) -> None:
    put(tmp_path, "a/1.csv", [line(cost="1")], 3)
    put(tmp_path, "a/2.csv", [line(cost="2")], 3)
    assert (look(), total(database)) == ([("2024-09", 1)], 3)
    assert look() == []
    put(tmp_path, "a/2.csv", [line(cost="5")], 1)
    assert (look(), total(database)) == ([("2024-09", 2)], 6)
    assert look() == []


def test_an_older_delivery_beside_a_newer_one_does_not_come_back(
    look: Look, database: Database, tmp_path: Path
) -> None:
    put(tmp_path, "run-1/part.csv", [line(cost="1")], 30)
    put(tmp_path, "run-2/part.csv", [line(cost="2")], 20)
    look()
    assert (total(database), look(), total(database)) == (2, [], 2)
    put(tmp_path, "run-3/part.csv", [line(cost="3")], 10)
    assert (look(), look(), total(database)) == ([("2024-09", 3)], [], 3)


def test_a_bad_export_is_told_once_and_holds_nothing_up(
    look: Look, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "bad/1.csv", [line(cost="abc")], 3)
    put(tmp_path, "good/1.csv", [line(cost="7")], 2)
    assert (look(), total(database)) == ([("2024-09", 1)], 7)
    look()
    refusals = [record for record in caplog.records if record.message == "a bill was refused"]
    assert len(refusals) == 1
    assert "is no number: line 2 ('abc')" in str(refusals[0].__dict__["why"])


def test_a_folder_that_is_away_is_told_and_looked_at_again(
    look: Look, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "exports").rmdir()
    assert look() == []
    assert "is no folder that this process can read" in str(caplog.records[-1].__dict__["why"])


def test_a_refused_export_is_an_alert_until_it_is_mended(look: Look, database: Database, tmp_path: Path) -> None:
    put(tmp_path, "september/1.csv", [line(cost="abc"), line(cost="1", BillingCurrency="ZZZ")], 3)
    put(tmp_path, "october/1.csv", [line(cost="7")], 2)
    look()
    look()
    (told,) = alerts_of(database)
    assert told.labels["feed"] == "aws"
    assert told.annotations["summary"] == (
        "feed aws: the export september was refused: september/1.csv: BilledCost is no number: line 2 ('abc')"
    )
    assert "is no currency of ISO 4217: line 3 ('ZZZ')" in told.annotations["description"]
    put(tmp_path, "september/1.csv", [line(cost="8")], 1)
    look()
    assert (alerts_of(database), total(database)) == ([], 8)


def test_a_refused_export_that_was_taken_away_alerts_no_more(look: Look, database: Database, tmp_path: Path) -> None:
    put(tmp_path, "bad/1.csv", [line(cost="abc")])
    look()
    assert len(alerts_of(database)) == 1
    (tmp_path / "exports" / "bad" / "1.csv").unlink()
    look()
    assert alerts_of(database) == []


def test_a_place_that_is_away_is_an_alert_until_it_is_back(look: Look, database: Database, tmp_path: Path) -> None:
    (tmp_path / "exports").rmdir()
    look()
    (told,) = alerts_of(database)
    assert "feed aws: a bill could not be fetched: " in told.annotations["summary"]
    (tmp_path / "exports").mkdir()
    look()
    assert alerts_of(database) == []


def test_a_feed_that_was_taken_out_of_the_file_alerts_no_more(
    look: Look, brought: Bills, database: Database, tmp_path: Path
) -> None:
    put(tmp_path, "bad/1.csv", [line(cost="abc")])
    look()
    assert len(alerts_of(database)) == 1
    brought.watch([])
    assert alerts_of(database) == []


def test_tags_of_a_source_are_kept_and_no_others(look: Look, database: Database, tmp_path: Path) -> None:
    put(tmp_path, "1.csv", [line(Tags='{"team": "ml", "run": "r1"}')])
    look(tags="[team]")
    with database.read() as connection:
        scopes = [CostScope(tags={"team": "ml"}), CostScope(tags={"run": "r1"})]
        found = [
            costs.day_costs(connection, scope, CostMetric.BILLED, date(2024, 9, 1), date(2024, 10, 1))
            for scope in scopes
        ]
    assert [len(each) for each in found] == [1, 0]


class Answers:
    """A provider that is asked for days."""

    name, every_s = "aws", 3600.0

    def __init__(self) -> None:
        self.amount = "1"

    def bills(self, now: datetime) -> list[tuple[Bill, list[DaySum]]]:
        known = Bill(
            "aws", "2024-09", self.amount, 1, 2, ("USD",), NOW, NOW, (CostMetric.BILLED,)
        )  # fmt: skip
        amounts = {CostMetric.BILLED: Decimal(self.amount)}
        return [(known, [DaySum(date(2024, 9, 1), CostGroup("", "S3", {}), "USD", amounts, 1)])]


def test_daily_answers_replace_their_month(brought: Bills, database: Database) -> None:
    feed = Answers()
    assert [each.changed for each in brought.look(feed, NOW)] == [True]
    assert [each.changed for each in brought.look(feed, NOW)] == [False]
    feed.amount = "2.5"
    assert [each.bill.version for each in brought.look(feed, NOW)] == [2]
    assert total(database) == Decimal("2.5")


def test_a_running_watchtower_looks_by_itself(tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "1.csv").write_text(bills.text([line(cost="3.50")]))
    text = "collectors: {focus: {sources: [{name: aws, path: exports, every: 1s, settle: 0s}]}}\n"
    with running(tmp_path, text) as house:
        (known,) = until(lambda: house.get("/api/v1/bills")["items"] or None, "a bill in force")
    assert (known["source"], known["files"], known["rows"]) == ("aws", ["1.csv"], 1)


def test_a_running_watchtower_alerts_of_a_refused_bill_and_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "exports" / "1.csv"
    file.parent.mkdir()
    file.write_text(bills.text([line(cost="abc")]))
    text = "collectors: {focus: {sources: [{name: aws, path: exports, every: 1s, settle: 0s}]}}\n"
    with running(tmp_path, text) as house:
        (told,) = until(lambda: house.items("/api/v1/alerts?state=firing"), "the alert about the bill")
        assert (told["labels"]["alertname"], told["labels"]["feed"]) == ("WatchtowerBillMissed", "aws")
        file.write_text(bills.text([line(cost="3.50")]))
        until(lambda: not house.items("/api/v1/alerts?state=firing"), "its end")
