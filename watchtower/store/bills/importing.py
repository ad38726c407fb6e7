"""Files in, a bill in force out: read, check, write the lines, stage the daily sums, and then put all of it in force.

The last step is one transaction, and the file of lines has its name before it. Whatever ends the work earlier, even a
kill, leaves the previous numbers; what lies about then is cleared away by the next import.
"""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from watchtower.model.cost import Bill, BillFile, BillImport, CostMetric
from watchtower.model.currencies import DIGITS
from watchtower.ports import BillFormat, Clock
from watchtower.store import costs
from watchtower.store.bills import faults, files, reading, sums
from watchtower.store.bills.engine import Engine, EngineError, engine, literal, name
from watchtower.store.bills.faults import Examined
from watchtower.store.bills.files import Table, Unreadable
from watchtower.store.bills.folder import BillFolder
from watchtower.store.bills.orders import BadBill, Order, Result, Step
from watchtower.store.bills.reading import Group
from watchtower.store.bills.sums import PeriodFacts
from watchtower.store.database import Database

# Of lines without an invoice: providers close a month within this time of its end (AWS: "within the first days",
# Azure: 5 days; corrections go into later periods then).
FINAL_AFTER: Final = timedelta(days=15)
# Hourly lines end with the last hour in which something was used. A day that ended this long ago is told.
LAG: Final = timedelta(hours=24)
# Of another replica's unfinished import: nothing takes longer.
ABANDONED: Final = timedelta(days=1)
_PARQUET: Final = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 65536)"
RULES_VERSION: Final = "1"  # of how lines become sums: another one reads every bill anew


@dataclass(slots=True)
class Importer:
    """One import at a time. Several processes may share a database, each with a folder of its own."""

    database: Database
    folder: BillFolder
    clock: Clock
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self, order: Order, step: Step = lambda text: None) -> list[Result]:
        """One result for each period, in order. step: is told what is being done. Raises BadBill with all faults,
        StoreError."""
        with self._turn:
            self.clean()
            scratch = self.folder.fresh_scratch()
            try:
                with engine(order.paths, scratch) as opened:
                    return _Import(self, order, opened, scratch, step).run()
            finally:
                self.folder.clear()

    def clean(self) -> None:
        """Clear away what an interrupted import left."""
        with self.database.read() as connection:
            known = costs.paths(connection)
        self.folder.sweep(known)
        # The lock of the state directory says that nobody else writes a SQLite store.
        margin = timedelta(0) if self.database.is_sqlite else ABANDONED
        costs.discard_unfinished(self.database, self.clock.now() - margin)


