"""What a dashboard must keep, beyond Grafana's schema: the rules of Grafana's dashboard-linter, and the house's own.

The linter is a Go program; its rules are written anew here: template-datasource, template-job,
template-on-time-change-reload, template-uneditable, panel-datasource, panel-title-description, panel-units,
target-promql (in tests/e2e/test_prometheus.py, by a real Prometheus), target-rate-interval, target-job. Left out:
template-instance and target-instance, since what is read from the store is the same on every instance.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from watchtower.telemetry.metrics import declared

Document = Mapping[str, Any]
_USUAL = ("process_resident_memory_bytes", "up")  # of every Prometheus client
_LABELS = {metric.name: {*metric.labels, "job", "instance"} for metric in declared()}


def faults(dashboard: Document) -> list[str]:
    return [
        *_of_variables(dashboard),
        *_of_panels(dashboard),
        *_of_the_grid(dashboard),
        *(fault for panel in panels(dashboard) for target in panel["targets"] for fault in _of_target(panel, target)),
    ]


def panels(dashboard: Document) -> list[Document]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def _of_variables(dashboard: Document) -> Iterator[str]:
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    first = next(iter(variables.values()))
    if (first["name"], first["type"], first["query"]) != ("datasource", "datasource", "prometheus"):
        yield "the first variable is not the Prometheus data source"
    if "job" not in variables:
        yield "there is no variable `job`"
    for name, each in variables.items():
        if each["type"] == "query":
            if each["datasource"]["uid"] != "${datasource}":
                yield f"variable {name} asks a data source of its own"
            if each["refresh"] != 2:
                yield f"variable {name} is not asked again when the time changes"
        if not each.get("label"):
            yield f"variable {name} has no label"
    if dashboard["editable"]:
        yield "it may be edited in place, and the next export would take that back"


def _of_panels(dashboard: Document) -> Iterator[str]:
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        yield "two panels have one id"
    titles = [panel.get("title") for panel in panels(dashboard)]
    if len(set(titles)) != len(titles):
        yield "two panels have one title"
    for panel in panels(dashboard):
        shown = panel.get("title") or f"panel {panel['id']}"
        if not panel.get("title") or not panel.get("description"):
            yield f"{shown}: lacks its title or description"
        if not str(panel.get("description", "")).endswith("."):
            yield f"{shown}: its description is not a sentence"
        if panel["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            yield f"{shown}: asks another data source"
        if not panel["fieldConfig"]["defaults"].get("unit"):
            yield f"{shown}: has no unit"
        if not panel["targets"]:
            yield f"{shown}: asks nothing"
        refs = [target["refId"] for target in panel["targets"]]
        if len(set(refs)) != len(refs):
            yield f"{shown}: two queries have one letter"


def _of_the_grid(dashboard: Document) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place, shown = panel["gridPos"], panel.get("title", "")
        if place["x"] + place["w"] > 24:
            yield f"{shown}: reaches beyond the right edge"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken:
                    yield f"{shown}: lies over {taken[x, y]}"
                    return
                taken[x, y] = shown


def _of_target(panel: Document, target: Document) -> Iterator[str]:
    expr, shown = target["expr"], panel["title"]
    if target["datasource"]["uid"] != "${datasource}":
        yield f"{shown}: a query asks another data source"
    for call, span in re.findall(r"\b(rate|irate|increase)\([^[\]]*\[([^\]]*)\]", expr):
        if span not in ("$__rate_interval", "$__range"):
            yield f"{shown}: {call} over {span}; use $__rate_interval or $__range"
    for name, matchers in re.findall(r"\b(watchtower_\w+|up|process_\w+)\b(?:\{([^}]*)\})?", expr):
        if name not in _USUAL and labels_of(name) is None:
            yield f"{shown}: there is no metric {name}"
        if 'job=~"$job"' not in matchers:
            yield f"{shown}: {name} is not narrowed to the job"


def labels_of(name: str) -> set[str] | None:
    """Of a metric as it is scraped, with the suffixes of a histogram; None: there is none."""
    base = next((name.removesuffix(end) for end in ("_bucket", "_sum", "_count") if name.endswith(end)), name)
    return _LABELS.get(name) or (_LABELS.get(base) if base != name else None)
