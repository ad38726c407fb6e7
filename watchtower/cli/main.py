"""The `watchtower` command: its groups, and what a user sees when something goes wrong (never a traceback)."""

import logging
import sys

import click
import typer
from rich.markup import escape

from watchtower import __version__
from watchtower.cli import access, checking, feeding, observing, quieting, serving, trying
from watchtower.cli.output import err
from watchtower.errors import ConfigError, WatchtowerError

app = typer.Typer(
    name="watchtower",
    help="Observability and cost governance for data pipelines.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (serving, checking, observing, quieting, trying, feeding, access):
    group.register(app)


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
    """Run one command and exit with its code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    command = typer.main.get_command(app)
    try:
        code = command.main(standalone_mode=False)
    except ConfigError as error:
        err.print(f"[bold red]{len(error.faults)} fault{'s' if len(error.faults) != 1 else ''}[/bold red]")
        for fault in error.faults:
            err.print(f"  {escape(str(fault))}")
        sys.exit(2)
    except WatchtowerError as error:
        err.print(f"[bold red]error:[/bold red] {escape(str(error))}")
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
