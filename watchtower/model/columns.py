"""The columns of a dataset over time: from one form to the next, and what differs.

Types are compared without regard to case; the order of columns does not matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from watchtower.model.listing import listed
from watchtower.model.run import Dataset, SchemaVersion


@dataclass(frozen=True, slots=True)
class Step:
    """From one form to the next. at: when; before, after: the columns with their types."""

    at: datetime
    before: Mapping[str, str]
    after: Mapping[str, str]


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


def steps(dataset: Dataset) -> list[Step]:
    """Oldest first; the last one leads to the columns of today."""
    current = dict(dataset.fields or ())
    versions = dataset.versions
    others = sorted((each for each in versions if not _same(each, current)), key=lambda each: each.last_at)
    chain = [*others, *(each for each in versions if _same(each, current))]
    return [
        Step(max(old.first_at, old.last_at, new.first_at), dict(old.fields), dict(new.fields))
        for old, new in pairwise(chain)
    ]


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> Difference:
    both = [name for name in before if name in now]
    return Difference(
        removed=tuple(name for name in before if name not in now),
        added=tuple(name for name in now if name not in before),
        retyped=tuple(
            (name, before[name], now[name]) for name in both if before[name].casefold() != now[name].casefold()
        ),
    )


def _same(version: SchemaVersion, fields: Mapping[str, str]) -> bool:
    return dict(version.fields) == fields
