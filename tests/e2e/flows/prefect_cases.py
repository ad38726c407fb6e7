"""Flows of Prefect 3 that end in every way there is. Run by name: `python prefect_cases.py orders`."""

import sys
import time
from pathlib import Path

from prefect import flow, task
from prefect.assets import add_asset_metadata, materialize
from prefect.exceptions import MissingResult
from prefect.runtime import task_run

ORDERS = "postgres://warehouse:5432/shop/public/orders"


@task(retries=2, retry_delay_seconds=0.5)
def fetch() -> int:
    if task_run.run_count < 3:
        raise ConnectionError("the shop does not answer")
    return 3


@task
def price(order: int) -> int:
    return order * 2


@materialize(ORDERS)
def load(rows: int) -> None:
    add_asset_metadata(ORDERS, {"row_count": rows})


@task
def publish(report: str) -> str:
    return report


@flow(name="report")
def report() -> str:
    return publish("orders")


@flow(name="orders", version="1.2.3")
def orders() -> None:
    count = fetch()
    price.map(list(range(count))).result()
    load(count)
    report()


@task(retries=1, retry_delay_seconds=0.5)
def check_schema() -> None:
    raise RuntimeError("schema mismatch: column amount is missing")


@task
def after_schema(checked: None) -> None:
    pass


@flow(name="invoices", retries=1, retry_delay_seconds=0.5)
def invoices() -> None:
    checked = check_schema.submit()
    after_schema.submit(checked).wait()
    checked.result()


@flow(name="slow", timeout_seconds=1)
def slow() -> None:
    time.sleep(30)


@task
def wait(until: str) -> None:
    while not Path(until).exists():
        time.sleep(0.2)


@flow(name="waiting")
def waiting(until: str) -> None:
    """Waits for a file."""
    wait(until)


@flow(name="stuck")
def stuck() -> None:
    time.sleep(3600)


if __name__ == "__main__":
    try:
        flows = {"orders": orders, "invoices": invoices, "slow": slow, "stuck": stuck, "waiting": waiting}
        flows[sys.argv[1]](*sys.argv[2:])
    except (RuntimeError, MissingResult, TimeoutError) as error:
        print(f"ended with {type(error).__name__}: {error}")
