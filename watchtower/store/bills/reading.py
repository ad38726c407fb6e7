"""How the columns of a bill become exact numbers and instants: SQL for DuckDB.

Nothing goes through a float. An amount is cut from its text: digits, at most `scale` behind the point, an exponent
written out; a Parquet double is taken by its shortest decimal text. What does not fit is an error, never rounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from watchtower.ports import BillFormat
from watchtower.store.bills.engine import Engine, literal, literals, name
from watchtower.store.bills.files import Table

MOST_DIGITS: Final = 38  # of DECIMAL, and of design §2a.12
LONGEST_SCALE: Final = 28
MOST_WHOLE: Final = 18  # digits before the point: what the sum of a day can hold
SAMPLE: Final = 20_000  # lines that the scale is guessed from
NULLS: Final = ("", "NULL")
# Of text that is taken apart at a time, and twice the longest line. A cache holds it; 32 MiB, DuckDB's own, do not fit,
# and cost a tenth more time and 70 MiB.
PIECE: Final = 4 << 20
# An amount outside of these years is a slip, and so are DuckDB's `infinity` and `epoch`.
FIRST, LAST = "TIMESTAMP '2000-01-01'", "TIMESTAMP '2100-01-01'"

# A macro writes its argument out wherever it names it; a list of one and a lambda name it once.
MACROS: Final = (
    r"""CREATE MACRO wt_moved(sign, digits, point) AS
        CASE WHEN point <= 0 THEN sign || '0.' || repeat('0', -point) || digits
             WHEN point >= length(digits) THEN sign || digits || repeat('0', point - length(digits))
             ELSE sign || digits[1:point] || '.' || digits[point + 1:] END""",
    r"""CREATE MACRO wt_written_out(x) AS
        list_transform(
            [regexp_extract(x, '^([+-]?)([0-9]*)\.?([0-9]*)[eE]([+-]?[0-9]{1,2})$',
                            ['sign', 'whole', 'behind', 'power'])],
            lambda p: wt_moved(p.sign, p.whole || p.behind, length(p.whole) + p.power::INTEGER))[1]""",
    # 12.50, .5, 5., +5, 1.2e3 → its digits without exponent, sign kept; NULL for what is no number.
    r"""CREATE MACRO wt_number(x) AS
        list_transform([trim(x)], lambda t:
            CASE WHEN regexp_full_match(t, '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)') THEN t
                 WHEN regexp_full_match(t, '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][+-]?[0-9]{1,2}') THEN wt_written_out(t)
            END)[1]""",
    # Digits that count behind and before the point; n: as of wt_number.
    r"""CREATE MACRO wt_behind(n) AS length(rtrim(split_part(n, '.', 2), '0'))""",
    r"""CREATE MACRO wt_whole(n) AS length(ltrim(split_part(n, '.', 1), '+-0'))""",
    r"""CREATE MACRO wt_fitting(x, scale) AS
        list_transform([wt_number(x)], lambda n:
            CASE WHEN wt_behind(n) <= scale AND wt_whole(n) <= 18 THEN n
                 ELSE error('an amount does not fit') END)[1]""",
    # With a zone an instant moves by it; without one it is UTC, as the engine's own zone is.
    r"""CREATE MACRO wt_instant(x) AS make_timestamp(epoch_us(x::TIMESTAMPTZ))""",
    r"""CREATE MACRO wt_try_instant(x) AS make_timestamp(epoch_us(try_cast(x AS TIMESTAMPTZ)))""",
)


@dataclass(frozen=True, slots=True)
class Column:
    """name: as the format spells it, if it knows the column; type: of Parquet, else VARCHAR."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are read together: same columns in the same order."""

    tables: tuple[Table, ...]
    columns: tuple[Column, ...]

    def type_of(self, column: str) -> str | None:
        return next((each.type for each in self.columns if each.name == column), None)


def prepare(engine: Engine) -> None:
    for macro in MACROS:
        engine.execute(macro)


