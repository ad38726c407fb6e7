"""`costs`, `budgets`: what the bills add up to, and how much of what may be spent is spent."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table as Drawn

from watchtower.cli.client import connected
from watchtower.cli.output import GAP, Column, Output, out, plain, show, show_json, styled, wants_json
from watchtower.cli.settings import ANYWHERE, Settings, takes
from watchtower.errors import UsageError
from watchtower.model.cost import Money
from watchtower.model.spending import money_words, rounded, share_words

MOST_COLUMNS = 6  # of a table on a terminal; the rest is `others`
NOTHING = "none"  # charges without the tag

app = typer.Typer()


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def _money(value: Any) -> str:
    return money_words(rounded(Money(Decimal(value["amount"]), value["currency"]))) if value else "–"


def _share(value: Any) -> str:
    return share_words(Decimal(value))


def _day(value: Any) -> str:
    return str(value)[:10]


BUDGETS = (
    Column("name"),
    Column("state"),
    Column("current.spent", "spent", _money),
    Column("limit", form=_money),
    Column("current.share", "share", _share),
    Column("current.period", "in"),
    Column("told", "so far", spare=True),
    Column("bill.covered_until", "bill reaches", _day),
    Column("why", gives_way=True),
)


@app.command()
@takes("config", "state", "url", "token")
def costs(
    at: Settings,
    by: Annotated[list[str] | None, typer.Option(help="service, account, source, day or tag:NAME; repeatable.")] = None,
    days: Annotated[int, typer.Option(min=1, max=800, help="The last so many days, and today.")] = 14,
    start: Annotated[str | None, typer.Option("--from", metavar="DAY", help="From this day, e.g. 2026-11-01.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DAY", help="To this day, exclusive.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="With this tag.")] = None,
    service: Annotated[str | None, typer.Option(help="Of this service.")] = None,
    account: Annotated[str | None, typer.Option(help="Of this account.")] = None,
    source: Annotated[str | None, typer.Option(help="Of this bill.")] = None,
    metric: Annotated[str, typer.Option(help="billed, effective or list.")] = "billed",
    as_of: Annotated[str | None, typer.Option(metavar="TIME", help="As it was known then, RFC 3339.")] = None,
    form: Annotated[
        Form | None, typer.Option("--output", "-o", help="Else a table on a terminal, JSON in a pipe.")
    ] = None,
) -> None:
    """Show what the bills add up to, day by day.

    One key stands across the days; amounts in tables are rounded to the cent, in CSV and JSON they are not.
    """
    keys = [key for key in by or [] if key != "day"]
    query = {
        **_days(start, end, days),
        "by": ["day", *keys],
        "tag": tags or None,
        "service": service,
        "account": account,
        "source": source,
        "metric": metric,
        "as_of": as_of,
    }
    with connected(at) as client:
        found = client.get("/api/v1/costs", query)
    if form is Form.JSON or (form is None and wants_json(None)):
        show_json(found["items"])
    elif form is Form.CSV:
        plain(_csv(found["items"], keys).rstrip("\n"))
    else:
        _show_costs(found, keys)


def _days(start: str | None, end: str | None, days: int) -> dict[str, str | None]:
    """from and to as the API takes them; without a beginning the last days."""
    try:
        first, last = (date.fromisoformat(text) if text else None for text in (start, end))
    except ValueError as error:
        raise UsageError(f"{error}; write a day as 2026-11-01") from error
    if first is None:
        from watchtower.clock import SystemClock

        last = last or SystemClock().now().date() + timedelta(days=1)
        first = last - timedelta(days=days + (end is None))
    return {"from": str(first), "to": str(last) if last else None}


def _csv(items: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    from dashboards.reports.costs import csv, flat_csv, pivot

    if len(keys) < 2:
        return csv(pivot(_costs(items, keys)), "day")
    return flat_csv([{"day": item["day"], **{key: _key(item, key) for key in keys}, **item["cost"]} for item in items])


def _show_costs(found: Mapping[str, Any], keys: Sequence[str]) -> None:
    from dashboards.reports.costs import pivot

    items = found["items"]
    if not items:
        out.print("[dim]no charges in these days[/dim]")
    elif len(keys) > 1:
        columns = [
            Column("day"),
            *(Column(f"keys.{key}", key, gives_way=True) for key in keys),
            Column("cost", form=_money),
        ]
        rows = [{**item, "keys": {key: _key(item, key) for key in keys}} for item in items]
        show(rows, columns, Output.TABLE)
    else:
        for table in pivot(_costs(items, keys), MOST_COLUMNS):
            drawn = Drawn(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
            drawn.add_column(f"{'day'} ({table.currency})", no_wrap=True)
            for name in table.columns:
                drawn.add_column(styled(name), justify="right", overflow="fold", min_width=8)
            for name, amounts in table.rows:
                drawn.add_row(name, *(_cell(amount, table.currency) for amount in amounts))
            out.print(drawn)
    bill = found["bill"]
    if bill["covered_until"]:
        so_far = ", so far" if any(item["provisional"] for item in items) else ""
        out.print(
            f"[dim]the bills of {', '.join(bill['sources'])} reach until {bill['covered_until'][:10]}{so_far}[/dim]"
        )


def _cell(amount: Decimal | None, currency: str) -> str:
    return "[dim]–[/dim]" if amount is None else money_words(rounded(Money(amount, currency))).partition(" ")[0]


def _costs(items: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[Any]:
    from dashboards.reports.costs import Cost

    return [
        Cost(
            item["day"],
            _key(item, keys[0]) if keys else "cost",
            item["cost"]["currency"],
            Decimal(item["cost"]["amount"]),
        )
        for item in items
    ]


def _key(item: Mapping[str, Any], key: str) -> str:
    value = item["tags"].get(key.removeprefix("tag:")) if key.startswith("tag:") else item[key]
    return NOTHING if value is None else value


@app.command()
@takes(*ANYWHERE)
def budgets(at: Settings) -> None:
    """Show how much of what may be spent is spent.

    Exit code 1 while a budget is over, or cannot be judged.
    """
    with connected(at) as client:
        found = client.get("/api/v1/budgets")["items"]
    if wants_json(at.output):
        show_json(found)
    else:
        show([_budget_row(item) for item in found], BUDGETS, Output.TABLE, empty="no budgets are declared")
    if any(item["state"] in ("over", "unknown") for item in found):
        raise typer.Exit(1)


def _budget_row(item: Mapping[str, Any]) -> dict[str, Any]:
    current = item["current"]
    told = ("" if current["complete"] else "so far") if current else ""
    return {**item, "told": told, "why": _why(item)}


def _why(item: Mapping[str, Any]) -> str:
    """What the amount of the newest period does not say."""
    bill, current = item["bill"], item["current"]
    if bill["problem"]:
        return str(bill["problem"])
    if item["late_since"]:
        return f"the bill is late since {_day(item['late_since'])}"
    over = [each for each in item["over"] if not current or each["period"] != current["period"]]
    return "; ".join(f"{_money(each['spent'])} on {each['period']}" for each in over)
