"""What was changed before something went wrong: the newest change that concerns its job, within a stated time.

A change is no proof; it is what people ask for first. It is said as what it is: what, by whom, how long before. A rule
names it whose options are ChangeOptions, and nothing is looked for until one of them has found something.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import Field

from rules.options import Options, SecondsOrZero
from rules.words import iso
from watchtower.model.change import BY_HAND, Change
from watchtower.model.change_words import change_words
from watchtower.model.rule import DatasetSnapshot, JobSnapshot, Rule, SeriesSnapshot, Snapshot, Violation
from watchtower.model.run import Job

WRITERS: Final = 3  # of a dataset, the last ones

Changed = Callable[[Sequence[Job], datetime, timedelta], Sequence[Change]]
"""Changes that concern one of these jobs, at or before a moment and not more than so long before it, in any order."""


class ChangeOptions(Options):
    """Of a kind that names what was changed before."""

    changed_within: SecondsOrZero = Field(default=21_600.0, description="a change so long before is named; 0: none")


def nothing_changed(jobs: Sequence[Job], moment: datetime, within: timedelta) -> Sequence[Change]:
    """Where nobody can be asked."""
    return ()


def with_change(violation: Violation, rule: Rule, snapshot: Snapshot, changed: Changed) -> Violation:
    """Joined by the newest change before it began, in its sentence and its evidence."""
    within, jobs = getattr(rule.options, "changed_within", 0.0), jobs_behind(snapshot)
    if not within or not jobs or "changed" in violation.evidence:
        return violation
    moment = violation.began or violation.since
    change = newest_before(changed(jobs, moment, timedelta(seconds=within)), moment)
    if change is None:
        return violation
    summary = f"{violation.summary} ({change_words(change, moment, short=True)})"
    return replace(violation, summary=summary, evidence={**violation.evidence, **_evidence(change, moment)})


def jobs_behind(snapshot: Snapshot) -> Sequence[Job]:
    """Whose changes may be why: the job itself, or those that write a dataset."""
    if isinstance(snapshot, DatasetSnapshot):
        return snapshot.writers[:WRITERS]
    job = snapshot.job if isinstance(snapshot, JobSnapshot | SeriesSnapshot) else None
    return (job,) if job else ()


def newest_before(changes: Iterable[Change], moment: datetime) -> Change | None:
    """That somebody started the run by hand comes last: it is the newest of all, and seldom the reason."""
    near = (change for change in changes if change.at <= moment)
    return max(near, key=lambda one: (one.kind != BY_HAND, one.at, one.id), default=None)


def _evidence(change: Change, moment: datetime) -> dict[str, Any]:
    said = {"changed": change_words(change, moment), "changed_at": iso(change.at), "change_url": change.url}
    return {name: value for name, value in said.items() if value}
