"""What reads a bill in the benchmark `billing`, each in a process of its own: `bill_readers.py READER FILE FOLDER`.

Prints one line of JSON: seconds, peak_mib, and the total billed as whole numbers of 10^-10. Others than ours write the
lines as zstd Parquet and sum them by day and tags; they check nothing, keep no versions, and commit nothing.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

SCALE = 10
AMOUNTS = ("BilledCost", "EffectiveCost", "ListCost")


def ours(file: Path, folder: Path) -> int:
    """The whole way: read, check, keep, sum, commit, in force."""
    from decimal import Decimal

    from collectors.billing.columns import FOCUS
    from watchtower.clock import SystemClock
    from watchtower.store.bills.folder import BillFolder
    from watchtower.store.bills.importing import Importer
    from watchtower.store.bills.orders import Order
    from watchtower.store.database import Database
    from watchtower.store.migrations import migrate

    clock = SystemClock()
    database = Database(f"sqlite:///{folder / 'watchtower.db'}")
    migrate(database, clock)
    try:
        order = Order("aws", (file,), (file.name,), (str(file.stat().st_mtime_ns),), FOCUS)
        results = Importer(database, BillFolder(folder / "bills"), clock).run(order)
    finally:
        database.close()
    return int(sum((each.totals["USD"] for each in results), Decimal(0)).scaleb(SCALE))


def duckdb(file: Path, folder: Path) -> int:
    import duckdb as engine

    engine.execute("SET memory_limit = '256MiB'; SET threads = 2; SET preserve_insertion_order = false")
    engine.execute(f"SET temp_directory = '{folder}'")
    kept = folder / "lines.parquet"
    scan = f"read_csv('{file}', all_varchar = true)" if ".csv" in file.suffixes else f"read_parquet('{file}')"
    amounts = ", ".join(f"{name}::DECIMAL(38, {SCALE}) AS {name}" for name in AMOUNTS)
    times = ", ".join(f"{name}::TIMESTAMP AS {name}" for name in ("ChargePeriodStart", "ChargePeriodEnd"))
    engine.execute(f"COPY (SELECT * REPLACE ({amounts}, {times}) FROM {scan}) TO '{kept}' (COMPRESSION zstd)")
    sums = ", ".join(f"sum({name}) AS {name}" for name in AMOUNTS)
    days = engine.execute(f"SELECT ChargePeriodStart::DATE, Tags, {sums} FROM '{kept}' GROUP BY ALL").fetchall()
    return sum(int(row[2].scaleb(SCALE)) for row in days)


def polars(file: Path, folder: Path) -> int:
    import polars as pl  # pyright: ignore[reportMissingImports]

    engine: Any = pl
    csv = ".csv" in file.suffixes
    scan = engine.scan_csv(file, infer_schema=False) if csv else engine.scan_parquet(file)
    kept = folder / "lines.parquet"
    exact = [engine.col(name).cast(engine.Decimal(38, SCALE)) for name in AMOUNTS]
    times = [
        engine.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ") for name in ("ChargePeriodStart", "ChargePeriodEnd")
    ]
    scan.with_columns([*exact, *times]).sink_parquet(kept, compression="zstd")
    days = (
        engine.scan_parquet(kept)
        .group_by([engine.col("ChargePeriodStart").dt.date(), "Tags"])
        .agg([engine.col(name).sum() for name in AMOUNTS])
        .collect()
    )
    return sum(int(amount.scaleb(SCALE)) for amount in days["BilledCost"])


def pandas(file: Path, folder: Path) -> int:
    import pandas as pd
    import pyarrow as pa  # pyright: ignore[reportMissingImports]

    frames, arrow = pd, pa
    reader: Any = frames
    decimal: Any = reader.ArrowDtype(arrow.decimal128(38, SCALE))
    kinds = dict.fromkeys(AMOUNTS, decimal)
    if ".csv" in file.suffixes:
        lines = reader.read_csv(file, engine="pyarrow", dtype_backend="pyarrow", dtype=kinds)
    else:
        lines = reader.read_parquet(file, dtype_backend="pyarrow").astype(kinds)
    lines.to_parquet(folder / "lines.parquet", compression="zstd")
    day = lines["ChargePeriodStart"].astype("string[pyarrow]").str.slice(0, 10)
    days = lines.groupby([day, "Tags"])[list(AMOUNTS)].sum()
    return sum(int(amount.scaleb(SCALE)) for amount in days["BilledCost"])


READERS = {"ours": ours, "duckdb": duckdb, "polars": polars, "pandas": pandas}


def _peak_mib() -> float:
    """Of this program alone: what getrusage says includes the process that it was forked from."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def main() -> None:
    reader, file, folder = sys.argv[1:]
    begun = time.monotonic()
    total = READERS[reader](Path(file), Path(folder))
    seconds = time.monotonic() - begun
    peak = _peak_mib()
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "total": str(total)}))


if __name__ == "__main__":
    main()
