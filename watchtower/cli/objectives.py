"""`slos`: how much of each error budget is left; times that do not count; SLOs as OpenSLO has them."""

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from watchtower.cli.client import connected
from watchtower.cli.output import Column, Output, as_time, out, show, show_json, wants_json
from watchtower.cli.settings import ANYWHERE, Settings, takes
from watchtower.errors import UsageError
from watchtower.model.duration import format_duration


def _percent(value: Any) -> str:
    return "–" if value is None else f"{100 * float(value):.1f}%".replace(".0%", "%")


def _rate(value: Any) -> str:
    return f"{float(value):.1f}×" if value else "not"


def _span(value: Any) -> str:
    return "" if value is None else format_duration(float(value), 2)


COLUMNS = (
    Column("name"),
    Column("state"),
    Column("left", form=_percent),
    Column("burn_rate", "burns", _rate),
    Column("exhausts_in_s", "gone in", _span),
    Column("target", spare=True),
    Column("summary", gives_way=True),
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the SLO.")]

app = typer.Typer()
slos_app = typer.Typer(invoke_without_command=True)
app.add_typer(slos_app, name="slos")


@slos_app.callback()
@takes(*ANYWHERE)
def slos(at: Settings) -> None:
    """Show how much of each error budget is left, the least first.

    Exit code 1 while a budget burns too fast, or is used up.
    """
    if at.subcommand:
        return
    with connected(at) as client:
        found = client.get("/api/v1/slos")["items"]
    if wants_json(at.output):
        show_json(found)
    else:
        show(found, COLUMNS, Output.TABLE, empty="no SLOs are declared")
    if any(item["state"] in ("burning", "exhausted") for item in found):
        raise typer.Exit(1)


@slos_app.command("correct")
@takes(*ANYWHERE)
def correct(
    at: Settings,
    name: Name,
    begin: Annotated[str, typer.Option("--from", help="First moment, with its zone: 2026-11-20T08:00:00Z.")],
    end: Annotated[str, typer.Option("--to", help="The first moment after it.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; people will read it.", show_default=False)] = "",
) -> None:
    """Say that a time does not count for an SLO, and show what that changes."""
    if not reason.strip():
        raise UsageError('a correction needs a reason that others can read: --reason "…"')
    body = {"from": _moment("--from", begin), "to": _moment("--to", end), "reason": reason}
    with connected(at) as client:
        made = client.post(f"/api/v1/slos/{quote(name, safe='')}/corrections", body)
    if wants_json(at.output):
        show_json(made)
        return
    given, before, after = made["correction"], made["before"], made["after"]
    out.print(f"{as_time(given['from'])} to {as_time(given['to'])} UTC does not count (correction {given['id']})")
    out.print(f"budget left: {_percent(before['left'])} before, {_percent(after['left'])} now")
    out.print(after["summary"], markup=False, soft_wrap=True)


@slos_app.command("withdraw")
@takes(*ANYWHERE)
def withdraw(
    at: Settings,
    name: Name,
    ident: Annotated[int, typer.Argument(metavar="ID", help="Of the correction, as `correct` printed it.")],
) -> None:
    """Count again what a correction took out."""
    with connected(at) as client:
        after = client.delete(f"/api/v1/slos/{quote(name, safe='')}/corrections/{ident}")
    if wants_json(at.output):
        show_json(after)
    else:
        out.print(after["summary"], markup=False, soft_wrap=True)


@slos_app.command("export")
@takes(*ANYWHERE)
def export(
    at: Settings,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Of SLOs; all of them if none.")
    ] = None,
) -> None:
    """Write SLOs as OpenSLO v1, one document after the other; as JSON a list of them."""
    with connected(at) as client:
        wanted = names or sorted(item["name"] for item in client.get("/api/v1/slos")["items"])
        found: list[Mapping[str, Any]] = [
            client.get(f"/api/v1/slos/{quote(name, safe='')}/openslo")["document"] for name in wanted
        ]
    if at.output is Output.JSON:
        show_json(found)
    elif found:
        import yaml

        sys.stdout.write(yaml.safe_dump_all(found, sort_keys=False, allow_unicode=True, width=120))


def _moment(option: str, text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no moment; write e.g. 2026-11-20T08:00:00Z") from error
    if moment.tzinfo is None:
        raise UsageError(f"{option} {text!r} has no zone; write e.g. {text}Z for UTC")
    return moment.isoformat()
