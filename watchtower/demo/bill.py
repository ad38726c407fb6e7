"""The demo's bill: made up, in the form of a FOCUS export, since no real bill belongs to a demo.

Two weeks of daily charges of the account in which the recorded pipelines could have run; the same for the same day.
Yesterday a warehouse was left on overnight, which breaks the budget of `demo.yaml`. Money is exact: whole millionths.
"""

import csv
import io
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

DAYS = 15  # today among them
SOURCE = "aws-demo"
_DAY = timedelta(days=1)
_MIDNIGHT = time(tzinfo=None)
_ACCOUNT = "123456789012"
_MILLIONTH = Decimal("0.000001")
_COLUMNS = (
    *("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "BillingCurrency", "BillingAccountId"),
    *("SubAccountId", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"),
    *("ChargeCategory", "ChargeClass", "ChargeDescription", "ProviderName", "PublisherName", "InvoiceIssuerName"),
    *("ServiceName", "ServiceCategory", "RegionId", "ResourceId", "ConsumedQuantity", "ConsumedUnit"),
    *("PricingQuantity", "PricingUnit", "Tags"),
)


@dataclass(frozen=True, slots=True)
class _Service:
    """usual: US dollars a day."""

    name: str
    category: str
    usual: str
    unit: str
    environment: str = "prod-data-pipeline"


_SERVICES = (
    _Service("Amazon Redshift", "Databases", "41.40", "Hours"),
    _Service("AWS Glue", "Analytics", "17.25", "DPU-Hours"),
    _Service("Amazon Managed Workflows for Apache Airflow", "Integration", "11.76", "Hours"),
    _Service("Amazon Simple Storage Service", "Storage", "8.31", "GB-Months"),
    _Service("Amazon Elastic Compute Cloud", "Compute", "6.90", "Hours"),
    _Service("Amazon SageMaker", "AI and Machine Learning", "14.88", "Hours", "research"),
)
_LEFT_ON = Decimal("23.86")  # a warehouse that nobody paused, one night


def bill(now: datetime) -> str:
    """CSV of the days up to now (aware UTC); today's charges are those of the hours that are over."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    writer.writerows(_lines(now))
    return text.getvalue()


def _lines(now: datetime) -> Iterator[dict[str, str]]:
    today = now.date()
    for back in range(DAYS - 1, -1, -1):
        day = today - back * _DAY
        hours = now.hour if day == today else 24
        if hours:
            dice = random.Random(f"bill {day.isoformat()}")
            for service in _SERVICES:
                cost = Decimal(service.usual) * Decimal(str(round(dice.uniform(0.94, 1.05), 4))) * hours / 24
                if back == 1 and service.name == "Amazon Redshift":
                    cost += _LEFT_ON
                yield _line(service, day, hours, cost.quantize(_MILLIONTH))


def _line(service: _Service, day: date, hours: int, cost: Decimal) -> dict[str, str]:
    month = day.replace(day=1)
    following = (month + timedelta(days=32)).replace(day=1)
    begins = datetime.combine(day, _MIDNIGHT)
    quantity = str((cost / 2).quantize(_MILLIONTH))
    return {
        **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), str(cost)),
        "BillingCurrency": "USD",
        "BillingAccountId": _ACCOUNT,
        "SubAccountId": _ACCOUNT,
        "BillingPeriodStart": f"{month}T00:00:00Z",
        "BillingPeriodEnd": f"{following}T00:00:00Z",
        "ChargePeriodStart": f"{begins.isoformat()}Z",
        "ChargePeriodEnd": f"{(begins + timedelta(hours=hours)).isoformat()}Z",
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": f"{service.name}, {service.unit.lower()} of one day",
        **dict.fromkeys(("ProviderName", "PublisherName", "InvoiceIssuerName"), "AWS"),
        "ServiceName": service.name,
        "ServiceCategory": service.category,
        "RegionId": "eu-central-1",
        "ResourceId": "",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": service.unit,
        "PricingQuantity": quantity,
        "PricingUnit": service.unit,
        "Tags": json.dumps({"Environment": service.environment, "team": "finance"}),
    }
