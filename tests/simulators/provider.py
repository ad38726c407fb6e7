"""A provider in the same process: it keeps a ledger of what its people see, and fails in the ways real ones do.

The ledger is the oracle of the outbox's tests: an effect is one line that a person sees.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import Notice, Receipt
from watchtower.ports import Clock


class Fault(StrEnum):
    """What the provider does with the next request instead of taking it."""

    REFUSE = "refuse"  # no connection: nothing arrives
    RESET_BEFORE = "reset before"  # cut before the request was whole; the client cannot know
    TAKEN_THEN_TIMEOUT = "taken, then time-out"
    RATE_LIMITED = "429"
    UNAVAILABLE = "503"
    PERMANENT = "400"
    BROKEN_PLUGIN = "broken plug-in"  # the channel itself raises something unforeseen, after the request


@dataclass(frozen=True, slots=True)
class Effect:
    """One visible effect."""

    key: str
    episode: str
    at: datetime
    reason: str
    firing: tuple[str, ...]  # ids of alerts
    resolved: tuple[str, ...]
    labels: tuple[str, ...]  # `alertname` and `pipeline` of the firing alerts, for people


class Provider:
    """A Channel whose other side is this ledger. `Provider.like(clock, keyed=True)` makes one with other traits.

    keyed: it folds repeats of one key; else they are seen again. lag_s: how long an effect is hidden from look-ups.
    """

    name: ClassVar[str] = "simulated"
    Config: ClassVar[type[Any]] = dict
    settle_s: ClassVar[float] = 10.0
    can_look_up: ClassVar[bool] = True
    keyed: ClassVar[bool] = False
    rings: ClassVar[bool] = False
    lag_s: ClassVar[float] = 0.0

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.effects: list[Effect] = []
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.requests = 0
        self.before_request: Callable[[Notice], None] | None = None
        self.before_answer: Callable[[Notice], None] | None = None

    @classmethod
    def like(cls, clock: Clock, **traits: bool | float) -> "Provider":
        return type("Provider", (cls,), traits)(clock)

    def deliver(self, notice: Notice) -> Receipt:
        self.requests += 1
        if self.before_request is not None:
            self.before_request(notice)
        fault = self.faults.popleft() if self.faults else self.always
        match fault:
            case Fault.REFUSE:
                raise Transient(Reason.CONNECT, "connection refused")
            case Fault.RESET_BEFORE:
                raise Transient(Reason.CONNECT, "connection reset", outcome_unknown=True)
            case Fault.RATE_LIMITED:
                raise Transient(Reason.RATE_LIMITED, "too many requests", retry_after_s=90)
            case Fault.UNAVAILABLE:
                raise Transient(Reason.SERVER_ERROR, "unavailable")
            case Fault.PERMANENT:
                raise Permanent(Reason.REJECTED, "bad request")
            case _:
                pass
        receipt = self._take(notice)
        if self.before_answer is not None:
            self.before_answer(notice)
        if fault is Fault.TAKEN_THEN_TIMEOUT:
            raise Transient(Reason.TIMEOUT, "no answer", outcome_unknown=True)
        if fault is Fault.BROKEN_PLUGIN:
            raise KeyError("ts")
        return receipt

    def look_up(self, notice: Notice) -> Receipt | None:
        seen = [effect for effect in self.effects if effect.key == notice.key and self._is_visible(effect)]
        return Receipt(f"id-{seen[0].key}", duplicates=len(seen) - 1) if seen else None

    def _take(self, notice: Notice) -> Receipt:
        if self.keyed and any(effect.key == notice.key for effect in self.effects):
            return Receipt(f"id-{notice.key}")
        self.effects.append(
            Effect(
                notice.key,
                notice.episode_key,
                self.clock.now(),
                notice.reason.value,
                tuple(alert.id for alert in notice.firing),
                tuple(alert.id for alert in notice.resolved),
                tuple(f"{a.labels['alertname']}:{a.labels.get('pipeline', '')}" for a in notice.firing),
            )
        )
        return Receipt(f"id-{notice.key}", {"thread": notice.episode_key})

    def _is_visible(self, effect: Effect) -> bool:
        return (self.clock.now() - effect.at).total_seconds() >= self.lag_s
