"""What an objective of an SLO counted: runs from their sums, datasets and series from what the store has of the period.

The rows of datasets and series within one period are read each time: their number does not grow with the history.
"""

import operator
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, select

from watchtower.model.labels import Matcher, all_match
from watchtower.model.rule import SubjectKey
from watchtower.model.slo import Counted, Fresh, Indicator, Sli, Slo, minute_of
from watchtower.model.slo_days import days_of
from watchtower.store import budgets, costs, dialect, driver, due, slo_counts, unit_costs
from watchtower.store.schema.observed import datasets, jobs
from watchtower.store.schema.series import series

_MINUTE_US = 60_000_000
_DAY_US = 86_400_000_000
_SQL_OPS = {"lte": "<=", "lt": "<", "gte": ">=", "gt": ">"}
_OPS = {"lte": operator.le, "lt": operator.lt}


def parts(connection: Connection, given: Collection[Slo]) -> dict[str, tuple[Counted | Fresh, ...]]:
    """By the name of the SLO, in the order of its objectives."""
    of_runs = slo_counts.counted(connection, given)
    return {
        slo.name: tuple(
            of_runs.get((slo.name, place), Counted())
            if objective.indicator.sli.of_runs
            else _part(connection, slo, objective.indicator)
            for place, objective in enumerate(slo.objectives)
        )
        for slo in given
    }


