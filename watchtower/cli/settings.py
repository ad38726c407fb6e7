"""What every command is told: which configuration, which state directory, which server, which form of answer."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from watchtower.cli.output import Output
from watchtower.config.loading import load
from watchtower.config.model import Config
from watchtower.config.places import state_dir

DEFAULT_FILE = Path("watchtower.yaml")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file; else $WATCHTOWER_CONFIG, else ./watchtower.yaml if any."),
]
StateOption = Annotated[Path | None, typer.Option("--state", help="State directory; else $WATCHTOWER_STATE.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="WATCHTOWER_URL", help="A Watchtower elsewhere: http://HOST:PORT.")
]
TokenOption = Annotated[
    str | None, typer.Option("--token", envvar="WATCHTOWER_TOKEN", help="Token for --url.", show_envvar=True)
]
OutputOption = Annotated[
    Output | None, typer.Option("--output", "-o", help="table on a terminal and json in a pipe, unless named.")
]


@dataclass(frozen=True)
class Settings:
    """url: of a Watchtower elsewhere; without it the one of the state directory is meant."""

    config_file: Path | None
    state: Path | None
    url: str | None = None
    token: str | None = None

    @cached_property
    def file(self) -> Path | None:
        """The configuration file; None for the built-in defaults."""
        if self.config_file is not None:
            return self.config_file
        named = os.environ.get("WATCHTOWER_CONFIG")
        if named:
            return Path(named)
        return DEFAULT_FILE if DEFAULT_FILE.is_file() else None

    @cached_property
    def state_dir(self) -> Path:
        return state_dir(self.state)

    def config(self) -> Config:
        """Raises ConfigError with every fault of the file."""
        return load(self.file)
