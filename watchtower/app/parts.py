"""What follows from a configuration: rules, the alerting pipeline, the channels, collectors. Nothing here runs yet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from alerting.configured import pipeline_of
from alerting.destinations import make_channel, make_hooks
from alerting.pipeline import Pipeline
from rules.defaults import DEFAULT_RULES
from rules.frozen import freeze
from watchtower.app.round_trip import RULE_OF_TRIPS, NullChannel, TripCollector, TripRule
from watchtower.clock import SteadyClock
from watchtower.config.asked import feeds_of, polled_of
from watchtower.config.model import Config
from watchtower.errors import ConfigError, Fault
from watchtower.model.derived import DERIVED
from watchtower.model.round_trip import DESTINATION
from watchtower.model.rule import JobSnapshot, Rule, SeriesSnapshot, Snapshot
from watchtower.outbound import Outbound
from watchtower.ports import (
    Callbacks,
    Channel,
    ChannelContext,
    Clock,
    Collector,
    FileFeed,
    Hook,
    KnownRuns,
    NoProofs,
    PolledSource,
    Proofs,
    QueryFeed,
    RuleKind,
    WithHooks,
)
from watchtower.registry import Registries
from watchtower.store.series import Naming

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a reload replaces, built and checked before anything is swapped. watch_series: names of the
    series that rules watch; None: some rule watches any."""

    config: Config
    rules: tuple[Rule, ...]
    kinds: Mapping[str, RuleKind]
    pipeline: Pipeline
    channels: Mapping[str, Channel]
    hooks: Mapping[str, Hook]
    feeds: Sequence[FileFeed | QueryFeed]
    polled: Sequence[PolledSource]
    watch_series: frozenset[str] | None
    naming: Naming

    @property
    def watch_tasks(self) -> bool:
        """Some rule names tasks, so tasks are subjects of the due queue too."""
        return any(matcher.name == "task" for rule in self.rules for matcher in rule.matchers)

    @property
    def derived(self) -> frozenset[str]:
        """The series among them that are worked out from runs."""
        return DERIVED & (self.watch_series or frozenset())

    def owned(self, snapshot: Snapshot) -> Snapshot:
        """snapshot with the owner, team, calendar and former name that the configuration gives its subject."""
        labels = snapshot.labels
        owned = snapshot.owned_by(*self.config.owner_of(labels))
        if not isinstance(owned, JobSnapshot | SeriesSnapshot):
            return owned
        calendar = self.config.calendar_of(labels)
        if calendar is not None:
            owned = replace(owned, calendar=calendar)
        former = self.config.former_of(labels) if isinstance(owned, JobSnapshot) else None
        return owned if former is None else replace(owned, formerly=former)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What channels and pollers are told of the Watchtower they are part of. callbacks: None where no provider can
    reach it; known_runs: what its store has."""

    external_url: str
    callbacks: Callbacks | None = None
    proofs: Proofs = field(default_factory=NoProofs)
    known_runs: KnownRuns = lambda source, namespace, native_run_ids: {}


def build(config: Config, clock: Clock, around: Surroundings | str, registries: Registries | None = None) -> Parts:
    """Raises ConfigError with every part that cannot be made. around: or just the external URL."""
    around = Surroundings(around) if isinstance(around, str) else around
    registries = registries or Registries()
    faults: list[Fault] = []
    context = ChannelContext(
        http=Outbound(clock, config.outbound.networks),
        clock=clock,
        external_url=around.external_url,
        secret=config.secrets.resolve,
        callbacks=around.callbacks,
        proofs=around.proofs,
        people=config.oncall,
    )
    channels = {**_channels(config, registries, context, faults), DESTINATION: NullChannel()}
    kinds: dict[str, RuleKind] = {name: registries.rule_kinds.get(name)() for name in registries.rule_kinds}
    kinds[TripRule.kind] = TripRule()
    feeds = _made(lambda: feeds_of(config, clock, registries), faults)
    polled = _made(lambda: polled_of(config, clock, around.known_runs, registries), faults)
    hooks = _hooks(config, registries, context, faults)
    if faults:
        raise ConfigError(faults)
    rules = (*config.declared_rules, *DEFAULT_RULES, RULE_OF_TRIPS)
    return Parts(
        config=config,
        rules=rules,
        kinds=freeze(kinds, clock.gaps) if isinstance(clock, SteadyClock) else kinds,
        pipeline=pipeline_of(config),
        channels=channels,
        hooks=hooks,
        feeds=feeds,
        polled=polled,
        watch_series=_watched_series(rules, kinds),
        naming=Naming(config.source_of, config.only_namespace),
    )


def _hooks(config: Config, registries: Registries, context: ChannelContext, faults: list[Fault]) -> dict[str, Hook]:
    """Those of providers, and those that collectors have (`hooks()`), by name."""
    made = make_hooks((item for known in config.receivers.values() for item in known.destinations), context)
    for kind, collector in collectors_of(config, registries).items():
        own: Mapping[str, Hook] = collector.hooks() if isinstance(collector, WithHooks) else {}
        for name in made.keys() & own.keys():
            path = f"collectors.{kind}.hooks.{name}"
            faults.append(Fault(path, f"/hooks/{name} is taken by a receiver", "give the hook another name"))
        made |= own
    return made


def _made(make: Callable[[], tuple[T, ...]], faults: list[Fault]) -> tuple[T, ...]:
    try:
        return make()
    except ConfigError as error:
        faults.extend(error.faults)
        return ()


def _watched_series(rules: Sequence[Rule], kinds: Mapping[str, RuleKind]) -> frozenset[str] | None:
    """Names of the series that rules watch; None if one of them watches any."""
    names: set[str] = set()
    for rule in rules:
        if rule.kind in kinds and kinds[rule.kind].subject == "series":
            matchers = (*rule.matchers, *getattr(rule.options, "matchers", ()))
            named = {matcher.value for matcher in matchers if matcher.name == "series" and matcher.op == "="}
            if not named:
                return None
            names |= named
    return frozenset(names)


def restart_needed(old: Config, new: Config) -> list[str]:
    """The sections that differ and that a reload does not reach: what is open stays open."""
    return [name for name in ("store", "server") if getattr(old, name) != getattr(new, name)]


def collectors_of(config: Config, registries: Registries | None = None) -> dict[str, Collector]:
    """One collector of each kind, with what the configuration says of it. One whose events name the namespaces of other
    sources has an attribute `source_of`, which answers as the configuration does."""
    known = (registries or Registries()).collectors
    made: dict[str, Any] = {TripCollector.kind: TripCollector()}
    for name in known:
        collector = known.get(name)
        made[name] = collector(config.collectors.get(name) or collector.Config())
        if hasattr(made[name], "source_of"):
            made[name].source_of = config.source_of
    return made


def _channels(
    config: Config, registries: Registries, context: ChannelContext, faults: list[Fault]
) -> dict[str, Channel]:
    """One channel per destination of every receiver; the built-in `local` where nothing is configured."""
    channels: dict[str, Channel] = {}
    if not config.has_file_route:
        local = registries.channels.get("local")
        channels["local"] = local(local.Config(), context)
    for receiver in config.receivers.values():
        for destination in receiver.destinations:
            try:
                channels[destination.name] = make_channel(destination, context)
            except ConfigError as error:
                faults.extend(replace(fault, path=f"receivers: {destination.name}") for fault in error.faults)
    return channels
