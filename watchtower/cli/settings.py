"""What every command is told: which configuration, which state directory, which server, which form of answer.

`takes` gives a command these options. They may stand before a subcommand or behind it; the one nearer the end counts.
"""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from watchtower.cli.output import Output
from watchtower.errors import UsageError

if TYPE_CHECKING:
    from watchtower.config import Config

P = ParamSpec("P")

DEFAULT_FILE = Path("watchtower.yaml")
HERE = ("config", "state")
ANYWHERE = (*HERE, "url", "token", "output")


def _where(*names: str, metavar: str, text: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=text, show_default=False, rich_help_panel="Which Watchtower")


_OPTIONS: dict[str, Any] = {
    "config": Annotated[
        Path | None,
        _where("--config", "-c", metavar="FILE", text="else $WATCHTOWER_CONFIG, else ./watchtower.yaml if it is there"),
    ],
    "state": Annotated[
        Path | None,
        _where("--state", metavar="FOLDER", text="its state directory; else $WATCHTOWER_STATE, else the usual one"),
    ],
    "url": Annotated[
        str | None, _where("--url", metavar="URL", text="one elsewhere, http://HOST:PORT; else $WATCHTOWER_URL")
    ],
    "token": Annotated[
        str | None, _where("--token", metavar="TOKEN", text="a token of the one at --url; else $WATCHTOWER_TOKEN")
    ],
    "output": Annotated[
        Output | None,
        typer.Option("--output", "-o", help="Else a table on a terminal, JSON in a pipe.", show_default=False),
    ],
}


@dataclass(frozen=True)
class Settings:
    """The options as they were given; the properties say what they mean. subcommand: what follows on the line."""

    config: Path | None = None
    state: Path | None = None
    url: str | None = None
    token: str | None = None
    output: Output | None = None
    subcommand: str | None = None

    def over(self, outer: "Settings | None") -> "Settings":
        """These, and where they say nothing those given before the subcommand."""
        said = {item.name: getattr(self, item.name) for item in fields(self) if getattr(self, item.name) is not None}
        return replace(outer, **{"subcommand": None, **said}) if outer else self

    @property
    def file(self) -> Path | None:
        """The configuration file; None for the built-in defaults."""
        named = self.config or os.environ.get("WATCHTOWER_CONFIG")
        if named:
            return Path(named)
        try:
            return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
        except PermissionError:  # of the folder that this user happens to stand in
            return None

    @property
    def state_dir(self) -> Path:
        """Raises ConfigError if the folder that was named cannot be written."""
        from watchtower.config.places import state_dir

        return state_dir(self.state)

    @property
    def server_url(self) -> str | None:
        """Of a Watchtower elsewhere; None: the one of the state directory is meant."""
        if self.url and self.state:
            raise UsageError("--url and --state name two Watchtowers; leave one of them out")
        return self.url or (None if self.state else os.environ.get("WATCHTOWER_URL") or None)

    @property
    def server_token(self) -> str | None:
        return self.token or (os.environ.get("WATCHTOWER_TOKEN") if self.server_url else None)

    def store_url(self, config: "Config") -> str:
        """Of the store that config means. Raises UsageError while there is none: reading makes no store."""
        from watchtower.config.places import sqlite_file, store_url

        url = store_url(config, self.state_dir)
        file = sqlite_file(url)
        if file is not None and not file.exists():
            raise UsageError(
                f"there is no store at {file} yet: start `watchtower serve`, "
                "or name the Watchtower that is meant by --state or --url"
            )
        return url

    def read(self) -> "Config":
        """The configuration. Raises ConfigError with every fault of the file."""
        from watchtower.config.loading import load

        return load(self.file)


def takes(*names: str) -> Callable[[Callable[Concatenate[Settings, P], None]], Callable[..., None]]:
    """Give a command the options called names; it gets them as Settings, its first argument."""

    def decorated(command: Callable[Concatenate[Settings, P], None]) -> Callable[..., None]:
        _, *own = inspect.signature(command).parameters.values()

        @wraps(command)
        def run(context: typer.Context, **given: Any) -> None:
            said = Settings(**{name: given.pop(name) for name in names}, subcommand=context.invoked_subcommand)
            context.obj = said.over(context.obj)
            command(context.obj, **given)  # pyright: ignore[reportCallIssue] - Typer gives what the signature says

        shared = [_keyword(name, _OPTIONS[name], None) for name in names]
        parameters = [
            inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
            *(_keyword(item.name, item.annotation, item.default) for item in own),
            *shared,
        ]
        run.__dict__["__signature__"] = inspect.Signature(parameters)
        return run

    return decorated


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
