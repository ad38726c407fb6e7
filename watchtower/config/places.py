"""Where Watchtower keeps its state, and which store it opens (docs/configuration.md, "Where things are")."""

import os
from collections.abc import Mapping
from pathlib import Path

from watchtower.config.model import Config
from watchtower.errors import ConfigError, Fault

SERVICE_DIR = Path("/var/lib/watchtower")
DATABASE = "watchtower.db"
SOCKET = "watchtower.sock"  # where commands of the same user reach the running server


def state_dir(
    option: Path | str | None = None, environ: Mapping[str, str] = os.environ, service_dir: Path = SERVICE_DIR
) -> Path:
    """`--state`, `$WATCHTOWER_STATE`, `$STATE_DIRECTORY` (systemd), /var/lib/watchtower if it can be written,
    `$XDG_STATE_HOME/watchtower`, ~/.local/state/watchtower. The first two are orders: if they cannot be written,
    ConfigError; the others are passed over. Nothing is created."""
    for named, what in ((option, "--state"), (environ.get("WATCHTOWER_STATE"), "$WATCHTOWER_STATE")):
        if named:
            path = Path(named).expanduser().absolute()
            if not can_write(path):
                remedy = f"make it writable for this user, or name another by {what}"
                raise ConfigError([Fault("", f"the state directory {path} ({what}) cannot be written", remedy)])
            return path
    systemd = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if systemd:
        return Path(systemd)
    if service_dir.is_dir() and can_write(service_dir):
        return service_dir
    home = Path(environ.get("HOME") or Path.home())
    xdg = environ.get("XDG_STATE_HOME", "")
    # The XDG specification tells to ignore a relative path.
    chosen = (Path(xdg) if xdg.startswith("/") else home / ".local" / "state") / "watchtower"
    if not can_write(chosen):
        remedy = "name a folder that can be written by --state or $WATCHTOWER_STATE"
        raise ConfigError([Fault("", f"the state directory {chosen} cannot be written", remedy)])
    return chosen


def can_write(path: Path) -> bool:
    """Whether path is a folder to write in, or could be made."""
    while not path.exists():
        if path == path.parent:
            return False
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


def make_state_dir(path: Path) -> Path:
    """Create path for this user only; an existing folder keeps its mode. Raises ConfigError with a remedy."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        remedy = "name a folder that can be written by --state or $WATCHTOWER_STATE"
        problem = f"the state directory {path} cannot be made: {error.strerror or error}"
        raise ConfigError([Fault("", problem, remedy)]) from error
    return path


def store_url(config: Config, state: Path) -> str:
    """The address of the store. Without `store` it is SQLite in the state directory; a relative SQLite file starts at
    the folder of the configuration file. May hold a password. Raises ConfigError if a reference cannot be read."""
    if config.store is None:
        return f"sqlite:///{state / DATABASE}"
    url = config.store.reveal()
    scheme, separator, rest = url.partition(":///")
    if separator and scheme.startswith("sqlite") and rest and not rest.startswith(("/", ":memory:", "file:")):
        name, _, query = rest.partition("?")
        return f"{scheme}:///{config.base_dir / Path(name).expanduser()}" + (f"?{query}" if query else "")
    return url


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite store; None for another engine, or a store in memory."""
    scheme, separator, rest = url.partition(":///")
    file = rest.partition("?")[0]
    return Path(file) if separator and scheme.startswith("sqlite") and file and not file.startswith(":") else None
