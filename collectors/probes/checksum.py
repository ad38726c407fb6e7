"""Checksums of tables, made by the database itself, whatever the order of its rows.

Of each row the MD5 of its columns is taken: each as text behind its length, so that no two rows look alike by chance
of where a column ends, and NULL as something of its own. Two parts of it, 28 bits each, are added up over all rows.
Equal rows count as often as they are there. The same texts give the same sum in any engine.
Sources: PostgreSQL "String Functions", "Bit String Types"; MySQL "CONV()"; Snowflake "Fixed-position numeric formats";
SQLite has no MD5, so its driver is lent one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import md5
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ClauseElement, Text, case, cast, column, func, literal_column, select, table
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NULLTYPE

_DIGITS: Final = 7  # hexadecimal: as many as fit into any engine's integer
_LENT: Final = "watchtower_md5_part"  # SQLite's: (text, place)
# The number that digits of an MD5 are. {text}: what it is made of; {at}: the place of the first digit, from 1.
_NUMBERS: Final = {
    "postgresql": "('x' || substr(md5({text}), {at}, 7))::bit(28)::integer",
    "mysql": "CAST(conv(substr(md5({text}), {at}, 7), 16, 10) AS UNSIGNED)",
    "mariadb": "CAST(conv(substr(md5({text}), {at}, 7), 16, 10) AS UNSIGNED)",
    "snowflake": "to_number(substr(md5({text}), {at}, 7), 'XXXXXXX')",
    "sqlite": _LENT + "({text}, {at})",
}
_LENGTHS: Final = {"mysql": "char_length", "mariadb": "char_length"}  # of characters, where `length` counts bytes
ENGINES: Final = frozenset(_NUMBERS)


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days before the present one."""

    zone: ZoneInfo
    count: int

    def of(self, now: datetime) -> list[date]:
        """Newest first."""
        today = now.astimezone(self.zone).date()
        return [today - timedelta(days=back) for back in range(1, self.count + 1)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a table in one statement. columns: that are summed up; updated_at: column whose greatest value
    is asked for; day: a column and the day on which it must be, in the session's zone."""

    columns: Sequence[str] = ()
    updated_at: str | None = None
    day: tuple[str, date] | None = None


def statement(dialect: Any, schema: str | None, name: str, asked: Wanted) -> ClauseElement:
    """One row: row_count; high and low; updated_at. dialect: of SQLAlchemy, one of ENGINES where columns are summed."""
    updated_at, day = asked.updated_at, asked.day
    told: list[Any] = [func.count().label("row_count")]
    if asked.columns:
        text = str(_text(dialect.name, asked.columns).compile(dialect=dialect))
        for label, at in (("high", 1), ("low", 1 + _DIGITS)):
            number: ColumnElement[Any] = literal_column(_NUMBERS[dialect.name].format(text=text, at=at))
            told.append(func.sum(number).label(label))
    if updated_at is not None:
        told.append(func.max(column(updated_at, NULLTYPE)).label("updated_at"))
    wanted = select(*told).select_from(table(name, schema=schema))
    if day is None:
        return wanted
    dated, begins = column(day[0], NULLTYPE), day[1]
    return wanted.where(dated >= _literal(begins), dated < _literal(begins + timedelta(days=1)))


def shown(high: Any, low: Any) -> str:
    """16 hexadecimal digits; of no row, zeros."""
    return "".join(f"{int(part or 0) % 2**32:08x}" for part in (high, low))


def lend(raw: Any) -> None:
    """Give the driver's connection of an SQLite database what it lacks."""
    raw.create_function(_LENT, 2, _part, deterministic=True)


def _part(text: str, at: int) -> int:
    digits = md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return int(digits[at - 1 : at - 1 + _DIGITS], 16)


def _text(engine: str, columns: Sequence[str]) -> ColumnElement[Any]:
    length = getattr(func, _LENGTHS.get(engine, "length"))
    whole: ColumnElement[Any] | None = None
    for name in columns:
        value = cast(column(name), Text)
        counted = cast(length(value), Text) + _colon() + value
        said = case((column(name).is_(None), literal_column("'-'", Text)), else_=counted)
        whole = said if whole is None else whole + said
    assert whole is not None
    return whole


def _colon() -> ColumnElement[Any]:
    return literal_column("':'", Text)


def _literal(day: date) -> ColumnElement[Any]:
    return literal_column(f"'{day.isoformat()}'")