@dataclass(slots=True)
class _Import:
    importer: Importer
    order: Order
    engine: Engine
    scratch: Path
    step: Step
    _why: str = ""

    def run(self) -> list[Result]:
        self.step("looking at the files")
        reading.prepare(self.engine)
        tables = self._tables()
        known = self._known(tables)
        if known:
            return known
        groups = reading.grouped(tables, self.order.format)
        with _verified(tables, self.engine) as verified:
            self.step("reading the lines")
            lines, scale = self._read(groups, verified)
        digests = verified.digests()
        self.step("adding up the days")
        columns = list(dict.fromkeys(column.name for group in groups for column in group.columns))
        metrics = tuple(metric for metric, column in self.order.format.amounts.items() if column in columns)
        self._add_up(lines, columns, groups, scale)
        dropped = sums.reduce_tags(self.engine, self.order.tags)
        periods = sums.facts(self.engine, metrics)
        if not periods:
            raise BadBill([f"{', '.join(self.order.names)}: no line, only a header; a bill without lines is not taken"])
        made = [
            self._bill(
                period,
                tables,
                digests,
                scale=scale,
                metrics=metrics,
                dropped=dropped,
                inexact=_is_inexact(groups, self.order.format),
            )
            for period in periods
        ]
        return [
            self._put(bill, period, lines, alone=len(periods) == 1) for bill, period in zip(made, periods, strict=True)
        ]

    # -- reading --------------------------------------------------------------------------------------------------

    def _tables(self) -> list[Table]:
        tables: list[Table] = []
        found: list[str] = []
        for path, shown in zip(self.order.paths, self.order.names, strict=True):
            try:
                tables.append(files.examine(path, shown, self.order.format, self.engine))
            except Unreadable as error:
                found.append(f"{shown}: {error}")
        found += faults.of_columns(tables, self.order.format, period_given=self.order.period is not None)
        if found:
            raise BadBill(found)
        return tables

    def _known(self, tables: Sequence[Table]) -> list[Result]:
        """The bills in force if they were made of exactly these files, by name, size and stamp."""
        here = {(shown, path.stat().st_size, stamp) for path, shown, stamp in self._placed()}
        with self.importer.database.read() as connection:
            in_force = costs.imports(connection, source=self.order.source, only_in_force=True)
            same = [
                each
                for each in in_force
                if {(file.name, file.size, file.stamp) for file in each.bill.files} == here
                and each.bill.digest.endswith(self._way())
            ]
            return [
                Result(each, False, costs.totals(connection, each.id, CostMetric.BILLED)) for each in reversed(same)
            ]

    def _placed(self) -> list[tuple[Path, str, str]]:
        return list(zip(self.order.paths, self.order.names, self.order.stamps, strict=True))

    def _read(self, groups: Sequence[Group], verified: "_Verified") -> tuple[str, int]:
        """Write all lines, typed, to one Parquet file; as a relation, with their scale. On any fault the files are
        read again, slowly, to tell everything that is wrong with them."""
        scale = self._guess(groups)
        file = self.scratch / "lines.parquet"
        if scale is not None and self._copy(groups, scale, file):
            return f"read_parquet({literal(str(file))})", scale
        examined = self._examined(groups)
        found = [*verified.faults(), *examined.faults]
        if found or examined.scale == scale:
            raise BadBill(found or [f"{', '.join(self.order.names)}: {self._why}"])
        self.step("reading the lines")
        if not self._copy(groups, examined.scale, file):
            raise BadBill([f"{', '.join(self.order.names)}: {self._why}"])
        return f"read_parquet({literal(str(file))})", examined.scale

    def _guess(self, groups: Sequence[Group]) -> int | None:
        try:
            return reading.guessed_scale(self.engine, groups, self.order.format)
        except EngineError as error:
            self._why = files.first_line(error)
            return None

    def _copy(self, groups: Sequence[Group], scale: int, file: Path) -> bool:
        select = reading.all_typed(groups, self.order.format, scale)
        try:
            self.engine.execute(f"COPY ({select}) TO {literal(str(file))} {_PARQUET}")
        except EngineError as error:
            self._why = files.first_line(error)
            return False
        return True

    def _add_up(self, lines: str, columns: Sequence[str], groups: Sequence[Group], scale: int) -> None:
        known = self.order.format
        try:
            strange = reading.strange_instants(self.engine, lines, columns, known)
            if not strange:
                sums.summarise(self.engine, lines, columns, known, scale=scale, period=self.order.period)
                strange = sums.strange(self.engine, sorted(DIGITS))
        except EngineError as error:
            raise BadBill([f"{', '.join(self.order.names)}: {files.first_line(error)}"]) from error
        if strange:
            found = self._examined(groups).faults
            raise BadBill(found or [f"{', '.join(self.order.names)}: a time, a currency or tags that cannot be read"])

    def _examined(self, groups: Sequence[Group]) -> Examined:
        self.step("looking for what is wrong")
        with engine(self.order.paths, self.scratch, in_order=True) as ordered:
            reading.prepare(ordered)
            return faults.of_lines(ordered, groups, self.order.format)

    # -- writing --------------------------------------------------------------------------------------------------

    def _bill(
        self,
        period: PeriodFacts,
        tables: Sequence[Table],
        digests: Sequence[str],
        *,
        scale: int,
        metrics: tuple[CostMetric, ...],
        dropped: tuple[str, ...],
        inexact: bool,
    ) -> Bill:
        now = self.importer.clock.now()
        over = datetime.combine(period.end, time(), UTC)
        content = sha256("\n".join(sorted(digests)).encode()).hexdigest()
        return Bill(
            source=self.order.source,
            period=period.period,
            digest=content + self._way(),
            rows=period.rows,
            scale=scale,
            currencies=period.currencies,
            covered_from=period.first_start.replace(tzinfo=UTC),
            covered_until=covered_until(period.last_end.replace(tzinfo=UTC), now),
            metrics=metrics,
            inexact=inexact,
            final=period.final or now >= over + FINAL_AFTER,
            dropped_tags=dropped,
            empty=period.empty,
            files=tuple(
                BillFile(shown, table.path.stat().st_size, stamp, digest)
                for table, (_, shown, stamp), digest in zip(tables, self._placed(), digests, strict=True)
            ),
        )

    def _way(self) -> str:
        """How these files are read: other tags or another period make other sums of the same content."""
        said = [RULES_VERSION, self.order.format.name, self.order.period or "", *sorted(self.order.tags)]
        return "-" + sha256("\0".join(said).encode()).hexdigest()[:12]

    def _put(self, bill: Bill, period: PeriodFacts, lines: str, *, alone: bool) -> Result:
        database, folder = self.importer.database, self.importer.folder
        totals = sums.totals(self.engine, bill.period, CostMetric.BILLED, bill.scale)
        with database.read() as connection:
            before = costs.in_force(connection, bill.source, bill.period)
            billed = costs.totals(connection, before.id, CostMetric.BILLED) if before and before.kept else None
        version_before = before.version if before else None
        if before is not None and before.bill.digest == bill.digest:
            written = costs.put_in_force(database, BillImport(before.id, before.version, before.loaded_at, True, bill))
            return Result(written.bill, False, totals, billed, version_before)
        now = self.importer.clock.now()
        ident, placed = costs.new_id(now), None
        try:
            self.step(f"writing {bill.period}")
            file = self._file_of(period, lines, alone=alone)
            days = sums.day_sums(self.engine, period, bill.metrics, bill.scale, provisional=not bill.final)
            staged = costs.stage(database, ident, days)
            while True:
                with database.read() as connection:
                    version = costs.next_version(connection, bill.source, bill.period)
                placed = folder.place(file, bill.source, bill.period, version)
                with suppress(costs.VersionTaken):
                    new = BillImport(ident, version, now, True, bill, True, placed)
                    written = costs.put_in_force(database, new, staged)
                    if not written.changed:
                        folder.remove(placed)
                    return Result(written.bill, written.changed, totals, billed, version_before)
                file = folder.path(placed)
        except TimeoutError:  # it may still be committed: the next import sees what came of it
            raise
        except BaseException:
            with suppress(Exception):
                costs.discard(database, ident)
            raise

    def _file_of(self, period: PeriodFacts, lines: str, *, alone: bool) -> Path:
        """The lines of one period: the file as it is where there is no other."""
        if alone:
            return self.scratch / "lines.parquet"
        file = self.scratch / f"{period.period}.parquet"
        month = f"date_trunc('month', {name(self.order.format.billing_period[0])})"
        self.engine.execute(
            f"COPY (SELECT * FROM {lines} WHERE {month} = TIMESTAMP {literal(period.period + '-01')}) "  # noqa: S608
            f"TO {literal(str(file))} {_PARQUET}"
        )
        return file


