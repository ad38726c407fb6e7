"""The indicator of an SLO: what `metricSource` of `type: watchtower` says is counted, and which of it is good."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from watchtower.config import openslo
from watchtower.config.document import Path
from watchtower.config.faults import Faults, close_to
from watchtower.config.rules import match
from watchtower.model.cost import CostMetric, CostScope
from watchtower.model.labels import Matcher
from watchtower.model.slo import Indicator, Sli
from watchtower.model.spent import Asked, Per

TYPE = "watchtower"


@dataclass(frozen=True, slots=True)
class Known:
    """labels: that `match` may name; ops: with which a limit is good."""

    labels: tuple[str, ...]  # `tag_` stands for any tag
    ops: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()  # labels of which one must be named by its exact value


_DATASETS = ("dataset", "namespace")
_RUNS = ("pipeline", "task", "namespace", "source")
_OWNED = ("owner", "team", "tag_")
_BUDGETS = ("budget",)
KNOWN: Mapping[Sli, Known] = {
    Sli.SUCCESS: Known((*_RUNS, *_OWNED)),
    Sli.LATENCY: Known((*_RUNS, *_OWNED), ("lte", "lt")),
    Sli.VOLUME: Known(_DATASETS, ("gte", "gt"), ("dataset",)),
    Sli.FRESHNESS: Known(_DATASETS, ("lte",), ("dataset",)),
    Sli.SERIES: Known(("series", *_RUNS), ("lte", "lt", "gte", "gt"), ("series",)),
    Sli.COST: Known(_BUDGETS, exact=("budget",)),
    Sli.UNIT_COST: Known((*_RUNS, "dataset"), ("lte", "lt"), ("pipeline", "dataset")),
}
_SLIS = [sli.value for sli in KNOWN]
# In good, bad and total of a ratio: of which one each speaks.
_PARTS = {"good": "success", "bad": "failure", "total": "runs"}


def indicator(
    document: openslo.SliDocument,
    path: Path,
    faults: Faults,
    limit: tuple[openslo.ObjectiveSpec, Path],
    limit_faults: Faults,
) -> Indicator | None:
    """path and faults: where the SLI stands; limit: the objective that has `op` and `value` of a threshold, and its
    place in the document of limit_faults."""
    spec, here = document.spec, (*path, "spec")
    if (spec.thresholdMetric is None) == (spec.ratioMetric is None):
        faults.add(here, "needs either ratioMetric or thresholdMetric", "write ratioMetric: for good of all")
        return None
    if spec.ratioMetric is not None:
        found = _ratio(spec.ratioMetric, (*here, "ratioMetric"), faults)
    else:
        assert spec.thresholdMetric is not None
        found = _source(spec.thresholdMetric, (*here, "thresholdMetric"), faults)
    if found is None:
        return None
    source, place = found
    if source.sli not in _SLIS:
        faults.add((*place, "sli"), f"unknown indicator {source.sli!r}", close_to(source.sli, _SLIS))
        return None
    sli = Sli(source.sli)
    matchers = _matchers(source, sli, place, faults)
    checked = _limit(sli, source, limit, limit_faults, is_ratio=spec.ratioMetric is not None)
    if matchers is None or checked is None or not _fits(sli, source, matchers, place, faults):
        return None
    op, value = checked
    return Indicator(
        document.metadata.name,
        sli,
        matchers,
        op,
        None if value is None else float(value),
        source.finish_by or "",
        source.timezone,
        _asked(source),
    )


def _fits(sli: Sli, source: openslo.SourceSpec, matchers: tuple[Matcher, ...], path: Path, faults: Faults) -> bool:
    """Whether what only a cost per unit needs is said of one, and of nothing else."""
    before = len(faults.found)
    for name in ("per", "scope", "metric"):
        said = getattr(source, name) is not None
        if sli is Sli.UNIT_COST and name != "metric" and not said:
            faults.add(path, f"unit_cost needs {name}", _NEEDED[name])
        elif sli is not Sli.UNIT_COST and said:
            faults.add((*path, name), f"{name} says nothing of {sli.value}", "remove it, or write sli: unit_cost")
    labels = {matcher.name for matcher in matchers} & {"pipeline", "dataset"}
    if sli is Sli.UNIT_COST and len(labels) > 1:
        faults.add((*path, "match"), "unit_cost is of a pipeline or of a dataset", "name one of them")
    if sli is Sli.UNIT_COST and labels == {"dataset"} and source.per is Per.RUN:
        faults.add((*path, "per"), "a dataset has no runs", "write per: gb or million_rows, or match a pipeline")
    return len(faults.found) == before


_NEEDED = {"per": "write per: gb, million_rows or run", "scope": "say which charges: scope: {tag: {…}}"}


def _asked(source: openslo.SourceSpec) -> Asked | None:
    scope = source.scope
    if scope is None or source.per is None:
        return None
    charges = CostScope(scope.tag, scope.service, scope.account, scope.source)
    return Asked(charges, source.metric or CostMetric.BILLED, source.per)


def _ratio(given: openslo.RatioMetric, path: Path, faults: Faults) -> tuple[openslo.SourceSpec, Path] | None:
    """Good of all as one source (`raw`), or as two: good or bad, and total, of the same runs."""
    parts = {name: getattr(given, name) for name in ("good", "bad", "total") if getattr(given, name) is not None}
    if given.raw is not None:
        if parts:
            faults.add(path, f"raw stands beside {', '.join(parts)}", "keep one way to say it")
            return None
        if given.rawType != "success":
            faults.add((*path, "rawType"), "success is counted here", "write rawType: success")
            return None
        return _source(given.raw, (*path, "raw"), faults)
    if "total" not in parts or len(parts) != 2:
        faults.add(path, "needs raw, or total with good or with bad", "write rawType: success and raw:")
        return None
    found = {name: _source(metric, (*path, name), faults) for name, metric in parts.items()}
    if None in found.values():
        return None
    return _together({name: source for name, source in found.items() if source}, path, faults)


def _together(
    found: Mapping[str, tuple[openslo.SourceSpec, Path]], path: Path, faults: Faults
) -> tuple[openslo.SourceSpec, Path] | None:
    for name, (source, place) in found.items():
        if source.sli != _PARTS[name]:
            faults.add((*place, "sli"), f"{name} counts {source.sli!r}", f"write sli: {_PARTS[name]}")
            return None
    (one, place), (other, _) = found.values()
    if one.match != other.match:
        faults.add(path, "the two sources match different things", "write the same match in both")
        return None
    return one.model_copy(update={"sli": Sli.SUCCESS.value}), place


def _source(metric: openslo.Metric, path: Path, faults: Faults) -> tuple[openslo.SourceSpec, Path] | None:
    source, here = metric.metricSource, (*path, "metricSource")
    if source.type != TYPE:
        said = f"a source of type {source.type!r}" if source.type else "a source without type"
        faults.add(
            (*here, "type") if source.type else here,
            f"{said} is not read: Watchtower judges what it has seen",
            f"write type: {TYPE}, and spec: with sli and match",
        )
        return None
    spec: Any = faults.validated(openslo.SourceSpec, source.spec, (*here, "spec"))
    return None if spec is None else (spec, (*here, "spec"))


def _matchers(source: openslo.SourceSpec, sli: Sli, path: Path, faults: Faults) -> tuple[Matcher, ...] | None:
    if source.match is None and source.series is None:
        faults.add(path, "does not say of what", "write match: with a pipeline, or with ~.* for all")
        return None
    before = len(faults.found)
    found = match(source.match, (*path, "match"), faults)
    if source.series is not None:
        found = (Matcher("series", "=", source.series), *found)
    known = KNOWN[sli].labels
    for matcher in found:
        if matcher.name not in known and not ("tag_" in known and matcher.name.startswith("tag_")):
            faults.add(
                (*path, "match", matcher.name),
                f"{sli.value} is not counted by {matcher.name}",
                f"it is counted by {', '.join(each.replace('tag_', 'tag_NAME') for each in known)}",
            )
    exact = KNOWN[sli].exact
    if exact and not any(matcher.name in exact and matcher.op == "=" for matcher in found):
        problem = f"{sli.value} needs the exact name of a {' or '.join(exact)}"
        where = "series: NAME" if exact == ("series",) else f"match: {{{exact[0]}: NAME}}"
        faults.add((*path, "match"), problem, f"write {where}")
    return None if len(faults.found) > before else found


def _limit(
    sli: Sli,
    source: openslo.SourceSpec,
    limit: tuple[openslo.ObjectiveSpec, Path],
    faults: Faults,
    *,
    is_ratio: bool,
) -> tuple[str, Decimal | None] | None:
    """(op, value); ("", None) where good needs no limit. Of latency the time of day may stand for it."""
    (given, path), ops = limit, KNOWN[sli].ops
    if not ops or source.finish_by:
        if given.op is not None or given.value is not None:
            faults.add(path, "op and value say nothing here", "remove them")
            return None
        return "", None
    if is_ratio:
        faults.add(path, f"{sli.value} is measured against a limit", "write it as thresholdMetric, with op and value")
        return None
    if given.op is None or given.value is None:
        faults.add(path, f"{sli.value} needs op and value", f"write e.g. op: {ops[0]} and value: 1800")
        return None
    if given.op not in ops:
        faults.add((*path, "op"), f"{sli.value} is good on the other side", f"write op: {ops[0]}")
        return None
    return given.op, given.value
