"""How commands answer: tables for people on a terminal, JSON for everything else."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from watchtower.errors import UsageError
from watchtower.model.duration import format_duration

GAP = 2  # blanks between columns
NARROWEST = 16  # characters of a column that gives way
SHORT_ID = 8  # characters of an id that a table shows; every command takes them for the whole

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_STYLES = {
    "bold red": ("firing", "failed", "dead_letter", "fail", "fault", "triggered", "violation", "page", "over"),
    "yellow": ("pending", "warn", "warning", "acknowledged", "due", "sending", "unknown", "learning", "ticket"),
    "cyan": ("running",),
    "green": ("succeeded", "resolved", "delivered", "ok", "active", "rule"),
}
STYLES = {word: style for style, words in _STYLES.items() for word in words}


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


def as_text(value: Any) -> str:
    return ", ".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else str(value)


def as_names(value: Any) -> str:
    return ", ".join(str(each["name"]) for each in cast("list[dict[str, Any]]", value))


def as_id(value: Any) -> str:
    return str(value)[:SHORT_ID]


def as_time(value: Any) -> str:
    """RFC 3339 as people read it, in UTC to the second."""
    return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def as_duration(value: Any) -> str:
    return format_duration(float(value), 2)


@dataclass(frozen=True, slots=True)
class Column:
    """field: dotted. On a narrow terminal a column that gives_way is cut short with …, and a spare one is left out."""

    field: str
    title: str = ""
    form: Callable[[Any], str] = as_text
    gives_way: bool = False
    spare: bool = False

    @property
    def heading(self) -> str:
        return self.title or self.field.replace("_", " ")

    def cell(self, row: Mapping[str, Any]) -> str:
        value: Any = row
        for part in self.field.split("."):
            value = cast("Mapping[str, Any]", value).get(part) if isinstance(value, Mapping) else None
        if value is None or value == "":
            return "[dim]–[/dim]"
        return styled(self.form(value))


def styled(text: str) -> str:
    """As markup, a word that names a state in its colour."""
    style = STYLES.get(text)
    return f"[{style}]{escape(text)}[/]" if style else escape(text)


def wants_json(output: Output | None) -> bool:
    """What the user asked for, else a table on a terminal and JSON in a pipe."""
    return (output or (Output.TABLE if sys.stdout.isatty() else Output.JSON)) is Output.JSON


def show(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], output: Output | None, *, empty: str = "nothing found"
) -> None:
    """Print rows: the columns as a table, or all there is as a JSON list."""
    if wants_json(output):
        show_json(list(rows))
        return
    if not rows:
        out.print(f"[dim]{escape(empty)}[/dim]")
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    shown = _fitting([_Drawn(column, [column.cell(row) for row in rows]) for column in columns], out.width)
    for drawn in shown:
        wraps = not drawn.column.gives_way and drawn.column.form is as_text
        overflow = "fold" if wraps else "ellipsis"
        table.add_column(drawn.column.heading, overflow=overflow, no_wrap=not wraps, width=drawn.width)
    for cells in zip(*(drawn.cells for drawn in shown), strict=True):
        table.add_row(*cells)
    out.print(table)


@dataclass(slots=True)
class _Drawn:
    """A column with its cells as markup. width: None while it is as wide as it needs to be."""

    column: Column
    cells: list[str]
    width: int | None = None

    @property
    def natural(self) -> int:
        return max(len(self.column.heading), *(Text.from_markup(cell).cell_len for cell in self.cells))

    @property
    def least(self) -> int:
        return min(self.natural, NARROWEST) if self.column.gives_way else self.natural


def _fitting(columns: list[_Drawn], room: int) -> list[_Drawn]:
    """The columns that are shown in room characters. Spare ones go first, from the right; then those that give way
    share what the others leave."""
    for spare in [drawn for drawn in reversed(columns) if drawn.column.spare]:
        if sum(drawn.least + GAP for drawn in columns) - GAP > room:
            columns = [drawn for drawn in columns if drawn is not spare]
    giving = sorted((drawn for drawn in columns if drawn.column.gives_way), key=lambda drawn: drawn.natural)
    left = room - GAP * (len(columns) - 1) - sum(drawn.natural for drawn in columns if not drawn.column.gives_way)
    for position, drawn in enumerate(giving):  # the narrow ones first: they leave more to the others
        drawn.width = min(drawn.natural, max(NARROWEST, left // (len(giving) - position)))
        left -= drawn.width
    return columns


def show_fields(row: Mapping[str, Any], columns: Sequence[Column]) -> None:
    """One thing whole: a line per field that says something."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, GAP, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for column in columns:
        cell = column.cell(row)
        if cell != "[dim]–[/dim]":
            table.add_row(column.heading, cell)
    out.print(table)


def show_json(value: Any) -> None:
    plain(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def plain(text: str) -> None:
    """To be copied or piped: never wrapped, never coloured."""
    print(text, flush=True)


def one_by_id(rows: Sequence[Mapping[str, Any]], given: str, what: str) -> str:
    """The id among rows that begins with given. Raises UsageError if none or several do."""
    found = sorted({str(row["id"]) for row in rows if str(row["id"]).startswith(given)})
    if len(found) == 1:
        return found[0]
    if given in found:
        return given
    if found:
        raise UsageError(f"{len(found)} {what}s begin with {given!r}: {', '.join(found[:5])}; write more of it")
    raise UsageError(f"there is no {what} {given!r}, or it belongs to another team")


def progress() -> Progress:
    """A bar on standard error, and nothing at all where that is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not sys.stderr.isatty(),
    )
