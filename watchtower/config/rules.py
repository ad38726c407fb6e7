"""`rules`: the keys that all kinds share here, the others by the kind's own Config.

Source: Prometheus' alerting rules (`alert`, `for`, `keep_firing_for`, `labels`, `annotations`).
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, cast

from pydantic import Field

from watchtower.config.document import Path
from watchtower.config.faults import Faults, close_to, keys_of
from watchtower.config.sense import doubt
from watchtower.config.types import LABEL_NAME, Duration, Section, WebAddress
from watchtower.errors import BadInput, ConfigError
from watchtower.model.alert import Severity
from watchtower.model.labels import Matcher
from watchtower.model.rule import Rule
from watchtower.model.template import parse_template
from watchtower.registry import Registry

# Labels that Watchtower makes: a rule can match them, and cannot set them.
OWN_LABELS = (
    *("alertname", "kind", "source", "namespace", "pipeline", "task", "dataset", "series", "budget", "slo"),
    *("owner", "team", "severity"),
)
MATCHABLE = (
    *("pipeline", "task", "dataset", "namespace", "source", "environment", "owner", "team"),
    *("budget", "slo", "service", "account", "collector"),
)


class RuleDocument(Section):
    """What every rule can say, whatever its kind."""

    alert: str = Field(min_length=1, description="name of the alert; it becomes the label alertname")
    kind: str = Field(description="what is watched; each kind has options of its own")
    match: Any = Field(default=None, description="which pipelines, tasks or datasets; all if absent")
    for_: Duration = Field(default=0.0, alias="for", description="how long it must be wrong before the alert fires")
    keep_firing_for: Duration = Field(default=0.0, description="how long it must be well before the alert resolves")
    severity: str = Field(default="ticket", description="page, ticket or info (or a word of severity_map)")
    labels: dict[str, str] = Field(default={}, description="labels added to the alert, for routing")
    annotations: dict[str, str] = Field(default={}, description="texts for people; {field} is filled in")
    runbook_url: WebAddress | None = Field(default=None, description="where the remedy is written down")


COMMON = tuple(keys_of(RuleDocument))


def rules(
    data: dict[str, Any],
    kinds: Registry,
    severities: Mapping[str, Severity],
    faults: Faults,
    *,
    context: Mapping[str, Any],
    declared: Mapping[str, Collection[str]] | None = None,
) -> tuple[Rule, ...]:
    """context: what options name by its name or by a file: `calendars` and `base_dir`; declared: the names of budgets
    and SLOs, by kind of subject."""
    found: list[tuple[Path, Rule]] = []
    lines: dict[str, int | None] = {}
    for index, item in enumerate(faults.listed(data.get("rules"), ("rules",))):
        path: Path = ("rules", index)
        given = faults.mapping(item, path)
        rule = _rule(given, path, severities, faults, partial(_options, kinds=kinds, context=context))
        if rule is None:
            continue
        if rule.name in lines and "alert" in given:
            problem = f"two rules are called {rule.name!r}, the other at line {lines[rule.name]}"
            faults.add((*path, "alert"), problem, "rename one")
        lines.setdefault(rule.name, faults.line((*path, "alert")))
        found.append((path, rule))
    doubt(found, kinds, faults, declared or {})
    return tuple(rule for _, rule in found)


def _rule(
    given: dict[str, Any],
    path: Path,
    severities: Mapping[str, Severity],
    faults: Faults,
    options_of: Callable[..., Any],
) -> Rule | None:
    common = {key: given[key] for key in given if key in COMMON}
    document = faults.salvaged(RuleDocument, common, path, {"alert": "?", "kind": "?"})
    kind = given.get("kind")
    options = options_of(kind, {key: given[key] for key in given if key not in COMMON}, path, faults)
    matchers = match(given.get("match"), (*path, "match"), faults)
    if document is None:
        return None
    return Rule(
        name=document.alert,
        kind=document.kind,
        options=options,
        matchers=matchers,
        for_s=document.for_,
        keep_firing_for_s=document.keep_firing_for,
        severity=severity(document.severity, (*path, "severity"), severities, faults),
        labels=_labels(document.labels, (*path, "labels"), faults),
        annotations=_annotations(document.annotations, (*path, "annotations"), faults),
        runbook_url=document.runbook_url,
        declared=True,
    )


def _options(
    kind: Any,
    given: dict[str, Any],
    path: Path,
    faults: Faults,
    *,
    kinds: Registry,
    context: Mapping[str, Any],
) -> Any:
    if not isinstance(kind, str):
        return None  # RuleDocument has said so
    if kind not in kinds:
        faults.add((*path, "kind"), *kinds.unknown(kind))
        return None
    try:
        return faults.validated(kinds.get(kind).Config, given, path, context=context, also=COMMON)
    except ConfigError as error:
        faults.add((*path, "kind"), str(error))
        return None


def severity(text: str, path: Path, severities: Mapping[str, Severity], faults: Faults) -> Severity:
    found = severities.get(text.lower())
    if found is None:
        faults.add(path, f"unknown severity {text!r}", close_to(text, severities))
    return found or Severity.TICKET


def match(value: Any, path: Path, faults: Faults) -> tuple[Matcher, ...]:
    """`{pipeline: orders, task: [load, check], namespace: ~prod-.*}`; a text alone is the pipeline."""
    if isinstance(value, str):
        value = {"pipeline": value}
    found: list[Matcher] = []
    for name, wanted in faults.mapping(value, path).items():
        here = (*path, name)
        if name not in MATCHABLE and not name.startswith("tag_"):
            faults.add(here, "unknown label", close_to(name, [*MATCHABLE, "tag_NAME"]))
            continue
        if isinstance(wanted, str) and "*" in wanted and not wanted.startswith("~"):
            pattern = "~" + ".*".join(re.escape(part) for part in wanted.split("*"))
            faults.warn(here, f"{wanted!r} is taken as it is written, with its *", f"as a pattern it is {pattern}")
        try:
            found.append(matcher(name, wanted))
        except BadInput as error:
            faults.add(here, str(error))
    return tuple(found)


def matcher(name: str, wanted: Any) -> Matcher:
    """A text is the value itself, `~text` an anchored regular expression, a list any of its texts."""
    if isinstance(wanted, list) and wanted:
        texts = [_plain(each) for each in cast("list[Any]", wanted)]
        if any(text.startswith("~") for text in texts):
            raise BadInput("a list holds exact values; write one regular expression instead: ~(a|b.*)")
        return Matcher(name, "=", texts[0]) if len(texts) == 1 else Matcher(name, "=~", _any_of(texts))
    text = _plain(wanted)
    return Matcher(name, "=~", text[1:]) if text.startswith("~") else Matcher(name, "=", text)


def _any_of(texts: Sequence[str]) -> str:
    return "|".join(re.escape(text) for text in texts)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise BadInput("write a value, ~regular-expression, or a list of values")
    return str(value)


def _labels(given: Mapping[str, str], path: Path, faults: Faults) -> dict[str, str]:
    for name in given:
        if name in OWN_LABELS:
            remedy = "write severity: beside labels" if name == "severity" else "use another name"
            faults.add((*path, name), f"the label {name!r} is set by Watchtower itself", remedy)
        elif not LABEL_NAME.fullmatch(name):
            faults.add((*path, name), f"{name!r} is no label name", "use letters, digits and _")
    return dict(given)


def _annotations(given: Mapping[str, str], path: Path, faults: Faults) -> dict[str, str]:
    """A Go template is left out with a warning, so that the default text is used."""
    kept: dict[str, str] = {}
    for name, text in given.items():
        try:
            parse_template(text)
        except BadInput as error:
            if "Go templates" in str(error):
                faults.warn((*path, name), str(error), "the default text is used")
            else:
                faults.add((*path, name), str(error))
        else:
            kept[name] = text
    return kept
