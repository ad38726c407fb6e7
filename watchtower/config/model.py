"""The configuration as the rest of the program sees it: frozen, validated, defaults filled in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from watchtower.config.alerting import (
    LOCAL,
    LOCAL_GROUP_BY,
    Destination,
    Global,
    InhibitRule,
    Receiver,
    Route,
    TimeInterval,
)
from watchtower.config.maintenance import Maintenance
from watchtower.config.oncall import OnCall
from watchtower.config.polled import PolledConfig
from watchtower.config.sections import (
    BackupConfig,
    HeartbeatConfig,
    OutboundConfig,
    RetentionConfig,
    ScrubConfig,
    ServerConfig,
    StorageConfig,
)
from watchtower.errors import Fault
from watchtower.model.alert import Severity
from watchtower.model.business import BusinessCalendar
from watchtower.model.companion import Companion
from watchtower.model.cost import Budget
from watchtower.model.flapping import FlapPolicy
from watchtower.model.labels import Labels, Matcher, all_match
from watchtower.model.rule import Rule
from watchtower.model.run import DatasetRef, JobRef
from watchtower.model.slo import Slo
from watchtower.secrets import Secret, SecretStore

SEVERITY_MAP: Mapping[str, Severity] = {
    **{severity.value: severity for severity in Severity},
    "critical": Severity.PAGE,
    "warning": Severity.TICKET,
}


@dataclass(frozen=True, slots=True)
class DeclaredJob:
    """An entry of `jobs`. pipeline: its exact name, None if `matchers` are patterns; namespace and source: as far as
    the entry or the configured sources tell. upstream: names of jobs it waits for. Times in seconds."""

    matchers: tuple[Matcher, ...]
    pipeline: str | None = None
    task: str | None = None
    namespace: str | None = None
    source: str | None = None
    schedule: str | None = None
    timezone: str | None = None
    owner: str | None = None
    team: str | None = None
    upstream: tuple[str, ...] = ()
    start_within_s: float | None = None
    finish_within_s: float | None = None
    runbook_url: str | None = None
    description: str | None = None
    path: str = ""
    calendar: BusinessCalendar | None = None
    renamed_from: str | None = None
    moved_from: str | None = None

    @property
    def was_elsewhere(self) -> bool:
        return self.renamed_from is not None or self.moved_from is not None

    @property
    def ref(self) -> JobRef | None:
        """The subject to create at load; None while its namespace is not known, or for patterns."""
        if self.pipeline is None or self.namespace is None or self.source is None:
            return None
        return JobRef(self.source, self.namespace, self.pipeline, self.task)


@dataclass(frozen=True, slots=True)
class DeclaredDataset:
    """An entry of `datasets`."""

    matchers: tuple[Matcher, ...]
    name: str | None = None
    namespace: str | None = None
    owner: str | None = None
    team: str | None = None
    warn_after_s: float | None = None
    fail_after_s: float | None = None
    runbook_url: str | None = None
    description: str | None = None
    path: str = ""

    @property
    def ref(self) -> DatasetRef | None:
        return DatasetRef(self.namespace, self.name) if self.name and self.namespace else None


@dataclass(frozen=True, slots=True)
class Ownership:
    """Subjects whose labels match belong to owner and team. The first entry that names one of them decides it."""

    matchers: tuple[Matcher, ...]
    owner: str | None = None
    team: str | None = None


Owning = DeclaredJob | DeclaredDataset | Ownership


class _Owners:
    """Entries by the exact pipeline or dataset they name, since there may be one for each of many thousands."""

    def __init__(self, entries: Sequence[Owning]) -> None:
        self._named: dict[tuple[str, str], list[tuple[int, Owning]]] = {}
        self._others: list[tuple[int, Owning]] = []
        for position, entry in enumerate(entries):
            exact = _exact(entry.matchers)
            label = next((label for label in ("pipeline", "dataset") if label in exact), None)
            place = self._others if label is None else self._named.setdefault((label, exact[label]), [])
            place.append((position, entry))

    def __bool__(self) -> bool:
        return bool(self._named or self._others)

    def of(self, labels: Labels) -> list[Owning]:
        """Those that may match labels, in the order of the file."""
        named = [self._named.get((label, labels.get(label, "")), []) for label in ("pipeline", "dataset")]
        found = [*named[0], *named[1], *self._others]
        return [entry for _, entry in sorted(found, key=lambda item: item[0])]


@dataclass(frozen=True, slots=True)
class Config:
    """path: of the file, None for the built-in defaults; base_dir: what relative paths start from. declared_rules: of
    `rules`, `jobs`, `datasets` and `budgets`; the shipped ones are added by the rules layer; only_namespace: what an
    entry without one means, if the sources name exactly one."""

    path: Path | None = None
    base_dir: Path = field(default_factory=Path)
    store: Secret | None = None
    server: ServerConfig = field(default_factory=ServerConfig)
    collectors: Mapping[str, Any] = field(default_factory=dict[str, Any])
    only_namespace: str | None = None
    jobs: tuple[DeclaredJob, ...] = ()
    datasets: tuple[DeclaredDataset, ...] = ()
    ownership: tuple[Ownership, ...] = ()
    budgets: tuple[Budget, ...] = ()
    slos: tuple[Slo, ...] = ()
    declared_rules: tuple[Rule, ...] = ()
    route: Route = field(default_factory=lambda: Route(LOCAL, group_by=LOCAL_GROUP_BY, page_at_once=True))
    receivers: Mapping[str, Receiver] = field(default_factory=dict[str, Receiver])
    oncall: OnCall = field(default_factory=OnCall)
    inhibit_rules: tuple[InhibitRule, ...] = ()
    time_intervals: Mapping[str, TimeInterval] = field(default_factory=dict[str, TimeInterval])
    maintenance: tuple[Maintenance, ...] = ()
    flapping: FlapPolicy = field(default_factory=FlapPolicy)
    global_: Global = field(default_factory=Global)
    severity_map: Mapping[str, Severity] = field(default_factory=lambda: SEVERITY_MAP)
    outbound: OutboundConfig = field(default_factory=OutboundConfig)
    scrub: ScrubConfig = field(default_factory=ScrubConfig)
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    backup: BackupConfig | None = None
    heartbeat: HeartbeatConfig | None = None
    emergency: tuple[Destination, ...] = ()
    reserved: Mapping[str, Any] = field(default_factory=dict[str, Any])
    secrets: SecretStore = field(default_factory=SecretStore)
    warnings: tuple[Fault, ...] = ()
    _owners: "_Owners" = field(init=False, repr=False, compare=False)
    _calendars: "_Owners" = field(init=False, repr=False, compare=False)  # of jobs, those that name one
    _renamed: "_Owners" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_owners", _Owners((*self.jobs, *self.datasets, *self.ownership)))
        object.__setattr__(self, "_calendars", _Owners([job for job in self.jobs if job.calendar]))
        object.__setattr__(self, "_renamed", _Owners([job for job in self.jobs if job.was_elsewhere]))

    @property
    def has_file_route(self) -> bool:
        """Whether the file says where alerts go; else they go to `local`, and pages at once."""
        return not self.route.page_at_once

    def source_of(self, namespace: str) -> str:
        """The source that jobs of a namespace belong to: the one that is configured to stand for it, `pings` for that
        of checks, the polled one whose jobs have it, else `openlineage:<namespace>`."""
        table: Mapping[str, tuple[str, ...]] = getattr(self.collectors.get("openlineage"), "sources", {})
        for name, patterns in table.items():
            if any(fnmatchcase(namespace, pattern) for pattern in patterns):
                return name
        if namespace == getattr(self.collectors.get("pings"), "namespace", None):
            return "pings"
        own = (each.name for each in self.polled if each.of_jobs == namespace and not each.speaks_openlineage)
        return next(own, f"openlineage:{namespace}")

    @property
    def polled(self) -> tuple[PolledConfig, ...]:
        """Every source that is asked."""
        given = (getattr(options, "sources", ()) for options in self.collectors.values())
        return tuple(each for some in given for each in some if isinstance(each, PolledConfig))

    @property
    def job_refs(self) -> tuple[JobRef, ...]:
        """Jobs to create at load: named exactly by `jobs` or the match of a rule, in a namespace that is known."""
        found = [job.ref for job in self.jobs]
        found += [self.job_ref(rule.matchers) for rule in self.declared_rules]
        return tuple(dict.fromkeys(ref for ref in found if ref is not None))

    @property
    def dataset_refs(self) -> tuple[DatasetRef, ...]:
        """Datasets to create at load: those that `datasets` or the match of a rule names with their namespace."""
        found = [dataset.ref for dataset in self.datasets]
        for rule in self.declared_rules:
            exact = _exact(rule.matchers)
            if "dataset" in exact and "namespace" in exact:
                found.append(DatasetRef(exact["namespace"], exact["dataset"]))
        return tuple(dict.fromkeys(ref for ref in found if ref is not None))

    def job_ref(self, matchers: Sequence[Matcher]) -> JobRef | None:
        """The one job that matchers name, if they name one and its namespace is known."""
        exact = _exact(matchers)
        namespace = exact.get("namespace") or (None if _names(matchers, "namespace") else self.only_namespace)
        if "pipeline" not in exact or namespace is None or (_names(matchers, "task") and "task" not in exact):
            return None
        return JobRef(exact.get("source") or self.source_of(namespace), namespace, exact["pipeline"], exact.get("task"))

    def owner_of(self, labels: Labels) -> tuple[str | None, str | None]:
        """Owner and team that `jobs`, `datasets` and `ownership` give a subject with labels, in this order."""
        fitting = [entry for entry in self._owners.of(labels) if all_match(entry.matchers, labels)]
        owner = next((entry.owner for entry in fitting if entry.owner), None)
        return owner, next((entry.team for entry in fitting if entry.team), None)

    def calendar_of(self, labels: Labels) -> BusinessCalendar | None:
        """The days on which a job with labels has business, by the first entry of `jobs` that fits and says so."""
        if not self._calendars:
            return None
        entries = (entry for entry in self._calendars.of(labels) if all_match(entry.matchers, labels))
        return next((entry.calendar for entry in entries if isinstance(entry, DeclaredJob)), None)

    def former_of(self, labels: Labels) -> Companion | None:
        """What a job with labels was before it was renamed or moved, by the first entry of `jobs` that says so."""
        if not self._renamed:
            return None
        entries = (entry for entry in self._renamed.of(labels) if all_match(entry.matchers, labels))
        found = next((entry for entry in entries if isinstance(entry, DeclaredJob)), None)
        if found is None:
            return None
        return Companion("job", found.renamed_from or labels["pipeline"], labels.get("task") or None, found.moved_from)

    def severity(self, text: str) -> Severity | None:
        """The severity that a label of an inbound alert means; None if the map does not know it."""
        return self.severity_map.get(text.lower())


def _exact(matchers: Sequence[Matcher]) -> dict[str, str]:
    return {matcher.name: matcher.value for matcher in matchers if matcher.op == "="}


def _names(matchers: Sequence[Matcher], label: str) -> bool:
    return any(matcher.name == label for matcher in matchers)
