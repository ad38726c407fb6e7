"""What reads a bill in the benchmark `billing`, each in a process of its own: `bill_readers.py READER FILE FOLDER`.

Prints one line of JSON: seconds, cpu_s, peak_mib, and the total billed as whole numbers of 10^-10. All write the lines
as zstd Parquet and sum them exactly. `polars` and `pandas` check the lines as well, as ours does; `duckdb` and those
called bare check nothing. None but ours keeps versions, commits, or can say which line is wrong.
"""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

SCALE = 10
AMOUNTS = ("BilledCost", "EffectiveCost", "ListCost")
INSTANTS = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
INSTANT = "%Y-%m-%dT%H:%M:%SZ"
NUMBER = rf"^[+-]?[0-9]{{1,18}}(\.[0-9]{{1,{SCALE}}})?$"


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
    """The work of ours: every line is checked and kept, and summed exactly by period, account, service, tags and day.
    Left out: telling which line is wrong, numbers and times in other forms than the plain one, versions, the commit."""
    import polars as pl  # pyright: ignore[reportMissingImports]

    engine: Any = pl
    csv = ".csv" in file.suffixes
    exact = [_polars_exact(engine, name) for name in AMOUNTS] if csv else _polars_cast(engine)
    times = [engine.col(name).str.to_datetime(INSTANT, time_unit="us") for name in INSTANTS]
    kept = folder / "lines.parquet"
    _polars_scan(engine, file).with_columns([*exact, *times]).sink_parquet(kept, compression="zstd")
    begin, end = engine.col("ChargePeriodStart"), engine.col("ChargePeriodEnd")
    month = engine.col("BillingPeriodStart").dt.truncate("1mo").alias("month")
    groups = (
        engine.scan_parquet(kept)
        .group_by([month, begin.dt.date().alias("day"), "BillingCurrency", "SubAccountId", "ServiceName", "Tags"])
        .agg(
            *(engine.col(name).sum() for name in AMOUNTS),
            *(engine.col(name).null_count().alias(f"{name} empty") for name in AMOUNTS),
            (end < begin).sum().alias("backwards"),
            begin.min().alias("first"),
            end.max().alias("last"),
            *(engine.col(name).null_count().alias(f"{name} empty") for name in INSTANTS),
        )
        .collect(engine="streaming")
    )
    _checked(groups["backwards"].sum(), *(groups[f"{name} empty"].sum() for name in INSTANTS))
    _plausible(groups["first"].min(), groups["last"].max(), groups["BillingCurrency"].unique(), groups["Tags"].unique())
    _digest(file)
    return sum(int(amount.scaleb(SCALE)) for amount in groups["BilledCost"])


def polars_bare(file: Path, folder: Path) -> int:
    """Read, cast, keep, and sum by day and tags. Nothing is checked: digits that do not fit are rounded."""
    import polars as pl  # pyright: ignore[reportMissingImports]

    engine: Any = pl
    kept = folder / "lines.parquet"
    times = [engine.col(name).str.to_datetime(INSTANT) for name in ("ChargePeriodStart", "ChargePeriodEnd")]
    _polars_scan(engine, file).with_columns([*_polars_cast(engine), *times]).sink_parquet(kept, compression="zstd")
    days = (
        engine.scan_parquet(kept)
        .group_by([engine.col("ChargePeriodStart").dt.date(), "Tags"])
        .agg([engine.col(name).sum() for name in AMOUNTS])
        .collect()
    )
    return sum(int(amount.scaleb(SCALE)) for amount in days["BilledCost"])


def _polars_scan(engine: Any, file: Path) -> Any:
    if ".csv" in file.suffixes:
        return engine.scan_csv(file, infer_schema=False, null_values=["", "NULL"])
    return engine.scan_parquet(file)


def _polars_cast(engine: Any) -> list[Any]:
    return [engine.col(name).cast(engine.Decimal(38, SCALE)) for name in AMOUNTS]


def _polars_exact(engine: Any, name: str) -> Any:
    """What is no number of few enough digits becomes text that no cast takes."""
    text = engine.col(name)
    fits = text.is_null() | text.str.contains(NUMBER)
    return engine.when(fits).then(text).otherwise(engine.lit("unfit")).cast(engine.Decimal(38, SCALE)).alias(name)


def pandas(file: Path, folder: Path) -> int:
    """The work of ours, as `polars` does it."""
    lines, reader = _pandas_lines(file)
    _checked(*(lines[name].isna().sum() for name in INSTANTS))
    for name in INSTANTS:
        lines[name] = reader.to_datetime(lines[name], utc=True, format="ISO8601")
    lines.to_parquet(folder / "lines.parquet", compression="zstd")
    begin, end = lines["ChargePeriodStart"], lines["ChargePeriodEnd"]
    _checked((end < begin).sum())
    _plausible(begin.min(), end.max(), lines["BillingCurrency"].unique(), lines["Tags"].unique())
    by = [lines["BillingPeriodStart"], begin.dt.floor("D"), "BillingCurrency", "SubAccountId", "ServiceName", "Tags"]
    days = lines.groupby(by, dropna=False)[list(AMOUNTS)].agg(["sum", "count"])
    _digest(file)
    return sum(int(amount.scaleb(SCALE)) for amount in days["BilledCost"]["sum"])


def pandas_bare(file: Path, folder: Path) -> int:
    """Read, keep, and sum by day and tags. Nothing is checked."""
    lines, _ = _pandas_lines(file)
    lines.to_parquet(folder / "lines.parquet", compression="zstd")
    day = lines["ChargePeriodStart"].astype("string[pyarrow]").str.slice(0, 10)
    days = lines.groupby([day, "Tags"])[list(AMOUNTS)].sum()
    return sum(int(amount.scaleb(SCALE)) for amount in days["BilledCost"])


def _pandas_lines(file: Path) -> tuple[Any, Any]:
    """By its pyarrow engine, which refuses amounts that would be rounded."""
    import pandas as pd
    import pyarrow as pa  # pyright: ignore[reportMissingImports]

    frames, arrow = pd, pa
    reader: Any = frames
    decimal: Any = reader.ArrowDtype(arrow.decimal128(38, SCALE))
    kinds = dict.fromkeys(AMOUNTS, decimal)
    if ".csv" in file.suffixes:
        return reader.read_csv(file, engine="pyarrow", dtype_backend="pyarrow", dtype=kinds), reader
    return reader.read_parquet(file, dtype_backend="pyarrow").astype(kinds), reader


def _checked(*counts: int) -> None:
    if any(counts):
        raise ValueError("lines that end before they begin, or without a time")


def _plausible(first: Any, last: Any, currencies: Any, tags: Any) -> None:
    """The years, the currencies and the tags of a bill."""
    if first.year < 2000 or last.year > 2099 or not {*currencies} <= {"USD", "EUR", "JPY"}:
        raise ValueError("a year or a currency that there is not")
    for text in tags:
        if text is not None and not isinstance(json.loads(text), dict):
            raise ValueError("tags that are no object")


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


READERS = {
    "ours": ours,
    "duckdb": duckdb,
    "polars": polars,
    "polars-bare": polars_bare,
    "pandas": pandas,
    "pandas-bare": pandas_bare,
}


def _peak_mib() -> float:
    """Of this program alone: what getrusage says includes the process that it was forked from."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def main() -> None:
    reader, file, folder = sys.argv[1:]
    begun = time.monotonic()
    total = READERS[reader](Path(file), Path(folder))
    seconds, cpu_s = time.monotonic() - begun, time.process_time()
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "peak_mib": _peak_mib(), "total": str(total)}))


if __name__ == "__main__":
    main()
