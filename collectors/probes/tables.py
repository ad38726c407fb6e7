"""`dataset_probe`: how new the data of a table is, how many rows it has and which columns, by SQL that only reads.

One source is one database; each of its tables is looked at by itself, so what is wrong with one is told and costs the
others nothing. A look that finds what the last one found is no news and leaves no record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from pydantic import Field, model_validator

from collectors.identity import identifier
from collectors.probes.checksum import Days, Wanted
from collectors.probes.known import Known
from collectors.probes.moments import to_moment
from collectors.probes.observed import Observation, decode, is_ahead, micros
from collectors.probes.sql import Database, Place, Session, TableFault
from collectors.source import PollerOf, SourceOf
from watchtower.config.polled import PolledConfig
from watchtower.config.types import PositiveDuration, Section, Zone
from watchtower.errors import DeliveryError
from watchtower.model.run import DatasetRef
from watchtower.model.series import NAME
from watchtower.model.source import DATASET, Page, Problem, Window
from watchtower.ports import Decoded, Received
from watchtower.secrets import Secret

KIND: Final = "dataset_probe"
MOST_FIELDS: Final = 2_000
MOST_CHECKSUM: Final = 256  # characters
# Columns of a query of one's own that say something known; any other number is a series of that name.
_KNOWN: Final = {"updated_at": "updated_at", "row_count": "rows", "size_bytes": "size", "checksum": "checksum"}


class TableDocument(Section):
    """One table, or one query."""

    table: str | None = Field(default=None, min_length=1, description="`schema.table`, or just `table`")
    query: str | None = Field(default=None, description="a SELECT of one row instead")
    dataset: str | None = Field(
        default=None, min_length=1, description="as lineage calls it; default: `database.schema.table`"
    )
    updated_at: str | None = Field(default=None, min_length=1, description="column with the time of each row")
    rows: Literal["exact", "estimate", "none"] = Field(default="exact", description="how its rows are counted")
    checksum: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="columns whose content is summed up, whatever the order of rows"
    )
    by: str | None = Field(
        default=None, min_length=1, description="column with the date of each row: each day is told by itself"
    )
    dates: int = Field(default=7, ge=1, le=60, description="how many of the last whole days, with `by`")
    timezone: Zone = Field(default="UTC", description="of times that name no zone")

    @model_validator(mode="after")
    def _fits(self) -> "TableDocument":
        if (self.table is None) == (self.query is None):
            raise ValueError("name a table or give a query, and not both")
        if self.query is not None:
            _check_query(self.query, self.dataset)
            if self.updated_at is not None:
                raise ValueError("a query says updated_at by a column of that name: SELECT max(day) AS updated_at …")
            if self.checksum is not None or self.by is not None:
                raise ValueError("a query says its checksum by a column of that name, and knows no `by`")
        if self.by is not None and self.rows != "exact":
            raise ValueError("rows of a day are counted: leave `rows` out where there is `by`")
        return self


def _check_query(query: str, dataset: str | None) -> None:
    """The engine's read-only transaction keeps writing out; this tells of a slip before anything is asked."""
    if dataset is None:
        raise ValueError("a query needs `dataset`, the name of what it looks at")
    if ";" in query.strip().removesuffix(";"):
        raise ValueError("query holds more than one statement; give one SELECT")
    if query.split(None, 1)[:1] and query.split(None, 1)[0].upper() not in ("SELECT", "WITH"):
        raise ValueError("query does not begin with SELECT or WITH; a probe only reads")


class DatabaseSource(PolledConfig):
    every: PositiveDuration = Field(default=300.0, description="how often it is looked at; at least 5s")
    url: Secret = Field(description="of the database, e.g. env:WAREHOUSE_URL, as SQLAlchemy writes it")
    tables: tuple[TableDocument, ...] = Field(min_length=1, description="what is looked at")
    timeout: PositiveDuration = Field(default=30.0, description="after which a statement is ended")
    max_cost: float | None = Field(
        default=None, gt=0, description="a statement whose planner says more is not run (PostgreSQL, MySQL)"
    )


class DatasetProbeConfig(Section):
    """`collectors: dataset_probe`."""

    sources: tuple[DatabaseSource, ...] = Field(default=(), description="the databases")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look found: nothing that could be used, or one of the table, or one of each day."""

    observed: tuple[Observation, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Found:
    """What of a table could be read, while it is."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    wrong: list[str] = field(default_factory=list[str])


