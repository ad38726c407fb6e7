"""How moments, durations and names are worded in summaries and evidence, the same in every kind.

Words never depend on when the evaluation ran ("for 3 hours now"): an answer must stay equal until its next_at.
"""

from datetime import UTC, datetime

from rules.schedules.zones import known_zone, zone
from watchtower.model.duration import format_duration
from watchtower.model.rule import (
    BudgetSnapshot,
    DatasetSnapshot,
    JobSnapshot,
    RoundTripSnapshot,
    SenderSnapshot,
    SeriesSnapshot,
    SloSnapshot,
    Snapshot,
    SourceSnapshot,
)


def iso(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC, as evidence has it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def moment_words(moment: datetime, timezone: str | None = None) -> str:
    """`2026-03-02 06:00 UTC`, or the zone's own clock and name; seconds only where there are some."""
    name = known_zone(timezone)
    local = moment.astimezone(zone(name))
    return f"{local:%Y-%m-%d %H:%M:%S} {name}" if local.second else f"{local:%Y-%m-%d %H:%M} {name}"


def length_words(seconds: float) -> str:
    return format_duration(seconds, 2)


def former_words(snapshot: Snapshot) -> str:
    """` It was orders before: 37 of its runs there count as its own.`; "" of what always was what it is."""
    if not isinstance(snapshot, JobSnapshot) or snapshot.formerly is None:
        return ""
    before, count = snapshot.formerly, len(snapshot.former)
    where = f" in {before.namespace}" if before.namespace else ""
    what = f"{count} of its runs there count as its own" if count else "no run of that is known, or needed any more"
    return f" It was {before}{where} before: {what}."


def subject_words(snapshot: Snapshot | None) -> str:
    match snapshot:
        case None:
            return "each matching subject"
        case JobSnapshot():
            return snapshot.job.ref.name
        case DatasetSnapshot():
            return snapshot.dataset.ref.name
        case SeriesSnapshot():
            ref = snapshot.series.ref
            return f"{ref.name} of {ref.job.name}" if ref.job else ref.name
        case SenderSnapshot():
            return snapshot.sender.source
        case RoundTripSnapshot() | SourceSnapshot() | SloSnapshot() | BudgetSnapshot():
            return snapshot.key.id
