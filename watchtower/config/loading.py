"""A file becomes a Config, or is refused as a whole with every fault. The same way for start, reload and `check`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from watchtower.config import document as documents
from watchtower.config import reach
from watchtower.config.budgets import budgets
from watchtower.config.calendars import calendars
from watchtower.config.faults import Faults, close_to
from watchtower.config.flapping import FlappingDocument
from watchtower.config.intervals import time_intervals
from watchtower.config.keys import RESERVED, check_keys
from watchtower.config.maintenance import check_slos, maintenance
from watchtower.config.model import SEVERITY_MAP, Config
from watchtower.config.oncall import oncall
from watchtower.config.polled import PolledConfig
from watchtower.config.receivers import SecretReference, emergency, global_section, receivers, secret_references
from watchtower.config.routing import Names, inhibit_rules, route
from watchtower.config.rules import rules
from watchtower.config.sections import (
    BackupConfig,
    HeartbeatConfig,
    OutboundConfig,
    RetentionConfig,
    ScrubConfig,
    ServerConfig,
    StorageConfig,
)
from watchtower.config.slos import check_budgets, slos
from watchtower.config.subjects import subjects
from watchtower.config.types import Section
from watchtower.errors import ConfigError, Fault
from watchtower.model.alert import Severity
from watchtower.ports import Clock
from watchtower.registry import Registries
from watchtower.secrets import Secret, SecretStore


class StoreDocument(Section):
    store: Secret | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What reading a file gave. config: None if there are faults. references: where secrets are named."""

    config: Config | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    references: tuple[SecretReference, ...] = ()


def load(path: Path | str | None, *, registries: Registries | None = None, clock: Clock | None = None) -> Config:
    """The configuration in the file at path, or the built-in one for None. Raises ConfigError with all faults."""
    if path is None:
        return load_text("", registries=registries, clock=clock)
    checked = examine_file(Path(path), registries=registries, clock=clock)
    if checked.config is None:
        raise ConfigError(list(checked.faults))
    return checked.config


