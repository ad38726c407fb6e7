"""What each day cost, from the lines of a bill: grouped by account, service and tags, equal to the lines' total always.

A charge of at most 24 hours belongs to the day on which it begins. A longer one (a monthly fee, a commitment) is spread
evenly over the days that it covers within its billing period, what cannot be divided on the last of them; where it lies
outside of that period, it stands on its first day.
From here on amounts are whole numbers of 10^-scale, which neither round nor overflow unseen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

import msgspec

from watchtower.model.cost import CostGroup, CostMetric, DaySum
from watchtower.ports import BillFormat
from watchtower.store.bills.engine import Engine, literal, literals, name

MOST_GROUPS: Final = 10_000  # of a bill; beyond it the tag keys with the most values are left out of daily sums
SPLIT_FROM: Final = 19  # digits behind the point from which sums are made of two halves
_PAGE: Final = 10_000
_EXACT: Final = Context(prec=100)


@dataclass(frozen=True, slots=True)
class PeriodFacts:
    """What the lines of one period say beside their amounts. last_end: of charges of a day or less, if there are any;
    final: every line names its invoice."""

    period: str
    end: date
    rows: int
    first_start: datetime
    last_end: datetime
    currencies: tuple[str, ...]
    empty: Mapping[CostMetric, int]
    final: bool


def summarise(
    engine: Engine, lines: str, columns: Sequence[str], known: BillFormat, *, scale: int, period: str | None
) -> None:
    """Make the table `sums` of the relation lines. columns: that it has; period: of all of them, over their own."""
    metrics = {metric: column for metric, column in known.amounts.items() if column in columns}
    begin, end = known.charge_period
    period_start = f"TIMESTAMP '{period}-01'" if period else name(known.billing_period[0])
    account = ", ".join([*(name(column) for column in known.account if column in columns), "''"])
    invoice = f"count(*) - count({name(known.invoice)})" if known.invoice in columns else "count(*)"
    amounts = ", ".join(f"{_whole(column, scale)} AS {metric}" for metric, column in metrics.items())
    empty = ", ".join(f"count(*) - count({name(column)}) AS {metric}_empty" for metric, column in metrics.items())
    engine.execute(
        f"""
        CREATE TABLE sums AS
        WITH lines AS (
            SELECT *, date_trunc('month', {period_start}) AS wt_month, {name(begin)} AS wt_begin, {name(end)} AS wt_end,
                {name(end)} > {name(begin)} + INTERVAL 24 HOUR AS wt_long
            FROM {lines}
        ), placed AS (
            SELECT *,
                wt_long AND wt_begin < wt_month + INTERVAL 1 MONTH AND wt_end > wt_month AS wt_inside
            FROM lines
        )
        SELECT wt_month::DATE AS month, {name(known.currency)}::VARCHAR AS currency,
            coalesce({account}) AS account, coalesce({name(known.service)}, '') AS service,
            {f"coalesce({name(known.tags)}, '')" if known.tags in columns else "''"} AS tags,
            (CASE WHEN wt_inside THEN greatest(wt_begin, wt_month) ELSE wt_begin END)::DATE AS first,
            (CASE WHEN wt_inside THEN least(wt_end, wt_month + INTERVAL 1 MONTH) - INTERVAL 1 MICROSECOND
                  ELSE wt_begin END)::DATE AS last,
            {amounts}, {empty}, count(*) AS lines, min(wt_begin) AS first_start,
            max(wt_end) FILTER (NOT wt_long) AS short_end, max(wt_end) AS long_end,
            count(*) FILTER (wt_end < wt_begin) AS backwards, {invoice} AS uninvoiced
        FROM placed GROUP BY ALL
        """  # noqa: S608 - names are quoted
    )


def _whole(column: str, scale: int) -> str:
    """The sum of a column as a whole number of 10^-scale. Of many digits in halves: the engine's own sum of decimals
    ends at 38 digits, with an error."""
    if scale < SPLIT_FROM:
        return _digits(f"coalesce(sum({name(column)}), 0)", scale)
    above = f"coalesce(sum(trunc({name(column)})::DECIMAL(38, 0)), 0)::HUGEINT"
    below = _digits(f"coalesce(sum({name(column)} - trunc({name(column)})), 0)::DECIMAL(38, {scale})", scale)
    return f"({above} * 1{'0' * scale}::HUGEINT + {below})"


def _digits(decimal: str, scale: int) -> str:
    return f"replace(({decimal})::DECIMAL(38, {scale})::VARCHAR, '.', '')::HUGEINT"


def strange(engine: Engine, currencies: Sequence[str]) -> bool:
    """Whether a line has a currency that there is not, tags that cannot be read, or ends before it begins."""
    row = engine.execute(
        f"""
        SELECT count(*) FROM sums WHERE currency IS NULL OR currency NOT IN ({literals(currencies)[1:-1]})
            OR backwards > 0
            OR (tags <> '' AND try_cast(try_cast(tags AS JSON) AS MAP(VARCHAR, VARCHAR)) IS NULL)
        """  # noqa: S608 - literals are quoted
    ).fetchone()
    return row is not None and bool(row[0])


def facts(engine: Engine, metrics: Sequence[CostMetric]) -> list[PeriodFacts]:
    """One for each period, in order."""
    empty = ", ".join(f"sum({metric}_empty)" for metric in metrics)
    found = engine.execute(
        f"""
        SELECT month, sum(lines)::BIGINT, min(first_start), max(short_end), max(long_end),
            list_sort(list(DISTINCT currency)), sum(uninvoiced), {empty}
        FROM sums GROUP BY month ORDER BY month
        """  # noqa: S608 - names of our own
    ).fetchall()
    return [
        PeriodFacts(
            period=f"{month:%Y-%m}",
            end=(month.replace(day=1) + timedelta(days=32)).replace(day=1),
            rows=rows,
            first_start=first,
            last_end=short or long,
            currencies=tuple(currencies),
            empty={metric: int(count) for metric, count in zip(metrics, counts, strict=True) if count},
            final=not uninvoiced,
        )
        for month, rows, first, short, long, currencies, uninvoiced, *counts in found
    ]


def reduce_tags(engine: Engine, only: Sequence[str], most: int = MOST_GROUPS) -> tuple[str, ...]:
    """Make the table `groups` of (tags as text, their set as sorted pairs). only: the keys that matter, all for none.
    The keys that were left out because there were too many groups."""
    wanted = f"AND list_contains({literals(only)}, entry.key)" if only else ""
    engine.execute(
        f"""
        CREATE TABLE parsed AS
        WITH read AS (
            SELECT tags, try_cast(try_cast(tags AS JSON) AS MAP(VARCHAR, VARCHAR)) AS map
            FROM (SELECT DISTINCT tags FROM sums)
        )
        SELECT tags, list_sort(list_filter(coalesce(map_entries(map), []), lambda entry: entry.key <> '' {wanted}))
            AS pairs
        FROM read
        """  # noqa: S608 - literals are quoted
    )
    dropped: list[str] = []
    if _groups(engine, dropped) > most:
        keys = engine.execute(
            "SELECT entry.key FROM (SELECT unnest(pairs) AS entry FROM parsed) "
            "GROUP BY 1 ORDER BY count(DISTINCT entry.value) DESC, 1"
        ).fetchall()
        for (key,) in keys:
            dropped.append(key)
            if _groups(engine, dropped) <= most:
                break
    engine.execute(
        f"CREATE TABLE tagged AS SELECT tags, dense_rank() OVER (ORDER BY pairs) AS id, pairs "  # noqa: S608
        f"FROM (SELECT tags, {_without(dropped)} AS pairs FROM parsed)"
    )
    return tuple(sorted(dropped))


def _groups(engine: Engine, dropped: Sequence[str]) -> int:
    some = f"SELECT DISTINCT account, service, {_without(dropped)} FROM sums JOIN parsed USING (tags)"  # noqa: S608
    row = engine.execute(f"SELECT count(*) FROM ({some})").fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def _without(dropped: Sequence[str]) -> str:
    if not dropped:
        return "pairs"
    return f"list_filter(pairs, lambda entry: NOT list_contains({literals(dropped)}, entry.key))"


def day_sums(
    engine: Engine, period: PeriodFacts, metrics: Sequence[CostMetric], scale: int, *, provisional: bool
) -> Iterator[DaySum]:
    """Of one period: one for each day, group and currency."""
    sets = engine.execute("SELECT DISTINCT id, to_json(pairs) FROM tagged").fetchall()
    tags: dict[int, Mapping[str, str]] = {ident: _mapping(text) for ident, text in sets}
    share = ", ".join(
        f"sum(CASE WHEN day = last THEN {metric} - {metric} // days * (days - 1) ELSE {metric} // days END) AS {metric}"
        for metric in metrics
    )
    query = engine.execute(
        f"""
        WITH spread AS (
            SELECT *, (last - first + 1)::HUGEINT AS days, unnest(range(first, last + 1, INTERVAL 1 DAY))::DATE AS day
            FROM sums WHERE month = {literal(period.period + "-01")}::DATE
        )
        SELECT day, account, service, id, currency, sum(lines)::BIGINT, {share}
        FROM spread JOIN tagged USING (tags) GROUP BY day, account, service, id, currency
        ORDER BY day, account, service, id, currency
        """  # noqa: S608 - names of our own
    )
    groups: dict[tuple[str, str, int], CostGroup] = {}
    while page := query.fetchmany(_PAGE):
        for day, account, service, ident, currency, rows, *amounts in page:
            key = (account, service, ident)
            if key not in groups:
                groups[key] = CostGroup(account, service, tags[ident])
            yield DaySum(
                day=day,
                group=groups[key],
                currency=currency,
                amounts=dict(zip(metrics, (_amount(number, scale) for number in amounts), strict=True)),
                rows=rows,
                provisional=provisional,
            )


def totals(engine: Engine, period: str, metric: CostMetric, scale: int) -> dict[str, Decimal]:
    """All lines of a period, by currency."""
    rows = engine.execute(
        f"SELECT currency, sum({metric}) FROM sums WHERE month = {literal(period + '-01')}::DATE "  # noqa: S608
        "GROUP BY currency ORDER BY currency"
    ).fetchall()
    return {currency: _amount(number, scale) for currency, number in rows}


def _amount(number: int, scale: int) -> Decimal:
    return Decimal(number).scaleb(-scale, _EXACT)


def _mapping(text: str) -> dict[str, str]:
    pairs: list[dict[str, Any]] = msgspec.json.decode(text)
    return {pair["key"]: pair["value"] or "" for pair in pairs}
