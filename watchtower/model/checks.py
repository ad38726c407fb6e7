"""Names in ping URLs: of a job (its slug) and of one run of it (its rid), as healthchecks.io has them."""

import re
import uuid
from datetime import datetime
from typing import Final

_NO_SLUG: Final = re.compile(r"[^a-z0-9_]+")


def slug_of(name: str) -> str:
    """The name of a job as it stands in a URL: `Nightly Backup` is `nightly-backup`."""
    return _NO_SLUG.sub("-", name.lower()).strip("-")


def is_uuid(text: str) -> bool:
    """Whether text is a UUID in its canonical form, as a check's own URL and the parameter `rid` have it."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def run_name(at: datetime) -> str:
    """What a run is called whose sender named none. Never a UUID, so that it is told from a rid."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
