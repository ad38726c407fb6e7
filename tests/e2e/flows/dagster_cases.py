"""Definitions of Dagster 1.13 whose runs end in every way there is, with assets, checks, partitions and a schedule."""

import time
from pathlib import Path

import dagster as dg

DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01")


@dg.asset(owners=["team:shop", "data@example.com"], kinds={"postgres"}, tags={"tier": "1"}, group_name="shop")
def raw_orders(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Orders as the shop sends them."""
    return dg.MaterializeResult(metadata={"dagster/row_count": 120, "size_bytes": 4096})


@dg.asset(deps=[raw_orders], group_name="shop")
def clean_orders() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"dagster/row_count": 118})


@dg.asset_check(asset=clean_orders)
def no_missing_customer() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, metadata={"missing": 2})


@dg.asset(partitions_def=DAYS)
def orders_by_day(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"dagster/row_count": 12})


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2, delay=0.2))
def fetch(context: dg.OpExecutionContext) -> int:
    if context.retry_number < 2:
        raise ConnectionError("the shop does not answer")
    return 3


@dg.op(out=dg.DynamicOut(int))
def split(count: int):
    for index in range(count):
        yield dg.DynamicOutput(index, mapping_key=str(index))


@dg.op
def price(order: int) -> int:
    return order * 2


@dg.op
def total(prices: list[int]) -> int:
    return sum(prices)


@dg.job(executor_def=dg.in_process_executor, tags={"team": "shop"}, owners=["team:shop", "data@example.com"])
def priced():
    """Fetches, and fetches again."""
    total(split(fetch()).map(price).collect())


@dg.op
def check_schema() -> None:
    raise RuntimeError("schema mismatch: column amount is missing")


@dg.op(ins={"start": dg.In(dg.Nothing)})
def publish() -> None:
    pass


@dg.job(executor_def=dg.in_process_executor, tags={"dagster/max_retries": 1})
def invoices():
    publish(check_schema())


@dg.op
def sleep() -> None:
    time.sleep(3600)


@dg.job(executor_def=dg.in_process_executor)
def stuck():
    sleep()


@dg.op
def wait(context: dg.OpExecutionContext) -> None:
    """For the file that the run names."""
    while not Path(context.run.tags["until"]).exists():
        time.sleep(0.2)


@dg.job(executor_def=dg.in_process_executor)
def waiting():
    wait()


shop = dg.define_asset_job(
    "shop", dg.AssetSelection.assets(raw_orders, clean_orders), executor_def=dg.in_process_executor
)
by_day = dg.define_asset_job("by_day", dg.AssetSelection.assets(orders_by_day), executor_def=dg.in_process_executor)

defs = dg.Definitions(
    assets=[raw_orders, clean_orders, orders_by_day],
    asset_checks=[no_missing_customer],
    jobs=[priced, invoices, stuck, waiting, shop, by_day],
    schedules=[
        dg.ScheduleDefinition(
            name="each_minute",
            job=priced,
            cron_schedule="* * * * *",
            execution_timezone="Europe/Berlin",
            default_status=dg.DefaultScheduleStatus.RUNNING,
        ),
        dg.ScheduleDefinition(name="not_running", job=shop, cron_schedule="0 6 * * *"),
    ],
)
