"""When data was written, in whichever form a database or a file says it, as an aware datetime."""

from datetime import UTC, date, datetime, time, tzinfo
from typing import Any, Final

_MILLISECONDS: Final = 1e11  # since 1970: a number of seconds that large is in the year 5138
_MICROSECONDS: Final = 1e14


def to_moment(value: Any, zone: tzinfo) -> datetime | None:
    """None for None. zone: of what says none, and of a date, which means its beginning. Raises ValueError."""
    match value:
        case None:
            return None
        case datetime():
            found = value
        case date():
            found = datetime.combine(value, time())
        case bool():
            raise ValueError(f"{value!r} is no time")
        case int() | float():
            return _since_1970(value)
        case str():
            return _of_text(value, zone)
        case _:
            return _of_text(str(value), zone)
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def _of_text(value: str, zone: tzinfo) -> datetime:
    said = value.strip()
    try:
        if said.replace(".", "", 1).isdecimal() and len(said) > len("20261121"):
            return _since_1970(float(said))
        found = datetime.fromisoformat(said)
    except ValueError as error:
        raise ValueError(f"{said[:40]!r} is no time such as 2026-03-02T08:00:00Z") from error
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def _since_1970(value: float) -> datetime:
    seconds = value / 1e6 if value >= _MICROSECONDS else value / 1e3 if value >= _MILLISECONDS else value
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"{value!r} is no time") from error
