"""The registries, the protocol that each entry keeps, and how an entry is held against it."""

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tests.contract.tree import ROOT
from watchtower import ports
from watchtower.registry import BILLS, CHANNELS, COLLECTORS, POLLERS, RULE_KINDS, TICKET_SYSTEMS, Registry


@dataclass(frozen=True, slots=True)
class Kind:
    """One of them. name: of the registry in `watchtower.registry`; key: class attribute of an entry that is its
    name there; package: where the built-in ones live."""

    name: str
    registry: Registry
    key: str
    protocol: type[Any]
    package: str

    def builtin(self) -> dict[str, type[Any]]:
        """The entries that come with the project, by name."""
        entries = {name: self.registry.get(name) for name in self.registry}
        return {name: entry for name, entry in entries.items() if entry.__module__.startswith(f"{self.package}.")}


KINDS = (
    Kind("COLLECTORS", COLLECTORS, "kind", ports.Collector, "collectors"),
    Kind("POLLERS", POLLERS, "kind", ports.Poller, "collectors"),
    Kind("BILLS", BILLS, "kind", ports.BillCollector, "collectors.billing"),
    Kind("RULE_KINDS", RULE_KINDS, "kind", ports.RuleKind, "rules.kinds"),
    Kind("CHANNELS", CHANNELS, "name", ports.Channel, "alerting.channels"),
    Kind("TICKET_SYSTEMS", TICKET_SYSTEMS, "name", ports.TicketSystem, "alerting.tickets"),
)


def faults(entry: type[Any], protocol: type[Any]) -> list[str]:
    """What entry lacks of protocol: class variables without a default, methods, and the names of their parameters."""
    found = [
        f"{entry.__name__} lacks the class variable {name!r}"
        for name in inspect.get_annotations(protocol)
        if not hasattr(protocol, name) and not hasattr(entry, name)
    ]
    for name, wanted in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_"):
            continue
        given = getattr(entry, name, None)
        if not callable(given):
            found.append(f"{entry.__name__} lacks the method {name!r}")
            continue
        have, want = (list(inspect.signature(method).parameters) for method in (given, wanted))
        if have != want:
            found.append(f"{entry.__name__}.{name} takes {have}, the protocol {want}")
    return found


def config_faults(entry: type[Any]) -> list[str]:
    """Config is a frozen pydantic model that refuses unknown keys."""
    config = getattr(entry, "Config", None)
    if not (inspect.isclass(config) and issubclass(config, BaseModel)):
        return [f"{entry.__name__}.Config is no pydantic model"]
    asked = {"extra": "forbid", "frozen": True}
    return [
        f"{entry.__name__}.Config: model_config has {key}={config.model_config.get(key)!r}, wanted {value!r}"
        for key, value in asked.items()
        if config.model_config.get(key) != value
    ]


def source_of(entry: type[Any]) -> Path:
    """Relative to the root of the project."""
    file = sys.modules[entry.__module__].__file__
    assert file is not None
    return Path(file).relative_to(ROOT)
