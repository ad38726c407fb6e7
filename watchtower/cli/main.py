"""The `watchtower` command: its table of commands, and what a user sees when something goes wrong (never a traceback).

Each command's module is imported when it is asked for, so that `--help` and completion answer at once.
"""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from watchtower import __version__
from watchtower.cli.output import err
from watchtower.errors import ConfigError, WatchtowerError

FAULT = 70  # EX_SOFTWARE of sysexits.h
TRACEBACK = "WATCHTOWER_TRACEBACK"
START, CONFIGURE, LOOK, ACT, OPERATE = "Start", "Configure", "Look", "Act", "Operate"


@dataclass(frozen=True, slots=True)
class Entry:
    """module: of watchtower.cli; summary: the first sentence of the command's own help."""

    module: str
    panel: str
    summary: str


COMMANDS: Mapping[str, Entry] = {
    "serve": Entry("serving", START, "Start Watchtower, with or without a configuration."),
    "demo": Entry("serving", START, "Replay a recorded day of real Airflow, and show what is found."),
    "init": Entry("checking", CONFIGURE, "Write a commented configuration to start from."),
    "check": Entry("checking", CONFIGURE, "Name every fault of a configuration, and what its rules mean."),
    "schema": Entry("checking", CONFIGURE, "Print the JSON schema of the configuration, for editors."),
    "route": Entry("trying", CONFIGURE, "See where an alert would go."),
    "notify": Entry("trying", CONFIGURE, "See whether messages arrive."),
    "evaluate": Entry("trying", CONFIGURE, "See what every rule says now, and when it looks again."),
    "compare": Entry("comparing", CONFIGURE, "Say whether the old way and the new one agree, date by date."),
    "test": Entry("rehearsing", CONFIGURE, "Play tests of rules, before they wake anybody."),
    "suggest": Entry("suggesting", CONFIGURE, "Propose rules from history, with what they would have told."),
    "backtest": Entry(
        "backtesting",
        CONFIGURE,
        "Play stored events again, and see what rules would have told.",
    ),
    "runs": Entry("observing", LOOK, "Show what ran; or one run whole."),
    "datasets": Entry("asking", LOOK, "Show how fresh data is, when it comes, and what holds it up."),
    "sources": Entry("asking", LOOK, "Show where runs are heard of, and how well."),
    "incidents": Entry("observing", LOOK, "Show what is wrong, since when, and who has it."),
    "explain": Entry("explaining", LOOK, "Say why an alert stands, what it waits for, and what would end it."),
    "deliveries": Entry("observing", LOOK, "Show who was told, and who is still owed a message."),
    "ack": Entry("observing", ACT, "Say that you have an incident: nobody else is woken for a while."),
    "unack": Entry("observing", ACT, "Take an acknowledgement back: everybody is told again."),
    "costs": Entry("spending", LOOK, "Show what the bills add up to, day by day."),
    "budgets": Entry("spending", LOOK, "Show how much of what may be spent is spent."),
    "anomalies": Entry("anomalies", LOOK, "Score how unusual each row of a CSV file is, by those before it."),
    "slos": Entry("objectives", LOOK, "Show how much of each error budget is left, the least first."),
    "silence": Entry("quieting", ACT, "Keep quiet about something for a while, with a reason."),
    "token": Entry("access", ACT, "Say who may send events, and who may read."),
    "run": Entry("running", ACT, "Run a command of a crontab or a script, and tell how it went."),
    "emit": Entry("emitting", ACT, "Tell a number, such as a score or a count of rows."),
    "wrote": Entry("emitting", ACT, "Tell that a dataset was written, and what is in it."),
    "ingest": Entry("feeding", ACT, "Send events from files, a retired spool, or the quarantine."),
    "dashboards": Entry("exporting", OPERATE, "Write dashboards for Grafana, and what Prometheus needs."),
    "backup": Entry("backing_up", OPERATE, "Copy the store, the bills and the spool, beside the work."),
    "restore": Entry("backing_up", OPERATE, "Make a store of a backup; the server must be stopped."),
    "audit": Entry("backing_up", OPERATE, "Check the chain of all that people and tokens have changed."),
    "doctor": Entry("operating", OPERATE, "Say what is wrong with this installation, and what to do."),
    "migrate": Entry("operating", OPERATE, "Bring the schema of the store to what this program needs."),
}


class Commands(TyperGroup):
    """Holds of each command what help and completion show, and imports its module only to run it."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.summary, rich_help_panel=entry.panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else None, rest


def load(name: str) -> Any:
    """The whole command called name."""
    module = import_module(f"watchtower.cli.{COMMANDS[name].module}")
    return typer.main.get_group(module.app).commands[name]


app = typer.Typer(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"watchtower {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Watches the pipelines that other tools run: failed, missing, late, slow, stale; and tells the right people."""


def main() -> None:
    """Run one command and exit with its code: 0 ok, 1 findings, 2 usage or configuration, 70 a bug."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        typer.main.get_command(app)(prog_name="watchtower")
    except WatchtowerError as error:
        tell(error)
        sys.exit(2)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        err.print(f"[bold red]error:[/bold red] {escape(what)}{escape(error.strerror or str(error))}", soft_wrap=True)
        sys.exit(2)
    except Exception as error:  # the last edge: people see a sentence, whoever mends it the traceback
        if os.environ.get(TRACEBACK):
            raise
        said = f"a fault of Watchtower's own: {type(error).__name__}: {error}; {TRACEBACK}=1 shows where"
        err.print(f"[bold red]error:[/bold red] {escape(said)}", soft_wrap=True)
        sys.exit(FAULT)


def tell(error: WatchtowerError) -> None:
    """What went wrong, as a user reads it."""
    if not isinstance(error, ConfigError):
        err.print(f"[bold red]error:[/bold red] {escape(str(error))}", soft_wrap=True)
        return
    count = len(error.faults)
    err.print(f"[bold red]{count} fault{'' if count == 1 else 's'}[/bold red]")
    for fault in error.faults:
        err.print(f"  {escape(str(fault))}", soft_wrap=True)
