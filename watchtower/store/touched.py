"""Groups in which a transaction has changed something, and all that stands in the store about those it opened itself.

On the way from a failure to its message the group is nearly always such a one. What was just written about it is handed
on to what follows in the same transaction, instead of being read again twice (a dozen statements).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from watchtower.model.delivery import Owed
from watchtower.store.statements import Row


@dataclass(frozen=True, slots=True)
class Opened:
    """A group episode that nobody has been told of, under an incident that nobody can have acknowledged, with no person
    in its plan. row: the group's; owed: by destination, in the order in which it would be read."""

    row: Row
    owed: Mapping[str, tuple[Owed, ...]]

    @property
    def alert_ids(self) -> list[str]:
        """Its members, in the order in which they would be read."""
        return sorted({each.alert_id for some in self.owed.values() for each in some})


Touched = Mapping[str, Opened | None]  # by group id; None: it stood before, or more is to be known of it
