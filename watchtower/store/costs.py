"""What each day cost: bills come in by whole periods, and are summed to the last digit.

Daily sums are written ahead in small transactions, so that nobody waits for a large bill; the last one puts the bill
in force, takes the earlier version out of force and makes budgets due, all at once. Sums of an import that is not
among `bill_imports` count for nothing: a crash in between leaves the previous numbers.
"""

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import islice
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, and_, delete, func, select, text, update
from sqlalchemy.exc import IntegrityError

from watchtower.errors import StoreUnavailable
from watchtower.model.cost import Bill, BillFile, BillImport, BillState, CostGroup, CostMetric, CostScope, DaySum
from watchtower.model.instants import to_micros
from watchtower.store import budgets, dialect, driver, slo_counts
from watchtower.store.amounts import HALF, LIMBS, day_number, day_of, from_halves, to_limbs
from watchtower.store.database import Database
from watchtower.store.schema.base import dump_json
from watchtower.store.schema.costs import bill_imports, cost_days, cost_groups

CHUNK: Final = 2_000  # daily sums a transaction
KEPT_VERSIONS: Final = 12  # of each period, with their daily sums and lines


@dataclass(frozen=True, slots=True)
class Written:
    """bill: as it is in force now; changed: it is a new version; before: the one that it replaced."""

    bill: BillImport
    changed: bool
    before: BillImport | None = None


class VersionTaken(Exception):
    """Another process brought a bill of this period meanwhile: ask for the next version again."""


def write_import(database: Database, bill: Bill, sums: Sequence[DaySum], now: datetime) -> Written:
    """Put a bill without lines in force, in place of what is known of its source and period. The same content again
    changes nothing."""
    ident, staged = new_id(now), 0
    try:
        if not is_known(database, bill):
            staged = stage(database, ident, sums)
        while True:
            with database.read() as connection:
                version = next_version(connection, bill.source, bill.period)
            try:
                return put_in_force(database, BillImport(ident, version, now, True, bill), staged)
            except VersionTaken:
                continue
    except BaseException:
        discard(database, ident)
        raise


def new_id(now: datetime) -> str:
    """Ids of later imports are greater: what is staged tells its age."""
    return f"b{to_micros(now):016x}{secrets.token_hex(4)}"


def next_version(connection: Connection, source: str, period: str) -> int:
    query = select(func.max(bill_imports.c.version)).where(
        bill_imports.c.source == source, bill_imports.c.period == period
    )
    return (connection.execute(query).scalar_one() or 0) + 1


def is_known(database: Database, bill: Bill) -> bool:
    with database.read() as connection:
        found = in_force(connection, bill.source, bill.period)
    return found is not None and found.bill.digest == bill.digest


def stage(database: Database, import_id: str, sums: Iterable[DaySum]) -> int:
    """Write the daily sums of an import that does not count yet: one of them for each day, group and currency. Their
    number, for `put_in_force`."""
    groups: dict[CostGroupKey, int] = {}
    count = 0
    for some in _chunks(sums):
        keys = [_key(each.group) for each in some]
        rows = [_row(import_id, each) for each in some]  # here: the writing thread has others to serve
        new = {key: each.group for key, each in zip(keys, some, strict=True) if key not in groups}
        if new:
            groups.update(database.write(lambda connection, new=new: _group_ids(connection, new)))
        placed = [(*row[:2], groups[key], *row[2:]) for key, row in zip(keys, rows, strict=True)]
        database.write(lambda connection, placed=placed: driver.insert(connection, _INSERT_DAYS, placed))
        count += len(some)
    return count


def put_in_force(database: Database, new: BillImport, staged: int = 0) -> Written:
    """One transaction. Raises VersionTaken. What was staged for a bill that is known already is thrown away."""
    count = select(func.count()).select_from(cost_days).where(cost_days.c.import_id == new.id)

    def unit(connection: Connection) -> Written:
        before = in_force(connection, new.bill.source, new.bill.period)
        if before is not None and before.bill.digest == new.bill.digest:
            _say_files(connection, before, new.bill.files)
            return Written(before, changed=False, before=before)
        if next_version(connection, new.bill.source, new.bill.period) != new.version:
            raise VersionTaken
        found = connection.execute(count).scalar_one()
        if found != staged:
            raise StoreUnavailable(f"{found} of {staged} daily sums are there: something removed the others; try again")
        same = and_(bill_imports.c.source == new.bill.source, bill_imports.c.period == new.bill.period)
        connection.execute(update(bill_imports).where(same).values(in_force=False))
        connection.execute(bill_imports.insert().values(_columns(new)))
        budgets.mark_due(connection, new.loaded_at)
        slo_counts.mark_cost(connection, new.loaded_at)
        return Written(new, changed=True, before=before)

    try:
        written = database.write(unit)
    except IntegrityError as error:  # two replicas at the same moment
        raise VersionTaken from error
    if not written.changed and new.id != written.bill.id:
        discard(database, new.id)
    return written


