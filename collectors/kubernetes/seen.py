"""What one process has seen of a cluster's Pods: of which Jobs they are, how many tries each made, what is stuck."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from collectors.asking import Row, member
from collectors.kubernetes.decode import pipeline_of
from collectors.kubernetes.pods import Owner, index_of, problem_of, record_of, restarts_of
from watchtower.model.source import Problem

MOST: Final = 20_000  # Jobs
MOST_PROBLEMS: Final = 50

Name = tuple[str, str]  # uid and name of a Job
Work = tuple[str, str | None]  # uid of a Job, and which of its completions


class PodsSeen:
    """listed: whether the Pods were listed by this process. jobs: None for one that is not watched."""

    def __init__(self) -> None:
        self.listed = False
        self.jobs: OrderedDict[Name, Owner | None] = OrderedDict()
        self._tries: OrderedDict[Work, dict[str, int]] = OrderedDict()  # of each Pod, in the order of their creation
        self._stuck: dict[str, Problem] = {}
        self._closed: Problem | None = None

    def begin(self) -> None:
        """They are listed anew."""
        self._tries.clear()
        self._stuck.clear()
        self._closed = None

    def close(self, problem: Problem) -> None:
        """They cannot be read."""
        self.begin()
        self._closed = problem

    def learn(self, jobs: Iterable[Row]) -> None:
        for item in jobs:
            if owner := owner_of(item):
                self.jobs[owner.uid, owner.name] = owner
        while len(self.jobs) > MOST:
            self.jobs.popitem(last=False)

    def record(self, item: Row, owner: Owner, deleted: bool) -> bytes:
        uid = str(member(item, "metadata").get("uid"))
        made = self._tries.setdefault((owner.uid, index_of(item)), {})
        made.setdefault(uid, 0)
        names = list(made)
        before = sum(made[name] for name in names[: names.index(uid)])
        made[uid] = restarts_of(item) + 1
        while len(self._tries) > MOST:
            self._tries.popitem(last=False)
        problem = None if deleted else problem_of(item, owner)
        if problem is None:
            self._stuck.pop(uid, None)
        else:
            self._stuck[uid] = problem
        return record_of(item, owner, before, deleted=deleted)

    @property
    def problems(self) -> tuple[Problem, ...]:
        stuck = sorted(self._stuck.values(), key=lambda each: each.key)[:MOST_PROBLEMS]
        return (self._closed,) if self._closed else tuple(stuck)


def owner_of(job: Row) -> Owner | None:
    meta, spec = member(job, "metadata"), member(job, "spec")
    uid, name, limit = meta.get("uid"), meta.get("name"), spec.get("backoffLimit")
    if not isinstance(uid, str) or not isinstance(name, str):
        return None
    alone = spec.get("completions") in (None, 1) and spec.get("parallelism") in (None, 1)
    return Owner(uid, name, pipeline_of(meta), limit + 1 if alone and isinstance(limit, int) else None)
