"""Time zones by their IANA names."""

from functools import lru_cache
from zoneinfo import ZoneInfo

from watchtower.errors import BadInput


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Raises BadInput for a name that is not in the IANA database."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadInput(f"timezone {name!r} is unknown; write an IANA name such as Europe/Berlin or UTC") from error


def known_zone(name: str | None) -> str:
    """name if it is a zone, else UTC: what an event says of its zone is never worth an error."""
    try:
        return zone(name).key if name else "UTC"
    except BadInput:
        return "UTC"
