"""Instants as producers write them. Most are RFC 3339 and are read by msgspec; this reads the rest."""

import re
from datetime import UTC, datetime, timedelta, timezone

_FORM = re.compile(
    r"\s*(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,30}))?)?)?"
    r"\s*(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?"
    r"(?:\[[\w/+-]{1,64}\])?\s*",  # Java's ZonedDateTime repeats the zone by name
    re.ASCII,
)


def utc(instant: datetime | None) -> datetime | None:
    """instant in UTC. Without a zone it is taken for UTC; None if it lies outside of years 1 to 9999 there."""
    if instant is None or instant.tzinfo is UTC:
        return instant
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return None


def parse_instant(text: str) -> datetime | None:
    """text as an aware datetime, or None. Any number of decimals (cut to microseconds), a missing zone is UTC, a leap
    second is the second after it."""
    found = _FORM.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.group(1, 2, 3, 4, 5, 6))
    micros = int((found[7] or "0")[:6].ljust(6, "0"))
    leap = second == 60
    try:
        instant = datetime(year, month, day, hour, minute, 59 if leap else second, micros, _zone(found[8]))
        return utc(instant + timedelta(seconds=1) if leap else instant)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if not text or text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
