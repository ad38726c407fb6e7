"""A source that is asked, before a server that has something to tell. Those that there are: worlds.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.app.polls import context
from tests.simulators.http import HttpSimulator
from watchtower.clock import ManualClock
from watchtower.ports import PolledSource
from watchtower.registry import POLLERS


@dataclass
class World:
    """server: what is asked; options: the source's own keys; now: by our clock. end: lets what is under way end, and
    forget has the server know nothing of it any more; ran: adds another run, by its number, that began then and took
    some minutes, and gives the run's own id. tells_starts: what is under way is known, too."""

    kind: str
    server: HttpSimulator
    options: Mapping[str, Any]
    now: datetime
    end: Callable[[], None]
    forget: Callable[[], object]
    ran: Callable[[int, datetime], str]
    lookback: timedelta = timedelta(hours=2)
    tells_starts: bool = True
    clock: ManualClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = ManualClock(self.now)

    def source(self) -> PolledSource:
        """As the composition root makes it."""
        poller: Any = POLLERS.get(self.kind)
        config = poller.Config.model_validate({"sources": [{"name": "shop", **self.options}]})
        (source,) = poller(config).sources(context(self.clock))
        return source

    def wait(self, span: timedelta) -> None:
        """Time goes by, here and there."""
        self.clock.advance(span.total_seconds())
        self.now += span
        self.server.now += span


TOOK = timedelta(minutes=4)


def minutes(since: datetime, at: datetime) -> float:
    return (at - since).total_seconds() / 60
