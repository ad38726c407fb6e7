"""How pages word spans of time, moments, sizes and counts. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from watchtower.model.duration import spoken

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def span(seconds: float | None) -> str:
    """The two largest units: `3 d 4 h`, `12 min`, `0.4 s`; "–" for None."""
    return "–" if seconds is None else spoken(seconds)


def age(since: datetime | None, now: datetime) -> str:
    """`12 min`, `3 h`, `2 d`; one unit only, since an age is read at a glance."""
    if since is None:
        return "never"
    whole = max(0, round((now - since).total_seconds()))
    for size, unit in _UNITS:
        if whole >= size:
            return f"{whole // size} {unit}"
    return "0 s"


def moment(at: datetime | None) -> str:
    return "–" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(at: datetime) -> str:
    """Where the day is plain: `03:17:05 UTC`."""
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def hour(at: datetime, zone: str) -> str:
    """`03:17 UTC`, with the time of whoever it is about: `03:17 UTC (04:17 in Europe/Berlin)`."""
    shown = f"{at.astimezone(UTC):%H:%M} UTC"
    return shown if zone == "UTC" else f"{shown} ({at.astimezone(ZoneInfo(zone)):%H:%M} in {zone})"


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def size(count: int) -> str:
    """Bytes in binary units."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{count} B"


def number(count: int) -> str:
    """At the beginning of a sentence."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def listed(names: Sequence[str], shown: int = 4) -> str:
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
