"""How commands answer: tables for people on a terminal, JSON for everything else."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

STATE_STYLES = {
    "firing": "bold red",
    "failed": "bold red",
    "dead_letter": "bold red",
    "fail": "bold red",
    "triggered": "bold red",
    "pending": "yellow",
    "warn": "yellow",
    "acknowledged": "yellow",
    "due": "yellow",
    "sending": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "resolved": "green",
    "delivered": "green",
    "ok": "green",
}


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


def chosen(output: Output | None) -> Output:
    """What the user asked for, else a table on a terminal and JSON in a pipe."""
    return output or (Output.TABLE if sys.stdout.isatty() else Output.JSON)


def show(
    rows: Sequence[Mapping[str, Any]], columns: Iterable[str], output: Output | None, *, empty: str = "nothing found"
) -> None:
    """Print rows: the columns named as a table, or whole as a JSON list."""
    if chosen(output) is Output.JSON:
        show_json(list(rows))
        return
    if not rows:
        out.print(f"[dim]{escape(empty)}[/dim]")
        return
    names = list(columns)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name.split(".")[-1].replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(name, _dig(row, name)) for name in names))
    out.print(table)


def show_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


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


def _dig(row: Mapping[str, Any], name: str) -> Any:
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return value  # pyright: ignore[reportUnknownVariableType]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "[dim]–[/dim]"
    text = _as_time(value) or str(value)
    style = STATE_STYLES.get(text) if name.endswith(("state", "status")) else None
    return f"[{style}]{escape(text)}[/{style}]" if style else escape(text)


def _as_time(value: Any) -> str | None:
    """RFC 3339 as people read it, in UTC to the second."""
    if not isinstance(value, str) or len(value) < 20 or value[10:11] != "T":
        return None
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if when.tzinfo else None
