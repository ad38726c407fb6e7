"""Plays alerts against a real store and outbox in virtual time, and compares what left with what was wanted.

Modelled on Alertmanager's acceptance tests: push at second 1, want between 31 and 32. Between two events the clock
jumps to whatever is due next, so that a day takes milliseconds and nothing depends on the machine's speed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from alerting.outbox import Outbox
from alerting.pipeline import Pipeline
from alerting.silences import Wanted, put
from tests.simulators.provider import Effect, Provider
from watchtower.clock import ManualClock
from watchtower.model.labels import parse_matchers
from watchtower.ports import Outcome
from watchtower.store import alerts, incidents, ledger
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database


@dataclass(frozen=True, slots=True)
class Between:
    """Seconds since the beginning, both inclusive."""

    first: float
    last: float


def between(first: float, last: float) -> Between:
    return Between(first, last)


class Timeline:
    """providers: by destination. The clock stands at the beginning when it is made."""

    def __init__(
        self, database: Database, clock: ManualClock, pipeline: Pipeline, providers: Mapping[str, Provider]
    ) -> None:
        self.database = database
        self.clock = clock
        self.pipeline = pipeline
        self.providers = dict(providers)
        self.beginning = clock.now()
        self.store = SqlAlertingStore(database)
        self.outbox = self._new_outbox()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._wanted: set[tuple[str, int]] = set()

    def at(self, seconds: float) -> datetime:
        return self.beginning + timedelta(seconds=seconds)

    # -- what happens ---------------------------------------------------------------------------------------------

    def push(self, seconds: float, outcome: Outcome) -> None:
        """The rules engine commits outcome at that moment, and what is due by it goes on in the same transaction."""
        self.do(seconds, lambda: self.commit(outcome))

    def do(self, seconds: float, action: Callable[[], object]) -> None:
        """Anything else that happens at that moment."""
        self._events.append((seconds, len(self._events), lambda: _discard(action())))

    def commit(self, outcome: Outcome) -> None:
        now = self.clock.now()

        def unit(connection: Connection) -> None:
            touched = alerts.write_outcome(connection, outcome, now)
            self.store.at_once(connection, touched, self.outbox.rush(), self.outbox.hand)

        self.database.write(unit)

    def silence(self, matchers: str, until: float, ident: str = "s1") -> None:
        """Somebody silences what matches, from now to second `until`."""
        now = self.clock.now()
        wanted = Wanted(parse_matchers(matchers), now, self.at(until), "data-lead", "known")
        self.store.revise_silence(None, lambda before: put(before, wanted, now, ident))

    def restart(self) -> None:
        """The process is replaced: nothing in memory survives."""
        self.outbox = self._new_outbox()

    def play(self, until: float) -> None:
        """Let time pass to second `until`, doing all that falls due on the way."""
        events = sorted(self._events, key=lambda event: event[:2])
        self._events.clear()
        for seconds, _, action in events:
            self._pass_time(self.at(seconds))
            action()
            self.outbox.step()
        self._pass_time(self.at(until))

    def _pass_time(self, until: datetime) -> None:
        while True:
            due = self.outbox.next_at()
            if due is None or due > until:
                break
            self.clock.set(max(due, self.clock.now()))
            self.outbox.step()
        self.clock.set(max(until, self.clock.now()))

    # -- what came of it ------------------------------------------------------------------------------------------

    def want(
        self,
        when: Between,
        destination: str,
        *,
        firing: int | None = None,
        resolved: int | None = None,
        reason: str | None = None,
    ) -> Effect:
        """The next effect at destination that was not wanted yet: in this span of time, with so many alerts."""
        effects = self.providers[destination].effects
        index = next((i for i in range(len(effects)) if (destination, i) not in self._wanted), None)
        assert index is not None, f"nothing more was told to {destination}; wanted at {when}\n{self.told()}"
        self._wanted.add((destination, index))
        effect = effects[index]
        second = (effect.at - self.beginning).total_seconds()
        assert when.first <= second <= when.last, f"told at {second}, wanted {when}\n{self.told()}"
        for name, wanted, found in (
            ("firing", firing, len(effect.firing)),
            ("resolved", resolved, len(effect.resolved)),
            ("reason", reason, effect.reason),
        ):
            assert wanted is None or wanted == found, f"{name} is {found}, wanted {wanted}\n{self.told()}"
        return effect

    def want_nothing_else(self) -> None:
        """Every effect was wanted, every obligation has ended, and the auditor finds nothing."""
        extra = [
            (name, effect)
            for name, provider in self.providers.items()
            for index, effect in enumerate(provider.effects)
            if (name, index) not in self._wanted
        ]
        assert not extra, f"told, but not wanted: {extra}"
        assert self.store.overdue(self.clock.now()) == []

    def obligations(self) -> list[tuple[str, str, str, str | None]]:
        """(destination, transition, state, reason) of each entry of the ledger, oldest first."""
        with self.database.read() as connection:
            entries = ledger.ledger(connection, limit=10_000)
        return [(item.destination, item.transition.value, item.state.value, item.reason) for item in entries]

    def incidents(self) -> list[tuple[str, str]]:
        """(status, title), newest first."""
        with self.database.read() as connection:
            return [(item.status.value, item.title) for item in incidents.list_incidents(connection)]

    def told(self) -> str:
        """All effects, for people."""
        return "\n".join(
            f"  {(effect.at - self.beginning).total_seconds():>10.3f} {name} {effect.reason}: "
            f"{len(effect.firing)} firing, {len(effect.resolved)} resolved"
            for name, provider in self.providers.items()
            for effect in provider.effects
        )

    def _new_outbox(self) -> Outbox:
        return Outbox(self.store, self.providers, self.pipeline, self.clock)


def _discard(_: object) -> None:
    return None
