"""What subjects cost by the bills in force, and what they moved, by day: read together for rules on a cost per unit."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, Text, bindparam, text

from watchtower.model.instants import to_micros
from watchtower.model.rule import SubjectKey
from watchtower.model.run import RunState
from watchtower.model.spent import DAYS, Asked, Per, Spent
from watchtower.store import costs

_EPOCH: Final = date(1970, 1, 1)
_DAY_US: Final = 86_400_000_000
_COLUMNS: Final = {Per.GB: "size_bytes", Per.MILLION_ROWS: "row_count"}


def spent(connection: Connection, key: SubjectKey, asked: Asked, reach: int = DAYS) -> Spent:
    """Of the last days that the bill reaches, so many. A few queries by index, however long the history is."""
    bill = costs.bill_state(connection, asked.scope, asked.metric)
    if bill.covered_until is None or bill.problem:
        return Spent(bill)
    end = bill.covered_until.date()
    start = end - timedelta(days=reach)
    found = costs.day_costs(connection, asked.scope, asked.metric, start, end)
    amounts: dict[date, Decimal] = {day: amount for day, _, amount, _ in found}
    currency = next((currency for _, currency, _, _ in found), None)
    return Spent(bill, currency, amounts, _moved(connection, key, asked.per, start, end))


def _moved(connection: Connection, key: SubjectKey, per: Per, start: date, end: date) -> dict[date, int]:
    values: dict[str, Any] = {"id": key.id, "start": _micros(start), "end": _micros(end), "day_us": _DAY_US}
    if per is Per.RUN:
        query = text(_RUNS).bindparams(**values, state=RunState.SUCCEEDED.value)
    elif key.kind == "dataset":
        query = text(_OF_DATASET.format(column=_COLUMNS[per])).bindparams(**values)
    else:
        del values["id"]
        writers = list(connection.scalars(text(_JOBS), {"id": key.id}))
        among = bindparam("writers", writers, Text(), expanding=True)
        query = text(_OF_JOBS.format(column=_COLUMNS[per])).bindparams(among, **values)
    return {_EPOCH + timedelta(days=row.day): int(row.moved) for row in connection.execute(query) if row.moved}


_RUNS: Final = """
SELECT position / :day_us AS day, count(*) AS moved FROM runs
WHERE job_id = :id AND position >= :start AND position < :end AND state = :state GROUP BY 1
"""
# A pipeline with its tasks; a task alone.
_JOBS: Final = """
SELECT other.id FROM jobs own JOIN jobs other
ON other.source = own.source AND other.namespace = own.namespace AND other.pipeline = own.pipeline
WHERE own.id = :id AND (coalesce(own.task, '') = '' OR other.id = own.id)
"""
# What a probe measured is what lies there, and not what was written.
_OF_DATASET: Final = """
SELECT at / :day_us AS day, sum({column}) AS moved FROM dataset_updates
WHERE dataset_id = :id AND NOT measured AND at >= :start AND at < :end GROUP BY 1
"""
_OF_JOBS: Final = """
SELECT at / :day_us AS day, sum({column}) AS moved FROM dataset_updates
WHERE dataset_id IN (SELECT dataset_id FROM job_datasets WHERE job_id IN :writers AND direction = 'out')
AND job_id IN :writers AND NOT measured AND at >= :start AND at < :end GROUP BY 1
"""


def _micros(day: date) -> int:
    return to_micros(datetime.combine(day, time(), UTC))
