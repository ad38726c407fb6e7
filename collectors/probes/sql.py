"""Databases that are only read: where the probes know SQLAlchemy, and what its dialects can do.

Each statement has a transaction of its own, read-only where the engine knows such, ended by the engine itself when its
time is over, and rolled back in any case. What it may cost is asked of the engine's planner first, where it tells.
Sources: PostgreSQL "SET TRANSACTION", "EXPLAIN"; MySQL "SET TRANSACTION", "max_execution_time"; MariaDB
"max_statement_time"; Snowflake "STATEMENT_TIMEOUT_IN_SECONDS"; SQLite "URI filenames" and `sqlite3_progress_handler`.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from sqlalchemy import URL, Connection, Engine, column, create_engine, func, inspect, make_url, select, table, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import NULLTYPE

from collectors.probes import checksum
from collectors.probes.checksum import ENGINES, Wanted, lend, shown
from watchtower.errors import ConfigError, Fault, Permanent, Reason, Transient
from watchtower.ports import Clock, PollContext
from watchtower.pulse import beat

CONNECT_S: Final = 10
MESSAGE_CHARS: Final = 300
_STEPS: Final = 10_000  # of SQLite's machine between two looks at the clock

# Before the statement, in its transaction. {s}, {ms}: the time-out.
_LIMITS: Final[Mapping[str, tuple[str, ...]]] = {
    "postgresql": ("SET TRANSACTION READ ONLY", "SET LOCAL statement_timeout = {ms}", "SET LOCAL lock_timeout = {ms}"),
    "mysql": ("SET SESSION max_execution_time = {ms}", "START TRANSACTION READ ONLY"),
    "mariadb": ("SET SESSION max_statement_time = {s}", "START TRANSACTION READ ONLY"),
    "snowflake": ("ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = {s}",),
}
_ZONES: Final[Mapping[str, tuple[str, ...]]] = {"postgresql": ("SET LOCAL TIME ZONE '{zone}'",)}
_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_EXPLAIN: Final = {
    "postgresql": "EXPLAIN (FORMAT JSON) ",
    "mysql": "EXPLAIN FORMAT=JSON ",
}
_ESTIMATES: Final = {
    "postgresql": "SELECT nullif(reltuples, -1)::bigint FROM pg_class WHERE oid = to_regclass(:name)",
    "mysql": "SELECT table_rows FROM information_schema.tables "
    "WHERE table_schema = coalesce(:schema, database()) AND table_name = :table",
}
# What OpenLineage calls the engine, and how many names lead to a table there (its Naming.md).
_NAMING: Final[Mapping[str, tuple[str, int]]] = {
    "postgresql": ("postgres", 5432),
    "mysql": ("mysql", 3306),
    "mariadb": ("mysql", 3306),
    "mssql": ("mssql", 1433),
    "oracle": ("oracle", 1521),
    "redshift": ("redshift", 5439),
    "trino": ("trino", 8080),
}
_WITHOUT_SCHEMAS: Final = frozenset({"mysql", "mariadb", "sqlite"})
_DEFAULT_SCHEMA: Final = {"postgresql": "public", "redshift": "public", "mssql": "dbo", "snowflake": "PUBLIC"}


class TableFault(Exception):
    """What is wrong with one table or query, in words, with the remedy: the others are not concerned."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table is: its schema may be left out."""

    schema: str | None
    name: str

    @classmethod
    def parse(cls, said: str) -> "Place":
        schema, _, name = said.rpartition(".")
        return cls(schema or None, name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Database:
    """One database, as a probe may use it. what: the source in messages. Calls raise Transient or Permanent where it
    cannot be reached, and TableFault for what concerns one table."""

    def __init__(self, url: str, context: PollContext, what: str, *, timeout_s: float, max_cost: float | None) -> None:
        self._url = parse_url(url, context.base_dir, what)
        self._context, self._what = context, what
        self._timeout_s, self._max_cost = timeout_s, max_cost

    @property
    def dialect(self) -> str:
        return self._url.get_backend_name()

    @property
    def namespace(self) -> str:
        """As OpenLineage names the database."""
        scheme, port = _NAMING.get(self.dialect, (self.dialect, 0))
        if self.dialect == "sqlite":
            return "file"
        host = self._url.host or "localhost"
        port = self._url.port or port
        return f"{scheme}://{host}:{port}" if port else f"{scheme}://{host}"

    def dataset(self, place: Place) -> str:
        """As OpenLineage names the table: `database.schema.table`."""
        if self.dialect == "sqlite":
            return f"{self._file}#{place.name}"
        schema = place.schema or _DEFAULT_SCHEMA.get(self.dialect)
        parts = [self._url.database, None if self.dialect in _WITHOUT_SCHEMAS else schema, place.name]
        return ".".join(part for part in parts if part)

    @property
    def _file(self) -> str:
        return unquote(str(self._url.database).removeprefix("file:"))

    @contextmanager
    def opened(self) -> Generator["Session"]:
        for host in self._hosts():
            self._context.check(f"https://{host}")
        engine = self._engine()
        try:
            with self._reached(engine) as connection:
                yield Session(connection, self._context.clock, self.dialect, self._timeout_s, self._max_cost)
        finally:
            engine.dispose()

    def _hosts(self) -> Iterator[str]:
        """Of the network; a socket of this machine is none."""
        given = self._url.query.get("host", ())
        for host in [self._url.host, *((given,) if isinstance(given, str) else given)]:
            if host and not host.startswith("/"):
                name = f"[{host}]" if ":" in host else host
                yield f"{name}:{self._url.port}" if self._url.port else name

    def _engine(self) -> Engine:
        arguments = {"connect_timeout": CONNECT_S} if self.dialect in ("postgresql", "mysql", "mariadb") else {}
        try:
            return create_engine(self._url, poolclass=NullPool, connect_args=arguments, hide_parameters=True)
        except (ImportError, NoSuchModuleError) as error:
            remedy = f"install its SQLAlchemy driver beside Watchtower; {str(error)[:MESSAGE_CHARS]}"
            raise Permanent(Reason.REJECTED, f"{self._what}: no driver for {self._url.drivername}; {remedy}") from error

    @contextmanager
    def _reached(self, engine: Engine) -> Generator[Connection]:
        try:
            connection = engine.connect()
        except SQLAlchemyError as error:
            remedy = "is it up, may this user connect, is `url` right?"
            raise Transient(Reason.CONNECT, f"{self._what}: cannot connect: {self._plain(error)}; {remedy}") from error
        try:
            yield connection
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            raise Transient(Reason.CONNECT, f"{self._what}: the connection was lost: {self._plain(error)}") from error
        finally:
            connection.close()

    def _plain(self, error: SQLAlchemyError) -> str:
        said = first_line(error)
        password = self._url.password
        return said.replace(str(password), "***") if password else said


class Session:
    """One connection. Each method is one transaction."""

    def __init__(
        self, connection: Connection, clock: Clock, dialect: str, timeout_s: float, max_cost: float | None
    ) -> None:
        self._connection, self._clock = connection, clock
        self._dialect, self._timeout_s, self._max_cost = dialect, timeout_s, max_cost

    def newest(self, place: Place, name: str) -> Any:
        """The greatest value of a column; None of an empty table."""
        statement: Any = select(func.max(column(name, NULLTYPE))).select_from(table(place.name, schema=place.schema))
        return self._one(str(place), self._sql(statement))["value"]

    def count(self, place: Place) -> int:
        statement = select(func.count()).select_from(table(place.name, schema=place.schema))
        return int(self._one(str(place), self._sql(statement))["value"])

    def summed(self, place: Place, asked: Wanted, zone: str) -> Mapping[str, Any]:
        """row_count, and what else was asked for, among it `checksum`. zone: in which a day is meant, where the engine
        has times of a zone."""
        dialect = self._connection.dialect
        if asked.columns and self._dialect not in ENGINES:
            remedy = "give a `query` with a column `checksum` of its own instead"
            raise TableFault(f"{place}: of {self._dialect} no checksum is made; {remedy}")
        if asked.columns and self._dialect == "sqlite":
            lend(self._connection.connection.driver_connection)
        sql = str(checksum.statement(dialect, place.schema, place.name, asked).compile(dialect=dialect))
        row = dict(self._one(str(place), sql, *(each.format(zone=zone) for each in _ZONES.get(self._dialect, ()))))
        if asked.columns:
            row["checksum"] = shown(row.pop("high"), row.pop("low"))
        return row

    def estimate(self, place: Place) -> int | None:
        """As the engine's statistics have it; None while it has none."""
        asked = _ESTIMATES.get("mysql" if self._dialect == "mariadb" else self._dialect)
        if asked is None:
            raise TableFault(f"{place}: {self._dialect} keeps no estimate of rows; say `rows: exact` or `rows: none`")
        given = {"name": str(place), "schema": place.schema, "table": place.name}
        with self._transaction(str(place)):
            names = {name: value for name, value in given.items() if f":{name}" in asked}
            value = self._connection.execute(text(asked), names).scalar()
        return None if value is None else int(value)

    def fields(self, place: Place) -> tuple[tuple[str, str], ...]:
        """(name, type) of its columns. Raises TableFault where there is no such table, with names that are alike."""
        try:
            with self._transaction(str(place)):
                found = inspect(self._connection).get_columns(place.name, schema=place.schema)
                return tuple((str(each["name"]), str(each["type"])) for each in found)
        except NoSuchTableError as error:
            raise TableFault(f"{place}: there is no such table{self._alike(place)}") from error

    def row(self, what: str, query: str) -> Mapping[str, Any]:
        """The first row of a query of the operator's own."""
        return self._one(what, query)

    def _one(self, what: str, sql: str, *before: str) -> Mapping[str, Any]:
        self._refuse_what_costs_too_much(what, sql)
        with self._transaction(what):
            for each in before:
                self._execute(each)
            row = self._execute(sql).mappings().first()
        if row is None:
            raise TableFault(f"{what}: the query gives no row; it must give one")
        return dict(row)

    def _execute(self, sql: str) -> Any:
        return self._connection.execution_options(no_parameters=True).exec_driver_sql(sql)

    def _sql(self, statement: Any) -> str:
        """One value without a parameter: what is executed is what is explained."""
        (value,) = statement.selected_columns
        named = statement.with_only_columns(value.label("value"), maintain_column_froms=True)
        return str(named.compile(dialect=self._connection.dialect))

    def _refuse_what_costs_too_much(self, what: str, sql: str) -> None:
        if self._max_cost is None:
            return
        explain = _EXPLAIN.get(self._dialect)
        if explain is None:
            remedy = "leave `max_cost` out and keep to `timeout`"
            raise TableFault(f"{what}: {self._dialect} does not tell what a query will cost; {remedy}")
        with self._transaction(what):
            cost = cost_of(self._execute(explain + sql).scalar())
        if cost is None or cost > self._max_cost:
            said = "does not say" if cost is None else f"{cost:,.0f}"
            remedy = "index the column, say `rows: estimate`, or raise it"
            raise TableFault(f"{what}: the planner's cost {said} is above max_cost {self._max_cost:,.0f}; {remedy}")

    @contextmanager
    def _transaction(self, what: str) -> Generator[None]:
        try:
            with self._limited():
                yield
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            raise TableFault(f"{what} cannot be read: {first_line(error)}; {self._remedy(error)}") from error
        finally:
            self._connection.rollback()

    @contextmanager
    def _limited(self) -> Generator[None]:
        beat(self._timeout_s)
        for statement in _LIMITS.get(self._dialect, ()):
            limit = statement.format(s=max(1, round(self._timeout_s)), ms=max(1, round(self._timeout_s * 1000)))
            self._connection.exec_driver_sql(limit)
        if self._dialect != "sqlite":
            yield
            return
        raw: Any = self._connection.connection.driver_connection
        raw.set_progress_handler(self._deadline(), _STEPS)
        try:
            yield
        finally:
            raw.set_progress_handler(None, 0)

    def _deadline(self) -> Callable[[], int]:
        ends = self._clock.boottime() + self._timeout_s
        return lambda: int(self._clock.boottime() > ends)

    def _remedy(self, error: DBAPIError) -> str:
        said = str(error.orig).lower()
        if "statement timeout" in said or "interrupted" in said or "execution time" in said:
            return f"it did not end within `timeout` ({self._timeout_s:g} s): index the column, or say `rows: estimate`"
        if "permission denied" in said or "denied" in said:
            return "let the user of `url` SELECT from it"
        return "is it there, and may the user of `url` read it?"

    def _alike(self, place: Place) -> str:
        """For what was renamed."""
        with self._transaction(str(place)):
            names = inspect(self._connection).get_table_names(schema=place.schema)
        near = get_close_matches(place.name, names, n=3, cutoff=0.6)
        return f"; there is {' and '.join(near)}: was it renamed?" if near else "; was it dropped?"


def parse_url(url: str, base_dir: Path, what: str) -> URL:
    """Raises ConfigError, without the url: it holds a password."""
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError) as error:
        remedy = "write e.g. postgresql://reader:PASSWORD@host:5432/shop"
        raise ConfigError([Fault(what, "url is not the address of a database", remedy)]) from error
    if parsed.get_backend_name() == "sqlite":
        file = base_dir / (parsed.database or "")
        return URL.create("sqlite", database=f"file:{quote(str(file))}", query={"mode": "ro", "uri": "true"})
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


def cost_of(plan: Any) -> float | None:
    """What the planner says the whole of a query costs, in its own unit."""
    found: Any = json.loads(plan) if isinstance(plan, str) else plan
    try:
        if isinstance(found, list):
            return float(found[0]["Plan"]["Total Cost"])  # pyright: ignore[reportUnknownArgumentType]
        return float(found["query_block"]["cost_info"]["query_cost"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def first_line(error: SQLAlchemyError) -> str:
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0][:MESSAGE_CHARS] if said else type(error).__name__
