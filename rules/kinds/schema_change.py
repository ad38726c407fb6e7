"""The columns of a dataset changed: some are gone, or have another type, or are new if that is asked for.

Gone and retyped columns are what its readers break on. An alert stands for `stands_for` after the change, and is over
at once if the columns come back. The store keeps the last few forms of each dataset.
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field

from rules.changes import ChangeOptions
from rules.options import Seconds
from rules.words import iso, length_words, subject_words
from watchtower.model.columns import Difference, Step, difference, steps
from watchtower.model.rule import DatasetSnapshot, Evaluation, Rule, Snapshot, Violation
from watchtower.model.run import DatasetUpdate

Change = Literal["removed", "retyped", "added"]
_MAX_SHOWN = 20


class SchemaChangeConfig(ChangeOptions):
    of: tuple[Change, ...] = Field(
        default=("removed", "retyped"), min_length=1, description="which changes of columns: removed, retyped, added"
    )
    stands_for: Seconds = Field(default=86_400.0, description="how long after the change, unless it is taken back")


class SchemaChange:
    kind: ClassVar[str] = "schema_change"
    subject: ClassVar[str] = "dataset"
    clears: ClassVar[str] = "the columns are as they were, or the change has stood long enough"
    Config: ClassVar[type[SchemaChangeConfig]] = SchemaChangeConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, DatasetSnapshot):
            return Evaluation()
        options: SchemaChangeConfig = rule.options
        if snapshot.dataset.fields is None:
            return Evaluation(learning="its columns were never told")
        stands_for = timedelta(seconds=options.stands_for)
        known = steps(snapshot.dataset)
        moments = (moment for step in known for moment in (step.at, step.at + stands_for) if moment > now)
        next_at = min(moments, default=None)
        recent = next((step for step in known if step.at <= now < step.at + stands_for), None)
        if recent is None:
            return Evaluation(next_at=next_at)
        found = difference(recent.before, dict(snapshot.dataset.fields))
        if not any(getattr(found, change) for change in options.of):
            return Evaluation(next_at=next_at)
        return Evaluation((_violation(recent, found, snapshot),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: SchemaChangeConfig = rule.options
        count = len(snapshot.dataset.fields or ()) if isinstance(snapshot, DatasetSnapshot) else 0
        known = f" It has {count} columns." if count else ""
        return (
            f"{subject_words(snapshot)}: alert when columns are {' or '.join(options.of)}, "
            f"for {length_words(options.stands_for)}.{known}"
        )


def _violation(step: Step, found: Difference, snapshot: DatasetSnapshot) -> Violation:
    writing = _first_since(step.at, snapshot)
    evidence: dict[str, Any] = {
        "removed": list(found.removed[:_MAX_SHOWN]),
        "retyped": [{"column": name, "was": old, "is": new} for name, old, new in found.retyped[:_MAX_SHOWN]],
        "added": list(found.added[:_MAX_SHOWN]),
        "columns": len(snapshot.dataset.fields or ()),
        "run_id": writing.run_id if writing else None,
        "writers": sorted(job.ref.name for job in snapshot.writers)[:10],
        "since": iso(step.at),
    }
    return Violation(
        since=step.at,
        summary=f"{snapshot.dataset.ref.name} has other columns: {found.words}",
        value=float(len(found.removed) + len(found.retyped) + len(found.added)),
        evidence={name: value for name, value in evidence.items() if value not in (None, [])},
        historical=writing is not None and writing.historical,
    )


def _first_since(moment: datetime, snapshot: DatasetSnapshot) -> DatasetUpdate | None:
    return next((update for update in reversed(snapshot.updates) if update.at >= moment), None)