def discard(database: Database, import_id: str) -> None:
    """Take out the daily sums of an import, in small transactions."""
    few = select(cost_days.c.day).where(cost_days.c.import_id == import_id).order_by(cost_days.c.day).limit(1)

    def unit(connection: Connection) -> bool:
        day = connection.execute(few).scalar_one_or_none()
        if day is None:
            return False
        connection.execute(delete(cost_days).where(cost_days.c.import_id == import_id, cost_days.c.day == day))
        return True

    while database.write(unit):
        pass


def discard_unfinished(database: Database, before: datetime) -> int:
    """Take out what imports left behind that began before that moment and were interrupted."""
    with database.read() as connection:
        known = set(connection.scalars(select(bill_imports.c.id).where(bill_imports.c.kept)))
        idents = [ident for ident in _staged(connection) if ident not in known and ident < f"b{to_micros(before):016x}"]
    for ident in idents:
        discard(database, ident)
    return len(idents)


def _staged(connection: Connection) -> list[str]:
    """The ids of all imports with daily sums: one step along the index for each, however many sums there are."""
    found: list[str] = []
    last = ""
    while True:
        query = select(func.min(cost_days.c.import_id)).where(cost_days.c.import_id > last)
        ident = connection.execute(query).scalar_one()
        if ident is None:
            return found
        found.append(ident)
        last = ident


def let_go(database: Database, keep: int = KEPT_VERSIONS) -> list[str]:
    """Give up the daily sums and lines of all but the newest `keep` versions of each period; that they were there, and
    when, stays known. The paths of the files that nothing needs any more."""
    newest = func.max(bill_imports.c.version).over(partition_by=(bill_imports.c.source, bill_imports.c.period))
    ranked = select(bill_imports.c.id, bill_imports.c.path, bill_imports.c.version, newest.label("newest")).where(
        bill_imports.c.kept
    )
    with database.read() as connection:
        old = [row for row in connection.execute(ranked) if row.version <= row.newest - keep]
    if old:
        idents = [row.id for row in old]
        database.write(
            lambda connection: (
                connection.execute(
                    update(bill_imports).where(bill_imports.c.id.in_(idents)).values(kept=False, path=None)
                ).rowcount
            )
        )
        for ident in idents:
            discard(database, ident)
    return [row.path for row in old if row.path]


# -- writing ------------------------------------------------------------------------------------------------------

CostGroupKey = tuple[str, str, str]


def _key(group: CostGroup) -> CostGroupKey:
    return group.account, group.service, dump_json(dict(group.tags))


def _chunks(sums: Iterable[DaySum]) -> Iterator[list[DaySum]]:
    remaining = iter(sums)
    while some := list(islice(remaining, CHUNK)):
        yield some


_DAY_COLUMNS = ", ".join(column.name for column in cost_days.columns)
_INSERT_DAYS = f"INSERT INTO cost_days ({_DAY_COLUMNS}) VALUES {{values}}"  # noqa: S608 - names of our own


def _row(import_id: str, each: DaySum) -> tuple[Any, ...]:
    """As it is stored, but for the id of its group."""
    amounts = [limb for metric in CostMetric for limb in to_limbs(each.amounts.get(metric))]
    return (import_id, day_number(each.day), each.currency, *amounts, each.rows, each.provisional)


def _group_ids(connection: Connection, wanted: Mapping[CostGroupKey, CostGroup]) -> dict[CostGroupKey, int]:
    digests = {sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest(): key for key in wanted}
    ids = _ids_by_digest(connection, digests)
    new = sorted(digests.keys() - ids.keys())
    if new:
        rows = [
            {"digest": digest, "account": wanted[key].account, "service": wanted[key].service, "tags": wanted[key].tags}
            for digest in new
            for key in (digests[digest],)
        ]
        dialect.insert_new(connection, cost_groups, rows)
        added = _ids_by_digest(connection, new)
        tags = [
            (name, value, ident)
            for digest, ident in sorted(added.items())
            for name, value in wanted[digests[digest]].tags.items()
        ]
        driver.insert(connection, _INSERT_TAGS, tags)
        ids |= added
    return {digests[digest]: ident for digest, ident in ids.items()}


_INSERT_TAGS = (
    "INSERT INTO cost_tags (key, value, group_id) VALUES {values} ON CONFLICT (key, value, group_id) DO NOTHING"
)


def _ids_by_digest(connection: Connection, digests: Collection[str]) -> dict[str, int]:
    query = "SELECT digest, id FROM cost_groups WHERE digest {among}"
    return {row[0]: row[1] for row in dialect.rows_among(connection, query, digests)}


