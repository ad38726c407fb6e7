"""Daily costs as Cost Explorer answers: by whole months, exact, provisional while it estimates."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from collectors.aws.client import client
from collectors.billing import cost_explorer
from collectors.billing.cost_explorer import CostExplorer, CostExplorerConfig, CostExplorerSource, month_bill
from tests.collectors.billing.aws import seed_costs
from watchtower.clock import ManualClock
from watchtower.errors import DeliveryError, Permanent, Reason, Transient
from watchtower.model.cost import CostGroup, CostMetric
from watchtower.outbound import Outbound, parse_networks
from watchtower.ports import BillContext, QueryFeed

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
CLOCK = ManualClock(NOW)
CHECK = Outbound(CLOCK, parse_networks(["127.0.0.0/8"])).check


def source(**more: Any) -> CostExplorerSource:
    return CostExplorerSource.model_validate({"name": "aws-main", "tag": "Environment", **more})


def day(
    at: str, *groups: tuple[list[str], str], estimated: bool = False, unit: str = "USD", **more: Any
) -> dict[str, Any]:
    following = date.fromordinal(date.fromisoformat(at).toordinal() + 1)
    return {
        "TimePeriod": {"Start": at, "End": f"{following}"},
        "Total": {},
        "Groups": [
            {"Keys": keys, "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": unit}}} for keys, amount in groups
        ],
        "Estimated": estimated,
        **more,
    }


def october(*results: dict[str, Any], now: datetime = NOW, **more: Any) -> Any:
    return month_bill(source(**more), date(2026, 10, 1), results, now)


def test_groups_are_tags_and_services_and_an_empty_value_is_untagged() -> None:
    bill, sums = october(
        day(
            "2026-10-01",
            (["Environment$prod-data-pipeline", "Amazon EC2"], "100.0100000000"),
            (["Environment$", "Amazon EC2"], "0.0000000001"),
        )
    )
    assert [(each.group, each.amounts[CostMetric.BILLED]) for each in sums] == [
        (CostGroup("", "Amazon EC2", {}), Decimal("0.0000000001")),
        (CostGroup("", "Amazon EC2", {"Environment": "prod-data-pipeline"}), Decimal("100.01")),
    ]
    assert (bill.scale, bill.currencies, bill.metrics) == (10, ("USD",), (CostMetric.BILLED,))


def test_an_estimated_day_is_provisional_and_the_bill_is_not_final() -> None:
    bill, sums = october(
        day("2026-10-18", (["Environment$a", "S3"], "1")),
        day("2026-10-19", (["Environment$a", "S3"], "2"), estimated=True),
    )
    assert [each.provisional for each in sums] == [False, True]
    assert (bill.final, bill.covered_until) == (False, datetime(2026, 10, 20, tzinfo=UTC))


def test_today_is_told_only_until_now() -> None:
    bill, _ = october(day("2026-10-20", (["Environment$a", "S3"], "1"), estimated=True))
    assert bill.covered_until == NOW


def test_a_closed_month_is_final_and_told_to_its_end() -> None:
    bill, _ = october(day("2026-10-05", (["Environment$a", "S3"], "1")), now=datetime(2026, 11, 9, tzinfo=UTC))
    assert (bill.final, bill.covered_until) == (True, datetime(2026, 11, 1, tzinfo=UTC))


def test_a_day_over_several_pages_is_one_day() -> None:
    _, sums = october(
        day("2026-10-01", (["Environment$a", "S3"], "1.10")),
        day("2026-10-01", (["Environment$a", "S3"], "2.20"), (["Environment$b", "S3"], "1E-7")),
    )
    assert [each.amounts[CostMetric.BILLED] for each in sums] == [Decimal("3.30"), Decimal("1E-7")]


def test_the_same_answer_has_the_same_digest_and_another_grouping_has_not() -> None:
    one = day("2026-10-01", (["Environment$a", "S3"], "1.10"))
    other = day("2026-10-01", (["Environment$a", "S3"], "1.1000"))
    assert october(one)[0].digest == october(other)[0].digest
    assert october(one)[0].digest != october(day("2026-10-01", (["Environment$a", "S3"], "1.11")))[0].digest
    assert october(one)[0].digest != october(one, by=None)[0].digest


@pytest.mark.parametrize(("amount", "unit"), [("much", "USD"), ("NaN", "USD"), ("1", "Credits"), ("1e-40", "USD")])
def test_an_answer_that_is_no_money_is_refused(amount: str, unit: str) -> None:
    with pytest.raises(Permanent):
        october(day("2026-10-01", (["Environment$a", "S3"], amount), unit=unit))


def test_nothing_in_no_currency_is_nothing() -> None:
    assert october(day("2026-10-01", (["Environment$a", "S3"], "0"), unit="N/A"))[1] == []


def test_without_groups_the_total_counts() -> None:
    total = {"UnblendedCost": {"Amount": "5", "Unit": "USD"}}
    (_, sums) = october(day("2026-10-01", Total=total), tag=None, by=None)
    assert [(each.group, each.amounts[CostMetric.BILLED]) for each in sums] == [(CostGroup("", "", {}), 5)]


def _always(made: Any) -> Any:
    def client_of(*_: object) -> Any:
        return made

    return client_of


def asking(url: str, **more: Any) -> QueryFeed:
    given = {"name": "aws-main", "tag": "Environment", "endpoint_url": url, **more}
    (made,) = CostExplorer(CostExplorerConfig.model_validate({"sources": [given]})).feeds(
        BillContext(CLOCK, CHECK, Path())
    )
    return made  # type: ignore[return-value]


def test_whole_months_come_from_a_real_server_over_all_its_pages(aws: str) -> None:
    page: dict[str, Any] = {"DimensionValueAttributes": [], "GroupDefinitions": []}
    results = [
        day("2026-09-30", (["Environment$prod-data-pipeline", "S3"], "99.99")),
        day("2026-10-01", (["Environment$prod-data-pipeline", "S3"], "100.01"), estimated=True),
    ]
    seed_costs(
        aws,
        [
            {**page, "ResultsByTime": results[:1], "NextPageToken": "more"},
            {**page, "ResultsByTime": results[1:]},
        ],
    )
    found = asking(aws).bills(NOW)
    assert [(bill.period, [each.amounts[CostMetric.BILLED] for each in sums]) for bill, sums in found] == [
        ("2026-09", [Decimal("99.99")]),
        ("2026-10", [Decimal("100.01")]),
    ]


def test_the_question_names_whole_months_groups_metrics_and_the_next_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the SDK's own model of the service, which refuses a question that it does not know."""
    made = client("ce", source(endpoint_url="http://127.0.0.1:9"), CHECK)
    question = {
        "TimePeriod": {"Start": "2026-09-01", "End": "2026-10-21"},
        "Granularity": "DAILY",
        "Metrics": ["NetUnblendedCost", "AmortizedCost"],
        "GroupBy": [{"Type": "TAG", "Key": "Environment"}, {"Type": "DIMENSION", "Key": "LINKED_ACCOUNT"}],
    }
    with Stubber(made) as stub:
        stub.add_response("get_cost_and_usage", {"ResultsByTime": [], "NextPageToken": "2"}, question)
        stub.add_response("get_cost_and_usage", {"ResultsByTime": []}, {**question, "NextPageToken": "2"})
        monkeypatch.setattr(cost_explorer, "client", _always(made))
        feed = asking("http://127.0.0.1:9", billed="NetUnblendedCost", effective="AmortizedCost", by="account")
        assert [bill.period for bill, _ in feed.bills(NOW)] == ["2026-09", "2026-10"]
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "status", "kind", "reason"),
    [
        ("ThrottlingException", 400, Transient, Reason.RATE_LIMITED),
        ("LimitExceededException", 400, Transient, Reason.RATE_LIMITED),
        ("InternalFailure", 500, Transient, Reason.SERVER_ERROR),
        ("AccessDeniedException", 400, Permanent, Reason.AUTH),
        ("ExpiredTokenException", 400, Permanent, Reason.AUTH),
        ("ValidationException", 400, Permanent, Reason.REJECTED),
    ],
)
def test_a_refusal_says_whether_it_is_worth_repeating(
    monkeypatch: pytest.MonkeyPatch, code: str, status: int, kind: type[DeliveryError], reason: Reason
) -> None:
    made = client("ce", source(endpoint_url="http://127.0.0.1:9"), CHECK)
    with Stubber(made) as stub:
        stub.add_client_error("get_cost_and_usage", code, "no", status)
        monkeypatch.setattr(cost_explorer, "client", _always(made))
        with pytest.raises(kind) as caught:
            asking("http://127.0.0.1:9").bills(NOW)
    assert caught.value.reason is reason
    assert "ce GetCostAndUsage" in str(caught.value)
