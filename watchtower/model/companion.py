"""What a rule looks at beside its own subject: the past of another job, or the writings of another dataset.

It is loaded for the subjects of such rules alone. Nothing that is told of the other one wakes the subject: a rule that
waits for it looks again by itself.
"""

from dataclasses import dataclass
from typing import Literal

from watchtower.model.past import PastRun
from watchtower.model.run import DatasetUpdate


@dataclass(frozen=True, slots=True)
class Companion:
    """name: of a pipeline or a dataset. namespace None: that of the subject, else the only one that has the name."""

    kind: Literal["job", "dataset"]
    name: str
    task: str | None = None
    namespace: str | None = None

    def __str__(self) -> str:
        return f"{self.name}.{self.task}" if self.task else self.name


@dataclass(frozen=True, slots=True)
class Beside:
    """Of one companion, newest first. problem: why nothing can be said of it."""

    past: tuple[PastRun, ...] = ()
    updates: tuple[DatasetUpdate, ...] = ()
    problem: str | None = None
