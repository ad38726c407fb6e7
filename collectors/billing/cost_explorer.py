"""`cost_explorer`: daily costs asked of AWS Cost Explorer (GetCostAndUsage), where there is no export of lines.

Whole months are asked for and replaced, since the provider restates days until it closes a month; `Estimated` says that
it has not. The End of a time period is exclusive. A group of a tag is `KEY$value`, empty for what has no such tag.
Each page of an answer costs USD 0.01. Source: AWS Cost Explorer API reference, "GetCostAndUsage".
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation, localcontext
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from collectors.aws.client import AwsConfig, client, require, translated
from collectors.paging import pages
from watchtower.config.polled import SourceName, each_named_once
from watchtower.config.types import PositiveDuration, Section
from watchtower.errors import ConfigError, Fault, Permanent, Reason
from watchtower.model.cost import Bill, CostGroup, CostMetric, DaySum
from watchtower.model.currencies import DIGITS
from watchtower.ports import BillContext, FileFeed, QueryFeed

MOST_PAGES = 500
DAY = timedelta(days=1)
SETTLED = timedelta(days=2)  # after its end a month is told even if its last days cost nothing

Billed = Literal["UnblendedCost", "NetUnblendedCost"]
Effective = Literal["AmortizedCost", "NetAmortizedCost"]
By = Literal["service", "account"]


class CostExplorerSource(AwsConfig):
    """One account, or an organisation's management account."""

    name: SourceName = Field(description="of the source, as costs and budgets call it")
    every: PositiveDuration = Field(
        default=28_800.0, description="how often it is asked; the data changes 3 times a day"
    )
    days: int = Field(default=35, ge=1, le=365, description="how far back; the months that these days touch, whole")
    tag: str | None = Field(default=None, min_length=1, max_length=128, description="group by this cost allocation tag")
    by: By | None = Field(default="service", description="group by service or by linked account as well")
    billed: Billed = Field(default="UnblendedCost", description="what counts as billed")
    effective: Effective | None = Field(default=None, description="what counts as effective, if anything")


class CostExplorerConfig(Section):
    """`collectors: cost_explorer`."""

    sources: Annotated[tuple[CostExplorerSource, ...], AfterValidator(each_named_once)] = Field(
        default=(), description="what is asked for"
    )


class CostExplorer:
    kind: ClassVar[str] = "cost_explorer"
    Config: ClassVar[type[CostExplorerConfig]] = CostExplorerConfig

    def __init__(self, config: CostExplorerConfig) -> None:
        self._config = config

    def feeds(self, context: BillContext) -> Sequence[FileFeed | QueryFeed]:
        faults: list[Fault] = []
        for number, source in enumerate(self._config.sources):
            try:
                require(context.check, source, f"collectors.cost_explorer.sources[{number}]")
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(faults)
        return [Asking(source.name, source.every, source, context) for source in self._config.sources]


@dataclass(frozen=True, slots=True)
class Asking:
    """ports.QueryFeed. Raises Transient or Permanent."""

    name: str
    every_s: float
    source: CostExplorerSource
    context: BillContext

    def bills(self, now: datetime) -> Sequence[tuple[Bill, Sequence[DaySum]]]:
        """One bill for each month that was asked for, also for one that cost nothing so far."""
        start, end = asked_days(now, self.source.days)
        results = self._results(start, end)
        months = sorted({day.replace(day=1) for day in (start + n * DAY for n in range((end - start).days))})
        return [month_bill(self.source, month, results, now) for month in months]

    def _results(self, start: date, end: date) -> list[Mapping[str, Any]]:
        ce = client("ce", self.source, self.context.check)
        question: dict[str, Any] = {
            "TimePeriod": {"Start": f"{start}", "End": f"{end}"},
            "Granularity": "DAILY",
            "Metrics": [self.source.billed, *([self.source.effective] if self.source.effective else [])],
        }
        if groups := group_by(self.source):
            question["GroupBy"] = groups

        def ask(token: str) -> Mapping[str, Any]:
            with translated("ce GetCostAndUsage"):
                return ce.get_cost_and_usage(**question, **({"NextPageToken": token} if token else {}))

        found: list[Mapping[str, Any]] = []
        answers = pages("ce GetCostAndUsage", ask, lambda answer: answer.get("NextPageToken"))
        for number, answer in enumerate(answers):
            if number == MOST_PAGES:
                raise Permanent(Reason.TOO_LARGE, f"ce GetCostAndUsage: more than {MOST_PAGES} pages; group by less")
            found += answer["ResultsByTime"]
        return found


def asked_days(now: datetime, days: int) -> tuple[date, date]:
    """From the first day of a month until tomorrow (exclusive)."""
    today = now.astimezone(UTC).date()
    return (today - days * DAY).replace(day=1), today + DAY


