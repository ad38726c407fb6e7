"""Rows of a CSV file as moments and numbers, in the order of time, whatever order the file has; nothing is left out.

A row that cannot be read says why. The file is read as a stream: rows that are not in order are sorted in pieces on
the disk, so that the memory does not grow with the file.
"""

import csv
import heapq
import math
import pickle
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

from watchtower.errors import UsageError

T = TypeVar("T")

PIECE = 100_000  # rows that are sorted in memory at a time
LONGEST_CELL = 1 << 20  # characters
_DELIMITERS = (",", ";", "\t", "|")
_FORMS = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y")
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (0.0, 1.0))  # since 1970: nano-, micro-, milliseconds, seconds


@dataclass(frozen=True, slots=True)
class Row:
    """line: of the file, 1 is the header. instant: comparable, aware UTC; local: on the clock that people live by.
    Both are None, and why says so, if the row has no moment or no number."""

    line: int
    cells: tuple[str, ...]
    instant: datetime | None = None
    local: datetime | None = None
    value: float = math.nan
    why: str = ""


class Table:
    """A CSV file with a header. Raises UsageError if it has none, or not the columns that are asked for."""

    def __init__(self, path: Path, time: str, value: str, timezone: tzinfo | None) -> None:
        self._path = path
        self._zone = timezone
        with self._opened() as file:
            head = file.readline()
            file.seek(0)
            self.delimiter = max(_DELIMITERS, key=head.count)
            self.header: list[str] = next(self._reader(file), list[str]())
        self._time, self._value = self._column(time, "--time"), self._column(value, "--value")
        self.columns = f"{time!r} and {value!r}"

    def rows(self) -> Iterator[Row]:
        """As they stand in the file."""
        with self._opened() as file:
            reader = self._reader(file)
            next(reader, None)
            line: int = reader.line_num
            while True:
                try:
                    cells: list[str] = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Row(line + 1, (), why=f"is no CSV: {error}")
                else:
                    if cells:
                        yield self._row(line + 1, tuple(cells))
                line = reader.line_num

    @contextmanager
    def _opened(self) -> Generator[IO[str]]:
        # What is no UTF-8 is written again as it was.
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield file

    def _reader(self, file: IO[str]) -> Any:
        csv.field_size_limit(LONGEST_CELL)
        return csv.reader(file, delimiter=self.delimiter)

    def _column(self, name: str, option: str) -> int:
        if not self.header:
            raise UsageError(f"{self._path} is empty; its first line must name the columns")
        if name not in self.header:
            raise UsageError(f"{self._path} has no column {name!r} for {option}; it has: {', '.join(self.header)}")
        return self.header.index(name)

    def _row(self, line: int, cells: tuple[str, ...]) -> Row:
        if max(self._time, self._value) >= len(cells):
            return Row(line, cells, why=f"has {len(cells)} of {len(self.header)} columns")
        try:
            instant, local = moment(cells[self._time], self._zone)
        except ValueError:
            return Row(line, cells, why=f"has no time: {cells[self._time]!r}")
        try:
            return Row(line, cells, instant, local, self._number(cells[self._value]))
        except ValueError as error:
            return Row(line, cells, why=str(error))

    def _number(self, text: str) -> float:
        if text.strip().lower() in _MISSING:
            raise ValueError("has no value")
        try:
            number = float(text.replace(",", ".") if self.delimiter == ";" else text)
        except ValueError:
            raise ValueError(f"has no number: {text!r}") from None
        if not math.isfinite(number):
            raise ValueError(f"has no finite number: {text!r}")
        return number


def moment(text: str, zone: tzinfo | None) -> tuple[datetime, datetime]:
    """(instant, local) of ISO 8601, of seconds or milliseconds since 1970, or of a few other forms. A time without a
    zone is one of zone, else of UTC; one with a zone is shown in zone, else in its own. Raises ValueError."""
    found = _parsed(text.strip())
    aware = found if found.tzinfo else found.replace(tzinfo=zone or UTC)
    try:
        return aware.astimezone(UTC), (aware.astimezone(zone) if zone else aware).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(text) from error


def _parsed(text: str) -> datetime:
    try:
        number = float(text) if not text.isdigit() or len(text) > 8 else None  # 20260302 is a day
    except ValueError:
        number = None
    if number is not None:
        return _since_1970(number)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in _FORMS:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the caller gives it its zone
        except ValueError:
            continue
    raise ValueError(text)


def _since_1970(number: float) -> datetime:
    if not math.isfinite(number):
        raise ValueError("not finite")
    parts = next(parts for least, parts in _UNITS if abs(number) >= least)
    try:
        return _EPOCH + timedelta(seconds=number / parts)
    except OverflowError as error:
        raise ValueError(number) from error


def in_order_of_time(rows: Callable[[], Iterable[Row]]) -> bool:
    """Whether no row with a moment comes before the one above it."""
    before: datetime | None = None
    for row in rows():
        if row.instant is not None:
            if before is not None and row.instant < before:
                return False
            before = row.instant
    return True


def sorted_on_disk(items: Iterable[T], key: Callable[[T], Any], piece: int = PIECE) -> Iterator[T]:
    """Items in the order of key, equal ones in the order in which they came."""
    with ExitStack() as stack:
        runs: list[Iterator[T]] = []
        source = iter(items)
        while found := sorted(islice(source, piece), key=key):
            file = stack.enter_context(tempfile.TemporaryFile())  # of this process alone, without a name
            for item in found:
                pickle.dump(item, file, pickle.HIGHEST_PROTOCOL)
            file.seek(0)
            runs.append(_read_again(file, len(found)))
        yield from heapq.merge(*runs, key=key)


def _read_again(file: IO[bytes], count: int) -> Iterator[Any]:
    for _ in range(count):
        yield pickle.load(file)  # noqa: S301 - this process wrote it, to a file without a name
