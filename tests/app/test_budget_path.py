"""A cent too much, from the bill to the message: told once over polls and restarts, never called well when late."""

from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import House, running
from tests.charges import Line, bring
from tests.collectors.billing.aws import moto, seed_costs
from tests.simulators.webhook import WebhookSimulator
from watchtower.clock import ManualClock
from watchtower.model.spending import DAY, midnight

EXAMPLE = (Path(__file__).parents[2] / "examples" / "cost_explorer_budget.yaml").read_text(encoding="utf-8")
TODAY = date(2026, 11, 21)
YESTERDAY = TODAY - DAY
MORNING = datetime(2026, 11, 21, 6, tzinfo=UTC)


class Finops:
    """The example's own configuration, a store, a clock that is moved by hand, and who is told."""

    def __init__(self, folder: Path, store: str, hook: WebhookSimulator) -> None:
        self.folder, self.hook, self.clock = folder, hook, ManualClock(MORNING)
        text = EXAMPLE.replace("http://10.20.0.7:9000/hook", hook.url).replace("10.20.0.0/16", "127.0.0.0/8")
        self.text = f"store: {store!r}\n{text}"

    def __enter__(self) -> House:
        """Start, as after each restart."""
        self._running = running(self.folder, self.text, clock=self.clock, live=False)
        self.house = self._running.__enter__()
        self.house.instance.outbox.reconfigure(self.house.instance.parts.pipeline, self.house.instance.parts.channels)
        self.settle()
        return self.house

    def __exit__(self, *told: Any) -> None:
        self._running.__exit__(None, None, None)

    def poll(self, *lines: Line, hours: float = 0) -> None:
        """The bill as it stands so many hours later: whole days up to midnight, and the day that has begun."""
        self.wait(hours)
        now = self.clock.now()
        bring(self.house.instance.database, lines, now, covered_until=midnight(now.date()))
        self.settle()

    def wait(self, hours: float) -> None:
        """Let time pass, doing what becomes due."""
        end = self.clock.now() + timedelta(hours=hours)
        while (following := self.house.instance.next_due()) is not None and following <= end:
            self.clock.set(max(following, self.clock.now()))
            self.settle()
        self.clock.set(end)
        self.settle()

    def settle(self) -> None:
        while self.house.instance.step():
            pass

    @property
    def told(self) -> list[tuple[str, str]]:
        """(status, summary) of each alert of each message, in order."""
        return [
            (alert["status"], alert["annotations"]["summary"])
            for request in self.hook.requests
            for alert in request.json["alerts"]
        ]


@pytest.fixture
def finops(database_url: str, tmp_path: Path) -> Generator[Finops]:
    with WebhookSimulator(MORNING) as hook:
        yield Finops(tmp_path, database_url, hook)


WORDS = "prod-daily: 100.01 USD on 2026-11-20 (limit 100.00 USD per day, tag Environment=prod-data-pipeline)"


@pytest.mark.parametrize(("amount", "told"), [("99.99", []), ("100.00", []), ("100.01", [("firing", WORDS)])])
def test_only_a_cent_too_much_is_told(finops: Finops, amount: str, told: list[tuple[str, str]]) -> None:
    """The end of a day is exclusive: what today cost so far is no part of yesterday."""
    with finops as house:
        finops.poll(
            Line(YESTERDAY, amount),
            Line(TODAY, "99.00", provisional=True),
            Line(YESTERDAY, "9999", {"Environment": "test"}),
        )
        assert finops.told == told
        labels = [item["labels"] for item in house.items("/api/v1/alerts")]
        assert [(each["budget"], each["period"], each["severity"], each["owner"]) for each in labels] == (
            [("prod-daily", "2026-11-20", "page", "finops-lead")] if told else []
        )


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """A real moto server, and credentials that it does not look at."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with moto() as url:
        yield url


@pytest.mark.parametrize(("amount", "told"), [("99.99", []), ("100.00", []), ("100.01", [("firing", WORDS)])])
def test_yesterday_as_cost_explorer_tells_it(
    finops: Finops, aws: str, amount: str, told: list[tuple[str, str]]
) -> None:
    """The example's own collector asks a Cost Explorer: each answer again, then after a restart, tells nothing new."""
    finops.text = finops.text.replace("every: 8h}", f"every: 8h, days: 20, endpoint_url: {aws!r}}}")
    page = {
        "ResultsByTime": [
            _day(YESTERDAY, ("Environment$prod-data-pipeline", amount), ("Environment$test", "9999")),
            _day(TODAY, ("Environment$prod-data-pipeline", "99.00"), estimated=True),
        ],
        "DimensionValueAttributes": [],
    }
    for _ in range(2):
        with finops as house:
            for _ in range(2):
                seed_costs(aws, [page])
                for feed in house.instance.parts.feeds:
                    house.instance.bills.look(feed, finops.clock.now())
                finops.wait(0.5)
    assert finops.told == told


