"""`anomalies`: scores the rows of a CSV file, each from the rows before it, with the detector that rules use."""

import csv
import heapq
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from rules.anomaly.detector import Detector, Scored
from rules.anomaly.usual import Range
from rules.schedules.zones import zone
from watchtower.cli.numbers import Row, Table, in_order_of_time, sorted_on_disk
from watchtower.cli.output import Column, as_text, err, out, show, show_json, wants_json
from watchtower.cli.settings import Settings, takes
from watchtower.config.public_holidays import of_country, of_market
from watchtower.errors import BadInput, UsageError
from watchtower.model.business import BusinessCalendar

THRESHOLD = 0.5
SHOWN = 20  # anomalies, and rows that could not be scored

app = typer.Typer()


@app.command()
@takes("output")
def anomalies(
    at: Settings,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file with a header.")],
    time: Annotated[str, typer.Option("--time", metavar="COLUMN", help="When: ISO 8601, or seconds since 1970.")],
    value: Annotated[str, typer.Option("--value", metavar="COLUMN", help="The number that is watched.")],
    target: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Every row again, with `score` and `note`.")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", metavar="ZONE", help="By whose clock days and hours go; else as the file has it."),
    ] = None,
    holidays: Annotated[
        str | None,
        typer.Option("--holidays", metavar="PLACE", help="Whose are known: a country, DE or DE-BY, or a market, XNYS."),
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", metavar="SCORE", min=0, max=1, help="From which score on rows are shown.")
    ] = THRESHOLD,
) -> None:
    """Score how unusual each row of a CSV file is, by those before it.

    A score is between 0 and 1; 0.5 means that so much is seen once in 350 rows, or once in ten days. Exit code 0: rows
    were scored, whatever was found; 2: there was nothing to score.
    """
    if target is not None and target.exists() and target.samefile(file):
        raise UsageError(f"--out {target} is the file that is read; name another one")
    table = Table(file, time, value, _zone(timezone))
    summary = Summary(str(file), threshold)
    results = scored(table, summary, _calendar(holidays))
    if target is None:
        for _ in results:
            pass
    else:
        _write(target, table, results)
    _report(at, summary)


@dataclass(frozen=True, slots=True)
class Result:
    """A row with its score. note: why it has none of its own."""

    row: Row
    score: float
    note: str = ""


@dataclass(slots=True)
class Summary:
    """found: the rows with the highest scores, at most SHOWN of them."""

    file: str
    threshold: float
    rows: int = 0
    scored: int = 0
    unscored: int = 0
    repeats: int = 0
    in_order: bool = True
    pattern: str | None = None
    first: datetime | None = None
    last: datetime | None = None
    anomalies: int = 0
    found: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list[Any])
    notes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def count(self, result: Result) -> None:
        self.rows += 1
        if result.row.instant is None:
            self.unscored += 1
            if len(self.notes) < SHOWN:
                self.notes.append({"line": result.row.line, "reason": result.row.why})
            return
        self.scored += 1
        self.repeats += bool(result.note)
        self.first = self.first or result.row.local
        self.last = result.row.local

    def anomaly(self, row: Row, seen: Scored, expected: Range | None) -> None:
        self.anomalies += 1
        said: dict[str, Any] = {
            "line": row.line,
            "time": row.local.isoformat() if row.local else None,
            "value": row.value,
            "score": round(seen.score, 6),
            "once_in_rows": round(seen.once_in),
            "why": seen.why,
            "expected": {"low": expected.low(), "high": expected.high()} if expected else None,
        }
        heapq.heappush(self.found, (seen.score, -row.line, said))
        if len(self.found) > SHOWN:
            heapq.heappop(self.found)

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "rows": self.rows,
            "scored": self.scored,
            "not_scored": self.unscored,
            "repeated": self.repeats,
            "in_order_of_time": self.in_order,
            "from": self.first.isoformat() if self.first else None,
            "to": self.last.isoformat() if self.last else None,
            "seasonality": self.pattern or "none",
            "threshold": self.threshold,
            "anomalies": self.anomalies,
            "highest": [said for _, _, said in sorted(self.found, key=lambda one: (-one[0], -one[1]))],
            "not_scored_rows": self.notes,
        }


