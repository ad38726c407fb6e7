"""`doctor`, `migrate`: a sound installation, a sound store."""

from collections.abc import Sequence
from contextlib import closing
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from watchtower import doctor as checks
from watchtower.app.state import StateDir
from watchtower.cli.output import err, out, show_json, styled, wants_json
from watchtower.cli.settings import HERE, Settings, takes
from watchtower.clock import SystemClock
from watchtower.config.model import Config
from watchtower.doctor import Finding, Status
from watchtower.errors import ConfigError, StoreError, UsageError
from watchtower.store import migrations
from watchtower.store.database import Database
from watchtower.store.migrations import Standing

app = typer.Typer()


@app.command()
@takes(*HERE)
def migrate(at: Settings) -> None:
    """Bring the schema of the store to what this program needs.

    Stop the server first; a store that needs nothing is left as it is.
    """
    database = Database(at.store_url(at.read()))
    try:
        if migrations.state(database).kind is not Standing.CURRENT:
            with closing(StateDir(at.state_dir)), err.status("taking the steps"):
                taken = migrations.migrate(database, SystemClock())
            for step in taken:
                out.print(f"step {step.number}: {escape(step.name)}")
        now = migrations.state(database)
        out.print(f"the schema is at step {now.current} of {now.target}")
    finally:
        database.close()


@app.command()
@takes(*HERE, "output")
def doctor(
    at: Settings,
    deep: Annotated[bool, typer.Option("--deep", help="Check every page and index of the store.")] = False,
) -> None:
    """Say what is wrong with this installation, and what to do.

    Exit code 1 if anything is. It only reads.
    """
    found = [*_configuration(at), *checks.environment(at.state_dir), *_store(at, deep=deep)]
    if wants_json(at.output):
        show_json(
            [{"check": item.check, "status": item.status, "text": item.text, "remedy": item.remedy} for item in found]
        )
    else:
        _print(found)
    if any(item.status is not Status.OK for item in found):
        raise typer.Exit(1)


def _print(found: Sequence[Finding]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for item in found:
        remedy = f"\n[dim]→ {escape(item.remedy)}[/dim]" if item.remedy else ""
        table.add_row(styled(item.status), item.check, escape(item.text) + remedy)
    out.print(table)


def _configuration(at: Settings) -> list[Finding]:
    if at.file is None:
        return [Finding("config", Status.OK, "no file: built-in defaults")]
    remedy = f"`watchtower check {at.file}` names them"
    try:
        warnings = at.read().warnings
    except ConfigError as error:
        return [Finding("config", Status.FAIL, f"{at.file}: {len(error.faults)} fault(s)", remedy)]
    if warnings:
        return [Finding("config", Status.WARN, f"{at.file}: {len(warnings)} warning(s)", remedy), *_watched(at)]
    return [Finding("config", Status.OK, f"{at.file}: no fault"), *_watched(at)]


def _watched(at: Settings) -> list[Finding]:
    return list(checks.configuration(at.read()))


def _store(at: Settings, *, deep: bool) -> list[Finding]:
    try:
        url = at.store_url(at.read())
    except ConfigError:
        return [Finding("store", Status.WARN, "which one is not known", "mend the configuration first")]
    except UsageError as error:
        return [Finding("store", Status.WARN, str(error))]
    try:
        return _examined(at.read(), url, deep=deep)
    except StoreError as error:
        return [Finding("store", Status.FAIL, str(error))]


def _examined(config: Config, url: str, *, deep: bool) -> list[Finding]:
    database = Database(url)
    try:
        standing = migrations.state(database)
        if standing.pending or standing.current > standing.target:
            text = f"the schema is at step {standing.current}, this program needs {standing.target}"
            return [Finding("schema", Status.FAIL, text, "run `watchtower migrate`, or the version that made it")]
        schema = Finding("schema", Status.OK, f"at step {standing.current}")
        looked = checks.store(database, SystemClock().now(), deep=deep)
        return [schema, *looked, *checks.names(config, database)]
    finally:
        database.close()