def load_text(
    text: str,
    base_dir: Path | None = None,
    *,
    file: Path | None = None,
    registries: Registries | None = None,
    clock: Clock | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """As load. base_dir: what relative paths start from, default the working directory."""
    checked = examine(text, base_dir, file=file, registries=registries, clock=clock, environ=environ)
    if checked.config is None:
        raise ConfigError(list(checked.faults))
    return checked.config


def examine_file(path: Path, *, registries: Registries | None = None, clock: Clock | None = None) -> Checked:
    """Never raises for what the file holds; a file that cannot be read is a fault, too."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return Checked(None, (Fault("", "is not UTF-8 text", "save it as UTF-8", file=str(path)),), ())
    except OSError as error:
        why = error.strerror or type(error).__name__
        remedy = "name the file by --config, or write a first one with: watchtower init"
        return Checked(None, (Fault("", f"cannot be read: {why}", remedy, file=str(path)),), ())
    return examine(text, path.resolve().parent, file=path, registries=registries, clock=clock)


def examine(
    text: str,
    base_dir: Path | None = None,
    *,
    file: Path | None = None,
    registries: Registries | None = None,
    clock: Clock | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Checked:
    """All faults and warnings of text at once, by line."""
    document = documents.read(text, str(file or ""))
    return examine_document(document, base_dir, file=file, registries=registries, clock=clock, environ=environ)


def examine_document(
    document: documents.Document,
    base_dir: Path | None = None,
    *,
    file: Path | None = None,
    registries: Registries | None = None,
    clock: Clock | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Checked:
    """As examine, of what was read already."""
    base_dir = (base_dir or Path()).resolve()
    faults = Faults(document, str(file or ""))
    secrets = SecretStore(clock, base_dir, environ)
    config, references = _built(document.data, faults, registries or Registries(), base_dir, secrets)
    if faults.found:
        return Checked(None, tuple(faults.found), tuple(faults.warnings), references)
    made = Config(path=file, **config)
    reach.doubt(made, faults)
    warnings = tuple(faults.warnings)
    return Checked(replace(made, warnings=warnings), (), warnings, references)


def _built(
    data: dict[str, Any], faults: Faults, registries: Registries, base_dir: Path, secrets: SecretStore
) -> tuple[dict[str, Any], tuple[SecretReference, ...]]:
    """The fields of Config, as far as they could be read."""
    check_keys(data, faults)
    severities = _severity_map(data, faults)
    collectors, own = _collectors(data, registries, secrets, faults)
    store, heartbeat, more = _with_secrets(data, secrets, faults)
    globals_ = global_section(data, registries, faults)
    people = oncall(data, secrets, faults)
    by_name, references = receivers(data, globals_, registries, secrets, faults, people=people)
    urgent, further = emergency(data, globals_, registries, secrets, faults)
    intervals = time_intervals(data, faults)
    names = Names(by_name.keys(), intervals.keys(), severities)
    root = route(data, names, faults)
    known = calendars(data, base_dir, faults)
    partial = Config(collectors=collectors)
    only = _only_namespace(partial)
    declared = subjects(
        data,
        faults,
        kinds=registries.rule_kinds,
        severities=severities,
        source_of=partial.source_of,
        only_namespace=only,
        calendars=known,
    )
    spending = budgets(data, registries.rule_kinds, severities, faults)
    objectives = slos(data, base_dir, severities, faults)
    check_budgets(objectives, spending.budgets, faults)
    written = rules(
        data,
        registries.rule_kinds,
        severities,
        faults,
        context={"calendars": known, "base_dir": base_dir},
        declared={"budget": [one.name for one in spending.budgets], "slo": [one.name for one in objectives]},
    )
    planned = maintenance(data, intervals, faults)
    check_slos(planned, objectives, faults)
    config = {
        "base_dir": base_dir,
        "store": store,
        "server": _server(data, faults),
        "collectors": collectors,
        "only_namespace": only,
        "jobs": tuple(declared.jobs),
        "datasets": tuple(declared.datasets),
        "ownership": tuple(declared.ownership),
        "budgets": spending.budgets,
        "slos": objectives,
        "declared_rules": (*written, *declared.rules, *spending.rules),
        "route": root,
        "receivers": by_name,
        "oncall": people,
        "inhibit_rules": inhibit_rules(data, names, faults),
        "time_intervals": intervals,
        "maintenance": planned,
        "flapping": _section(FlappingDocument, data, "flapping", faults).policy(),
        "global_": globals_,
        "severity_map": severities,
        "outbound": _section(OutboundConfig, data, "outbound", faults),
        "scrub": _section(ScrubConfig, data, "scrub", faults),
        "retention": _section(RetentionConfig, data, "retention", faults),
        "storage": _section(StorageConfig, data, "storage", faults),
        "backup": _backup(data, faults),
        "heartbeat": heartbeat,
        "emergency": urgent,
        "reserved": {key: data[key] for key in RESERVED if key in data},
        "secrets": secrets,
    }
    return config, (*more, *own, *references, *further)


def _section(model: type[Any], data: dict[str, Any], key: str, faults: Faults) -> Any:
    return faults.validated(model, faults.mapping(data.get(key), (key,)), (key,)) or model()


def _server(data: dict[str, Any], faults: Faults) -> ServerConfig:
    found: ServerConfig = _section(ServerConfig, data, "server", faults)
    if urlsplit(found.external_url or "").path.strip("/"):
        remedy = "give it a name of its own, e.g. https://watchtower.example.com"
        faults.warn(("server", "external_url"), "pages work at the root of a name alone, not below a path", remedy)
    return found


def _backup(data: dict[str, Any], faults: Faults) -> BackupConfig | None:
    """Only who says where is backed up."""
    if data.get("backup") is None:
        return None
    return faults.validated(BackupConfig, faults.mapping(data["backup"], ("backup",)), ("backup",))


def _with_secrets(
    data: dict[str, Any], secrets: SecretStore, faults: Faults
) -> tuple[Secret | None, HeartbeatConfig | None, list[SecretReference]]:
    """`store` and `heartbeat`. The address of a store is a warning only if it holds a password."""
    references: list[SecretReference] = []
    context = {"secrets": secrets}
    raw = data.get("store")
    store = faults.validated(StoreDocument, {"store": raw}, (), context=context) if raw is not None else None
    if store is not None and store.store is not None:
        if not store.store.is_literal:
            references.append(SecretReference(("store",), store.store.reference, faults.line(("store",))))
        else:
            _check_store(str(raw), faults)
    heartbeat = None
    if data.get("heartbeat") is not None:
        given = faults.mapping(data["heartbeat"], ("heartbeat",))
        heartbeat = faults.validated(HeartbeatConfig, given, ("heartbeat",), context=context)
        if heartbeat is not None:
            references += secret_references(heartbeat, ("heartbeat",), faults)
    return store.store if store else None, heartbeat, references


def _check_store(url: str, faults: Faults) -> None:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in ("sqlite", "postgresql", "postgres"):
        remedy = "write sqlite:///watchtower.db or postgresql://user@host/database"
        faults.add(("store",), "is not the address of a store that is known", remedy)
    elif ":" in rest.rpartition("@")[0]:
        faults.warn(("store",), "a password stands in the file itself", "move the address out: env:NAME or file:PATH")


def _severity_map(data: dict[str, Any], faults: Faults) -> dict[str, Severity]:
    found = dict(SEVERITY_MAP)
    known = [severity.value for severity in Severity]
    for word, meant in faults.mapping(data.get("severity_map"), ("severity_map",)).items():
        if meant not in known:
            remedy = close_to(meant, known) if isinstance(meant, str) else f"known: {', '.join(known)}"
            faults.add(("severity_map", word), f"unknown severity {meant!r}", remedy)
        else:
            found[word.lower()] = Severity(meant)
    return found


def _collectors(
    data: dict[str, Any], registries: Registries, secrets: SecretStore, faults: Faults
) -> tuple[dict[str, Any], list[SecretReference]]:
    """Every known collector with its options; those that need none are on without being named."""
    given = faults.mapping(data.get("collectors"), ("collectors",))
    found: dict[str, Any] = {}
    references: list[SecretReference] = []
    for kind in given:
        if kind not in registries.collector_kinds:
            faults.add(("collectors", kind), *registries.unknown_collector(kind))
    for kind in registries.collector_kinds:
        try:
            model = registries.collector(kind).Config
        except ConfigError as error:
            faults.add(("collectors", kind), str(error))
            continue
        path = ("collectors", kind)
        if kind in given or not any(field.is_required() for field in model.model_fields.values()):
            options = faults.validated(model, faults.mapping(given.get(kind), path), path, context={"secrets": secrets})
            if options is not None:
                found[kind] = options
                references += secret_references(options, path, faults)
    _name_once(found, faults)
    return found, references


def _name_once(collectors: Mapping[str, Any], faults: Faults) -> None:
    """No two polled sources, of whatever kind, may share a name: it is what their marks are kept by."""
    seen: dict[str, str] = {}
    for kind, options in collectors.items():
        given: Sequence[Any] = getattr(options, "sources", ())
        for number, each in enumerate(given):
            if not isinstance(each, PolledConfig):
                continue
            if each.name in seen:
                where, other = ("collectors", kind, "sources", number, "name"), seen[each.name]
                faults.add(where, f"another source of {other} is called {each.name!r}, too", "give each its own name")
            seen[each.name] = kind


def _only_namespace(collectors: Config) -> str | None:
    """The namespace that entries without one mean: there is exactly one configured, and it is no pattern."""
    table: Mapping[str, tuple[str, ...]] = getattr(collectors.collectors.get("openlineage"), "sources", {})
    namespaces = {namespace for patterns in table.values() for namespace in patterns}
    namespaces |= {each.of_jobs for each in collectors.polled}
    only = next(iter(namespaces)) if len(namespaces) == 1 else None
    return only if only and not any(char in only for char in "*?[") else None
