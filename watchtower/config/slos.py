"""`slos`: OpenSLO v1 documents, written here or in files of their own, become SLOs; every fault has its line.

Documents refer to one another by name, in whatever file and order they stand.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path as File
from typing import Any, TypeVar, cast

from watchtower.config import document as documents
from watchtower.config import openslo
from watchtower.config.document import Path
from watchtower.config.faults import Faults, close_to
from watchtower.config.indicators import indicator
from watchtower.config.slo_alerts import conditions
from watchtower.config.slo_times import objective_slices, period
from watchtower.config.types import Section
from watchtower.model.alert import Severity
from watchtower.model.cost import Budget, BudgetPeriod
from watchtower.model.slo import Budgeting, Objective, Sli, Slo

SECTION = "slos"
_MOST_FILES = 1_000

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Placed:
    """A document, and where it stands."""

    given: dict[str, Any]
    path: Path
    faults: Faults


@dataclass(slots=True)
class Library:
    """Every document by kind and name."""

    severities: Mapping[str, Severity]
    by_kind: dict[str, dict[str, Placed]] = field(default_factory=dict[str, dict[str, Placed]])

    def add(self, placed: Placed) -> None:
        kind, metadata = placed.given.get("kind"), placed.given.get("metadata")
        if not isinstance(kind, str) or kind not in openslo.DOCUMENTS:
            path = (*placed.path, "kind") if "kind" in placed.given else placed.path
            remedy = close_to(kind, openslo.KINDS) if isinstance(kind, str) else f"known: {', '.join(openslo.KINDS)}"
            placed.faults.add(path, f"{kind!r} is no kind of OpenSLO" if kind else "has no kind", remedy)
            return
        if placed.given.get("apiVersion") != openslo.API_VERSION:
            problem = f"apiVersion {placed.given.get('apiVersion')!r} is not read"
            placed.faults.add((*placed.path, "apiVersion"), problem, f"write apiVersion: {openslo.API_VERSION}")
        name = cast("dict[str, Any]", metadata).get("name") if isinstance(metadata, dict) else None
        known = self.by_kind.setdefault(kind, {})
        if isinstance(name, str) and name in known:
            other = known[name]
            where = f"at line {other.faults.line((*other.path, 'metadata', 'name'))}"
            placed.faults.add(
                (*placed.path, "metadata", "name"), f"two {kind}s are called {name!r}, the other {where}", "rename one"
            )
        key = name if isinstance(name, str) and name not in known else f"?{len(known)}"  # its faults are found, too
        known[key] = placed

    def read(self, kind: str, name: str, where: Placed, path: Path) -> Placed | None:
        """The document that another one names; a fault there if there is none."""
        known = self.by_kind.get(kind, {})
        if name not in known:
            remedy = close_to(name, known) if known else f"write a document of kind {kind} with this name"
            where.faults.add(path, f"there is no {kind} {name!r}", remedy)
            return None
        return known[name]


def slos(data: dict[str, Any], base_dir: File, severities: Mapping[str, Severity], faults: Faults) -> tuple[Slo, ...]:
    library = Library(severities)
    for placed in _documents(data.get(SECTION), base_dir, faults):
        library.add(placed)
    _checked(library)
    found = [_slo(placed, library) for placed in library.by_kind.get("SLO", {}).values()]
    for placed in (each for known in library.by_kind.values() for each in known.values()):
        if placed.faults is not faults:
            faults.take(placed.faults)
    return tuple(slo for slo in found if slo)


def check_budgets(found: Iterable[Slo], budgets: Sequence[Budget], faults: Faults) -> None:
    """What counts cost names a budget of this file that is one of a day."""
    periods = {budget.name: budget.period for budget in budgets}
    named = [
        (slo.name, matcher.value)
        for slo in found
        for objective in slo.objectives
        for matcher in objective.indicator.matchers
        if objective.indicator.sli is Sli.COST
    ]
    for name, budget in named:
        if budget not in periods:
            remedy = close_to(budget, periods) if periods else "write one under budgets"
            faults.add((SECTION,), f"SLO {name}: there is no budget {budget!r}", remedy)
        elif periods[budget] is not BudgetPeriod.DAY:
            faults.add(
                (SECTION,), f"SLO {name}: budget {budget!r} is one of a {periods[budget].value}", "write period: day"
            )


def _documents(given: Any, base_dir: File, faults: Faults) -> Iterator[Placed]:
    for index, item in enumerate(faults.listed(given, (SECTION,))):
        path: Path = (SECTION, index)
        if isinstance(item, str):
            yield from _of_files(item, base_dir, path, faults)
        elif isinstance(item, dict):
            yield Placed(cast("dict[str, Any]", item), path, faults)
        else:
            faults.add(path, "must be a document of OpenSLO, or the path of a file with some", "e.g. slos/*.yaml")


def _of_files(pattern: str, base_dir: File, path: Path, faults: Faults) -> Iterator[Placed]:
    """pattern: relative to base_dir unless it is absolute; `*` and `**` as in a shell."""
    anchor, rest = (
        (File(File(pattern).anchor), str(File(pattern).relative_to(File(pattern).anchor)))
        if File(pattern).is_absolute()
        else (base_dir, pattern)
    )
    try:
        files = sorted(file for file in anchor.glob(rest) if file.is_file())
    except (ValueError, IndexError, NotImplementedError, OSError) as error:  # IndexError: of "." and "/"
        faults.add(path, f"{pattern!r} is no path of files: {error}", "e.g. slos/*.yaml")
        return
    if not files:
        faults.add(path, f"no file is called {pattern!r}", f"paths start from {base_dir}")
    if len(files) > _MOST_FILES:
        faults.add(path, f"{pattern!r} means {len(files)} files; at most {_MOST_FILES}", "put more into one file")
    for file in files[:_MOST_FILES]:
        yield from _of_file(file, path, faults)


def _of_file(file: File, path: Path, faults: Faults) -> Iterator[Placed]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        faults.add(path, f"{file} cannot be read: {error}", "it must be a file of UTF-8 text")
        return
    document = documents.read_all(text, str(file), SECTION)
    own = Faults(document, str(file))
    if own.found:
        faults.take(own)
    for index, item in enumerate(own.listed(document.data[SECTION], (SECTION,))):
        here: Path = (SECTION, index)
        if isinstance(item, dict):
            yield Placed(cast("dict[str, Any]", item), here, own)
        elif item is not None:
            own.add(here, "must be a document of OpenSLO", "begin with apiVersion: openslo/v1")
            faults.take(own)


def _checked(library: Library) -> None:
    """What no SLO may ask for is looked at, too."""
    for kind, known in library.by_kind.items():
        if kind != "SLO":
            for placed in known.values():
                placed.faults.validated(openslo.DOCUMENTS[kind], placed.given, placed.path)


def _slo(placed: Placed, library: Library) -> Slo | None:
    document = placed.faults.validated(openslo.SloDocument, placed.given, placed.path)
    if document is None:
        return None
    spec, here = document.spec, (*placed.path, "spec")
    when = period(spec.timeWindow[0], (*here, "timeWindow", 0), placed.faults)
    objectives = _objectives(document, placed, library)
    if when is None or objectives is None:
        return None
    labels = {
        name: value if isinstance(value, str) else ",".join(value) for name, value in document.metadata.labels.items()
    }
    return Slo(
        name=document.metadata.name,
        period=when,
        objectives=objectives,
        budgeting=Budgeting(spec.budgetingMethod),
        title=document.metadata.displayName,
        description=spec.description,
        service=spec.service,
        owner=labels.pop("owner", None),
        team=labels.pop("team", None),
        labels=labels,
        conditions=conditions(spec.alertPolicies, placed, library),
    )


def _objectives(document: openslo.SloDocument, placed: Placed, library: Library) -> tuple[Objective, ...] | None:
    spec, faults = document.spec, placed.faults
    here: Path = (*placed.path, "spec")
    own = spec.indicator is not None or spec.indicatorRef is not None
    many = len(spec.objectives) > 1
    if own and many:
        faults.add(
            (*here, "objectives"),
            "one indicator has one objective here",
            "write an SLO for each target; a composite gives each objective an indicator of its own",
        )
        return None
    if many and any(each.compositeWeight is None for each in spec.objectives):
        faults.warn(
            (*here, "objectives"),
            "objectives without compositeWeight count with weight 1",
            "say compositeWeight of each",
        )
    found = [
        _objective(each, (*here, "objectives", place), here if own else None, document, placed, library)
        for place, each in enumerate(spec.objectives)
    ]
    whole = [each for each in found if each is not None]
    return tuple(whole) if len(whole) == len(found) else None


def _objective(  # noqa: PLR0917 - one document, looked at from its own place
    given: openslo.ObjectiveSpec,
    path: Path,
    above: Path | None,
    document: openslo.SloDocument,
    placed: Placed,
    library: Library,
) -> Objective | None:
    """above: where the indicator of the whole SLO stands, if it has one."""
    faults, spec = placed.faults, document.spec
    target = _target(given, path, faults)
    if above is not None and (given.indicator or given.indicatorRef):
        faults.add(path, "the SLO has an indicator, too", "keep one of them")
    inline = spec.indicator if above is not None else given.indicator
    named = spec.indicatorRef if above is not None else given.indicatorRef
    measured = _indicator(inline, named, above or path, (given, path), placed, library)
    slices = objective_slices(given, Budgeting(spec.budgetingMethod), path, faults)
    weight = given.compositeWeight
    if weight is not None and weight <= 0:
        faults.add((*path, "compositeWeight"), f"{weight} is no weight", "write a number above 0")
    if measured is not None and measured.sli is Sli.FRESHNESS and slices is not None and slices[0]:
        faults.add(path, "freshness counts minutes, not slices", "write budgetingMethod: Occurrences")
        return None
    if target is None or measured is None or slices is None or (weight is not None and weight <= 0):
        return None
    size, good_from = slices
    return Objective(target, measured, Decimal(1) if weight is None else weight, given.displayName, size, good_from)


def _target(given: openslo.ObjectiveSpec, path: Path, faults: Faults) -> Any:
    if (given.target is None) == (given.targetPercent is None):
        faults.add(path, "needs either target or targetPercent", "write e.g. target: 0.99")
        return None
    key = "target" if given.target is not None else "targetPercent"
    target = given.target if given.target is not None else cast("Any", given.targetPercent) / 100
    if target == 1:
        faults.add(
            (*path, key),
            "a target of 100 % leaves no budget, so nothing could be spent or burn",
            "write less, e.g. 0.999; of what must never fail, a rule of kind run_failure tells",
        )
        return None
    if not 0 <= target < 1:
        faults.add((*path, key), f"{getattr(given, key)} is no target", "write target: 0.99, or targetPercent: 99")
        return None
    return target


def _indicator(  # noqa: PLR0917 - see _objective
    inline: openslo.SliDocument | None,
    named: str | None,
    path: Path,
    limit: tuple[openslo.ObjectiveSpec, Path],
    placed: Placed,
    library: Library,
) -> Any:
    """path: of whoever holds `indicator` or `indicatorRef`; limit: the objective, with its `op` and `value`."""
    if (inline is None) == (named is None):
        placed.faults.add(path, "needs either indicator or indicatorRef", "write indicator: with metadata and spec")
        return None
    if inline is not None:
        return indicator(inline, (*path, "indicator"), placed.faults, limit, placed.faults)
    found = library.read("SLI", cast("str", named), placed, (*path, "indicatorRef"))
    document = found and found.faults.validated(openslo.SliDocument, found.given, found.path)
    if found is None or document is None:
        return None
    return indicator(document, found.path, found.faults, limit, placed.faults)
