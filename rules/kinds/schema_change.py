"""The columns of a dataset changed: some are gone, or have another type, or are new if that is asked for.

Gone and retyped columns are what its readers break on. An alert stands for `stands_for` after the change, and is over
at once if the columns come back. Types are compared without regard to case; the order of columns does not matter.
The store keeps the last few forms of each dataset.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar, Literal

from pydantic import Field

from rules.options import Options, Seconds
from rules.words import iso, length_words, listed, subject_words
from watchtower.model.rule import DatasetSnapshot, Evaluation, Rule, Snapshot, Violation
from watchtower.model.run import DatasetUpdate, SchemaVersion

Change = Literal["removed", "retyped", "added"]
_MAX_SHOWN = 20


class SchemaChangeConfig(Options):
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
        steps = _steps(snapshot)
        moments = (moment for step in steps for moment in (step.at, step.at + stands_for) if moment > now)
        next_at = min(moments, default=None)
        recent = next((step for step in steps if step.at <= now < step.at + stands_for), None)
        if recent is None:
            return Evaluation(next_at=next_at)
        found = _difference(recent.before, dict(snapshot.dataset.fields))
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


@dataclass(frozen=True, slots=True)
class Step:
    """From one form to the next. at: when; before: the columns until then, with their types."""

    at: datetime
    before: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """retyped: (column, type before, type now)."""

    removed: tuple[str, ...]
    added: tuple[str, ...]
    retyped: tuple[tuple[str, str, str], ...]

    @property
    def words(self) -> str:
        said = [f"{name} is gone" if len(self.removed) == 1 else name for name in self.removed]
        removed = [listed(said, 5) + (" are gone" if len(said) > 1 else "")] if said else []
        retyped = [listed([f"{name} was {old or '?'} and is {new or '?'}" for name, old, new in self.retyped], 3)]
        added = [f"{listed(self.added, 5)} {'is' if len(self.added) == 1 else 'are'} new"]
        return "; ".join([*removed, *(retyped if self.retyped else ()), *(added if self.added else ())])


def _steps(snapshot: DatasetSnapshot) -> list[Step]:
    """Oldest first; the last one leads to the columns of today."""
    current = dict(snapshot.dataset.fields or ())
    versions = snapshot.dataset.versions
    others = sorted((each for each in versions if not _same(each, current)), key=lambda each: each.last_at)
    chain = [*others, *(each for each in versions if _same(each, current))]
    return [Step(max(old.first_at, old.last_at, new.first_at), dict(old.fields)) for old, new in pairwise(chain)]


def _same(version: SchemaVersion, fields: Mapping[str, str]) -> bool:
    return dict(version.fields) == fields


def _difference(before: Mapping[str, str], now: Mapping[str, str]) -> Difference:
    both = [name for name in before if name in now]
    return Difference(
        removed=tuple(name for name in before if name not in now),
        added=tuple(name for name in now if name not in before),
        retyped=tuple(
            (name, before[name], now[name]) for name in both if before[name].casefold() != now[name].casefold()
        ),
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
