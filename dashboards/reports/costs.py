"""Costs as a table: days down, services (or whatever was asked for) across, with totals; exact, and as CSV.

The one place where pandas is used: its columns hold Decimal objects, and every sum is made by Python's own addition in
a context that rounds nothing. A cell that a spreadsheet would take for a formula begins with an apostrophe.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Any, cast

import pandas as pd

TOTAL, OTHERS = "total", "others"
_EXACT = Context(prec=100)
_FORMULA = ("=", "+", "-", "@")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Cost:
    """One sum. row, column: its place in the table."""

    row: str
    column: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Table:
    """Of one currency. rows: name and amounts, in the order of columns; the last row and the last column are totals.
    Amounts are None where nothing was charged."""

    currency: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Decimal | None, ...]], ...]


def pivot(costs: Iterable[Cost], most_columns: int | None = None) -> list[Table]:
    """One table for each currency. most_columns: the dearest stand alone, the rest is summed up as `others`."""
    frame = pd.DataFrame([(one.currency, one.row, one.column, one.amount) for one in costs], dtype=object)
    if frame.empty:
        return []
    frame.columns = pd.Index(["currency", "row", "column", "amount"])
    with localcontext(_EXACT):
        return [_table(str(currency), some, most_columns) for currency, some in frame.groupby("currency", sort=True)]


def csv(tables: Sequence[Table], corner: str) -> str:
    """All tables below one header, unrounded; the currency in a column of its own, since currencies never add up."""
    columns = list(dict.fromkeys(name for table in tables for name in table.columns if name != TOTAL))
    rows: list[dict[str, str]] = []
    for table in tables:
        for name, amounts in table.rows:
            cells = dict(zip(table.columns, amounts, strict=True))
            rows.append(
                {corner: safe(name), "currency": table.currency}
                | {safe(column): _plain(cells.get(column)) for column in (*columns, TOTAL)}
            )
    header = [corner, "currency", *(safe(column) for column in columns), TOTAL]
    return pd.DataFrame(rows, columns=pd.Index(header)).to_csv(index=False, lineterminator="\n")


def flat_csv(rows: Sequence[Mapping[str, str | None]]) -> str:
    """Rows as they are, one below the other."""
    return pd.DataFrame([{name: safe(value or "") for name, value in row.items()} for row in rows]).to_csv(
        index=False, lineterminator="\n"
    )


def safe(text: str) -> str:
    """text as one line of a cell that no spreadsheet runs. Numbers keep their sign."""
    text = _CONTROL.sub(" ", text)
    runs = text.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if runs else text


def _table(currency: str, frame: pd.DataFrame, most_columns: int | None) -> Table:
    wide = frame.pivot_table(index="row", columns="column", values="amount", aggfunc=cast("Any", _sum), sort=False)
    wide = wide.astype(object).where(wide.notna(), None)
    wide = wide[sorted(wide.columns, key=lambda name: (-_sum(wide[name]), str(name)))].sort_index()
    if most_columns is not None and len(wide.columns) > most_columns:
        rest = wide.columns[most_columns - 1 :]
        wide[OTHERS] = wide[rest].apply(_sum, axis=1)
        wide = wide.drop(columns=[name for name in rest if name != OTHERS])
    wide[TOTAL] = wide.apply(_sum, axis=1)
    amounts = cast("list[list[Decimal | None]]", wide.to_numpy().tolist())
    rows = [(str(name), tuple(cells)) for name, cells in zip(wide.index, amounts, strict=True)]
    totals = tuple(_sum(wide[name]) for name in wide.columns)
    return Table(currency, tuple(map(str, wide.columns)), (*rows, (TOTAL, totals)))


def _sum(values: Any) -> Decimal:
    """Addition of Python's Decimals: pandas' own sum would round to the default context, or to floats."""
    with localcontext(_EXACT):
        return sum((value for value in values if isinstance(value, Decimal)), Decimal(0))


def _plain(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:f}"
