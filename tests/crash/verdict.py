"""What a crash must not have done: the store and the providers' ledgers beside what senders were answered."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import text

from watchtower.model.alert import ObligationState
from watchtower.store import ledger
from watchtower.store.database import Database

ENDED = frozenset({ObligationState.DELIVERED, ObligationState.SUPERSEDED})


@dataclass(slots=True)
class Figures:
    """Of one test, and summed over all of them. events: answered 2xx; lost: events that are not in the store and
    obligations that did not end, or whose message nobody saw; duplicates: effects that were seen twice;
    pages_beyond: texts and calls above a person's budget; blind: minutes in which nobody outside could have known that
    it works. None: not measured."""

    kills: int = 0
    events: int = 0
    obligations: int = 0
    lost: int = 0
    duplicates: int = 0
    pages_beyond: int | None = None
    blind: float | None = None

    def add(self, other: "Figures") -> None:
        for field in fields(self):
            one, another = getattr(self, field.name), getattr(other, field.name)
            if another is not None:
                setattr(self, field.name, another + (one or 0))

    def as_dict(self) -> dict[str, int | float | None]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store holds. unfinished: obligations that have not ended as they should; delivered_to: how many notices
    each destination has taken; transitions: how many are owed, by (destination, transition)."""

    runs: frozenset[str]
    obligations: int
    unfinished: tuple[str, ...]
    delivered_to: Mapping[str, int]
    transitions: Counter[tuple[str, str]]


def kept_in(url: str) -> Kept:
    """Read a store that nobody has open."""
    database = Database(url)
    try:
        with database.read() as connection:
            entries = [ledger.to_entry(row) for row in connection.execute(ledger.entries())]
            delivered = {(one.destination, one.notice_id) for one in entries if one.state is ObligationState.DELIVERED}
            runs = connection.execute(text("SELECT ol_run_id FROM runs")).scalars()
            return Kept(
                runs=frozenset(str(run) for run in runs),
                obligations=len(entries),
                unfinished=tuple(_said(entry) for entry in entries if entry.state not in ENDED),
                delivered_to=Counter(destination for destination, _ in delivered),
                transitions=Counter((entry.destination, entry.transition.value) for entry in entries),
            )
    finally:
        database.close()


def integrity_of(url: str) -> str:
    """`ok`, or what SQLite finds to be damaged."""
    database = Database(url)
    try:
        with database.read() as connection:
            return str(connection.execute(text("PRAGMA integrity_check")).scalar_one())
    finally:
        database.close()


def twice(seen: Sequence[str]) -> list[str]:
    """Each effect that was seen again, once for each time."""
    return sorted((Counter(seen) - Counter(set(seen))).elements())


def missing(acknowledged: Collection[str], kept: Collection[str]) -> list[str]:
    return sorted(set(acknowledged) - set(kept))


def _said(entry: ledger.LedgerEntry) -> str:
    return f"{entry.destination} {entry.transition.value}: {entry.state.value} ({entry.reason})"


def beyond(times: Sequence[datetime], most: int, seconds: float) -> int:
    """How many of what was sent at these times had `most` others in the seconds before them."""
    stamps = sorted(one.timestamp() for one in times)
    return sum(sum(at - seconds < other <= at for other in stamps[: n + 1]) > most for n, at in enumerate(stamps))
