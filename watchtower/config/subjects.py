"""`jobs`, `datasets` and `ownership`: what the operator knows of pipelines and data before any event tells it.

An entry with an exact name creates its subject at load; schedules and limits become declared rules, so that an entry
alone is enough to be told of a missing or late run.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from pydantic import Field

from watchtower.config.document import Path, dotted
from watchtower.config.faults import Faults
from watchtower.config.model import DeclaredDataset, DeclaredJob, Ownership
from watchtower.config.rules import match, severity
from watchtower.config.types import PositiveDuration, Section, WebAddress, Zone
from watchtower.model.alert import Severity
from watchtower.model.business import BusinessCalendar
from watchtower.model.labels import Matcher
from watchtower.model.rule import Rule
from watchtower.registry import Registry

RUN_MISSING, RUN_LATE, DATASET_STALE = "RunMissing", "RunLate", "DatasetStale"

_MATCH = "labels, as in a rule's match; instead of an exact name"
_SEVERITY = "of the alerts about this entry: page, ticket or info"


class JobDocument(Section):
    """One entry of `jobs`."""

    pipeline: str | None = Field(default=None, min_length=1, description="exact name of the pipeline (DAG, flow)")
    task: str | None = Field(default=None, description="exact name of one task of it")
    match: Any = Field(default=None, description=_MATCH)
    namespace: str | None = Field(default=None, description="OpenLineage job namespace")
    source: str | None = Field(default=None, description="source id; default: what the namespace stands for")
    schedule: str | None = Field(default=None, description="cron or OnCalendar by which a run must start")
    timezone: Zone | None = Field(default=None, description="IANA zone of the schedule; default UTC")
    calendar: str | None = Field(default=None, description="on whose days alone runs are expected and learned")
    renamed_from: str | None = Field(default=None, min_length=1, description="its name before: its history goes on")
    moved_from: str | None = Field(default=None, min_length=1, description="its namespace before: its history goes on")
    start_within: PositiveDuration | None = Field(default=None, description="how late a start may be; default 5m")
    finish_within: PositiveDuration | None = Field(default=None, description="time from the due start to the end")
    severity: str = Field(default="ticket", description=_SEVERITY)
    owner: str | None = Field(default=None, description="who answers for it")
    team: str | None = Field(default=None, description="which team it belongs to")
    upstream: tuple[str, ...] = Field(default=(), description="names of pipelines it waits for")
    runbook_url: WebAddress | None = Field(default=None, description="where the remedy is written down")
    description: str | None = Field(default=None, description="what it is for")


class DatasetDocument(Section):
    """One entry of `datasets`."""

    dataset: str | None = Field(default=None, min_length=1, description="exact name, e.g. shop.public.orders")
    match: Any = Field(default=None, description=_MATCH)
    namespace: str | None = Field(default=None, description="OpenLineage namespace, e.g. postgres://warehouse:5432")
    warn_after: PositiveDuration | None = Field(default=None, description="age of its data that is worth a warning")
    fail_after: PositiveDuration | None = Field(default=None, description="age of its data that is too old")
    severity: str = Field(default="ticket", description=_SEVERITY)
    owner: str | None = Field(default=None, description="who answers for it")
    team: str | None = Field(default=None, description="which team it belongs to")
    runbook_url: WebAddress | None = Field(default=None, description="where the remedy is written down")
    description: str | None = Field(default=None, description="what it is for")


class OwnershipDocument(Section):
    """One entry of `ownership`; the first that fits and names an owner (or a team) decides it."""

    match: Any = Field(default=None, description="labels, as in a rule's match; everything if absent")
    owner: str | None = Field(default=None, description="who answers for what matches")
    team: str | None = Field(default=None, description="which team it belongs to")


@dataclass(slots=True)
class Subjects:
    jobs: list[DeclaredJob] = field(default_factory=list[DeclaredJob])
    datasets: list[DeclaredDataset] = field(default_factory=list[DeclaredDataset])
    ownership: list[Ownership] = field(default_factory=list[Ownership])
    rules: list[Rule] = field(default_factory=list[Rule])


S = TypeVar("S", bound=Section)


def subjects(
    data: dict[str, Any],
    faults: Faults,
    *,
    kinds: Registry,
    severities: Mapping[str, Severity],
    source_of: Callable[[str], str],
    only_namespace: str | None,
    calendars: Mapping[str, BusinessCalendar],
) -> Subjects:
    """source_of: namespace → source id; only_namespace: the one that sources are configured for, if it is one."""
    reader = _Reader(kinds, severities, source_of, only_namespace, faults=faults, calendars=calendars)
    for document, given, path in reader.entries(data, "jobs", "pipeline", JobDocument):
        reader.job(document, given, path)
    for document, given, path in reader.entries(data, "datasets", "dataset", DatasetDocument):
        reader.dataset(document, given, path)
    for index, item in enumerate(faults.listed(data.get("ownership"), ("ownership",))):
        reader.owner(item, ("ownership", index))
    return reader.found


class _Reader:
    def __init__(
        self,
        kinds: Registry,
        severities: Mapping[str, Severity],
        source_of: Callable[[str], str],
        only_namespace: str | None,
        *,
        faults: Faults,
        calendars: Mapping[str, BusinessCalendar],
    ) -> None:
        self._calendars = calendars
        self._kinds = kinds
        self._severities = severities
        self._source_of = source_of
        self._only_namespace = only_namespace
        self._faults = faults
        self._named: dict[tuple[str, str | None, str | None], str] = {}  # → where it was declared first
        self.found = Subjects()

    def entries(
        self, data: dict[str, Any], key: str, name: str, model: type[S]
    ) -> Iterator[tuple[S, dict[str, Any], Path]]:
        """A list of entries, or a mapping whose keys are exact names."""
        given = data.get(key)
        if isinstance(given, dict):
            items: list[tuple[Path, Any]] = [
                ((key, each), {name: each, **self._faults.mapping(value, (key, each))})
                for each, value in cast("dict[str, Any]", given).items()
            ]
        else:
            items = [((key, index), item) for index, item in enumerate(self._faults.listed(given, (key,)))]
        for path, item in items:
            document = self._faults.salvaged(model, item, path)
            if document is not None:
                yield document, cast("dict[str, Any]", item), path

    def job(self, document: JobDocument, given: dict[str, Any], path: Path) -> None:
        exact = {"pipeline": document.pipeline, "task": document.task}
        matchers = self._matchers(document, {**exact, "namespace": document.namespace}, "pipeline", path)
        namespace = document.namespace or self._only_namespace
        source = document.source or (self._source_of(namespace) if namespace else None)
        job = DeclaredJob(
            matchers=matchers,
            pipeline=document.pipeline,
            task=document.task,
            namespace=namespace,
            source=source,
            schedule=document.schedule,
            timezone=document.timezone,
            owner=document.owner,
            team=document.team,
            upstream=document.upstream,
            start_within_s=document.start_within,
            finish_within_s=document.finish_within,
            runbook_url=document.runbook_url,
            description=document.description,
            path=dotted(path),
            calendar=self._calendar(document.calendar, path),
            renamed_from=document.renamed_from,
            moved_from=document.moved_from,
        )
        self._once(job, path)
        if job.renamed_from and job.renamed_from == job.pipeline and not job.moved_from:
            self._faults.add((*path, "renamed_from"), "is the name that it has", "write the one that it had before")
        self.found.jobs.append(job)
        when = ("timezone", *(("calendar",) if job.calendar else ()))
        start = {key: given[key] for key in ("schedule", *when, "start_within") if getattr(document, key) is not None}
        if document.schedule or document.start_within:
            self._rule(RUN_MISSING, "missing_run", start, document=document, matchers=matchers, path=path)
        finish = {key: given[key] for key in (*when, "finish_within") if getattr(document, key) is not None}
        if document.finish_within:
            self._rule(RUN_LATE, "deadline", finish, document=document, matchers=matchers, path=path)
        if document.timezone and not document.schedule:
            self._faults.add((*path, "timezone"), "says nothing without a schedule", "add schedule:, or remove it")

    def _calendar(self, name: str | None, path: Path) -> BusinessCalendar | None:
        if name is not None and name not in self._calendars:
            known = ", ".join(self._calendars) or "none: add one under calendars"
            self._faults.add((*path, "calendar"), f"unknown calendar {name!r}", f"known: {known}")
        return self._calendars.get(name or "")

    def dataset(self, document: DatasetDocument, given: dict[str, Any], path: Path) -> None:
        exact = {"dataset": document.dataset, "namespace": document.namespace}
        matchers = self._matchers(document, exact, "dataset", path)
        self.found.datasets.append(
            DeclaredDataset(
                matchers=matchers,
                name=document.dataset,
                namespace=document.namespace,
                owner=document.owner,
                team=document.team,
                warn_after_s=document.warn_after,
                fail_after_s=document.fail_after,
                runbook_url=document.runbook_url,
                description=document.description,
                path=dotted(path),
            )
        )
        limits = {key: given[key] for key in ("warn_after", "fail_after") if given.get(key) is not None}
        if limits:
            self._rule(DATASET_STALE, "freshness", limits, document=document, matchers=matchers, path=path)

    def owner(self, item: Any, path: Path) -> None:
        document = self._faults.salvaged(OwnershipDocument, item, path)
        if document is None:
            return
        matchers = match(document.match, (*path, "match"), self._faults)
        if not document.owner and not document.team:
            self._faults.add(path, "gives neither owner nor team", "add owner: or team:")
        self.found.ownership.append(Ownership(matchers, document.owner, document.team))

    def _matchers(
        self, document: JobDocument | DatasetDocument, exact: Mapping[str, str | None], name: str, path: Path
    ) -> tuple[Matcher, ...]:
        matchers = list(match(document.match, (*path, "match"), self._faults))
        taken = {matcher.name for matcher in matchers}
        if (exact[name] is None) == (document.match is None):
            self._faults.add(path, f"needs either {name} or match", f"write {name}: NAME for one, match: for many")
        for label, value in exact.items():
            if value is not None and label in taken:
                self._faults.add((*path, label), f"{label} stands in match, too", "keep one of them")
            elif value is not None:
                matchers.append(Matcher(label, "=", value))
        return tuple(matchers)

    def _once(self, job: DeclaredJob, path: Path) -> None:
        if job.pipeline is None:
            return
        other = self._named.setdefault((job.pipeline, job.task, job.namespace), job.path)
        if other != job.path:
            problem = f"the pipeline {job.pipeline!r} is declared twice, also as {other}"
            self._faults.add(path, problem, "merge the entries")

    def _rule(
        self,
        name: str,
        kind: str,
        options: dict[str, Any],
        *,
        document: JobDocument | DatasetDocument,
        matchers: tuple[Matcher, ...],
        path: Path,
    ) -> None:
        if kind not in self._kinds:
            return
        context = {"calendars": self._calendars}
        checked = self._faults.validated(self._kinds.get(kind).Config, options, path, context=context)
        if checked is None:
            return
        rule = Rule(name, kind, checked, matchers, runbook_url=document.runbook_url, declared=True)
        wanted = severity(document.severity, (*path, "severity"), self._severities, self._faults)
        self.found.rules.append(replace(rule, severity=wanted))
