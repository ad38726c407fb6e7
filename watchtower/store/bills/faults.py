"""What is wrong with a bill: every kind of fault, how often, and where it is met first.

Runs only where the quick way has failed. It reads each file in its order, so it may say the number of a line.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from watchtower.model.currencies import DIGITS
from watchtower.ports import BillFormat
from watchtower.store.bills import reading
from watchtower.store.bills.engine import Engine, EngineError, literals, name
from watchtower.store.bills.files import Table, first_line
from watchtower.store.bills.reading import LONGEST_SCALE, MOST_DIGITS, MOST_WHOLE, Group

_SHOWN: Final = 60  # characters of a value, or columns of a file


@dataclass(frozen=True, slots=True)
class Examined:
    """faults: all there are; scale: digits behind the point that the amounts need."""

    faults: tuple[str, ...]
    scale: int


@dataclass(frozen=True, slots=True)
class _Check:
    """column: for messages; says: in the singular and the plural; found: true for a line that is wrong; value: what
    stands there."""

    column: str
    says: str
    found: str
    value: str


def of_columns(tables: Sequence[Table], known: BillFormat, *, period_given: bool) -> list[str]:
    """What can be said without reading a line."""
    spelled = {column.lower(): column for column in known.columns}
    found: list[str] = []
    for table in tables:
        have = [spelled.get(column.lower(), column) for column in table.columns]
        twice = sorted({column for column in have if sum(each.lower() == column.lower() for each in have) > 1})
        if twice:
            found.append(f"{table.name}: {_columns(twice)} stand more than once in the header")
        wanted = [column for column in known.required if not (period_given and column == known.billing_period[0])]
        missing = [column for column in wanted if column not in have]
        if missing:
            more = f" and {len(have) - _SHOWN} more" if len(have) > _SHOWN else ""
            found.append(
                f"{table.name}: {known.name} columns are missing: {', '.join(missing)}; found: "
                f"{', '.join(column or '(no name)' for column in have[:_SHOWN])}{more}"
            )
        if table.parquet:
            found += _types(table, dict(zip(have, table.types, strict=True)), known)
    return found


def _types(table: Table, kinds: dict[str, str], known: BillFormat) -> Iterator[str]:
    wanted = [
        *((column, reading.is_amount, "a number") for column in (*known.amounts.values(), *known.decimals)),
        *((column, reading.is_instant, "a time") for column in (*known.billing_period, *known.charge_period)),
        (known.tags, reading.is_tags, "JSON text, a map or a struct"),
    ]
    for column, fits, words in wanted:
        if column in kinds and not fits(kinds[column]):
            yield f"{table.name}: {column} is of the type {kinds[column]}; wanted is {words}"


def _columns(names: Sequence[str]) -> str:
    return f"the columns {', '.join(names)}" if len(names) > 1 else f"the column {names[0]}"


def of_lines(engine: Engine, groups: Sequence[Group], known: BillFormat) -> Examined:
    """Every kind of fault in every file. engine: that keeps lines in order."""
    found: list[str] = []
    needs: dict[str, tuple[int, str]] = {}
    for group in groups:
        for table in group.tables:
            found += _of_file(engine, Group((table,), group.columns), known, needs)
    behind, whole = needs.get("behind", (0, "")), needs.get("whole", (0, ""))
    digits = behind[0] + whole[0]
    if digits > MOST_DIGITS and behind[0] <= LONGEST_SCALE and whole[0] <= MOST_WHOLE:
        found.append(
            f"the amounts need {digits} digits ({whole[0]} before the point: {whole[1]}; {behind[0]} behind it: "
            f"{behind[1]}), and {MOST_DIGITS} can be kept"
        )
    return Examined(tuple(found), behind[0])


def _of_file(engine: Engine, one: Group, known: BillFormat, needs: dict[str, tuple[int, str]]) -> list[str]:
    table = one.tables[0]
    checks = list(_checks(one, known))
    amounts = _amounts(one, known)
    numbers = [f"wt_number({reading.text_of(column, kind)}) AS {_number(column)}" for column, kind in amounts]
    measured = [
        each
        for column, _ in amounts
        for measure in ("wt_behind", "wt_whole")
        for each in (f"max({measure}({_number(column)}))", f"arg_max(line, {measure}({_number(column)}))")
    ]
    parts = [
        each
        for check in checks
        for each in (
            f"count(*) FILTER ({check.found})",
            f"min(line) FILTER ({check.found})",
            f"arg_min({check.value}, line) FILTER ({check.found})",
        )
    ]
    sql = (
        f"SELECT count(*), {', '.join([*parts, *measured])} "  # noqa: S608 - names are quoted
        f"FROM (SELECT row_number() OVER () AS line, {', '.join([*numbers, '*'])} "
        f"FROM {reading.scan(one, rejects=not table.parquet)})"
    )
    try:
        (row,) = engine.execute(sql).fetchall()
        rejected = _rejected(engine) if not table.parquet else []
    except EngineError as error:
        return [f"{table.name}: {first_line(error)}"]
    where = _Lines(table, sorted({line for line, _ in rejected}))
    cells = iter(row[1:])
    found = list(_structure(table, rejected))
    for check in checks:
        count, line, value = next(cells), next(cells), next(cells)
        if count:
            found.append(f"{table.name}: {check.column} {check.says}: {where.first(count, line)}{_shown(value)}")
    for column, _ in amounts:
        for what in ("behind", "whole"):
            length, line = next(cells), next(cells)
            if length is not None and length > needs.get(what, (0, ""))[0]:
                needs[what] = (length, f"{table.name}, {where.of(line)}, {column}")
    return found


def _amounts(one: Group, known: BillFormat) -> list[tuple[str, str]]:
    wanted = (*known.amounts.values(), *known.decimals)
    return [(each, kind) for each in wanted if (kind := one.type_of(each)) is not None]


def _number(column: str) -> str:
    """The name of an amount as wt_number gives it."""
    return name(f"wt {column}")


def _checks(one: Group, known: BillFormat) -> Iterator[_Check]:
    for column, kind in _amounts(one, known):
        text = reading.text_of(column, kind)
        number = _number(column)
        yield _Check(column, "is no number", f"{text} IS NOT NULL AND {number} IS NULL", text)
        behind = f"wt_behind({number}) > {LONGEST_SCALE}"
        yield _Check(column, f"has more than {LONGEST_SCALE} digits behind the point", behind, text)
        whole = f"wt_whole({number}) > {MOST_WHOLE}"
        yield _Check(column, f"has more than {MOST_WHOLE} digits before the point", whole, text)
    for column in (*known.billing_period, *known.charge_period):
        kind = one.type_of(column)
        if kind is None:
            continue
        made, stands = reading.instant(column, kind), name(column)
        if column in known.required:
            yield _Check(column, "is empty", f"{stands} IS NULL", "NULL")
        bad = f"{stands} IS NOT NULL AND coalesce({made} NOT BETWEEN {reading.FIRST} AND {reading.LAST}, true)"
        says = "is no time such as 2026-10-01T00:00:00Z, of the years 2000 to 2099"
        yield _Check(column, says, bad, f"{stands}::VARCHAR")
    begin, end = known.charge_period
    kinds = one.type_of(begin), one.type_of(end)
    if kinds[0] and kinds[1]:
        first, last = reading.instant(begin, kinds[0]), reading.instant(end, kinds[1])
        yield _Check(end, f"is before {begin}", f"{last} < {first}", f"{name(end)}::VARCHAR")
    if one.type_of(known.currency):
        currency = f"{name(known.currency)}::VARCHAR"
        yield _Check(known.currency, "is empty", f"{currency} IS NULL", "NULL")
        strange = f"{currency} NOT IN {_among(sorted(DIGITS))}"
        yield _Check(known.currency, "is no currency of ISO 4217", strange, currency)
    kind = one.type_of(known.tags)
    if kind in ("VARCHAR", "JSON"):
        text = name(known.tags)
        bad = f"{text} IS NOT NULL AND try_cast(try_cast({text} AS JSON) AS MAP(VARCHAR, VARCHAR)) IS NULL"
        yield _Check(known.tags, 'is no JSON object such as {"team": "data"}', bad, text)


def _among(texts: Sequence[str]) -> str:
    return f"({literals(texts)[1:-1]})"


def _rejected(engine: Engine) -> list[tuple[int, str]]:
    """(line, what is wrong with it), and forget them."""
    rows = engine.execute("SELECT line, error_type FROM reject_errors ORDER BY line").fetchall()
    engine.execute("DROP TABLE IF EXISTS reject_errors")
    engine.execute("DROP TABLE IF EXISTS reject_scans")
    return [(line, str(kind).lower()) for line, kind in rows]


def _structure(table: Table, rejected: Sequence[tuple[int, str]]) -> Iterator[str]:
    for kind in sorted({kind for _, kind in rejected}):
        lines = sorted({line for line, each in rejected if each == kind})
        yield f"{table.name}: {_STRUCTURE.get(kind, kind)}: {_times(len(lines), f'line {lines[0]}')}"


_STRUCTURE: Final = {
    "too many columns": "more columns than the header has",
    "missing columns": "fewer columns than the header has",
    "unquoted value": "a quote that does not end",
    "invalid encoding": "no UTF-8 text",
    "line size over maximum": "a line of more than 2 MB",
}


@dataclass(frozen=True, slots=True)
class _Lines:
    """Turns the number of a line that was read into that of the line in the file, behind the header and what could
    not be read. Quoted line breaks count as none."""

    table: Table
    left_out: Sequence[int]

    def of(self, number: int) -> str:
        if self.table.parquet:
            return f"row {number}"
        line = number + 1
        for other in self.left_out:
            if other > line:
                break
            line += 1
        return f"line {line}"

    def first(self, count: int, number: int) -> str:
        return _times(count, self.of(number))


def _times(count: int, where: str) -> str:
    return where if count == 1 else f"{count:,} lines, first {where}"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = str(value)
    return f" ({text[:_SHOWN]!r}{'…' if len(text) > _SHOWN else ''})"
