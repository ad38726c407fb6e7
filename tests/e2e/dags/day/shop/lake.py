"""The lake: one CSV file per table and slot, below SHOP_LAKE. Row counts and bytes are those of the files."""

import csv
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from airflow.sdk import Asset


@dataclass(frozen=True, slots=True)
class Written:
    """What a write left behind."""

    row_count: int
    bytes: int


def table(name: str) -> Asset:
    """The warehouse table `name` as an asset."""
    return Asset(name=name, uri=f"postgres://warehouse.example.com:5432/shop/public/{name}")


def write(name: str, slot: datetime, rows: list[dict[str, str]]) -> Written:
    """Write the rows of one slot, replacing what an earlier try wrote. rows: not empty."""
    path = _folder(name) / f"{slot:%Y-%m-%dT%H%M}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return Written(row_count=len(rows), bytes=path.stat().st_size)


def read(name: str) -> list[dict[str, str]]:
    """The rows of the newest slot that was written; empty if none was."""
    paths = sorted(_folder(name).glob("*.csv"))
    if not paths:
        return []
    with paths[-1].open(newline="") as file:
        return list(csv.DictReader(file))


def _folder(name: str) -> Path:
    folder = Path(os.environ.get("SHOP_LAKE") or Path(tempfile.gettempdir()) / "shop-lake") / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
