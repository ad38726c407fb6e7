"""Plug-ins by name: collectors, rule kinds, channels and ticket systems, each imported when it is first asked for.

A built-in is one line in a table below; outsiders use the entry-point groups `watchtower.collectors`, `.pollers`,
`.bills`, `.rules`, `.channels` and `.tickets`. The targets are texts (`module:attribute`): nothing above this layer is
imported. The contract of each class is its protocol in `watchtower.ports`: a name (`kind` or `name`) and a pydantic
`Config`.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel

from watchtower.errors import ConfigError, Fault

log = logging.getLogger(__name__)


class Registry:
    """What is known under one heading. what: the singular for messages, e.g. `channel`; group: of entry points;
    builtin: name → `module:attribute`. A built-in name cannot be taken by an outsider."""

    def __init__(self, what: str, group: str, builtin: Mapping[str, str]) -> None:
        self.what = what
        self.group = group
        self._builtin = dict(builtin)
        self._loaded: dict[str, type[Any]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All known names: the built-in ones in their order, then those of outsiders, sorted."""
        return (*self._builtin, *sorted(self._outsiders))

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._outsiders

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def get(self, name: str) -> type[Any]:
        """The class called name. Raises ConfigError that lists what is known, or says why it cannot be used."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def unknown(self, name: str) -> tuple[str, str]:
        """Message and remedy for a name that is not known: `unknown channel 'slak'`, `known: slack, …; did you …`."""
        close = get_close_matches(name, self.names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"unknown {self.what} {name!r}", f"{hint}known: {', '.join(self.names)}"

    @cached_property
    def _outsiders(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            if point.name in self._builtin or point.name in found:
                fields = {"plugin": point.name, "group": self.group, "target": point.value}
                log.warning("a plug-in is left out: its name is taken", extra=fields)
            else:
                found[point.name] = point
        return found

    def _load(self, name: str) -> type[Any]:
        if name not in self:
            message, remedy = self.unknown(name)
            raise ConfigError([Fault("", message, remedy)])
        try:
            if name in self._builtin:
                module, _, attribute = self._builtin[name].partition(":")
                made = getattr(import_module(module), attribute)
            else:
                made = self._outsiders[name].load()
        except Exception as error:  # an outsider's module can fail in any way while it is imported
            where = self._builtin.get(name) or self._outsiders[name].value
            message = f"{self.what} {name!r} ({where}) cannot be loaded: {type(error).__name__}: {error}"
            raise ConfigError([Fault("", message, "repair or uninstall the package that brings it")]) from error
        return self._checked(name, made)

    def _checked(self, name: str, made: Any) -> type[Any]:
        """A plug-in that breaks its contract is refused at load, never met during a delivery."""
        config = getattr(made, "Config", None)
        said = getattr(made, "kind", None) or getattr(made, "name", None)
        if not isinstance(config, type) or not issubclass(config, BaseModel):
            problem = "has no `Config` that is a pydantic model"
        elif config.model_config.get("extra") != "forbid":
            problem = '`Config` must forbid unknown keys: model_config = ConfigDict(extra="forbid")'
        elif said != name:
            problem = f"calls itself {said!r}"
        else:
            return made
        raise ConfigError([Fault("", f"{self.what} {name!r} {problem}", "see CONTRIBUTING.md")])


COLLECTORS = Registry(
    "collector",
    "watchtower.collectors",
    {
        "openlineage": "collectors.openlineage:OpenLineage",
        "otlp_traces": "collectors.otlp.traces:OtlpTraces",
        "otlp_metrics": "collectors.otlp.metrics:OtlpMetrics",
        "series": "collectors.series:Series",
        "pings": "collectors.pings:Pings",
        "prefect": "collectors.prefect:Prefect",
        "data_factory": "collectors.azure.data_factory:DataFactory",
        "events": "collectors.events:Events",
        "ci": "collectors.ci:Ci",
    },
)

POLLERS = Registry(
    "poller",
    "watchtower.pollers",
    {
        "airflow": "collectors.airflow:AirflowPoller",
        "prefect": "collectors.prefect:Prefect",
        "dagster": "collectors.dagster:Dagster",
        "kafka": "collectors.kafka:Kafka",
        "kubernetes": "collectors.kubernetes:Kubernetes",
        "dataset_probe": "collectors.probes:DatasetProbe",
        "object_probe": "collectors.probes:ObjectProbe",
        "dependency_probe": "collectors.probes:DependencyProbe",
        "step_functions": "collectors.aws.step_functions:StepFunctions",
        "glue": "collectors.aws.glue:Glue",
        "sagemaker": "collectors.aws.sagemaker:SageMaker",
        "emr": "collectors.aws.emr:Emr",
        "emr_serverless": "collectors.aws.emr_serverless:EmrServerless",
        "lambda": "collectors.aws.lambda_functions:Lambda",
        "data_factory": "collectors.azure.data_factory:DataFactory",
        "azure_ml": "collectors.azure.machine_learning:AzureMl",
        "power_bi": "collectors.azure.power_bi:PowerBi",
        "tableau": "collectors.tableau:Tableau",
        "databricks": "collectors.databricks:Databricks",
        "snowflake": "collectors.snowflake:Snowflake",
        "dataproc": "collectors.google.dataproc:Dataproc",
        "vertex_ai": "collectors.google.vertex_ai:VertexAi",
    },
)

BILLS = Registry(
    "collector of bills",
    "watchtower.bills",
    {
        "focus": "collectors.billing.focus:Focus",
        "cost_explorer": "collectors.billing.cost_explorer:CostExplorer",
    },
)

RULE_KINDS = Registry(
    "rule kind",
    "watchtower.rules",
    {
        "run_failure": "rules.kinds.run_failure:RunFailure",
        "missing_run": "rules.kinds.missing_run:MissingRun",
        "deadline": "rules.kinds.deadline:Deadline",
        "deadline_risk": "rules.kinds.deadline_risk:DeadlineRisk",
        "freshness": "rules.kinds.freshness:Freshness",
        "duration": "rules.kinds.duration:Duration",
        "orphan": "rules.kinds.orphan:Orphan",
        "queue_time": "rules.kinds.queue_time:QueueTime",
        "retry_storm": "rules.kinds.retry_storm:RetryStorm",
        "schema_change": "rules.kinds.schema_change:SchemaChange",
        "out_of_sequence": "rules.kinds.out_of_sequence:OutOfSequence",
        "absence": "rules.kinds.absence:Absence",
        "compare": "rules.kinds.compare:Compare",
        "budget": "rules.kinds.budget:BudgetExceeded",
        "bill": "rules.kinds.bill:Bill",
        "threshold": "rules.kinds.threshold:Threshold",
        "anomaly": "rules.kinds.anomaly:Anomaly",
        "unit_cost": "rules.kinds.unit_cost:UnitCost",
        "slo": "rules.kinds.slo:SloBurn",
        "drift": "rules.kinds.drift:Drift",
        "quality": "rules.kinds.quality:Quality",
        "volume": "rules.kinds.volume:Volume",
        "disagreement": "rules.kinds.disagreement:Disagreement",
        "source_silence": "rules.kinds.source_silence:SourceSilence",
        "source_problem": "rules.kinds.source_problem:SourceProblem",
    },
)

CHANNELS = Registry(
    "channel",
    "watchtower.channels",
    {
        "local": "alerting.channels.local:Local",
        "webhook": "alerting.channels.webhook:Webhook",
        "slack": "alerting.channels.slack:Slack",
        "email": "alerting.channels.email:Email",
        "sms": "alerting.channels.sms:Sms",
        "voice": "alerting.channels.voice:Voice",
        "pagerduty": "alerting.channels.pagerduty:PagerDuty",
    },
)

TICKET_SYSTEMS = Registry(
    "ticket system",
    "watchtower.tickets",
    {
        "request_tracker": "alerting.tickets.request_tracker:RequestTracker",
        "jira": "alerting.tickets.jira:Jira",
        "servicenow": "alerting.tickets.servicenow:ServiceNow",
        "zendesk": "alerting.tickets.zendesk:Zendesk",
    },
)


@dataclass(frozen=True, slots=True)
class Registries:
    """The registries that a configuration is read against."""

    collectors: Registry = COLLECTORS
    pollers: Registry = POLLERS
    bills: Registry = BILLS
    rule_kinds: Registry = RULE_KINDS
    channels: Registry = CHANNELS
    ticket_systems: Registry = TICKET_SYSTEMS

    @property
    def collector_kinds(self) -> tuple[str, ...]:
        """The keys that `collectors` takes: what takes events, asks orchestrators (or both), or brings bills."""
        return tuple(dict.fromkeys((*self.collectors, *self.pollers, *self.bills)))

    def collector(self, name: str) -> type[Any]:
        """The class behind a key of `collectors`."""
        found = next((each for each in (self.pollers, self.bills) if name in each), self.collectors)
        return found.get(name)

    def unknown_collector(self, name: str) -> tuple[str, str]:
        """As Registry.unknown, over all of them."""
        return Registry(self.collectors.what, "", dict.fromkeys(self.collector_kinds, "")).unknown(name)

    def destination(self, name: str) -> type[Any]:
        """The class behind `<name>_configs` of a receiver: a channel or a ticket system."""
        return (self.channels if name in self.channels else self.ticket_systems).get(name)

    @property
    def destinations(self) -> tuple[str, ...]:
        return (*self.channels.names, *self.ticket_systems.names)
