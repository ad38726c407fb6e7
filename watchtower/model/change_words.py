"""A change in a sentence, the same in alerts, on pages and in the API."""

from datetime import datetime

from watchtower.model.change import Change
from watchtower.model.duration import format_duration

_SHORT = 8  # characters of a commit: what people read out to each other
_TITLE = 80
_VERBS = {"deploy": "deployed", "release": "released"}


def change_words(change: Change, moment: datetime, *, short: bool = False) -> str:
    """`deployed 12m before: commit abc12345 "Fix rounding" by ada (github, acme/orders, production)`. short: for the
    sentence of an alert, which is read aloud, too."""
    title = change.title if len(change.title) <= _TITLE else change.title[: _TITLE - 1] + "…"
    what = [f"commit {change.commit[:_SHORT]}"] if change.commit else []
    what += [f'"{title}"'] if title and not (short and what) else []
    by = f" by {change.actor}" if change.actor else ""
    where = ", ".join(part for part in (change.source, change.repository, change.environment) if part)
    ago = format_duration(max(0.0, (moment - change.at).total_seconds()), 1)
    verb = _VERBS.get(change.kind, change.kind)
    if short:
        return f"{verb} {ago} before: {' '.join(what)}{by}"
    return f"{verb} {ago} before: {' '.join(what)}{by} ({where})"
