"""Where data comes from and where it goes: pipelines, joined by the datasets that one writes and another reads."""

from dataclasses import dataclass

from watchtower.model.alert import Alert
from watchtower.model.run import Dataset, Job, JobRef, Run


@dataclass(frozen=True, slots=True)
class Stage:
    """A pipeline that data passes on its way to a dataset. steps: 1 for the one that writes it. needs: ids of those
    just before it. runs: its newest, oldest first; alerts: what is open of it."""

    job: Job
    steps: int
    needs: frozenset[str]
    runs: tuple[Run, ...] = ()
    alerts: tuple[Alert, ...] = ()


@dataclass(frozen=True, slots=True)
class Fed:
    """A dataset to which data goes. steps: 1 for what the pipelines in hand write themselves. readers: the other
    pipelines that read it, by name."""

    dataset: Dataset
    steps: int
    readers: tuple[JobRef, ...]