def _columns(new: BillImport) -> dict[str, Any]:
    bill = asdict(new.bill)
    return {**bill, **{name: getattr(new, name) for name in ("id", "version", "loaded_at", "in_force", "kept", "path")}}


def _say_files(connection: Connection, known: BillImport, files: Sequence[BillFile]) -> None:
    """The same content under other names or dates: what is looked for there next time."""
    documents = [asdict(file) for file in files]
    connection.execute(update(bill_imports).where(bill_imports.c.id == known.id).values(files=documents))


# -- reading ------------------------------------------------------------------------------------------------------


def day_costs(
    connection: Connection,
    scope: CostScope,
    metric: CostMetric,
    start: date,
    end: date,
    *,
    as_known_on: datetime | None = None,
) -> list[tuple[date, str, Decimal, bool]]:
    """(day, currency, amount, provisional) of what scope cost on the days from start to end (exclusive), in that
    order. Days without a line are left out. as_known_on: by the bills that were in force then, as far as their
    versions are kept."""
    where, values = _scoped(scope)
    values |= {"start": day_number(start), "end": day_number(end)}
    in_force = "i.in_force"
    if as_known_on is not None:
        in_force = _IN_FORCE_ON
        values["known_on"] = as_known_on
    query = text(_DAY_COSTS.format(where=where, sums=_sums(metric), in_force=in_force))
    return [
        (day_of(row.day), row.currency, from_halves(row), bool(row.provisional))
        for row in connection.execute(query, _bound(values))
    ]


_DAY_COSTS = """
SELECT d.day, d.currency, {sums}, max(CASE WHEN d.provisional THEN 1 ELSE 0 END) AS provisional
FROM cost_days d JOIN bill_imports i ON i.id = d.import_id
WHERE {in_force} AND d.day >= :start AND d.day < :end AND {where}
GROUP BY d.day, d.currency ORDER BY d.day, d.currency
"""
_IN_FORCE_ON = """i.version = (SELECT max(k.version) FROM bill_imports k
WHERE k.source = i.source AND k.period = i.period AND k.loaded_at <= :known_on)"""


def _sums(metric: CostMetric) -> str:
    """Each number in two halves, so that no sum can leave 64 bits. Both engines divide towards zero."""
    return ", ".join(
        f"sum(d.{metric.value}_{limb} / {HALF}) AS {limb}_high, sum(d.{metric.value}_{limb} % {HALF}) AS {limb}_low"
        for limb in LIMBS
    )


def _scoped(scope: CostScope) -> tuple[str, dict[str, Any]]:
    """A condition on `d` and `i`, and its values."""
    conditions, values = ["1 = 1"], dict[str, Any]()
    if scope.source is not None:
        conditions.append("i.source = :source")
        values["source"] = scope.source
    for number, (name, value) in enumerate(sorted(scope.tags.items())):
        conditions.append(_TAGGED.format(number=number))
        values |= {f"key{number}": name, f"value{number}": value}
    for column, wanted in (("service", scope.service), ("account", scope.account)):
        if wanted is not None:
            conditions.append(_GROUPED.format(column=column))
            values[column] = wanted
    return " AND ".join(conditions), values


_TAGGED = "d.group_id IN (SELECT t.group_id FROM cost_tags t WHERE t.key = :key{number} AND t.value = :value{number})"
_GROUPED = "d.group_id IN (SELECT g.id FROM cost_groups g WHERE g.{column} = :{column})"


def _bound(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: to_micros(value) if isinstance(value, datetime) else value for name, value in values.items()}


def bill_state(connection: Connection, scope: CostScope, metric: CostMetric = CostMetric.BILLED) -> BillState:
    """How far the bills reach that hold lines of scope; while none holds any, those of every source it may mean."""
    bills = _bills_of(connection, scope)
    if not bills:
        return BillState(None, None)
    reach: dict[str, datetime] = {}
    for each in bills:
        source = each.bill.source
        reach[source] = max(reach.get(source, each.bill.covered_until), each.bill.covered_until)
    return BillState(
        covered_until=min(reach.values()),
        loaded_at=max(each.loaded_at for each in bills),
        sources=tuple(sorted(reach)),
        problem=_problem(connection, scope, metric, bills),
    )