def scored(table: Table, summary: Summary, calendar: BusinessCalendar | None) -> Iterator[Result]:
    """Every row once, in the order of the file. Raises UsageError at the end if none of them could be scored."""
    summary.in_order = in_order_of_time(table.rows)
    detector = Detector(calendar=calendar)
    if summary.in_order:
        yield from _judged(table.rows(), detector, summary)
    else:
        results = _judged(sorted_on_disk(table.rows(), _by_time), detector, summary)
        yield from sorted_on_disk(results, lambda result: result.row.line)
    if not summary.scored:
        raise UsageError(f"{summary.file} has no row with a time and a number in {table.columns}{_first(summary)}")


def _by_time(row: Row) -> tuple[bool, datetime | int]:
    return (False, row.instant) if row.instant is not None else (True, row.line)


def _judged(rows: Iterable[Row], detector: Detector, summary: Summary) -> Iterator[Result]:
    """The same row once more teaches nothing new, and is not scored twice."""
    before: tuple[datetime, float] | None = None
    for row in rows:
        result = _judge(detector, row, before, summary)
        if row.instant is not None:
            before = (row.instant, row.value)
        summary.count(result)
        yield result
    summary.pattern = detector.expectation.calendar.pattern


def _judge(detector: Detector, row: Row, before: tuple[datetime, float] | None, summary: Summary) -> Result:
    if row.instant is None or row.local is None:
        return Result(row, 0.0, f"not scored: the row {row.why}")
    if before == (row.instant, row.value):
        return Result(row, 0.0, "not scored: the same row once more")
    seen = detector.see(row.local, row.value)
    if seen.score >= summary.threshold and seen.score > 0:
        summary.anomaly(row, seen, detector.expected)
    return Result(row, seen.score)


def _write(target: Path, table: Table, results: Iterable[Result]) -> None:
    """The whole file, or none."""
    folder = target.parent
    if not folder.is_dir():
        raise UsageError(f"--out {target}: there is no folder {folder}")
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            _fill(file, table, results)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def _fill(file: IO[str], table: Table, results: Iterable[Result]) -> None:
    names = [_free(name, table.header) for name in ("score", "note")]
    writer = csv.writer(file, delimiter=table.delimiter, lineterminator="\n")
    writer.writerow([*table.header, *names])
    width = len(table.header)
    for result in results:
        cells = [*result.row.cells, *[""] * (width - len(result.row.cells))]
        writer.writerow([*cells, f"{result.score:.6f}", result.note])


def _free(name: str, taken: list[str]) -> str:
    while name in taken:
        name = f"watchtower_{name}"
    return name


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return zone(name) if name else None
    except BadInput as error:
        raise UsageError(f"--timezone: {error}") from error


def _calendar(place: str | None) -> BusinessCalendar | None:
    """Of holidays alone: what weekends are like shows itself each week."""
    if place is None:
        return None
    country, _, part = place.partition("-")
    try:
        days = of_country(country, part or None, ()).days
    except BadInput as no_country:
        try:
            days = of_market(place).days
        except BadInput:
            raise UsageError(f"--holidays {place}: {no_country}, or of a market such as XNYS") from no_country
    return BusinessCalendar(place, frozenset(range(7)), days)


def _first(summary: Summary) -> str:
    return f"; line {summary.notes[0]['line']} {summary.notes[0]['reason']}" if summary.notes else ""


def _report(at: Settings, summary: Summary) -> None:
    said = summary.as_json()
    if wants_json(at.output):
        show_json(said)
        return
    shown = [{**one, "expected": _range(one["expected"])} for one in said["highest"]]
    columns = (
        Column("line"),
        Column("time"),
        Column("value", form=_short),
        Column("expected"),
        Column("score", form=lambda score: f"{score:.3f}"),
        Column("once_in_rows", "once in rows"),
        Column("why"),
    )
    show(shown, columns, at.output, empty=f"no row scores {summary.threshold:g} or more")
    more = f", the {len(shown)} highest are shown" if summary.anomalies > len(shown) else ""
    out.print(
        f"{summary.scored} of {summary.rows} rows scored, {summary.anomalies} from {summary.threshold:g} on{more}"
    )
    for one in summary.notes:
        err.print(f"line {one['line']} {one['reason']}", soft_wrap=True, markup=False)
    if summary.unscored > len(summary.notes):
        err.print(f"and {summary.unscored - len(summary.notes)} more rows that could not be scored")


def _range(expected: dict[str, float] | None) -> str:
    return f"{_short(expected['low'])} … {_short(expected['high'])}" if expected else ""


def _short(number: Any) -> str:
    return as_text(f"{number:.4g}" if abs(number) < 1e4 else f"{number:,.0f}")
