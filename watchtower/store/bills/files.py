"""What a file is, by its content: CSV (also gzip, zstd) or Parquet, with which columns. Never trusted by its name."""

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final, cast

import zstandard
from isal import igzip, igzip_lib, isal_zlib

from watchtower.ports import BillFormat
from watchtower.store.bills.engine import Engine, EngineError, literal

MOST_INFLATED: Final = 400  # times its size that a file may inflate to; bills inflate 5 to 50 times
SMALL: Final = 64 << 20  # bytes that any file may inflate to
LONGEST_HEADER: Final = 1 << 20
_DELIMITERS: Final = ",;\t|"
_PIECE: Final = 1 << 20
_GZIP: Final = 31  # of a window, as zlib says it: gzip, with its checksum and its size
_ISAL_ERROR = cast("type[Exception]", igzip_lib.IsalError)  # which its types call an Exception
# isal says OverflowError of a gzip header that does not end, e.g. of a file name without its last byte.
_DAMAGES: Final = (OSError, EOFError, OverflowError, _ISAL_ERROR, zstandard.ZstdError)


class Unreadable(Exception):
    """The file is no bill. Its text says why, and what helps."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file that can be read. columns: as they stand in the file, in its order; types: of Parquet, else VARCHAR;
    compression: of CSV, as DuckDB calls it."""

    path: Path
    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    parquet: bool = False
    compression: str = "none"
    delimiter: str = ","

    @property
    def shape(self) -> tuple[Any, ...]:
        """Files of one shape are read together."""
        return self.parquet, self.compression, self.delimiter, self.columns, self.types


def examine(path: Path, name: str, known: BillFormat, engine: Engine) -> Table:
    """Raises Unreadable."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(max(0, size - 4))
            tail = file.read(4)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    if not size:
        raise Unreadable("is empty")
    if head == b"PAR1":
        if tail != b"PAR1":
            raise Unreadable("is a Parquet file that was cut off; fetch it again")
        return _parquet(path, name, engine)
    compression = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}.get(head[:2], "none")
    if compression == "zstd" and head != b"\x28\xb5\x2f\xfd":
        compression = "none"
    columns, delimiter = _header(path, compression, known)
    return Table(path, name, columns, ("VARCHAR",) * len(columns), False, compression, delimiter)


def _parquet(path: Path, name: str, engine: Engine) -> Table:
    try:
        described = engine.execute(f"DESCRIBE FROM read_parquet({literal(str(path))})").fetchall()
    except EngineError as error:
        raise Unreadable(f"is no Parquet file that can be read: {first_line(error)}") from error
    return Table(path, name, tuple(row[0] for row in described), tuple(row[1] for row in described), True)


def _header(path: Path, compression: str, known: BillFormat) -> tuple[tuple[str, ...], str]:
    """The first record, taken apart by the delimiter that finds the most columns that are known."""
    raw = _first_bytes(path, compression)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Unreadable("is UTF-16 text; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig", "strict" if len(raw) < LONGEST_HEADER else "ignore")
    except UnicodeDecodeError as error:
        text = raw[: error.start].decode("utf-8-sig", "ignore")
        if "\n" not in text:
            raise Unreadable("is neither text nor Parquet, gzip or zstd: no bill") from error
    if "\0" in text:
        raise Unreadable("is neither text nor Parquet, gzip or zstd: no bill")
    names = {column.lower() for column in known.columns}
    found: list[tuple[int, tuple[str, ...], str]] = []
    for delimiter in _DELIMITERS:
        columns = _first_record(text, delimiter)
        found.append((sum(column.lower() in names for column in columns), columns, delimiter))
    best, columns, delimiter = max(found, key=lambda each: each[0])
    if not best:
        shown = ", ".join(repr(column[:30]) for column in found[0][1][:6])
        raise Unreadable(f"is no {known.name} bill: no column is known; its first line holds {shown or 'nothing'}")
    return columns, delimiter


def _first_record(text: str, delimiter: str) -> tuple[str, ...]:
    try:
        record = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), list[str]())
    except csv.Error:
        return ()
    return tuple(column.strip() for column in record)


def _first_bytes(path: Path, compression: str) -> bytes:
    try:
        with path.open("rb") as file, _inflated(file, compression) as stream:
            return stream.read(LONGEST_HEADER)
    except _DAMAGES as error:
        raise Unreadable(_damaged(compression, error)) from error


def _inflated(file: IO[bytes], compression: str) -> IO[bytes]:
    if compression == "gzip":
        return igzip.open(file)  # type: ignore[return-value]
    if compression == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)  # type: ignore[return-value]
    return file


def _damaged(compression: str, error: Exception) -> str:
    return f"is damaged or cut off ({compression}: {error}); fetch it again"


def verify(table: Table, stopped: Callable[[], bool]) -> str:
    """The SHA-256 of a file. What is compressed is inflated to its end, for its checksum and its size. Raises
    Unreadable."""
    digest, size, inflated = sha256(), 0, 0
    limit = max(SMALL, MOST_INFLATED * table.path.stat().st_size)
    inflate = _Inflating(table.compression)
    try:
        with table.path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while (piece := file.read(_PIECE)) and not stopped():
                digest.update(piece)
                size += len(piece)
                for count in inflate.sizes(piece):
                    inflated += count
                    if inflated > limit:
                        raise Unreadable(f"inflates to more than {MOST_INFLATED} times its size: no bill does")
            if not stopped():
                inflate.finish()
    except _DAMAGES as error:
        raise Unreadable(_damaged(table.compression, error)) from error
    return digest.hexdigest()


class _Inflating:
    """Inflates pieces of a file of one or more members, and forgets what comes out."""

    def __init__(self, compression: str) -> None:
        self._compression = compression
        self._member: Any = None

    def sizes(self, piece: bytes) -> "Sequence[int] | _Sizes":
        return _Sizes(self, piece) if self._compression != "none" else ()

    def inflate(self, data: bytes) -> tuple[int, bytes]:
        """The size of a piece that came out, and what is left to put in."""
        if self._member is None:
            if self._compression == "gzip" and not data.strip(b"\0"):
                return 0, b""  # padding behind the last member
            self._member = _gzip() if self._compression == "gzip" else zstandard.ZstdDecompressor().decompressobj()
        if self._compression == "gzip":
            count = len(self._member.decompress(data, _PIECE))
            left = self._member.unconsumed_tail
        else:
            count, left = len(self._member.decompress(data)), b""
        if self._member.eof:
            left = self._member.unused_data
            self._member = None
        return count, left

    def finish(self) -> None:
        if self._member is not None:
            raise EOFError("it ends too early")


def _gzip() -> Any:
    inflater: Any = isal_zlib  # whose types are half told
    return inflater.decompressobj(wbits=_GZIP)


@dataclass(frozen=True, slots=True)
class _Sizes:
    inflating: _Inflating
    piece: bytes

    def __iter__(self) -> Any:
        left = self.piece
        while left:
            count, left = self.inflating.inflate(left)
            yield count


def first_line(error: Exception) -> str:
    """What the engine says, without its advice and the piece of SQL."""
    text = str(error).partition("\n\nLINE ")[0].partition("\nPossible")[0]
    return " ".join(text.split())[:300]