def told(connection: Connection, scope: CostScope, start: date, end: date) -> dict[date, datetime]:
    """When the bills of scope first reached the end of each day from start to end (exclusive); only days that they
    reach."""
    sources = {each.bill.source for each in _bills_of(connection, scope)}
    query = select(bill_imports.c.source, bill_imports.c.loaded_at, bill_imports.c.covered_until).order_by(
        bill_imports.c.loaded_at
    )
    reached: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in connection.execute(query.where(bill_imports.c.source.in_(sorted(sources)))):
        reached[row.source].append((row.loaded_at, row.covered_until))
    found: dict[date, datetime] = {}
    for number in range((end - start).days):
        day = start + timedelta(days=number)
        over = datetime.combine(day + timedelta(days=1), time(), UTC)
        first = [next((at for at, until in words if until >= over), None) for words in reached.values()]
        moments = [at for at in first if at is not None]
        if moments and len(moments) == len(first):
            found[day] = max(moments)
    return found


def in_force(connection: Connection, source: str, period: str) -> BillImport | None:
    found = imports(connection, source=source, period=period, only_in_force=True)
    return found[0] if found else None


def imports(
    connection: Connection,
    *,
    source: str | None = None,
    period: str | None = None,
    only_in_force: bool = False,
    limit: int | None = None,
) -> list[BillImport]:
    """Newest first."""
    query = select(bill_imports).order_by(bill_imports.c.loaded_at.desc(), bill_imports.c.id.desc()).limit(limit)
    if source is not None:
        query = query.where(bill_imports.c.source == source)
    if period is not None:
        query = query.where(bill_imports.c.period == period)
    if only_in_force:
        query = query.where(bill_imports.c.in_force)
    return [_import(row) for row in connection.execute(query)]


def totals(connection: Connection, import_id: str, metric: CostMetric) -> dict[str, Decimal]:
    """All that an import sums up to, by currency."""
    query = text(
        f"SELECT d.currency, {_sums(metric)} FROM cost_days d WHERE d.import_id = :ident GROUP BY d.currency "  # noqa: S608
        "ORDER BY d.currency"
    )
    return {row.currency: from_halves(row) for row in connection.execute(query, {"ident": import_id})}


def paths(connection: Connection) -> frozenset[str]:
    """Of all files of lines that are kept."""
    return frozenset(connection.scalars(select(bill_imports.c.path).where(bill_imports.c.path.is_not(None))))


def _bills_of(connection: Connection, scope: CostScope) -> list[BillImport]:
    """Those in force of the sources that hold lines of scope; if none does, of every source it may mean."""
    found = imports(connection, source=scope.source, only_in_force=True)
    if len({each.bill.source for each in found}) < 2 or not (scope.tags or scope.service or scope.account):
        return found
    where, values = _scoped(scope)
    query = text(
        "SELECT DISTINCT i.source FROM bill_imports i WHERE i.in_force AND EXISTS "  # noqa: S608 - values are bound
        f"(SELECT 1 FROM cost_days d WHERE d.import_id = i.id AND {where})"
    )
    holding = set(connection.scalars(query, values))
    return [each for each in found if each.bill.source in holding] or found


def _problem(connection: Connection, scope: CostScope, metric: CostMetric, bills: Sequence[BillImport]) -> str | None:
    """Why the amounts of the newest two periods of each source cannot be added up."""
    newest: dict[str, list[BillImport]] = defaultdict(list)
    for each in sorted(bills, key=lambda known: known.bill.period, reverse=True):
        if len(newest[each.bill.source]) < 2:
            newest[each.bill.source].append(each)
    recent = [each for some in newest.values() for each in some]
    for each in recent:
        lost = sorted(scope.tags.keys() & set(each.bill.dropped_tags))
        if lost:
            return (
                f"tag {lost[0]!r} has too many values in the bill of {each.bill.source} for {each.bill.period} to sum "
                "by it; name the tags that matter under `tags` of this source"
            )
        if metric not in each.bill.metrics:
            return f"the bill of {each.bill.source} for {each.bill.period} has no {metric.value} cost"
    currencies = _currencies(connection, scope, [each.id for each in recent])
    if len(currencies) > 1:
        return f"its charges are in several currencies ({', '.join(currencies)}), which are never added up"
    return None


def _currencies(connection: Connection, scope: CostScope, idents: Sequence[str]) -> list[str]:
    where, values = _scoped(scope)
    names = {f"id{number}": ident for number, ident in enumerate(idents)}
    among = ", ".join(f":{name}" for name in names)
    query = text(
        "SELECT DISTINCT d.currency FROM cost_days d JOIN bill_imports i ON i.id = d.import_id "  # noqa: S608
        f"WHERE i.id IN ({among}) AND {where} ORDER BY d.currency"
    )
    return list(connection.scalars(query, {**values, **names}))


def _import(row: "Row[Any]") -> BillImport:
    names = {name: getattr(row, name) for name in Bill.__dataclass_fields__}
    return BillImport(
        id=row.id,
        version=row.version,
        loaded_at=row.loaded_at,
        in_force=bool(row.in_force),
        bill=msgspec.convert(names, Bill),
        kept=bool(row.kept),
        path=row.path,
    )
