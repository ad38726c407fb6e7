"""`ingest focus`: bills from files, read by the Watchtower that owns the store, whole or not at all."""

import threading
from collections.abc import Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import typer

from watchtower.cli.client import Client, connected
from watchtower.cli.output import err, out, progress, show_json, wants_json
from watchtower.cli.settings import Settings
from watchtower.errors import UsageError
from watchtower.model.cost import Money
from watchtower.model.spending import money_words

_EXACT = Context(prec=100)
ASK_EVERY_S = 0.2


def bring(at: Settings, kind: str, files: Sequence[Path], source: str, period: str | None) -> None:
    """Hand files in as one export, wait, and tell what came of it."""
    if at.server_url:
        raise UsageError(
            "a bill is read where the server runs: give the command there, without --url, or let it fetch the bill by "
            "itself (`collectors` in its configuration)"
        )
    body = {"kind": kind, "files": [str(file.absolute()) for file in files], "source": source, "period": period}
    with connected(at, new=True) as client:
        done = _wait(client, client.post("/api/v1/bills", body))
    if wants_json(at.output):
        show_json(done)
    else:
        _tell(done)
    if done["state"] != "done":
        raise typer.Exit(1)


def _wait(client: Client, work: dict[str, Any]) -> dict[str, Any]:
    pause = threading.Event()
    with progress() as bar:
        task = bar.add_task("waiting for its turn", total=None)
        while work["state"] in ("waiting", "running"):
            pause.wait(ASK_EVERY_S)
            work = client.get(f"/api/v1/bills/{work['id']}")
            bar.update(task, description=work["step"] or "waiting for its turn")
    return work


def _tell(done: dict[str, Any]) -> None:
    if done["state"] != "done":
        err.print("[bold red]refused[/]: nothing was changed" if done["state"] == "refused" else "[bold red]failed[/]")
        for fault in done["faults"]:
            err.print(fault, markup=False)
        return
    for each in done["results"]:
        out.print(_sentence(each), markup=False)
        for note in _notes(each):
            err.print(f"[yellow]{note}[/yellow]")


def _sentence(each: dict[str, Any]) -> str:
    totals = ", ".join(money_words(Money(Decimal(amount), currency)) for currency, amount in each["totals"].items())
    what = f"{each['source']} {each['period']}: {each['rows']:,} lines, {totals} billed"
    if not each["changed"]:
        return f"{what}; already known as version {each['version']}, nothing changed"
    if each["version_before"] is None:
        return f"{what}; version {each['version']}, the first"
    return f"{what}; version {each['version']} replaces {each['version_before']}{_difference(each)}"


def _difference(each: dict[str, Any]) -> str:
    """`: +1.20 USD`, or that no amount changed."""
    if each["before"] is None:
        return ""
    changes: list[str] = []
    for currency in sorted({*each["totals"], *each["before"]}):
        now, then = (Decimal(amounts.get(currency, "0")) for amounts in (each["totals"], each["before"]))
        change = _EXACT.subtract(now, then)
        if change:
            changes.append(("+" if change > 0 else "") + money_words(Money(change, currency)))
    return f": {', '.join(changes)}" if changes else ": the same total"


def _notes(each: dict[str, Any]) -> list[str]:
    notes: list[str] = []
    if each["inexact"]:
        notes.append("the file holds binary floats: its amounts were taken by their shortest decimal text")
    if each["dropped_tags"]:
        keys = ", ".join(each["dropped_tags"])
        notes.append(f"tags with too many values to sum by: {keys}; name those that matter under `tags` of this source")
    for metric, count in each["empty"].items():
        notes.append(f"{count:,} lines have no {metric} cost and add nothing to it")
    return notes
