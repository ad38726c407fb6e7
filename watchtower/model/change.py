"""A change marker: something was deployed, and what fails soon after may fail because of it."""

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from watchtower.model.run import Job, stable_id

# Kinds of those that nobody announces (store.run_changes).
CODE, ENGINE, ENVIRONMENT = "code changed", "engine changed", "environment changed"
BY_HAND, COLUMNS = "started by hand", "columns changed"


@dataclass(frozen=True, slots=True)
class Change:
    """at: when it was in effect; kind: deploy, release, config …; title: what was changed, in the words of its author.

    pipelines: shell wildcards, team: what it concerns; both empty: everything. A change of a team concerns its jobs."""

    at: datetime
    source: str
    kind: str
    title: str
    commit: str | None = None
    actor: str | None = None
    url: str | None = None
    environment: str | None = None
    repository: str | None = None
    pipelines: tuple[str, ...] = ()
    team: str | None = None

    @property
    def id(self) -> str:
        """The same for every repeat of the same change."""
        parts = (self.source, self.kind, self.title, self.commit, self.environment, self.repository)
        return stable_id("change", self.at.isoformat(), *(part or "" for part in parts))

    def concerns(self, job: Job) -> bool:
        if not self.pipelines and self.team is None:
            return True
        by_name = any(fnmatchcase(job.ref.pipeline, pattern) for pattern in self.pipelines)
        return by_name or (self.team is not None and self.team == job.team)
