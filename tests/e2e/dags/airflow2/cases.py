"""DAGs for a real Airflow 2, one per way a run can go. All start paused.

`ledger_export` succeeds; `ledger_report` waits for what it writes, and fails; `invoice_import` fails for good after two
retries; `price_import` is mapped, and the first of its prices is broken; `warehouse_vacuum` waits for the file that its
run names; `nightly_close` has a schedule, and is left paused.
"""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.datasets import Dataset
from airflow.decorators import dag, task
from airflow.operators.python import get_current_context

LEDGER = Dataset("postgres://warehouse.example.com:5432/finance/public/ledger_entries")
START = pendulum.datetime(2026, 1, 1, tz="UTC")


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
        return 1_204

    @task(outlets=[LEDGER])
    def write_entries(entries: int, *, outlet_events: Any = None) -> None:
        outlet_events[LEDGER].extra = {"row_count": entries}

    write_entries(collect_entries())


@dag(schedule=[LEDGER], start_date=START, default_args={"owner": "finance-data"})
def ledger_report() -> None:
    @task
    def print_report() -> None:
        raise LookupError("no printer")

    print_report()


@dag(
    schedule=None,
    start_date=START,
    default_args={"owner": "finance-data", "retries": 2, "retry_delay": timedelta(seconds=1)},
)
def invoice_import() -> None:
    @task
    def parse_invoices() -> int:
        return sum(int(amount) for amount in ("1204", "88", "n/a"))

    parse_invoices()


@dag(
    schedule=None,
    start_date=START,
    default_args={"owner": "finance-data", "retries": 1, "retry_delay": timedelta(seconds=1)},
)
def price_import() -> None:
    @task
    def read_price(amount: str) -> int:
        return int(amount)

    @task
    def write_prices(prices: list[int]) -> None:
        print(f"wrote {sum(prices)}")

    write_prices(read_price.expand(amount=["n/a", "12", "88"]))


@dag(schedule=None, start_date=START, default_args={"owner": "data-platform"})
def warehouse_vacuum() -> None:
    @task
    def vacuum_tables() -> None:
        until = Path(get_current_context()["dag_run"].conf["until"])
        while not until.exists():
            time.sleep(0.2)

    vacuum_tables()


@dag(
    schedule="0 3 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    default_args={"owner": "finance-data"},
)
def nightly_close() -> None:
    @task
    def close_books() -> None:
        print("closed")

    close_books()


ledger_export()
ledger_report()
invoice_import()
price_import()
warehouse_vacuum()
nightly_close()
