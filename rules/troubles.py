"""What was wrong with what a job needs or a dataset comes from, while that went wrong: told as its cause.

A trouble is no proof either, but it is what people would look at next: an API that answers 503, a file that is not
there. It is looked for from the beginning of what went wrong to a little after its end, since a probe asks only every
so often.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from rules.words import iso, moment_words
from watchtower.model.rule import DatasetSnapshot, JobSnapshot
from watchtower.model.source import Trouble

SEEN_LATE: Final = timedelta(minutes=10)
_MOST = 3


def troubles_within(
    snapshot: JobSnapshot | DatasetSnapshot, begin: datetime, end: datetime | None = None
) -> list[Trouble]:
    """The first to begin comes first. end: None for what is still wrong."""
    found = [each for each in snapshot.troubles if each.stood_within(begin, end + SEEN_LATE if end else None)]
    return sorted(found, key=lambda each: (each.since, each.source, each.key))[:_MOST]


def with_troubles(evidence: Mapping[str, Any], troubles: Sequence[Trouble]) -> dict[str, Any]:
    """evidence, its `cause` joined by what was wrong."""
    if not troubles:
        return dict(evidence)
    causes = [str(evidence["cause"])] if evidence.get("cause") else []
    told = [
        {
            "source": each.source,
            "problem": each.key,
            "summary": each.summary,
            "since": iso(each.since),
            **({"until": iso(each.until)} if each.until else {}),
        }
        for each in troubles
    ]
    return {**evidence, "cause": "; ".join([*causes, *map(trouble_words, troubles)]), "troubles": told}


def trouble_words(trouble: Trouble) -> str:
    """`https://api.example.com/health answers 503 (orders-api, since 2026-03-02 02:10 UTC)`."""
    since = moment_words(trouble.since)
    when = f"from {since} to {moment_words(trouble.until)}" if trouble.until else f"since {since}"
    return f"{trouble.summary} ({trouble.source}, {when})"
