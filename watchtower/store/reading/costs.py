"""What bills add up to by day, service, account, source or tag: as in force, or as it was known at a moment."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, and_, cast, func, literal, select

from watchtower.errors import BadInput
from watchtower.model.cost import CostMetric, CostScope
from watchtower.store.amounts import HALF, LIMBS, day_number, day_of, from_halves
from watchtower.store.schema.base import Instant
from watchtower.store.schema.costs import bill_imports, cost_days, cost_groups, cost_tags

KEYS = ("day", "service", "account", "source")
MAX_ROWS = 50_000  # of one answer


@dataclass(frozen=True, slots=True)
class Question:
    """start, end (exclusive): days of UTC. by: any of KEYS and `tag:NAME`. as_of: by the versions that were known then;
    None: by those in force."""

    start: date
    end: date
    by: tuple[str, ...] = ("day",)
    scope: CostScope = field(default_factory=CostScope)
    metric: CostMetric = CostMetric.BILLED
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """keys: in the order of the question, None for charges without that tag. Amounts of each currency stand alone."""

    keys: tuple[str | None, ...]
    currency: str
    amount: Decimal
    provisional: bool


def lines(connection: Connection, asked: Question) -> list[Line]:
    """By key, charges without it first, then by currency. Raises BadInput for an unknown key or too long an answer."""
    query, keys = _grouped(asked)
    rows = connection.execute(query.order_by(*(key.nulls_first() for key in keys), cost_days.c.currency)).all()
    if len(rows) > MAX_ROWS:
        raise BadInput(f"the answer has more than {MAX_ROWS} lines; ask for fewer days, or group by less")
    return [
        Line(
            keys=tuple(_text(getattr(row, f"key{place}"), each) for place, each in enumerate(asked.by)),
            currency=row.currency,
            amount=from_halves(row),
            provisional=bool(row.provisional),
        )
        for row in rows
    ]


def _grouped(asked: Question) -> tuple[Select[Any], list[ColumnElement[Any]]]:
    tables: Any = cost_days.join(bill_imports, bill_imports.c.id == cost_days.c.import_id).join(
        cost_groups, cost_groups.c.id == cost_days.c.group_id
    )
    keys: list[ColumnElement[Any]] = []
    for each in asked.by:
        if each.startswith("tag:"):
            tag = cost_tags.alias()
            named = and_(tag.c.group_id == cost_days.c.group_id, tag.c.key == each.removeprefix("tag:"))
            tables = tables.outerjoin(tag, named)
            keys.append(tag.c.value)
        else:
            keys.append(_column(each))
    labelled = [key.label(f"key{place}") for place, key in enumerate(keys)]
    provisional = func.max(cast(cost_days.c.provisional, Integer)).label("provisional")
    query = select(*labelled, cost_days.c.currency, *_sums(asked.metric), provisional).select_from(tables)
    query = query.where(*_conditions(asked)).group_by(*keys, cost_days.c.currency)
    return query.limit(MAX_ROWS + 1), keys


def _column(key: str) -> ColumnElement[Any]:
    known: dict[str, ColumnElement[Any]] = {
        "day": cost_days.c.day,
        "service": cost_groups.c.service,
        "account": cost_groups.c.account,
        "source": bill_imports.c.source,
    }
    if key not in known:
        raise BadInput(f"costs cannot be grouped by {key[:80]!r}; known: {', '.join(KEYS)}, tag:NAME")
    return known[key]


def _conditions(asked: Question) -> list[ColumnElement[bool]]:
    scope = asked.scope
    found: list[ColumnElement[bool]] = [
        cost_days.c.day >= day_number(asked.start),
        cost_days.c.day < day_number(asked.end),
        cost_days.c[f"{asked.metric.value}_units"].is_not(None),
        bill_imports.c.in_force.is_(True) if asked.as_of is None else _known(asked.as_of),
    ]
    for column, wanted in (
        (bill_imports.c.source, scope.source),
        (cost_groups.c.service, scope.service),
        (cost_groups.c.account, scope.account),
    ):
        if wanted is not None:
            found.append(column == wanted)
    for name, value in sorted(scope.tags.items()):
        having = select(cost_tags.c.group_id).where(cost_tags.c.key == name, cost_tags.c.value == value)
        found.append(cost_days.c.group_id.in_(having))
    return found


def _known(moment: datetime) -> ColumnElement[bool]:
    """The newest version of each bill that had been loaded by then."""
    older = bill_imports.alias("older")
    newest = (
        select(func.max(older.c.version))
        .where(
            older.c.source == bill_imports.c.source,
            older.c.period == bill_imports.c.period,
            older.c.loaded_at <= literal(moment, Instant),
        )
        .correlate(bill_imports)
        .scalar_subquery()
    )
    return bill_imports.c.version == newest


def _sums(metric: CostMetric) -> list[ColumnElement[Any]]:
    """Each number in two halves, so that no sum can leave 64 bits."""
    found: list[ColumnElement[Any]] = []
    for limb in LIMBS:
        part = cost_days.c[f"{metric.value}_{limb}"]
        found += [func.sum(part // HALF).label(f"{limb}_high"), func.sum(part % HALF).label(f"{limb}_low")]
    return found


def _text(value: Any, key: str) -> str | None:
    return str(day_of(value)) if key == "day" else value
