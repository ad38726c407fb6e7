"""Seven small DAGs for the end-to-end tests, one per way a run can go. All start paused.

`ledger_export` succeeds; `invoice_import` fails for good after two retries; `price_import` is mapped, and the first of
its prices is broken; `warehouse_vacuum` hangs,
unless its run names a file to wait for;
`ledger_report` waits for what `ledger_export` writes, and fails;
`fx_rates_minutely` has a cron schedule and is left paused, so its runs never start, and so has `nightly_close`, in
another zone than Airflow's.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, dag, task

LEDGER = Asset(name="ledger_entries", uri="postgres://warehouse.example.com:5432/finance/public/ledger_entries")
RATES = Asset(name="fx_rates", uri="postgres://warehouse.example.com:5432/finance/public/fx_rates")
START = datetime(2026, 1, 1, tzinfo=UTC)


@dag(
    description="Writes the ledger entries of the day to the warehouse.",
    schedule=None,
    start_date=START,
    default_args={"owner": "finance-data"},
    tags=["tier:1", "team:finance"],
)
def ledger_export() -> None:
    @task
    def collect_entries() -> int:
        """Count the ledger entries."""
        return 1_204

    @task(outlets=[LEDGER])
    def write_entries(entries: int, *, outlet_events: Any = None) -> None:
        """Write them, and say how many rows there are."""
        outlet_events[LEDGER].extra = {"row_count": entries, "bytes": entries * 96}

    write_entries(collect_entries())


@dag(
    description="Reports on the ledger whenever it was written; there is no printer.",
    schedule=[LEDGER],
    start_date=START,
    default_args={"owner": "finance-data"},
)
def ledger_report() -> None:
    @task(inlets=[LEDGER])
    def print_report() -> None:
        """Print it."""
        raise LookupError("no printer")

    print_report()


@dag(
    description="Reads the suppliers' invoices; the file it gets is broken.",
    schedule=None,
    start_date=START,
    default_args={"owner": "finance-data", "retries": 2, "retry_delay": timedelta(seconds=1)},
    tags=["tier:2", "team:finance"],
)
def invoice_import() -> None:
    @task(inlets=[LEDGER])
    def parse_invoices() -> int:
        """Parse the amounts of all invoices."""
        return sum(int(amount) for amount in ("1204", "88", "n/a"))

    parse_invoices()


@dag(
    description="Reads prices, one task for each; the first is broken.",
    schedule=None,
    start_date=START,
    default_args={"owner": "finance-data", "retries": 1, "retry_delay": timedelta(seconds=1)},
)
def price_import() -> None:
    @task
    def read_price(amount: str) -> int:
        """Read one."""
        return int(amount)

    @task
    def write_prices(prices: list[int]) -> None:
        """Write all."""
        print(f"wrote {sum(prices)}")

    write_prices(read_price.expand(amount=["n/a", "12", "88"]))


@dag(
    description="Vacuums the warehouse; waits for a lock that nobody gives back.",
    schedule=None,
    start_date=START,
    default_args={"owner": "data-platform"},
    tags=["tier:3", "team:data-platform"],
)
def warehouse_vacuum() -> None:
    @task
    def vacuum_tables(*, dag_run: Any = None) -> None:
        """Wait for the lock, which is there once the file is that the run may name."""
        until = (dag_run.conf or {}).get("until")
        while not (until and Path(until).exists()):
            time.sleep(0.2)

    vacuum_tables()


@dag(
    description="Fetches foreign exchange rates every minute.",
    schedule="* * * * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "finance-data"},
    tags=["tier:1", "team:finance"],
)
def fx_rates_minutely() -> None:
    @task(outlets=[RATES])
    def fetch_rates(*, outlet_events: Any = None) -> None:
        """Fetch the rates of 32 currencies."""
        outlet_events[RATES].extra = {"row_count": 32}

    fetch_rates()


@dag(
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    catchup=False,
    default_args={"owner": "finance-data"},
)
def nightly_close() -> None:
    @task
    def close_books() -> None:
        """Close the books of the day."""

    close_books()


ledger_export()
ledger_report()
invoice_import()
price_import()
warehouse_vacuum()
fx_rates_minutely()
nightly_close()