def grouped(tables: Sequence[Table], known: BillFormat) -> list[Group]:
    spelled = {column.lower(): column for column in known.columns}
    by_shape: dict[object, list[Table]] = {}
    for table in tables:
        by_shape.setdefault(table.shape, []).append(table)
    return [
        Group(
            tuple(some),
            tuple(
                Column(spelled.get(column.lower(), column), kind)
                for column, kind in zip(some[0].columns, some[0].types, strict=True)
            ),
        )
        for some in by_shape.values()
    ]


def scan(group: Group, *, rejects: bool = False) -> str:
    """A relation of the lines as they stand, columns named as the format does. rejects: lines that cannot be taken
    apart are left out, and kept for `reject_errors`."""
    table = group.tables[0]
    files = literals([str(each.path) for each in group.tables])
    if table.parquet:
        columns = ", ".join(
            f"{name(stands)} AS {name(column.name)}"
            for stands, column in zip(table.columns, group.columns, strict=True)
        )
        return f"(SELECT {columns} FROM read_parquet({files}))"  # noqa: S608 - names are quoted
    columns = ", ".join(f"{literal(column.name)}: 'VARCHAR'" for column in group.columns)
    more = ", store_rejects = true, rejects_limit = 1000" if rejects else ""
    return (
        f"read_csv({files}, auto_detect = false, header = true, columns = {{{columns}}}, "
        f"delim = {literal(table.delimiter)}, quote = '\"', escape = '\"', nullstr = {literals(NULLS)}, "
        f"compression = '{table.compression}', buffer_size = {PIECE}, strict_mode = true{more})"
    )


def text_of(column: str, kind: str) -> str:
    """An amount as text: the shortest one of a double."""
    return name(column) if kind == "VARCHAR" else f"{name(column)}::VARCHAR"


def is_binary(kind: str) -> bool:
    return kind in ("DOUBLE", "FLOAT")


def is_amount(kind: str) -> bool:
    integers = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
    return kind == "VARCHAR" or is_binary(kind) or kind in integers or kind.startswith("DECIMAL")


def is_instant(kind: str) -> bool:
    return kind in ("VARCHAR", "DATE") or kind.startswith("TIMESTAMP")


def is_tags(kind: str) -> bool:
    return kind in ("VARCHAR", "JSON") or kind.startswith(("MAP(", "STRUCT("))


def amount(column: str, kind: str, scale: int) -> str:
    kept = f"DECIMAL({MOST_DIGITS}, {scale})"
    if kind.startswith("DECIMAL("):
        digits, behind = map(int, kind[8:-1].split(","))
        if behind <= scale:
            return _wider(column, digits - behind, kept)
    text = text_of(column, kind)
    fraction = rf"(\.[0-9]{{1,{scale}}})?" if scale else ""
    return (
        f"CASE WHEN {text} IS NULL THEN NULL "
        f"WHEN regexp_full_match({text}, '[+-]?[0-9]{{1,{MOST_WHOLE}}}{fraction}') THEN {text}::{kept} "
        f"ELSE wt_fitting({text}, {scale})::{kept} END"
    )


def _wider(column: str, whole: int, kept: str) -> str:
    """A decimal with as many digits behind the point or fewer. whole: digits that its type has room for before it."""
    stands = name(column)
    if whole <= MOST_WHOLE:
        return f"{stands}::{kept}"
    bound = f"1{'0' * MOST_WHOLE}"
    fits = f"{stands} IS NULL OR ({stands} > -{bound} AND {stands} < {bound})"
    return f"CASE WHEN {fits} THEN {stands}::{kept} ELSE error('an amount does not fit') END"


def instant(column: str, kind: str) -> str:
    """As a TIMESTAMP in UTC; NULL for what is none."""
    if kind == "VARCHAR":
        return f"wt_try_instant({name(column)})"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"wt_instant({name(column)})"
    return f"{name(column)}::TIMESTAMP"


def checked_instant(column: str, kind: str) -> str:
    """As a TIMESTAMP in UTC; what is none is an error. Whether it lies within the years is told by `strange_instants`,
    once all lines are written: that is quicker than to ask at each."""
    if kind not in ("VARCHAR", "TIMESTAMP WITH TIME ZONE"):
        return f"{name(column)}::TIMESTAMP"
    # 'infinity' is no number of microseconds.
    none = f"CASE WHEN {name(column)} IS NOT NULL THEN error('no instant') END"
    return f"coalesce(wt_instant({name(column)}), {none})"