def group_by(source: CostExplorerSource) -> list[dict[str, str]]:
    groups: list[dict[str, str]] = []
    if source.tag is not None:
        groups.append({"Type": "TAG", "Key": source.tag})
    if source.by is not None:
        key = {"service": "SERVICE", "account": "LINKED_ACCOUNT"}[source.by]
        groups.append({"Type": "DIMENSION", "Key": key})
    return groups


def month_bill(
    source: CostExplorerSource, month: date, results: Iterable[Mapping[str, Any]], now: datetime
) -> tuple[Bill, list[DaySum]]:
    """Pure. results: ResultsByTime, of any days, in any order; a day may stand in several pages. Raises Permanent for
    an answer that is none."""
    following = (month + 32 * DAY).replace(day=1)
    days: dict[date, list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        day = date.fromisoformat(result["TimePeriod"]["Start"])
        if month <= day < following:
            days[day].append(result)
    sums = [each for day in sorted(days) for each in _day(source, day, days[day])]
    metrics = (CostMetric.BILLED, *([CostMetric.EFFECTIVE] if source.effective else []))
    estimated = any(result.get("Estimated") for some in days.values() for result in some)
    over = datetime.combine(following, time(), UTC)
    last = max((each.day for each in sums), default=None)
    reach = datetime.combine(last + DAY if last else month, time(), UTC)
    first = datetime.combine(month, time(), UTC)
    return (
        Bill(
            source=source.name,
            period=f"{month:%Y-%m}",
            digest=_digest(source, sums, estimated=estimated),
            rows=len(sums),
            scale=max((_scale(amount) for each in sums for amount in each.amounts.values()), default=0),
            currencies=tuple(sorted({each.currency for each in sums})),
            covered_from=first,
            covered_until=over if now >= over + SETTLED else max(first, min(reach, now)),
            metrics=metrics,
            final=not estimated and now >= over,
        ),
        sums,
    )


def _day(source: CostExplorerSource, day: date, results: Sequence[Mapping[str, Any]]) -> list[DaySum]:
    """Groups of one name over several pages are added up."""
    found: dict[tuple[tuple[str, ...], str], dict[CostMetric, Decimal]] = {}
    provisional = any(result.get("Estimated") for result in results)
    named = {CostMetric.BILLED: source.billed, CostMetric.EFFECTIVE: source.effective}
    for result in results:
        groups: list[dict[str, Any]] = result.get("Groups") or []
        if not groups and not group_by(source) and result.get("Total"):
            groups = [{"Keys": [], "Metrics": result["Total"]}]
        for group in groups:
            for metric, name in named.items():
                if name is None:
                    continue
                amount, currency = _money(group["Metrics"][name])
                if currency not in DIGITS:
                    if amount:
                        raise Permanent(Reason.BAD_ANSWER, f"ce GetCostAndUsage: {currency!r} is no currency")
                    continue
                amounts = found.setdefault((tuple(group["Keys"]), currency), {})
                with localcontext(prec=100):
                    amounts[metric] = amounts.get(metric, Decimal(0)) + amount
    return [
        DaySum(day, _group(source, keys), currency, amounts, 1, provisional)
        for (keys, currency), amounts in sorted(found.items())
    ]


def _money(metric: Mapping[str, str]) -> tuple[Decimal, str]:
    try:
        amount = Decimal(metric["Amount"])
    except InvalidOperation as error:
        raise Permanent(Reason.BAD_ANSWER, f"ce GetCostAndUsage: {metric['Amount']!r} is no amount") from error
    if not amount.is_finite() or _scale(amount) > 36 or amount.adjusted() > 17:
        raise Permanent(Reason.BAD_ANSWER, f"ce GetCostAndUsage: {metric['Amount']!r} cannot be kept exactly")
    return amount, metric.get("Unit", "")


def _group(source: CostExplorerSource, keys: Sequence[str]) -> CostGroup:
    rest = list(keys)
    tags: dict[str, str] = {}
    if source.tag is not None and rest:
        value = rest.pop(0).removeprefix(f"{source.tag}$")
        if value:
            tags[source.tag] = value
    other = rest[0] if rest else ""
    return CostGroup(other if source.by == "account" else "", other if source.by == "service" else "", tags)


def _scale(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def _digest(source: CostExplorerSource, sums: Sequence[DaySum], *, estimated: bool) -> str:
    """How groups were made is part of it: other groups are another bill."""
    said = sha256(f"{group_by(source)} {source.billed} {source.effective} {estimated}".encode())
    for each in sums:
        group = (each.group.account, each.group.service, sorted(each.group.tags.items()))
        amounts = sorted((metric, f"{amount.normalize():f}") for metric, amount in each.amounts.items())
        said.update(f"\n{each.day} {group} {each.currency} {amounts} {each.provisional}".encode())
    return said.hexdigest()