def covered_until(last_end: datetime, now: datetime) -> datetime:
    """How far a bill tells of. last_end: of its charges of a day or less."""
    midnight = datetime.combine(last_end.date(), time(), UTC)
    day_end = midnight if midnight == last_end else midnight + timedelta(days=1)
    return day_end if now >= day_end + LAG else min(last_end, now)


def _is_inexact(groups: Sequence[Group], known: BillFormat) -> bool:
    amounts = {*known.amounts.values(), *known.decimals}
    return any(
        column.name in amounts and reading.is_binary(column.type) for group in groups for column in group.columns
    )


class _Verified:
    """Digests and checksums of the files, made in a thread of its own while the engine reads them."""

    def __init__(self, tables: Sequence[Table], engine: Engine) -> None:
        self._tables = tables
        self._engine = engine
        self._stop = threading.Event()
        self._found: list[str | Unreadable] = []
        self._thread = threading.Thread(target=self._work, name="bill-checksums", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def faults(self) -> list[str]:
        self._thread.join()
        return [
            f"{table.name}: {found}"
            for table, found in zip(self._tables, self._found, strict=False)
            if isinstance(found, Unreadable)
        ]

    def digests(self) -> list[str]:
        """Raises BadBill."""
        found = self.faults()
        if found:
            raise BadBill(found)
        return [str(each) for each in self._found]

    def _work(self) -> None:
        for table in self._tables:
            try:
                self._found.append(files.verify(table, self._stop.is_set))
            except Unreadable as error:
                self._found.append(error)
                self._engine.interrupt()


@contextmanager
def _verified(tables: Sequence[Table], engine: Engine) -> Generator[_Verified]:
    verified = _Verified(tables, engine)
    verified.start()
    try:
        yield verified
        verified.digests()
    finally:
        verified.stop()
