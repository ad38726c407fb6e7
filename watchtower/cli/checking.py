"""`init`, `check`, `schema`, `migrate`, `doctor`: a sound configuration, a sound store."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from watchtower import doctor as checks
from watchtower.cli.config_commands import check_config, schema_text, write_config
from watchtower.cli.output import Output, chosen, out, show_json
from watchtower.cli.settings import DEFAULT_FILE, ConfigOption, OutputOption, Settings, StateOption
from watchtower.clock import SystemClock
from watchtower.config.places import store_url
from watchtower.doctor import Finding, Status
from watchtower.errors import ConfigError, StoreError
from watchtower.store import migrations
from watchtower.store.database import Database

_STYLES = {"fault": "bold red", "warning": "yellow", "rule": "green"}


def register(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(check)
    app.command()(schema)
    app.command()(migrate)
    app.command()(doctor)


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented configuration to start from."""
    out.print(write_config(path, force=force))


def check(
    path: Annotated[Path, typer.Argument(help="The configuration file.")] = DEFAULT_FILE,
    output: OutputOption = None,
) -> None:
    """Every fault of a configuration with its line and remedy; if there is none, its rules in plain words."""
    report = check_config(path, SystemClock())
    if chosen(output) is Output.JSON:
        show_json(report.as_json())
    else:
        for line in report.lines():
            word, space, rest = line.partition(" ")
            style = _STYLES.get(word)
            out.print(f"[{style}]{word}[/]{space}{escape(rest)}" if style else escape(line), soft_wrap=True)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def schema() -> None:
    """The JSON schema of the configuration, for editors."""
    print(schema_text(), end="")


def migrate(config: ConfigOption = None, state: StateOption = None) -> None:
    """Bring the schema of the store to what this program needs."""
    settings = Settings(config, state)
    database = Database(store_url(settings.config(), settings.state_dir))
    try:
        taken = migrations.migrate(database, SystemClock())
        for step in taken:
            out.print(f"step {step.number}: {step.name}")
        now = migrations.state(database)
        out.print(f"the schema is at step {now.current} of {now.target}")
    finally:
        database.close()


def doctor(
    config: ConfigOption = None,
    state: StateOption = None,
    deep: Annotated[bool, typer.Option("--deep", help="Check every page and index of the store.")] = False,
    output: OutputOption = None,
) -> None:
    """What is wrong with this installation, and what to do about it. Exit code 1 if anything is."""
    settings = Settings(config, state)
    found = [*_configuration(settings), *checks.environment(settings.state_dir)]
    try:
        found += _store(settings, deep=deep)
    except (StoreError, ConfigError) as error:
        found.append(Finding("store", Status.FAIL, str(error)))
    if chosen(output) is Output.JSON:
        show_json(
            [{"check": item.check, "status": item.status, "text": item.text, "remedy": item.remedy} for item in found]
        )
    else:
        styles = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}
        for item in found:
            out.print(f"[{styles[item.status]}]{item.status:<4}[/] {item.check:<13} {escape(item.text)}")
            if item.remedy:
                out.print(f"                   [dim]→ {escape(item.remedy)}[/dim]")
    if any(item.status is not Status.OK for item in found):
        raise typer.Exit(1)


def _configuration(settings: Settings) -> list[Finding]:
    if settings.file is None:
        return [Finding("config", Status.OK, "no file: built-in defaults")]
    try:
        warnings = settings.config().warnings
    except ConfigError as error:
        remedy = f"`watchtower check {settings.file}` names them"
        return [Finding("config", Status.FAIL, f"{settings.file}: {len(error.faults)} faults", remedy)]
    if warnings:
        remedy = f"`watchtower check {settings.file}` names them"
        return [Finding("config", Status.WARN, f"{settings.file}: {len(warnings)} warnings", remedy)]
    return [Finding("config", Status.OK, f"{settings.file}: no fault")]


def _store(settings: Settings, *, deep: bool) -> list[Finding]:
    url = store_url(settings.config(), settings.state_dir)
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return [Finding("store", Status.WARN, "there is no store yet", "the first `watchtower serve` makes it")]
    database = Database(url)
    try:
        standing = migrations.state(database)
        if standing.pending or standing.current > standing.target:
            text = f"the schema is at step {standing.current}, this program needs {standing.target}"
            return [Finding("schema", Status.FAIL, text, "run `watchtower migrate`, or the version that made it")]
        schema = Finding("schema", Status.OK, f"at step {standing.current}")
        return [schema, *checks.store(database, SystemClock().now(), deep=deep)]
    finally:
        database.close()
