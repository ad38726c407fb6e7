"""Bills in a running Watchtower: files that people hand in, and feeds that are looked at every so often."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, TypeGuard, cast

from alerting import meta
from watchtower.app.own_alerts import OwnAlerts
from watchtower.errors import DeliveryError, StoreError
from watchtower.ports import BillFormat, Clock, Export, FileFeed, PlacedFile, QueryFeed
from watchtower.pulse import Pulse, beat
from watchtower.registry import Registries
from watchtower.schedule import Periodic, Task
from watchtower.secrets import REDACTOR
from watchtower.store import costs
from watchtower.store.bills.desk import BillDesk
from watchtower.store.bills.folder import BillFolder
from watchtower.store.bills.orders import BadBill, Order, Result, Step
from watchtower.store.database import Database
from watchtower.telemetry import metrics

if TYPE_CHECKING:
    from watchtower.store.bills.importing import Importer

log = logging.getLogger(__name__)

FOLDER = "bills"
FETCHED = ".fetched-"  # files on their way, beside the bills: they may be large
DAY_S = 86_400.0
REMEMBERED = 2_000  # imports of a source whose files are known
LONGEST_STEP_S = 3_600.0  # of an import, such as adding up the days of a large bill: the engine gives no sign meanwhile
MOST_THREADS = 16  # so many feeds may hang at once and hold up none; imports take turns anyway


def formats(registries: Registries | None = None) -> Mapping[str, BillFormat]:
    """Of the collectors that read files, by name."""
    known = (registries or Registries()).bills
    found = {kind: getattr(known.get(kind), "format", None) for kind in known}
    return {kind: made for kind, made in found.items() if made is not None}


@dataclass(slots=True)
class LateImporter:
    """The importer, loaded with its engine when the first bill comes: most processes never see one."""

    database: Database
    folder: BillFolder
    clock: Clock
    _made: "Importer | None" = None
    _making: Lock = field(default_factory=Lock)

    def run(self, order: Order, step: Step = lambda text: None) -> list[Result]:
        with self._making:  # two of them would not take turns
            if self._made is None:
                from watchtower.store.bills.importing import Importer  # noqa: PLC0415 - 40 MiB that may not be needed

                self._made = Importer(self.database, self.folder, self.clock)
        return self._made.run(order, step)


@dataclass(frozen=True, slots=True)
class _Refused:
    """mark: of the files that were refused, so that they are read again once they change."""

    mark: str
    faults: Sequence[str]


class Bills:
    """holder: names this process among replicas."""

    def __init__(
        self,
        database: Database,
        state_dir: Path,
        clock: Clock,
        holder: str,
        own_alerts: OwnAlerts,
        *,
        pulse: Pulse | None = None,
    ) -> None:
        self._pulse = pulse
        self._database = database
        self._clock = clock
        self._holder = holder
        self._own_alerts = own_alerts
        self._folder = BillFolder(state_dir / FOLDER)
        self._importer = LateImporter(database, self._folder, clock)
        self._feeds: Sequence[FileFeed | QueryFeed] = ()
        self._periodic: Periodic | None = None
        self._refused: dict[tuple[str, str], _Refused] = {}
        self.desk = BillDesk(self._importer, formats(), self._tags_of)

    def watch(self, feeds: Sequence[FileFeed | QueryFeed]) -> None:
        """Look at these from now on. What is fetched is imported one bill at a time."""
        self.stop_watching()
        self._feeds = feeds
        for left in self._folder.root.glob(f"{FETCHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        self._refused.clear()
        names = {feed.name for feed in feeds}
        self._own_alerts.end_unless(meta.BILL_MISSED, lambda alert: alert.labels["feed"] in names)
        tasks = [Task(f"bill:{feed.name}", feed.every_s, _Look(self, feed), beats=True) for feed in feeds]
        tasks.append(Task("bills", DAY_S, lambda now: self._let_go()))
        self._periodic = Periodic(
            tasks,
            database=self._database,
            clock=self._clock,
            holder=self._holder,
            threads=min(len(tasks), MOST_THREADS),
            pulse=self._pulse,
        )
        self._periodic.start()

    def tell_stuck(self, name: str, why: str, now: datetime) -> None:
        """The look at this feed hangs, until one finds nothing wrong."""
        metrics.BILL_IMPORTS.labels("failed").inc()
        self._own_alerts.tell(meta.bill_missed(name, "the look for bills hangs", [why], now))

    def stop_watching(self) -> None:
        if self._periodic is not None:
            self._periodic.stop()
            self._periodic = None

    def _tags_of(self, source: str) -> tuple[str, ...]:
        return next((feed.tags for feed in self._feeds if feed.name == source and is_files(feed)), ())

    def close(self) -> None:
        self.stop_watching()
        self.desk.close()

    # -- feeds ----------------------------------------------------------------------------------------------------

    def look(self, feed: FileFeed | QueryFeed, now: datetime) -> list[Result]:
        """Bring what is new at feed. What is wrong is counted and logged, once for the same files, and one alert tells
        it until a look finds nothing wrong."""
        try:
            found = self._files(feed) if is_files(feed) else self._answers(cast("QueryFeed", feed), now)
        except (DeliveryError, StoreError, OSError) as error:
            metrics.BILL_IMPORTS.labels("failed").inc()
            log.warning("a bill could not be fetched", extra={"source": feed.name, "why": str(error)})
            why = REDACTOR.redact(str(error))
            self._own_alerts.tell(meta.bill_missed(feed.name, "a bill could not be fetched", [why], now))
            return []
        metrics.BILL_LAST.labels(feed.name).set(now.timestamp())
        refused = [(export, what) for (name, export), what in self._refused.copy().items() if name == feed.name]
        if refused:
            export, what = refused[0]
            more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
            refusal = f"the export {export} was refused{more}"
            self._own_alerts.tell(meta.bill_missed(feed.name, refusal, what.faults, now))
        else:
            self._own_alerts.end(meta.bill_fingerprint(feed.name))
        return found

    def _answers(self, feed: QueryFeed, now: datetime) -> list[Result]:
        results: list[Result] = []
        for bill, sums in feed.bills(now):
            written = costs.write_import(self._database, bill, sums, now)
            metrics.BILL_IMPORTS.labels("changed" if written.changed else "known").inc()
            results.append(Result(written.bill, written.changed, {}))
        return results

    def _files(self, feed: FileFeed) -> list[Result]:
        results: list[Result] = []
        known = self._known(feed.name)
        exports = feed.exports()
        there = {(feed.name, export.name) for export in exports}
        for gone in [key for key in self._refused.copy() if key[0] == feed.name and key not in there]:
            del self._refused[gone]
        for export in exports:
            key, mark = (feed.name, export.name), _mark(export)
            before = self._refused.get(key)
            if known.issuperset(_marks(export)):
                self._refused.pop(key, None)
                continue
            if before is not None and before.mark == mark:
                continue
            try:
                results += self._bring(feed, export)
                self._refused.pop(key, None)
            except BadBill as error:
                self._refused[key] = _Refused(mark, error.faults)
                metrics.BILL_IMPORTS.labels("refused").inc()
                log.error("a bill was refused", extra={"source": feed.name, "export": export.name, "why": error.faults})
        return results

    def _known(self, source: str) -> set[tuple[str, int, str]]:
        """The files that bills were made of, also those that were replaced since: what was read once is not read again,
        so that an older delivery beside a newer one does not come back."""
        with self._database.read() as connection:
            found = costs.imports(connection, source=source, limit=REMEMBERED)
        return {(file.name, file.size, file.stamp) for each in found for file in each.bill.files}

    def _bring(self, feed: FileFeed, export: Export) -> list[Result]:
        self._folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=FETCHED, dir=self._folder.root) as folder:
            paths = tuple(self._fetched(feed, file, Path(folder)) for file in export.files)
            order = Order(
                feed.name,
                paths,
                tuple(file.name for file in export.files),
                tuple(file.stamp for file in export.files),
                feed.format,
                tags=feed.tags,
            )
            beat(LONGEST_STEP_S)  # it may have to wait for its turn
            results = self._importer.run(order, lambda step: beat(LONGEST_STEP_S))
            beat()
        for each in results:
            metrics.BILL_IMPORTS.labels("changed" if each.changed else "known").inc()
            if each.changed:
                fields = {"source": feed.name, "period": each.bill.bill.period, "version": each.bill.version}
                log.info("a bill is in force", extra={**fields, "lines": each.bill.bill.rows})
        return results

    def _fetched(self, feed: FileFeed, file: PlacedFile, folder: Path) -> Path:
        beat()
        return feed.fetch(file, folder)

    def _let_go(self) -> None:
        for path in costs.let_go(self._database):
            self._folder.remove(path)


@dataclass(frozen=True, slots=True)
class _Look:
    bills: Bills
    feed: FileFeed | QueryFeed

    def __call__(self, now: datetime) -> None:
        self.bills.look(self.feed, now)


def is_files(feed: FileFeed | QueryFeed) -> TypeGuard[FileFeed]:
    return hasattr(feed, "exports")


def _mark(export: Export) -> str:
    return "\n".join(f"{file.name} {file.size} {file.stamp}" for file in export.files)


def _marks(export: Export) -> set[tuple[str, int, str]]:
    return {(file.name, file.size, file.stamp) for file in export.files}