def _day(day: date, *groups: tuple[str, str], estimated: bool = False) -> dict[str, Any]:
    """As GetCostAndUsage answers: the end is exclusive."""
    found = [
        {"Keys": [key, "Amazon Redshift"], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": "USD"}}}
        for key, amount in groups
    ]
    period = {"Start": f"{day}", "End": f"{day + DAY}"}
    return {"TimePeriod": period, "Total": {}, "Groups": found, "Estimated": estimated}


def test_it_is_told_once_over_polls_restatements_and_restarts(finops: Finops) -> None:
    some = [Line(YESTERDAY, "100.01"), Line(TODAY, "1", provisional=True)]
    with finops:
        finops.poll(*some)
        finops.poll(*some, hours=1)
    with finops:
        finops.poll(Line(YESTERDAY, "100.01"), Line(TODAY, "7", provisional=True), hours=1)
        finops.poll(Line(YESTERDAY, "100.02"), Line(TODAY, "7", provisional=True), hours=0.5)
    with finops as house:
        finops.wait(0.5)
        assert finops.told == [("firing", WORDS)]
        [alert] = house.items("/api/v1/alerts")
        assert "100.02 USD" in alert["annotations"]["summary"], "what is shown follows the bill"


def test_each_day_is_told_of_once_and_a_restatement_below_the_limit_is_all_clear(finops: Finops) -> None:
    with finops:
        finops.poll(Line(YESTERDAY, "100.01"))
        tomorrow = [Line(YESTERDAY, "100.01"), Line(TODAY, "150")]
        finops.poll(*tomorrow, hours=24)
        finops.poll(*tomorrow, hours=1)
        new = [words for status, words in finops.told if status == "firing" and "on 2026-11-21" in words]
        assert new == [WORDS.replace("100.01", "150.00").replace("2026-11-20", "2026-11-21")]
        finops.poll(Line(YESTERDAY, "99"), Line(TODAY, "99"), hours=1)
        assert {status for status, _ in finops.told[-2:]} == {"resolved"}


def test_a_late_bill_is_told_and_is_no_all_clear(finops: Finops) -> None:
    with finops as house:
        finops.poll(Line(YESTERDAY, "100.01"))
        finops.wait(72 + 1)
        found = {item["labels"]["alertname"]: item for item in house.items("/api/v1/alerts")}
        assert found["BudgetExceeded"]["state"] == "firing", "no day has come that could end it"
        assert found["BudgetUnknown"]["state"] == "firing"
        assert found["BudgetUnknown"]["annotations"]["summary"] == (
            "prod-daily cannot be judged: the bill of aws-main reaches only until 2026-11-21"
        )
        assert not any(status == "resolved" for status, _ in finops.told)
        [budget] = house.items("/api/v1/budgets")
        assert (budget["state"], budget["late_since"]) == ("over", "2026-11-24T00:00:00Z")


def test_a_budget_that_is_taken_out_ends_and_one_that_is_raised_is_judged_anew(finops: Finops) -> None:
    with finops as house:
        finops.poll(Line(YESTERDAY, "100.01"))
        house.rewrite(finops.text.replace('"100.00"', '"200.00"'))
        house.instance.reload()
        finops.wait(1)
        assert [status for status, _ in finops.told] == ["firing", "resolved"]
        house.rewrite(finops.text)
        house.instance.reload()
        finops.wait(1)
        assert [status for status, _ in finops.told] == ["firing", "resolved", "firing"]
        house.rewrite(finops.text.partition("budgets:")[0] + "route:" + finops.text.partition("route:")[2])
        house.instance.reload()
        finops.wait(1)
        assert [status for status, _ in finops.told][3:] == ["resolved"]
        assert house.items("/api/v1/budgets") == []
