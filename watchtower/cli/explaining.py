"""`explain`: why an alert stands, what it waits for, and what would end it."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.markup import escape

from watchtower.cli.client import Client, connected
from watchtower.cli.output import Column, as_time, out, show_fields, show_json, styled, wants_json
from watchtower.cli.settings import ANYWHERE, Settings, takes
from watchtower.errors import UsageError

WHOLE = 16  # digits of a fingerprint
LOOKED_THROUGH = 10_000
SHOWN = 5  # of those that fit

FIELDS = (
    Column("expects", "expected"),
    Column("why", "is wrong"),
    Column("value"),
    Column("limit"),
    Column("since", "since (UTC)", as_time),
    Column("stands", "so"),
    Column("fires_at", "fires at (UTC)", as_time),
    Column("clears", "ends"),
    Column("clears_at", "not before (UTC)", as_time),
    Column("looks_at", "next look (UTC)", as_time),
)

Fits = Callable[[dict[str, Any]], bool]

app = typer.Typer()


@app.command()
@takes(*ANYWHERE)
def explain(
    at: Settings,
    alert: Annotated[
        list[str], typer.Argument(metavar="ALERT…", help="Its fingerprint, the beginning of it, or LABEL=VALUE….")
    ],
) -> None:
    """Say why an alert stands, what it waits for, and what would end it."""
    with connected(at) as client:
        found = client.get(f"/api/v1/alerts/{_fingerprint(client, alert)}/explain")
    if wants_json(at.output):
        show_json(found)
        return
    about = found["alert"]
    labels = " ".join(f"{name}={value}" for name, value in sorted(about["labels"].items()) if name != "alertname")
    out.print(f"[bold]{escape(about['rule'])}[/bold]  {styled(about['state'])}  [dim]{escape(labels)}[/dim]")
    show_fields(found, FIELDS)
    evidence = {name: value for name, value in about["evidence"].items() if isinstance(value, str | int | float)}
    out.print("\n[bold]evidence[/bold]")
    show_fields(evidence, [Column(name) for name in evidence])


def _fingerprint(client: Client, given: list[str]) -> str:
    """Of the one alert that is meant: of those that are open, else of all. Raises UsageError."""
    if len(given) == 1 and "=" not in given[0]:
        if len(given[0]) == WHOLE:
            return given[0]
        wanted, fits = f"fingerprint {given[0]!r}", _begins(given[0])
    else:
        wanted, fits = f"alert with {' '.join(given)}", _bears(given)
    for states in (["firing", "unknown", "pending"], None):
        alerts = client.items("/api/v1/alerts", {"state": states}, LOOKED_THROUGH)
        found = {each["fingerprint"]: each for each in alerts if fits(each)}
        if len(found) == 1:
            return next(iter(found))
        if found:
            shown = "; ".join(f"{name} ({each['rule']})" for name, each in list(found.items())[:SHOWN])
            raise UsageError(f"{len(found)} alerts fit {wanted}: {shown}; write more of it")
    raise UsageError(f"there is no {wanted}; `watchtower incidents` shows what is wrong")


def _begins(prefix: str) -> Fits:
    return lambda alert: alert["fingerprint"].startswith(prefix)


def _bears(given: list[str]) -> Fits:
    labels: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{text!r} is not LABEL=VALUE")
        labels[name] = value.strip('"')
    return lambda alert: all(alert["labels"].get(name) == value for name, value in labels.items())
