"""What the command line adds to the configuration of one running Watchtower."""

from dataclasses import dataclass
from pathlib import Path

from watchtower.app.watch import PACE, Pace


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to the configuration. listen: host and port, over the configured one; port 0 takes a
    free one, and free ones for OTLP where the configuration names none. otlp: listen on ports of its own for it. live:
    threads do what is due; False leaves that to `step`, for a replay. local_only: only the Unix socket of the state
    directory, for commands while no server runs. pace: of round trips. scratch: the store is thrown
    away, and one thread alone uses it."""

    state_dir: Path
    listen: tuple[str, int] | None = None
    access: bool = True
    otlp: bool = True
    live: bool = True
    local_only: bool = False
    pace: Pace = PACE
    scratch: bool = False