def _part(connection: Connection, slo: Slo, indicator: Indicator) -> Counted | Fresh:
    reach_us = slo.period.seconds * 1_000_000 + round(slo_counts.MARGIN.total_seconds()) * 1_000_000
    if indicator.sli is Sli.SERIES:
        return _counted(connection, _SAMPLES, series_of(connection, indicator.matchers), indicator, reach_us)
    if indicator.sli is Sli.COST:
        return _days_of_budget(connection, indicator, reach_us // _DAY_US)
    if indicator.sli is Sli.UNIT_COST:
        return _days_of_units(connection, indicator, reach_us // _DAY_US)
    ids = datasets_of(connection, indicator.matchers)
    if indicator.sli is Sli.VOLUME:
        return _counted(connection, _UPDATES, ids, indicator, reach_us)
    return _fresh(connection, ids, indicator, reach_us)


def datasets_of(connection: Connection, matchers: Sequence[Matcher], ids: Sequence[str] | None = None) -> list[str]:
    """Ids of the datasets that matchers name; of ids only, if given."""
    query = select(datasets.c.id, datasets.c.namespace, datasets.c.name)
    for matcher in matchers:
        if matcher.op == "=" and matcher.name == "dataset":
            query = query.where(datasets.c.name == matcher.value)
    if ids is not None:
        query = query.where(datasets.c.id.in_(ids))
    return [
        row.id
        for row in connection.execute(query)
        if all_match(matchers, {"dataset": row.name, "namespace": row.namespace})
    ]


def series_of(connection: Connection, matchers: Sequence[Matcher], ids: Sequence[str] | None = None) -> list[str]:
    query = select(series.c.id, series.c.name, series.c.namespace, series.c.pipeline, series.c.task, series.c.source)
    for matcher in matchers:
        if matcher.op == "=" and matcher.name == "series":
            query = query.where(series.c.name == matcher.value)
    if ids is not None:
        query = query.where(series.c.id.in_(ids))
    return [row.id for row in connection.execute(query) if all_match(matchers, _series_labels(row))]


def _series_labels(row: Any) -> dict[str, str]:
    labels = {"series": row.name, "namespace": row.namespace, "pipeline": row.pipeline, "task": row.task}
    return {name: value or "" for name, value in (labels | {"source": row.source}).items()}


_UPDATES = (
    "SELECT at / 60000000, CASE WHEN row_count {op} {mark} THEN 1 ELSE 0 END FROM dataset_updates "
    "WHERE dataset_id = {mark} AND at >= {mark} AND row_count IS NOT NULL AND NOT historical"
)
_SAMPLES = (
    "SELECT at / 60000000, CASE WHEN value {op} {mark} THEN 1 ELSE 0 END FROM samples "
    "WHERE series_id = {mark} AND at >= {mark} AND NOT historical"
)
_NEWEST_UPDATE = "SELECT at FROM dataset_updates WHERE dataset_id = {mark} AND at IS NOT NULL ORDER BY at DESC LIMIT 1"
_NEWEST_SAMPLE = "SELECT at FROM samples WHERE series_id = {mark} ORDER BY at DESC LIMIT 1"


def _counted(connection: Connection, sql: str, ids: Sequence[str], indicator: Indicator, reach_us: int) -> Counted:
    mark = dialect.mark(connection)
    newest = _NEWEST_SAMPLE if sql is _SAMPLES else _NEWEST_UPDATE
    since = _latest(connection, newest.format(mark=mark), ids) - reach_us
    asked = sql.format(op=_SQL_OPS[indicator.op], mark=mark)
    sums: dict[int, list[int]] = {}
    for ident in ids:
        for minute, good in driver.rows(connection, asked, (indicator.value, ident, since)):
            sums.setdefault(int(minute), [0, 0])[0 if good else 1] += 1
    return Counted(days_of(sums))


def _latest(connection: Connection, sql: str, ids: Sequence[str]) -> int:
    found = [row[0] for ident in ids for row in driver.rows(connection, sql, (ident,))]
    return max(found, default=0)


# Backfills make nothing new, as for the rule kind `freshness`.
_MADE = (
    "SELECT made.at FROM dataset_updates AS made WHERE made.dataset_id = {mark} AND made.at >= {mark} "
    "AND NOT made.historical ORDER BY made.at"
)


def _fresh(connection: Connection, ids: Sequence[str], indicator: Indicator, reach_us: int) -> Fresh:
    """Of several that match, together: the data is as old as the newest of them."""
    mark, limit = dialect.mark(connection), max(1, round((indicator.value or 0) / 60))
    since = _latest(connection, _NEWEST_UPDATE.format(mark=mark), ids) - reach_us
    asked = _MADE.format(mark=mark)
    made = sorted({row[0] // _MINUTE_US for ident in ids for row in driver.rows(connection, asked, (ident, since))})
    if not made:
        return Fresh(limit)
    stale = tuple((before + limit, after) for before, after in pairwise(made) if after - before > limit)
    return Fresh(limit, made[0], made[-1], stale)


def _days_of_budget(connection: Connection, indicator: Indicator, reach: int) -> Counted:
    """A day counts in its last minute, once the bill reaches its end: neither good nor bad before. A bill that is
    restated changes what it says of the day. From the first day on that cost anything: before there may be no bill."""
    (name,) = [matcher.value for matcher in indicator.matchers if matcher.name == "budget"]
    known = budgets.by_name(connection, [name]).get(name)
    if known is None:
        return Counted()
    budget = known.budget
    bill = costs.bill_state(connection, budget.scope, budget.metric)
    if bill.covered_until is None or bill.problem is not None:
        return Counted()
    end = bill.covered_until.astimezone(UTC).date()
    start = end - timedelta(days=reach)
    found = costs.day_costs(connection, budget.scope, budget.metric, start, end)
    if any(currency != budget.limit.currency for _, currency, _, _ in found):
        return Counted()  # never converted; the budget itself tells of it
    amounts = {day: amount for day, _, amount, _ in found}
    first = min(amounts, default=end)
    days = (first + timedelta(days=number) for number in range((end - first).days))
    return Counted(days_of({_last_minute(day): _verdict(amounts.get(day), budget.limit.amount) for day in days}))


def _verdict(amount: Decimal | None, limit: Decimal) -> tuple[int, int]:
    """Of a day without a line the bill says that it cost nothing."""
    return (0, 1) if amount is not None and amount > limit else (1, 0)


def _days_of_units(connection: Connection, indicator: Indicator, reach: int) -> Counted:
    """A day counts once its bill has told of it whole, if something was charged and something moved on it. Of several
    jobs or datasets that match, together: the charges are those of all of them."""
    asked = indicator.asked
    assert asked is not None
    is_of_datasets = any(matcher.name == "dataset" for matcher in indicator.matchers)
    find, kind = (datasets_of, "dataset") if is_of_datasets else (jobs_of, "job")
    found = [
        unit_costs.spent(connection, SubjectKey(kind, ident), asked, reach)
        for ident in find(connection, indicator.matchers)
    ]
    if not found or any(each.bill.problem for each in found):
        return Counted()
    moved: Counter[date] = Counter()
    for each in found:
        moved.update(each.moved)
    days = replace(found[0], moved=moved).by_day(asked.per)
    limit, is_good = indicator.value or 0.0, _OPS[indicator.op]
    return Counted(days_of({_last_minute(day): (1, 0) if is_good(cost, limit) else (0, 1) for day, cost in days}))


def jobs_of(connection: Connection, matchers: Sequence[Matcher]) -> list[str]:
    """Ids of the pipelines that matchers name; of tasks only where one is named."""
    query = select(jobs.c.id, jobs.c.source, jobs.c.namespace, jobs.c.pipeline, jobs.c.task)
    for matcher in matchers:
        if matcher.op == "=" and matcher.name == "pipeline":
            query = query.where(jobs.c.pipeline == matcher.value)
    of_tasks = any(matcher.name == "task" for matcher in matchers)
    names = ("source", "namespace", "pipeline", "task")
    return [
        row.id
        for row in connection.execute(query)
        if bool(row.task) == of_tasks and all_match(matchers, {name: getattr(row, name) or "" for name in names})
    ]


def _last_minute(day: date) -> int:
    return minute_of(datetime.combine(day + timedelta(days=1), time(), UTC)) - 1


def mark(connection: Connection, written: Collection[str], told: Collection[str], now: datetime) -> None:
    """Make due the SLOs that count these datasets and series, by their ids."""
    others = slo_counts.others(connection)
    names: set[str] = set()
    for name, indicator in others:
        if indicator.sli in slo_counts.BILLED:
            continue
        find, ids = (series_of, told) if indicator.sli is Sli.SERIES else (datasets_of, written)
        if ids and name not in names and find(connection, indicator.matchers, sorted(ids)):
            names.add(name)
    due.mark(connection, due.RULES, [f"slo:{name}" for name in names], now)
