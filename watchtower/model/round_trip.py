"""The round trip: a made-up event by which Watchtower proves to itself that its whole path works (promise P19).

It comes in as any event does, is judged by a rule of its own, and is owed, sent and recorded as any alert is, to a
destination that throws it away. Nobody is shown it, and it is in no figure; its rows are let go once it has arrived.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watchtower.model.alert import Planned
from watchtower.model.fact import FactKey, fact_key
from watchtower.model.instants import from_micros
from watchtower.model.labels import Labels

KIND: Final = "round_trip"  # of its collector, fact, rule and channel
SOURCE: Final = "watchtower"
SUBJECT: Final = "round_trip"  # kind of what the rule watches: each trip once
RULE: Final = "WatchtowerRoundTrip"
DESTINATION: Final = "watchtower/round_trip"
_NEVER_S: Final = 365 * 86_400.0


class Stage(StrEnum):
    """How far a trip came. A trip that stays at one has met a part that stands still."""

    SENT = "sent"  # nobody answered that it is durable
    ANSWERED = "answered"  # it is in the store or in the spool; no rule has judged it
    JUDGED = "judged"  # it is an alert that is owed; no group has made a notice of it
    OWED = "owed"  # a notice waits, or is on its way
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class Trip:
    """process: whose it is, the same over its lives; micros: when it was sent, since the epoch."""

    process: str
    micros: int

    def __str__(self) -> str:
        return f"{self.process}/{self.micros}"

    @staticmethod
    def parse(text: str) -> "Trip":
        """Raises ValueError."""
        process, _, micros = text.partition("/")
        if not process or len(text) > 80:
            raise ValueError(f"{text[:80]!r} is no trip")
        return Trip(process, int(micros))

    @property
    def subject(self) -> str:
        return f"{SUBJECT}:{self}"


def key_of(trip: Trip) -> FactKey:
    return fact_key(from_micros(trip.micros), KIND, str(trip))


def planned(labels: Labels) -> tuple[Planned, ...] | None:
    """Where an alert with these labels must go if it is a trip's; None: it is another one's."""
    if labels.get("alertname") != RULE or labels.get("kind") != KIND:
        return None
    return (
        Planned(
            receiver=KIND,
            destination=DESTINATION,
            group_key=f"{KIND}:{labels.get('trip', '')}",
            group_labels={},
            group_wait_s=0.0,
            group_interval_s=_NEVER_S,
            repeat_interval_s=_NEVER_S,
            send_resolved=False,
        ),
    )
