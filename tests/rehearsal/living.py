"""A Watchtower that lives through something, on a clock that is moved by hand and on either store; then what it stored
is played again."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from watchtower.app import Instance, Options
from watchtower.clock import ManualClock
from watchtower.config import Config
from watchtower.model.alert import Alert
from watchtower.ports import Received
from watchtower.rehearsal.backtest import Fired, Span, backtest
from watchtower.secrets import Secret
from watchtower.store import alerts, facts


class Life:
    def __init__(self, instance: Instance, clock: ManualClock) -> None:
        self.instance = instance
        self.clock = clock

    def post(self, at: datetime, body: bytes, collector: str = "openlineage") -> None:
        """body comes in at that moment."""
        self.until(at)
        decoded = self.instance.services.collectors[collector].decode(body, Received(at))
        assert not decoded.rejects, decoded.rejects
        self.instance.services.append(decoded.facts).result()
        self._settle()

    def until(self, at: datetime) -> None:
        while (due := self.instance.next_due()) is not None and due <= at:
            self.clock.set(max(due, self.clock.now()))
            self._settle()
        self.clock.set(max(at, self.clock.now()))

    def alerts(self) -> list[Alert]:
        with self.instance.database.read() as connection:
            return [each.alert for each in alerts.list_alerts(connection, limit=10_000)]

    def again(self, configs: Sequence[Config] = ()) -> tuple[Fired, ...]:
        """Everything that is stored, played again under its own configuration, or under others."""
        database = self.instance.database
        with database.read() as connection:
            kept = facts.kept(connection)
        assert kept is not None
        span = Span(kept.oldest, self.clock.now())
        replayed = backtest(database, kept, configs or [self.instance.parts.config], span)
        assert 0 < replayed.heard <= kept.count  # numbers of rows have gaps where a repeat came in
        assert replayed.unread == {}
        return replayed.fired

    def _settle(self) -> None:
        while self.instance.evaluate() + self.instance.outbox.step(self.clock.now()):
            pass


@contextmanager
def lived(folder: Path, config: Config, begins: datetime, database_url: str) -> Generator[Life]:
    clock = ManualClock(begins)
    placed = replace(config, store=Secret(database_url))
    options = Options(folder / "life", live=False, local_only=True)
    instance = Instance(placed, options, clock)
    try:
        instance.start()
        yield Life(instance, clock)
    finally:
        instance.stop()


def states(fired: Sequence[Alert]) -> list[tuple[object, ...]]:
    """What must be equal of each."""
    return sorted((each.fingerprint, each.state, each.starts_at, each.ends_at, each.active_since) for each in fired)
