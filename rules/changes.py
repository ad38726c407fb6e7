"""What was changed before the first failure: the newest change that concerns the job, within a stated time.

A change is no proof; it is what people ask for first. It is said as what it is: what, by whom, how long before.
"""

from datetime import datetime, timedelta
from typing import Any

from rules.words import iso
from watchtower.model.change import BY_HAND, Change
from watchtower.model.change_words import change_words
from watchtower.model.rule import JobSnapshot


def changed_before(snapshot: JobSnapshot, moment: datetime, within_s: float) -> Change | None:
    """The newest one at or before moment, not more than within_s before it. That somebody started the run by hand comes
    last: it is the newest of all, and seldom the reason."""
    earliest = moment - timedelta(seconds=within_s)
    near = [change for change in snapshot.changes if earliest <= change.at <= moment]
    return max(near, key=lambda one: (one.kind != BY_HAND, one.at, one.id), default=None)


def change_evidence(change: Change | None, moment: datetime) -> dict[str, Any]:
    """For the evidence of a violation; empty if nothing was changed."""
    if change is None:
        return {}
    said = {"changed": change_words(change, moment), "changed_at": iso(change.at), "change_url": change.url}
    return {name: value for name, value in said.items() if value}
