"""A pipeline that came in the place of another: what was renamed is missing by its old name, and runs by a new one."""

from dataclasses import dataclass
from datetime import datetime

from watchtower.model.run import JobRef

ENOUGH_RUNS = 3  # that ended well, after which what was only learned of the old one is given up


@dataclass(frozen=True, slots=True)
class Follower:
    """since: when it was first heard of. ended_well: runs, counted to ENOUGH_RUNS. shares: what it has in common with
    the one that is missing, in words that follow its name."""

    ref: JobRef
    since: datetime
    ended_well: int
    shares: str

    @property
    def is_settled(self) -> bool:
        return self.ended_well >= ENOUGH_RUNS
