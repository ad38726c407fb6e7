"""The four parts of Watchtower that a round trip is handled by: what reads it, judges it, and throws it away."""

from typing import Any, ClassVar

from watchtower.model.alert import Notice, Receipt, Severity
from watchtower.model.fact import Fact
from watchtower.model.instants import from_micros
from watchtower.model.round_trip import KIND, RULE, SOURCE, SUBJECT, Trip, key_of
from watchtower.model.rule import Evaluation, RoundTripSnapshot, Rule, Snapshot, Violation
from watchtower.ports import Decoded, Received, Reject

_NOTHING: Any = object()  # to configure


class TripCollector:
    kind: ClassVar[str] = KIND
    Config: ClassVar[type[Any]] = object

    def decode(self, body: bytes, received: Received) -> Decoded:
        """body: the name of a trip."""
        try:
            trip = Trip.parse(body.decode())
            sent_at = from_micros(trip.micros)
        except (ValueError, OverflowError) as error:
            return Decoded((), (Reject("round_trip", str(error), body, permanent=True),))
        return Decoded((Fact(key_of(trip), SOURCE, KIND, sent_at, received.received_at, body),))


class TripRule:
    """Always broken: what is to be seen is that somebody is told."""

    kind: ClassVar[str] = KIND
    subject: ClassVar[str] = SUBJECT
    Config: ClassVar[type[Any]] = object
    clears: ClassVar[str] = "the next trip begins"

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: Any) -> Evaluation:
        if not isinstance(snapshot, RoundTripSnapshot):
            return Evaluation()
        return Evaluation((Violation(since=now, summary="a round trip"),))

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        return "Watchtower's own event goes round."


RULE_OF_TRIPS = Rule(RULE, KIND, _NOTHING, severity=Severity.INFO)


class NullChannel:
    """The end of the path."""

    name: ClassVar[str] = KIND
    Config: ClassVar[type[Any]] = object
    settle_s: ClassVar[float] = 0.0
    can_look_up: ClassVar[bool] = True
    keyed: ClassVar[bool] = True
    rings: ClassVar[bool] = False

    def deliver(self, notice: Notice) -> Receipt:
        return Receipt(f"round trip:{notice.id}")

    def look_up(self, notice: Notice) -> Receipt | None:
        return self.deliver(notice)
