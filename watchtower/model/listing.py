"""Lists in a sentence, the same in alerts, on pages and in the API."""

from collections.abc import Sequence


def listed(names: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