class ProbedDatabase(SourceOf[DatabaseSource]):
    """ports.PolledSource. Its cursor holds what was seen last, by dataset."""

    kind = KIND

    def read(self, window: Window) -> Iterator[Page]:
        """A page for each table: a slow one must not hold back what the others said."""
        database = Database(
            self.config.url.reveal(),
            self.context,
            self.what,
            timeout_s=self.config.timeout,
            max_cost=self.config.max_cost,
        )
        known = Known.of(window.cursor)
        problems: list[Problem] = []
        try:
            with database.opened() as session:
                for table in self.config.tables:
                    seen = self._look(session, table, self._ref(database, table), known, window.until)
                    problems += seen.problems
                    news = [each for each in seen.observed if known.take(each, each.partition or "")]
                    yield Page(tuple(each.record() for each in news), cursor=known.cursor() if news else None)
        except DeliveryError as error:
            yield Page(problems=(self._unreached(database, error),))
            raise
        coverage = {"datasets": len(self.config.tables)}
        yield Page(mark=window.until, problems=tuple(problems), coverage=coverage)

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, source=self.name, kind=KIND)

    def _ref(self, database: Database, table: TableDocument) -> DatasetRef:
        name = table.dataset or database.dataset(Place.parse(table.table or ""))
        return DatasetRef(identifier(self.config.namespace or database.namespace), identifier(name))

    def _unreached(self, database: Database, error: DeliveryError) -> Problem:
        refs = [self._ref(database, table) for table in self.config.tables]
        return Problem("connection", str(error), concerns=tuple(DATASET + ref.id for ref in refs))

    def _look(self, session: Session, table: TableDocument, ref: DatasetRef, known: Known, now: datetime) -> _Seen:
        found = _Found()
        days: Mapping[str, _Found] = {}
        try:
            if table.query is not None:
                _ask(session, table, ref, found)
            elif table.by is not None:
                days = _by_day(session, table, Place.parse(table.table or ""), now)
                known.keep(ref, days)
            else:
                _measure(session, table, Place.parse(table.table or ""), found)
        except TableFault as error:
            found.wrong.append(str(error))
        seen = [_observed(table, ref, found, known.last(ref), now)] if not days else []
        for day, one in days.items():
            told = _observed(table, ref, one, known.last(ref, day), now)
            seen.append(told and msgspec.structs.replace(told, partition=day))
        wrong = [*found.wrong, *(said for one in days.values() for said in one.wrong)]
        problems = [
            Problem(f"{ref.name}#{number}" if number else ref.name, said, concerns=(DATASET + ref.id,))
            for number, said in enumerate(dict.fromkeys(wrong))
        ]
        return _Seen(tuple(each for each in seen if each is not None), tuple(problems))


class DatasetProbe(PollerOf):
    """ports.Poller. The guard judges a database's address when it is asked: `url` may be a secret."""

    kind = KIND
    Config = DatasetProbeConfig
    polled = ProbedDatabase
    addresses = ()


def _measure(session: Session, table: TableDocument, place: Place, found: _Found) -> None:
    """Of a table: its columns, its newest row, and how many there are. A count that fails costs only the count."""
    found.values["fields"] = session.fields(place)[:MOST_FIELDS]
    if table.updated_at is not None:
        found.values["updated_at"] = session.newest(place, table.updated_at)
    if table.checksum is not None:
        summed = session.summed(place, Wanted(table.checksum), table.timezone)
        found.values |= {"checksum": summed["checksum"], "rows": summed["row_count"]}
    elif table.rows == "exact":
        found.values["rows"] = session.count(place)
    elif table.rows == "estimate":
        found.values["rows"] = session.estimate(place)
    if table.updated_at is not None and found.values["updated_at"] is None:
        empty = found.values.get("rows", 0) == 0
        found.wrong.append(
            f"{place} holds no row" if empty else f"{place}: no row of it says {table.updated_at}; name another column"
        )


def _by_day(session: Session, table: TableDocument, place: Place, now: datetime) -> dict[str, _Found]:
    """Each of the last whole days that has rows, newest first. The present day is not told: it grows."""
    session.fields(place)
    found: dict[str, _Found] = {}
    for day in Days(ZoneInfo(table.timezone), table.dates).of(now):
        asked = Wanted(table.checksum or (), table.updated_at, (table.by or "", day))
        row = session.summed(place, asked, table.timezone)
        if row["row_count"]:
            values = {"rows": row["row_count"], "checksum": row.get("checksum")}
            newest = {"updated_at": row["updated_at"]} if table.updated_at is not None else {}
            found[day.isoformat()] = _Found(values | newest)
    return found


def _ask(session: Session, table: TableDocument, ref: DatasetRef, found: _Found) -> None:
    """Of a query: the columns that are known by name, and numbers of other names."""
    numbers: dict[str, float] = {}
    for name, value in session.row(ref.name, (table.query or "").strip().removesuffix(";")).items():
        known = _KNOWN.get(name.lower())
        if known:
            found.values[known] = value
        elif isinstance(value, int | float | Decimal) and NAME.fullmatch(name):
            numbers[name] = float(value)
    found.values["numbers"] = numbers or None


def _observed(
    table: TableDocument, ref: DatasetRef, found: _Found, last: Observation | None, now: datetime
) -> Observation | None:
    """None where nothing could be read. What has no time of its own was written when its rows were seen to change."""
    values = dict(found.values)
    if not values:
        return None
    updated_at = _updated_at(table, ref, values.pop("updated_at", None), found, now)
    rows = values.pop("rows", None)
    size = values.pop("size", None)
    checksum = values.pop("checksum", None)
    seen = Observation(
        ref.namespace,
        ref.name,
        micros(now) or 0,
        updated_at=micros(updated_at),
        rows=None if rows is None else int(rows),
        size=None if size is None else int(size),
        checksum=None if checksum is None else str(checksum)[:MOST_CHECKSUM],
        **values,
    )
    told = (seen.rows, seen.size, seen.checksum)
    if table.updated_at is not None or "updated_at" in found.values or not any(part is not None for part in told):
        return seen
    same = last is not None and (last.rows, last.size, last.checksum) == told
    return msgspec.structs.replace(seen, updated_at=last.updated_at if same and last else seen.seen)


def _updated_at(table: TableDocument, ref: DatasetRef, value: Any, found: _Found, now: datetime) -> datetime | None:
    try:
        moment = to_moment(value, ZoneInfo(table.timezone))
    except ValueError as error:
        found.wrong.append(f"{ref.name}: updated_at {error}; name a column of times")
        return None
    if moment is not None and is_ahead(moment, now):
        found.wrong.append(
            f"{ref.name}: its newest row is of {moment.isoformat()}, still to come; is `timezone` right?"
        )
        return None
    return moment
