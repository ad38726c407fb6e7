"""Where bills are handed in by people: one is read at a time, in a thread of its own, and its progress can be asked."""

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from watchtower.errors import BadInput, StoreError
from watchtower.ports import BillFormat
from watchtower.store.bills.orders import BadBill, Brings, Order, Result

log = logging.getLogger(__name__)

REMEMBERED: Final = 50  # pieces of work, for those who ask how they went
MOST_FILES: Final = 10_000


@dataclass(slots=True)
class Work:
    """state: waiting, running, done, refused (see faults) or failed. step: what is being done."""

    id: str
    state: str = "waiting"
    step: str = ""
    results: Sequence[Result] = ()
    faults: Sequence[str] = ()
    finished: threading.Event = field(default_factory=threading.Event)


class BillDesk:
    """formats: by the name of the collector; tags_of: the keys that daily sums of a source keep, all for none."""

    def __init__(
        self,
        importer: Brings,
        formats: Mapping[str, BillFormat],
        tags_of: Callable[[str], tuple[str, ...]] = lambda source: (),
    ) -> None:
        self._importer = importer
        self._formats = formats
        self._tags_of = tags_of
        self._known: OrderedDict[str, Work] = OrderedDict()
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="bills")

    def hand_in(self, kind: str, source: str, files: Sequence[str], period: str | None) -> Work:
        """Queue files of this machine, or all files of its folders. Raises BadInput."""
        order = self.order(kind, source, files, period)
        work = Work(secrets.token_hex(8))
        with self._guard:
            self._known[work.id] = work
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._pool.submit(self._do, work, order)
        return work

    def order(self, kind: str, source: str, files: Sequence[str], period: str | None) -> Order:
        if kind not in self._formats:
            raise BadInput(f"no bill is of the kind {kind!r}; known: {', '.join(self._formats)}")
        paths = [path for name in files for path in _found(Path(name))]
        if not paths:
            raise BadInput("there is no file to read: name the files of one export")
        if len(paths) > MOST_FILES:
            raise BadInput(f"{len(paths)} files are more than one export has; name those of one")
        stamps = tuple(str(path.stat().st_mtime_ns) for path in paths)
        names = tuple(map(str, paths))
        return Order(source, tuple(paths), names, stamps, self._formats[kind], period, self._tags_of(source))

    def work(self, ident: str) -> Work | None:
        with self._guard:
            return self._known.get(ident)

    def close(self) -> None:
        """Let the bill that is being read be finished; those that wait are left out."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _do(self, work: Work, order: Order) -> None:
        def step(text: str) -> None:
            work.step = text

        work.state = "running"
        try:
            work.results = self._importer.run(order, step)
            work.state = "done"
        except BadBill as error:
            work.state, work.faults = "refused", error.faults
        except (StoreError, OSError) as error:
            work.state, work.faults = "failed", (str(error),)
        except Exception as error:
            log.exception("a bill could not be read", extra={"source": order.source})
            work.state, work.faults = "failed", (f"a fault of ours: {type(error).__name__}; see the log",)
        finally:
            work.finished.set()


def _found(path: Path) -> list[Path]:
    """path, or the files below it. Raises BadInput."""
    try:
        if path.is_dir():
            return sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith((".", "_")))
        path.stat()
    except OSError as error:
        raise BadInput(f"{path} cannot be read by this process: {error.strerror or error}") from error
    return [path]
