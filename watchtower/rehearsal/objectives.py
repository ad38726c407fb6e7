"""Objectives that history speaks for: for each pipeline the highest target that leaves room for what has happened, of
runs that end well, and of runs that end well in the time that is usual.

A target must allow at least one bad run in its period, and what was seen may use at most four fifths of the budget.
Each is said with what it would have told, played by the same engine (`rehearsal.backtest`).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import chain, count

import yaml

from rules.baseline import MIN_SAMPLES
from rules.slo.status import status
from rules.slo.words import nouns, percent, target_words
from watchtower.config.slo_export import document
from watchtower.model.duration import format_duration
from watchtower.model.labels import Matcher
from watchtower.model.rule import SloSnapshot
from watchtower.model.run import JobRef
from watchtower.model.slo import Indicator, Objective, Period, Sli, Slo
from watchtower.rehearsal.backtest import Fired, Span
from watchtower.rehearsal.suggesting import TooShort

PERIOD = Period(30, "d")
_TARGETS = tuple(map(Decimal, ("0.999", "0.995", "0.99", "0.98", "0.95", "0.9", "0.8", "0.7", "0.5")))
_USED = Fraction(4, 5)  # of the budget at most, by what was seen
_ALERTS_A_WEEK = 1.0  # more than so many are noise, and no suggestion

Counting = Callable[[Sequence[Slo]], Iterable[SloSnapshot]]


@dataclass(frozen=True, slots=True)
class Target:
    """runs, bad: of the newest period; used: part of the budget that they used up."""

    slo: Slo
    subject: str
    runs: int
    bad: int
    used: Fraction

    @property
    def indicator(self) -> Indicator:
        return self.slo.objectives[0].indicator

    @property
    def says(self) -> str:
        limit = self.indicator.value
        within = "" if limit is None else f" within {format_duration(limit)}"
        return f"{self.indicator.sli.value} of {self.subject}{within}: {target_words(self.slo)}"


@dataclass(frozen=True, slots=True)
class WeighedTarget:
    """pages, tickets: alerts that the target would have made within the span that was played."""

    target: Target
    pages: int
    tickets: int
    is_noisy: bool

    @property
    def told(self) -> str:
        pages = f"{self.pages} {'page' if self.pages == 1 else 'pages'}"
        tickets = f"{self.tickets} {'ticket' if self.tickets == 1 else 'tickets'}"
        of = self.target
        _, bad = nouns(of.slo, of.slo.objectives[0])
        return f"{pages}, {tickets}; {of.bad} of {of.runs} runs {bad}, {percent(of.used)} of the budget used"


def propose_targets(
    pipelines: Iterable[JobRef],
    usual_s: Mapping[JobRef, float],
    declared: Sequence[Slo],
    counting: Counting,
    now: datetime,
) -> tuple[list[Target], list[TooShort]]:
    """Of the runs of each pipeline that ended within one period before now. usual_s: how long those may take of which
    that is known; declared: what they count already is left out; counting: what the store has of SLOs that are not
    declared."""
    taken = {_named(each.indicator.matchers) for slo in declared for each in slo.objectives}
    subjects: dict[str, JobRef] = {}
    tried: list[Slo] = []
    for plain, ref in _with_names(ref for ref in pipelines if ref.pipeline not in taken).items():
        for indicator in _indicators(plain, ref, usual_s.get(ref)):
            name = f"{plain}-{indicator.sli.value}"
            subjects[name] = ref
            tried.append(Slo(name, PERIOD, (Objective(_TARGETS[-1], indicator),), service=name))
    targets: list[Target] = []
    too_short: list[TooShort] = []
    for snapshot in counting(tried):
        ref = subjects[snapshot.slo.name]
        found = _target(snapshot, ref, now)
        if isinstance(found, Target):
            targets.append(found)
        elif found:
            sli = snapshot.slo.objectives[0].indicator.sli
            too_short.append(TooShort(f"the {sli.value} of {ref.pipeline}", found))
    return targets, too_short


def _indicators(plain: str, ref: JobRef, usual_s: float | None) -> Iterator[Indicator]:
    matchers = (Matcher("pipeline", "=", ref.pipeline), Matcher("namespace", "=", ref.namespace))
    yield Indicator(f"{plain}-success-runs", Sli.SUCCESS, matchers)
    if usual_s is not None:
        yield Indicator(f"{plain}-latency-runs", Sli.LATENCY, matchers, "lte", usual_s)


def _target(snapshot: SloSnapshot, ref: JobRef, now: datetime) -> Target | str:
    """Or why there is none; nothing of too few runs, of which `suggesting` has told."""
    (objective,) = snapshot.slo.objectives
    (budget,) = status(snapshot, now).budgets
    runs, bad = int(budget.counts.total), int(budget.counts.bad)
    if runs < MIN_SAMPLES:
        return ""
    for target in _TARGETS:
        slo = replace(snapshot.slo, objectives=(replace(objective, target=target),))
        found = status(replace(snapshot, slo=slo), now)
        allowed = found.budgets[0].allowed
        if found.consumed is not None and allowed is not None and allowed >= 1 and found.consumed <= _USED:
            return Target(slo, ref.pipeline, runs, bad, found.consumed)
    _, failed = nouns(snapshot.slo, objective)
    return f"{bad} of {runs} runs within {PERIOD} {failed}"


def weigh_targets(targets: Iterable[Target], fired: Fired, span: Span) -> list[WeighedTarget]:
    """What each would have told within span, on the very days it is made of."""
    weeks = max(1.0, (span.ends - span.begins).total_seconds() / 604_800)
    weighed: list[WeighedTarget] = []
    for each in targets:
        said = [alert.labels.get("severity") for alert in fired.alerts if alert.labels.get("slo") == each.slo.name]
        pages = said.count("page")
        weighed.append(WeighedTarget(each, pages, len(said) - pages, len(said) > _ALERTS_A_WEEK * weeks))
    return weighed


def as_yaml(slos: Iterable[Slo]) -> str:
    """A section `slos` of OpenSLO documents, ready to be pasted."""
    return yaml.safe_dump({"slos": [document(slo) for slo in slos]}, sort_keys=False, width=120, allow_unicode=True)


def as_json(weighed: WeighedTarget) -> Mapping[str, object]:
    target = weighed.target
    return {
        "says": target.says,
        "made_of": target.runs,
        "told": weighed.told,
        "pages": weighed.pages,
        "tickets": weighed.tickets,
        "bad": target.bad,
        "budget_used": float(target.used),
        "is_noisy": weighed.is_noisy,
        "slo": document(target.slo),
    }


def _with_names(pipelines: Iterable[JobRef]) -> dict[str, JobRef]:
    """By the beginning of a name as OpenSLO has them."""
    found: dict[str, JobRef] = {}
    for ref in pipelines:
        plain = re.sub(r"[^a-z0-9]+", "-", ref.pipeline.lower()).strip("-")[:40].strip("-") or "pipeline"
        names = chain([plain], (f"{plain}-{number}" for number in count(2)))
        found[next(name for name in names if name not in found)] = ref
    return found


def _named(matchers: Sequence[Matcher]) -> str | None:
    return next((each.value for each in matchers if each.name == "pipeline" and each.op == "="), None)
