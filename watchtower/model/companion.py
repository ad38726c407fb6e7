"""What a rule looks at beside its own subject: the past of another job, or the writings of another dataset.

It is loaded for the subjects of such rules alone. Nothing that is told of the other one wakes the subject: a rule that
waits for it looks again by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from watchtower.model.past import PastRun
from watchtower.model.run import DatasetUpdate, Run


@dataclass(frozen=True, slots=True)
class Companion:
    """name: of a pipeline or a dataset; "" the subject itself. namespace None: that of the subject, else the only one
    that has the name. writes: what its runs wrote is looked at, too; whole: so many of its newest runs that tell how it
    goes are known whole."""

    kind: Literal["job", "dataset"]
    name: str
    task: str | None = None
    namespace: str | None = None
    writes: bool = False
    whole: int = 0

    def __str__(self) -> str:
        return f"{self.name}.{self.task}" if self.task else self.name

    @property
    def writing(self) -> "Companion":
        return replace(self, writes=True)

    def of(self, namespace: str, subject_id: str) -> "Wanted":
        return Wanted(self, namespace, None if self.name else subject_id)


ITSELF = Companion("job", "")


@dataclass(frozen=True, slots=True)
class Wanted:
    """companion as it is looked at beside one subject. namespace: the subject's; subject_id: its id, if the companion
    is the subject itself."""

    companion: Companion
    namespace: str
    subject_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wrote:
    """A writing of a run, or of one of its tasks. dataset: the name of what was written."""

    dataset: str
    update: DatasetUpdate


@dataclass(frozen=True, slots=True)
class Beside:
    """Of one companion, newest first. wrote: by the runs of past that wrote anything, in no order; runs, attempts:
    those that are known whole; problem: why nothing can be said of it."""

    past: tuple[PastRun, ...] = ()
    updates: tuple[DatasetUpdate, ...] = ()
    problem: str | None = None
    wrote: Mapping[str, tuple[Wrote, ...]] = field(default_factory=dict[str, tuple[Wrote, ...]])
    runs: tuple[Run, ...] = ()
    attempts: Mapping[str, tuple[Run, ...]] = field(default_factory=dict[str, tuple[Run, ...]])
