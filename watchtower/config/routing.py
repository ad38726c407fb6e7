"""`route` and `inhibit_rules`, in Alertmanager's keys, with its checks and its defaults.

Source: `config/config.go` of Alertmanager (UnmarshalYAML and checkReceiver of Route), `dispatch/route.go` for what is
inherited.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from watchtower.config.alerting import (
    GROUP_BY_ALL,
    LOCAL,
    LOCAL_GROUP_BY,
    InhibitRule,
    Route,
)
from watchtower.config.document import Path, dotted
from watchtower.config.faults import Faults, close_to
from watchtower.config.types import LABEL_NAME, Duration, PositiveDuration, Section
from watchtower.errors import BadInput
from watchtower.model.alert import Severity
from watchtower.model.labels import Matcher, parse_matchers


def _text(value: Any) -> Any:
    """Go's YAML reader takes a number for a text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | int | float)]


class RouteDocument(Section):
    """One node as it is written; what is absent is inherited."""

    receiver: str | None = Field(default=None, description="who is told; default: that of the parent")
    group_by: tuple[str, ...] | None = Field(
        default=None, description="labels whose values make a group; ['...'] for all labels"
    )
    matchers: tuple[str, ...] = Field(default=(), description='e.g. [severity="page", team=~"data|ml"]; all must hold')
    match: dict[str, Text] = Field(default={}, description="older form: label: value")
    match_re: dict[str, Text] = Field(default={}, description="older form: label: regular expression")
    continue_: bool = Field(default=False, alias="continue", description="go on to the next sibling after a match")
    group_wait: Duration | None = Field(default=None, description="wait before a group's first notice")
    group_interval: PositiveDuration | None = Field(default=None, description="wait between notices of a group")
    repeat_interval: PositiveDuration | None = Field(default=None, description="tell again what still fires")
    mute_time_intervals: tuple[str, ...] = Field(default=(), description="names of intervals in which nobody is told")
    active_time_intervals: tuple[str, ...] = Field(default=(), description="names of intervals outside which nobody is")
    routes: tuple[Any, ...] = Field(default=(), description="child routes; the first that matches takes the alert")


class InhibitRuleDocument(Section):
    """One rule: while a source alert fires, target alerts with the same `equal` labels are not told."""

    source_matchers: tuple[str, ...] = Field(default=(), description="of the alert that keeps others quiet")
    source_match: dict[str, Text] = Field(default={}, description="older form: label: value")
    source_match_re: dict[str, Text] = Field(default={}, description="older form: label: regular expression")
    target_matchers: tuple[str, ...] = Field(default=(), description="of the alerts that are kept quiet")
    target_match: dict[str, Text] = Field(default={}, description="older form: label: value")
    target_match_re: dict[str, Text] = Field(default={}, description="older form: label: regular expression")
    equal: tuple[str, ...] = Field(default=(), description="labels that must agree; a missing one equals an empty one")


@dataclass(frozen=True, slots=True)
class Names:
    """What routes may name. severities: word → severity, since inbound words never stay labels."""

    receivers: Collection[str]
    intervals: Collection[str]
    severities: Mapping[str, Severity]


def built_in_route() -> Route:
    """Where alerts go while the file has no `route`: to `local`; the first notice of a page leaves at once."""
    return Route(LOCAL, group_by=LOCAL_GROUP_BY, page_at_once=True)


def route(data: dict[str, Any], names: Names, faults: Faults) -> Route:
    if "route" not in data:
        if data.get("receivers"):
            remedy = "add e.g. route: {receiver: NAME}"
            faults.add(("receivers",), "no route leads to the receivers, so nobody would be told", remedy)
        return built_in_route()
    root = faults.mapping(data["route"], ("route",))
    if root.get("receiver") is None:
        faults.add(("route",), "the root route needs a receiver", "add receiver: NAME")
    for key in ("match", "match_re", "matchers", "mute_time_intervals", "active_time_intervals"):
        if root.get(key):
            faults.add(("route", key), "the root route takes every alert at every time", "put it into a child route")
    if root.get("continue"):
        faults.add(("route", "continue"), "the root route has no siblings", "remove it")
    return _node(root, ("route",), Route(LOCAL), names, faults)


