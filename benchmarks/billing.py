"""A bill in FOCUS from file to force: 200,000 lines of 16 columns (10 million with --full), as csv.gz and as Parquet.

Ours reads, checks, keeps the lines, sums the days, commits. polars and pandas do the same but the commit: the gates are
about them. DuckDB, polars and pandas bare check nothing, and show what that costs. Each runs in a process of its own;
every total must equal that of the whole numbers that the lines were made of.
"""

import gzip
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.figures import Figure, Options, Skipped, say
from benchmarks.machine import ROOT

SEED = 7
SCALE = 10
SMALL, LARGE = 200_000, 10_000_000
RESOURCES, PIPELINES = 5_000, 500
BOUND_MIB = 512.0
# Its own environment, since nothing of it belongs to ours: python -m venv .cache/polars, then pip install polars pandas
# pyarrow there.
PEERS = ROOT / ".cache" / "polars" / "bin" / "python"
COLUMNS = (
    *("BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd", "ChargeCategory"),
    *("ChargePeriodStart", "ChargePeriodEnd", "EffectiveCost", "ListCost", "ProviderName", "RegionId", "ResourceId"),
    *("ServiceName", "SubAccountId", "Tags"),
)
_SERVICES = ("Amazon EC2", "Amazon S3", "AWS Lambda", "Amazon Athena", "AWS Glue", "Amazon Redshift", "Amazon RDS")


def billing(options: Options) -> Sequence[Figure | Skipped]:
    lines = LARGE if options.full else SMALL
    rounds = min(options.rounds, 3)
    found: list[Figure | Skipped] = []
    with tempfile.TemporaryDirectory(dir=_roomy()) as name:
        folder = Path(name)
        say(f"  making {lines:,} lines")
        csv = folder / "bill.csv.gz"
        total = _make(csv, lines)
        parquet = folder / "bill.parquet"
        amounts = ", ".join(f"{column}::DECIMAL(38, {SCALE}) AS {column}" for column in _AMOUNTS)
        duckdb.execute(
            f"SET memory_limit = '1GiB'; SET preserve_insertion_order = false; SET temp_directory = '{folder}'"
        )
        duckdb.execute(
            f"COPY (SELECT * REPLACE ({amounts}) FROM read_csv('{csv}', all_varchar = true)) TO '{parquet}' "
            "(FORMAT parquet, COMPRESSION zstd)"
        )
        for file, peer, gate, aim in ((csv, "polars", 1.4, 1.1), (parquet, "pandas", 0.75, 0.6)):
            found += _compare(file, folder, total, peer, lines=lines, rounds=rounds, bounds=(gate, aim))
    return found


_PEERS = ("polars", "pandas", "polars-bare", "pandas-bare")
_AMOUNTS = ("BilledCost", "EffectiveCost", "ListCost")


def _compare(
    file: Path, folder: Path, total: int, peer: str, *, lines: int, rounds: int, bounds: tuple[float, float]
) -> list[Figure | Skipped]:
    """The medians of rounds, in which the readers take turns. A total that is not exact is an error."""
    readers = ["ours", "duckdb", *(_PEERS if PEERS.exists() else ())]
    seen: dict[str, list[Mapping[str, Any]]] = {reader: [] for reader in readers}
    for number in range(rounds):
        for reader in readers:
            measured = _run(reader, file, folder)
            if int(measured["total"]) != total:
                raise AssertionError(f"{reader} found {measured['total']}, the lines hold {total}")
            seen[reader].append(measured)
            say(
                f"  {file.name} {number + 1} {reader}: {measured['seconds']:.2f} s, of CPU {measured['cpu_s']:.2f} s, "
                f"{measured['peak_mib']:.0f} MiB"
            )
    best = {reader: sorted(some, key=lambda each: each["seconds"])[len(some) // 2] for reader, some in seen.items()}
    kind = "csv.gz" if file.suffix == ".gz" else "Parquet"
    ours = best["ours"]
    note = f"{lines:,} lines; of CPU {ours['cpu_s']:.1f} s"
    figures: list[Figure | Skipped] = [
        Figure(
            f"bill, {kind}, beside DuckDB bare", ours["seconds"], best["duckdb"]["seconds"], "s", "lower", note=note
        ),
        Figure(f"bill, {kind}, memory / bound", ours["peak_mib"], BOUND_MIB, "MiB", "lower", 1.0, note=note),
    ]
    for other in _PEERS:
        name = f"bill, {kind}, beside {other.replace('-', ' ')}"
        if other not in best:
            figures.append(Skipped(name, f"{PEERS} is not there (see benchmarks/billing.py)"))
            continue
        gate, aim = bounds if other == peer and lines == LARGE else (None, None)
        more = f"{note} / {best[other]['cpu_s']:.1f} s; {best[other]['peak_mib']:,.0f} MiB there"
        figures.append(Figure(name, ours["seconds"], best[other]["seconds"], "s", "lower", gate, aim, note=more))
    return figures


def _run(reader: str, file: Path, folder: Path) -> Mapping[str, Any]:
    python = str(PEERS) if reader in _PEERS else sys.executable
    with tempfile.TemporaryDirectory(dir=folder) as own:
        command = [python, str(ROOT / "benchmarks" / "bill_readers.py"), reader, str(file), own]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)})
    if done.returncode:
        raise RuntimeError(f"{reader}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _make(file: Path, lines: int) -> int:
    """Write the bill; the total billed, as a whole number of 10^-10."""
    total = 0
    with gzip.open(file, "wt", compresslevel=1, encoding="ascii", newline="") as out:
        out.write(",".join(COLUMNS) + "\n")
        some: list[str] = []
        for amount, text in _lines(lines):
            total += amount
            some.append(text)
            if len(some) == 10_000:
                out.write("".join(some))
                some.clear()
        out.write("".join(some))
    return total


def _lines(count: int) -> Iterator[tuple[int, str]]:
    """A month of hourly charges of 5,000 resources; one in 97 is a credit."""
    bits = random.Random(SEED).getrandbits
    for number in range(count):
        drawn = bits(64)
        amount = drawn % 10**11 if drawn & 1024 else drawn % 10**7
        amount = amount if number % 97 else -amount
        resource, hour = (drawn >> 30) % RESOURCES, (drawn >> 13) % 720
        begin, end = _instant(hour), _instant(hour + 1)
        cost, reduced = _decimal(amount), _decimal(amount * 7 // 10)
        pipeline = resource % PIPELINES
        tags = '""Environment"": ""{}"", ""team"": ""{}"", ""pipeline"": ""p{}""'.format(
            ("prod", "test", "dev")[pipeline % 3], ("data", "ml", "web", "ops")[pipeline % 4], pipeline
        )
        yield (
            amount,
            f"{cost},1234567890,USD,2026-09-01T00:00:00Z,2026-10-01T00:00:00Z,Usage,{begin},{end},{reduced},{cost},AWS,"
            f"eu-central-1,arn:aws:ec2:eu-central-1:1234567890:instance/i-{resource:08x},"
            f'{_SERVICES[pipeline % len(_SERVICES)]},sub-{pipeline % 20:02d},"{{{tags}}}"\n',
        )


def _instant(hour: int) -> str:
    return f"2026-09-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z" if hour < 720 else "2026-10-01T00:00:00Z"


def _decimal(amount: int) -> str:
    sign, digits = ("-" if amount < 0 else ""), abs(amount)
    return f"{sign}{digits // 10**SCALE}.{digits % 10**SCALE:0{SCALE}d}"


def _roomy() -> Path:
    """On a disk: the folder for temporary files may be memory."""
    folder = ROOT / ".cache" / "billing"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
