"""`init`, `check`, `schema`: a sound configuration, before anything starts."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from watchtower.cli.config_commands import Report, check_config, schema_text, write_config
from watchtower.cli.output import out, plain, show_json, styled, wants_json
from watchtower.cli.settings import DEFAULT_FILE, Settings, takes
from watchtower.clock import SystemClock
from watchtower.errors import Fault, UsageError, WatchtowerError

FileArgument = Annotated[Path | None, typer.Argument(metavar="[FILE]", show_default=str(DEFAULT_FILE))]

app = typer.Typer()


@app.command()
@takes("config")
def init(
    at: Settings,
    path: FileArgument = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented configuration to start from."""
    out.print(escape(write_config(_named(at, path), force=force)), soft_wrap=True)


@app.command()
@takes("config", "state", "output")
def check(at: Settings, path: FileArgument = None) -> None:
    """Name every fault of a configuration, and what its rules mean.

    Exit code 1 if there is a fault. Warnings are no faults: the file can be used. Where the SQLite store that it means
    is at hand, names of which nothing was ever heard are warned of, too.
    """
    report = check_config(_named(at, path), SystemClock())
    report = replace(report, warnings=(*report.warnings, *_of_names(at, report)))
    if wants_json(at.output):
        show_json(report.as_json())
    else:
        for line in report.lines():
            word, space, rest = line.partition(" ")
            out.print(styled(word) + space + escape(rest), soft_wrap=True)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _of_names(at: Settings, report: Report) -> list[Fault]:
    """A store that cannot be read says nothing here: that is `watchtower doctor`'s."""
    from watchtower.config.names import unheard
    from watchtower.config.places import sqlite_file, store_url
    from watchtower.store import migrations
    from watchtower.store.database import Database
    from watchtower.store.reading.heard import heard

    if report.config is None:
        return []
    try:
        url = store_url(report.config, at.state_dir)
        file = sqlite_file(url)
        if file is None or not file.is_file():
            return []
        with closing(Database(url)) as database:
            migrations.check_readable(database)
            with database.read() as connection:
                known = heard(connection)
    except (WatchtowerError, OSError):
        return []
    return [Fault(each.where, each.text, each.remedy, None, str(report.path)) for each in unheard(report.config, known)]


@app.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors."""
    plain(schema_text().rstrip())


def _named(at: Settings, path: Path | None) -> Path:
    if path and at.config and path != at.config:
        raise UsageError(f"two files are named, {path} and --config {at.config}; name one")
    return path or at.file or DEFAULT_FILE