def _node(data: Any, path: Path, parent: Route, names: Names, faults: Faults) -> Route:
    document = faults.salvaged(RouteDocument, data, path) or RouteDocument()
    _check_names(document, path, names, faults)
    node = Route(
        receiver=document.receiver or parent.receiver,
        matchers=matchers(document.matchers, document.match, document.match_re, path, faults),
        continue_=document.continue_,
        group_by=parent.group_by if document.group_by is None else _group_by(document.group_by, path, faults),
        group_wait_s=parent.group_wait_s if document.group_wait is None else document.group_wait,
        group_interval_s=document.group_interval or parent.group_interval_s,
        repeat_interval_s=document.repeat_interval or parent.repeat_interval_s,
        mute_time_intervals=document.mute_time_intervals,
        active_time_intervals=document.active_time_intervals,
        path=dotted(path),
    )
    _check_severity(node.matchers, (*path, "matchers"), names, faults)
    children = [
        _node(child, (*path, "routes", index), node, names, faults) for index, child in enumerate(document.routes)
    ]
    return replace(node, routes=tuple(children))


def _check_names(document: RouteDocument, path: Path, names: Names, faults: Faults) -> None:
    if document.receiver is not None and document.receiver not in names.receivers:
        problem = f"unknown receiver {document.receiver!r}"
        faults.add((*path, "receiver"), problem, close_to(document.receiver, names.receivers))
    for key in ("mute_time_intervals", "active_time_intervals"):
        for index, name in enumerate(getattr(document, key)):
            if name not in names.intervals:
                remedy = close_to(name, names.intervals) if names.intervals else "define it under time_intervals"
                faults.add((*path, key, index), f"unknown time interval {name!r}", remedy)


def _check_severity(matchers: Sequence[Matcher], path: Path, names: Names, faults: Faults) -> None:
    """`severity="critical"` of a pasted file: the alert carries `page`, which the word is mapped to."""
    own = [severity.value for severity in Severity]
    for matcher in matchers:
        if matcher.name != "severity" or any(matcher.matches({"severity": each}) for each in own):
            continue
        meant = next((names.severities[word] for word in names.severities if matcher.matches({"severity": word})), None)
        remedy = f'write severity="{meant.value}"' if meant else f"known: {', '.join(own)}"
        faults.warn(path, f"{matcher} matches no severity of Watchtower", remedy)


def _group_by(labels: Sequence[str], path: Path, faults: Faults) -> tuple[str, ...]:
    where = (*path, "group_by")
    if GROUP_BY_ALL in labels and len(labels) > 1:
        faults.add(where, "'...' means all labels and stands alone", "remove the other labels")
    for index, label in enumerate(labels):
        if label != GROUP_BY_ALL and not LABEL_NAME.fullmatch(label):
            faults.add((*where, index), f"{label!r} is no label name", "use letters, digits and _")
        if label in labels[:index]:
            faults.add((*where, index), f"{label!r} stands twice", "remove one")
    return tuple(labels)


def matchers(
    texts: Sequence[str],
    equal: Mapping[str, str],
    regex: Mapping[str, str],
    path: Path,
    faults: Faults,
    *,
    prefix: str = "",
) -> tuple[Matcher, ...]:
    """The three ways of Alertmanager to write matchers, together. prefix: `source_` or `target_` in inhibit rules."""
    found: list[Matcher] = []
    for index, text in enumerate(texts):
        try:
            found += parse_matchers(text)
        except BadInput as error:
            faults.add((*path, f"{prefix}matchers", index), str(error))
    for key, op, table in ((f"{prefix}match", "=", equal), (f"{prefix}match_re", "=~", regex)):
        for name, value in table.items():
            if not LABEL_NAME.fullmatch(name):
                faults.add((*path, key, name), f"{name!r} is no label name", "use letters, digits and _")
            try:
                found.append(Matcher(name, op, value))
            except BadInput as error:
                faults.add((*path, key, name), str(error))
    return tuple(found)


def inhibit_rules(data: dict[str, Any], names: Names, faults: Faults) -> tuple[InhibitRule, ...]:
    found: list[InhibitRule] = []
    for index, item in enumerate(faults.listed(data.get("inhibit_rules"), ("inhibit_rules",))):
        path: Path = ("inhibit_rules", index)
        document = faults.salvaged(InhibitRuleDocument, item, path)
        if document is None:
            continue
        source = matchers(
            document.source_matchers, document.source_match, document.source_match_re, path, faults, prefix="source_"
        )
        target = matchers(
            document.target_matchers, document.target_match, document.target_match_re, path, faults, prefix="target_"
        )
        _check_severity(source, (*path, "source_matchers"), names, faults)
        _check_severity(target, (*path, "target_matchers"), names, faults)
        if not source or not target:
            side = "target" if source else "source"
            faults.warn(path, f"without {side}_matchers it concerns every alert", f"add {side}_matchers")
        found.append(InhibitRule(source, target, document.equal))
    return tuple(found)
