"""`init`, `check` and the JSON schema: what people do with a configuration file before they start.

Plain functions that return values; the command line turns them into output and exit codes.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from rules.describe import describe
from rules.slo.sense import doubts
from watchtower.config import Checked, Config, examine_file
from watchtower.config.asked import feeds_of, polled_of
from watchtower.config.document import Document, dotted, parts, read
from watchtower.config.oncall import in_words
from watchtower.config.schema import json_schema
from watchtower.config.starter import init_text
from watchtower.errors import ConfigError, Fault, Permanent, Transient, UsageError
from watchtower.model.rule import Rule
from watchtower.model.source import KnownRun
from watchtower.outbound import Outbound
from watchtower.ports import Clock, RuleKind
from watchtower.registry import Registries
from watchtower.secrets import Secret, SecretStore

_ADDRESSES = ("url", "api_url", "base_url", "app_url")


@dataclass(frozen=True, slots=True)
class Report:
    """What `check` found. rules: of the file, each as (name, what it means in plain words and seconds); escalations:
    each as (name, who is told when)."""

    path: Path
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    rules: tuple[tuple[str, str], ...] = ()
    config: Config | None = None
    escalations: tuple[tuple[str, str], ...] = ()

    @property
    def exit_code(self) -> int:
        """0: can be used; 1: has faults."""
        return 1 if self.faults else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "ok": not self.faults,
            "faults": [_fault(each) for each in self.faults],
            "warnings": [_fault(each) for each in self.warnings],
            "rules": [{"alert": name, "means": means} for name, means in self.rules],
            "escalations": [{"escalation": name, "means": means} for name, means in self.escalations],
        }

    def lines(self) -> Iterator[str]:
        """For a terminal, one finding a line. It shows the end, so what is wrong stands there."""
        for _, means in self.rules:
            yield f"rule     {means}"
        for name, means in self.escalations:
            yield f"on call  {name}: {means}"
        for each in self.warnings:
            yield f"warning  {each}"
        for each in self.faults:
            yield f"fault    {each}"
        counts = f"{_count(len(self.faults), 'fault')}, {_count(len(self.warnings), 'warning')}"
        rules = f", {_count(len(self.rules), 'rule')}" if not self.faults else ""
        yield f"{self.path}: {'not usable' if self.faults else 'good'}: {counts}{rules}"


def write_config(path: Path, *, force: bool = False) -> str:
    """Write a commented first configuration to path and say what to do next. Raises UsageError if there is one."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(init_text())
    except FileExistsError:
        raise UsageError(f"{path} is there already; it was left as it is (--force overwrites it)") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}; name another by --config") from error
    return f"wrote {path}; check it with: watchtower check --config {path}"


def check_config(
    path: Path,
    clock: Clock,
    *,
    secrets: bool = True,
    addresses: bool = True,
    registries: Registries | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Report:
    """All that is wrong with the file at path, at once. secrets: read each reference, as a start would; addresses:
    resolve where notices go and what is asked, and ask the guard."""
    checked = examine_file(path, registries=registries, clock=clock)
    store = SecretStore(clock, path.resolve().parent, environ)
    faults = [*checked.faults, *(_unreadable(checked, store, path) if secrets else ())]
    warnings = [*checked.warnings, *_loose(checked, store, path)]
    if checked.config is None:
        return Report(path, _by_line(faults), _by_line(warnings))
    warnings += _doubts(checked.config, clock, path)
    if addresses:
        faults += _unasked(checked.config, clock, registries) if not faults else ()
        faults += _refused(checked.config, Outbound(clock, checked.config.outbound.networks))
    people = checked.config.oncall
    return Report(
        path,
        _by_line(faults),
        _by_line(warnings),
        _meanings(checked.config, registries),
        checked.config,
        tuple((name, in_words(people, escalation)) for name, escalation in people.escalations.items()),
    )


def schema_text() -> str:
    """The JSON schema for editors, as a text."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _meanings(config: Config, registries: Registries | None) -> tuple[tuple[str, str], ...]:
    known = (registries or Registries()).rule_kinds
    kinds: dict[str, RuleKind] = {rule.kind: known.get(rule.kind)() for rule in config.declared_rules}
    return tuple((rule.name, describe(rule, kinds) + _from_when(config, rule)) for rule in config.declared_rules)


def _doubts(config: Config, clock: Clock, path: Path) -> Iterator[Fault]:
    for problem, remedy in doubts(config.slos, config.declared_rules, clock.now()):
        yield Fault("slos", problem, remedy, None, str(path))


def _from_when(config: Config, rule: Rule) -> str:
    """One exact pipeline whose namespace is not known cannot be missed before it was seen once."""
    if rule.kind not in ("missing_run", "deadline"):
        return ""
    named = any(matcher.name == "pipeline" and matcher.op == "=" for matcher in rule.matchers)
    has_namespace = any(matcher.name == "namespace" for matcher in rule.matchers)
    if not named or has_namespace or config.job_ref(rule.matchers) is not None:
        return ""
    return " Watched from its first run on; name its namespace to have it watched before."


def _unreadable(checked: Checked, store: SecretStore, path: Path) -> Iterator[Fault]:
    for each in checked.references:
        try:
            store.resolve(each.reference)
        except ConfigError as error:
            for fault in error.faults:
                yield replace(fault, path=dotted(each.path), line=each.line, file=str(path))


def _loose(checked: Checked, store: SecretStore, path: Path) -> Iterator[Fault]:
    for each in checked.references:
        complaint = store.complaint(each.reference)
        if complaint:
            yield Fault(dotted(each.path), complaint, "chmod 600 the file", each.line, str(path))


def _refused(config: Config, outbound: Outbound) -> Iterator[Fault]:
    """Destinations that the guard would refuse at the first notice."""
    for receiver in config.receivers.values():
        for destination in receiver.destinations:
            for key, url in _addresses(destination.options):
                try:
                    outbound.check(url)
                except Permanent as error:
                    yield Fault(f"{destination.path}.{key}", str(error), "", destination.line, str(config.path or ""))
                except Transient:
                    continue  # a name that cannot be resolved here and now may well be at the time of a notice


def _unasked(config: Config, clock: Clock, registries: Registries | None) -> Iterator[Fault]:
    """Sources that a start would refuse: by the guard, or for want of an SDK or a key."""
    document = read(config.path.read_text(encoding="utf-8")) if config.path else Document()
    making = (
        partial(polled_of, config, clock, _nothing_known, registries),
        partial(feeds_of, config, clock, registries),
    )
    for make in making:
        try:
            make()
        except ConfigError as error:
            for fault in error.faults:
                yield replace(fault, line=document.line(parts(fault.path)), file=str(config.path or ""))


def _nothing_known(
    source: str, namespace: str, native_run_ids: Collection[str]
) -> Mapping[tuple[str, str], list[KnownRun]]:
    """ports.KnownRuns without a store: nothing is asked."""
    return {}


def _addresses(options: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(options, BaseModel):
        return
    for key in _ADDRESSES:
        value = cast(Any, getattr(options, key, None))
        if isinstance(value, Secret) and value.is_literal:
            value = value.reveal()
        if isinstance(value, str) and value.startswith(("http://", "https://")):
            yield key, value


def _by_line(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(faults, key=lambda fault: fault.line or 0))


def _fault(fault: Fault) -> dict[str, Any]:
    return {"line": fault.line, "path": fault.path, "message": fault.message, "remedy": fault.remedy}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