def strange_instants(engine: Engine, lines: str, columns: Sequence[str], known: BillFormat) -> bool:
    """Whether one of the lines as they are kept has a time outside of the years, or none where one must be. The engine
    knows this from the statistics of the file, without a look at its lines."""
    asked: list[str] = []
    for column in (*known.billing_period, *known.charge_period):
        if column in columns:
            stands = name(column)
            asked += [f"min({stands}) < {FIRST}", f"max({stands}) > {LAST}"]
            asked += [f"count({stands}) < count(*)"] if column in known.required else []
    sql = f"SELECT coalesce({' OR '.join(asked)}, false) FROM {lines}"  # noqa: S608 - names are quoted
    row = engine.execute(sql).fetchone()
    return row is not None and bool(row[0])


def tags(column: str, kind: str) -> str:
    return name(column) if kind in ("VARCHAR", "JSON") else f"to_json({name(column)})::VARCHAR"


def typed(group: Group, known: BillFormat, scale: int) -> str:
    """A SELECT of the lines with amounts, instants and tags as they are kept; everything else as it stands."""
    amounts = {*known.amounts.values(), *known.decimals}
    instants = {*known.billing_period, *known.charge_period}
    made: list[str] = []
    for column in group.columns:
        if column.name in amounts:
            expression = amount(column.name, column.type, scale)
        elif column.name in instants:
            expression = checked_instant(column.name, column.type)
        elif column.name == known.tags:
            expression = tags(column.name, column.type)
        elif column.name in known.columns and column.type == "VARCHAR":
            expression = name(column.name)
        else:
            made.append(name(column.name))
            continue
        made.append(f"{expression} AS {name(column.name)}")
    return f"SELECT {', '.join(made)} FROM {scan(group)}"  # noqa: S608 - names are quoted


def all_typed(groups: Sequence[Group], known: BillFormat, scale: int) -> str:
    return " UNION ALL BY NAME ".join(typed(group, known, scale) for group in groups)


def guessed_scale(engine: Engine, groups: Sequence[Group], known: BillFormat) -> int:
    """Digits behind the point, from the first lines of each group. Where lengths differ there may be longer ones, so
    that some room is left; what does not fit after all is found when everything is read."""
    scale = 0
    for group in groups:
        amounts = [group.type_of(column) for column in (*known.amounts.values(), *known.decimals)]
        scale = max([scale, *(_fixed_scale(kind) for kind in amounts if kind)])
        texts = _texts(group, known)
        if not texts:
            continue
        lengths = [f"max(length({text}) - instr({text}, '.')) FILTER (instr({text}, '.') > 0)" for text in texts]
        shortest = [f"min(length({text}) - instr({text}, '.')) FILTER (instr({text}, '.') > 0)" for text in texts]
        exact = [f"max(wt_behind(wt_number({text})))" for text in texts]
        sql = (
            f"SELECT greatest({', '.join([*lengths, '0'])}), least({', '.join([*shortest, '99'])}), "  # noqa: S608
            f"greatest({', '.join([*exact, '0'])}), count(*) FROM (SELECT * FROM {scan(group)} LIMIT {SAMPLE})"
        )
        row = engine.execute(sql).fetchone()
        assert row is not None
        longest, least, needed, lines = (int(value or 0) for value in row)
        varies = longest != least and lines == SAMPLE
        scale = max(scale, longest if longest == least else needed + (4 if varies else 0))
    return min(scale, LONGEST_SCALE)


def _fixed_scale(kind: str) -> int:
    return min(int(kind[8:-1].split(",")[1]), LONGEST_SCALE) if kind.startswith("DECIMAL(") else 0


def _texts(group: Group, known: BillFormat) -> list[str]:
    """Of the amounts whose digits only their text tells."""
    kinds: Mapping[str, str | None] = {
        column: group.type_of(column) for column in (*known.amounts.values(), *known.decimals)
    }
    return [text_of(column, kind) for column, kind in kinds.items() if kind == "VARCHAR" or (kind and is_binary(kind))]
