"""What alerting asks of the store."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from watchtower.model.alert import Incident, Receipt, Silence
from watchtower.model.delivery import (
    Agenda,
    Decide,
    DecideFlush,
    Failure,
    Overdue,
    Plan,
    Raised,
    SilenceEdit,
    Terms,
    Work,
)
from watchtower.model.incident import IncidentEdit


class AlertingStore(Protocol):
    """What alerting asks of the store. Every method is one transaction; the functions handed in are pure and decide
    inside of it. `record_*` answer False when a newer claim holds the notice: then its holder finds out by itself."""

    def agenda(self, destinations: Collection[str]) -> Agenda: ...

    def end_silences(self, now: datetime) -> int:
        """Look again at what silences that are over kept quiet; their number."""
        ...

    def end_flapping(self, now: datetime) -> int:
        """Look again at what was not told because it flapped, and is stable now; the number of such alerts."""
        ...

    def end_acknowledgements(self, change: IncidentEdit, now: datetime) -> int: ...

    def flush(self, now: datetime, holder: str, decide: DecideFlush) -> int: ...

    def claim(self, destination: str, now: datetime, terms: Terms, decide: Decide) -> tuple[int, Work | None]:
        """How many due rows were handled, and a notice to send or to look up. (0, None): nothing is due."""
        ...

    def record_delivered(self, work: Work, receipt: Receipt, now: datetime, clears: str) -> bool:
        """clears: fingerprint of the alert that told of this destination's failure."""
        ...

    def record_failed(self, work: Work, failure: Failure, now: datetime, raises: Raised | None) -> bool:
        """raises: what must be told of a dead letter, in the same transaction."""
        ...

    def record_absent(self, work: Work, now: datetime, *, keyed: bool) -> bool: ...

    def replan(self, plan: Plan, destinations: Collection[str], now: datetime) -> int: ...

    def revise_silence(self, silence_id: str | None, change: SilenceEdit) -> list[Silence]: ...

    def edit_incident(self, incident_id: str, change: IncidentEdit) -> Incident: ...

    def overdue(self, now: datetime) -> list[Overdue]: ...

    def replay(self, notice_id: str, now: datetime) -> bool: ...
