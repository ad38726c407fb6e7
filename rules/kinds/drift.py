"""The values of a series are no longer distributed as they were, or a new model is worse than those before.

Distributions: the newest samples against those before them, or against a reference that stands still, by the population
stability index (PSI) or by the statistic of Kolmogorov and Smirnov (KS). Both grow by chance alone where samples are
few, so a value counts only if chance gives it less than once in a thousand times: of PSI, times n·m ÷ (n + m), by the
chi-square distribution; of KS by its own asymptotic one. A score is held against the sample before it, or the median
of several: `drop`, or `rise` where less is better. What a monitor has worked out itself is a number like others: see
`threshold`.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from rules.changes import ChangeOptions
from rules.options import SeriesOptions, Share
from rules.reference import File
from rules.samples import quantile
from rules.words import iso
from watchtower.model.rule import Evaluation, Rule, SeriesSnapshot, Snapshot, Violation
from watchtower.model.series import Sample, SeriesKind

MOST = 500  # samples of a snapshot
MIN_REFERENCE = 50
_BINS = 10
_PER_BIN = 10  # newest samples that a bin has at least, on average
_CHANCE_Z = 3.0902  # the normal quantile of 99.9 %
_CHANCE_KS = math.sqrt(-math.log(0.001 / 2) / 2)


class DriftConfig(SeriesOptions, ChangeOptions):
    """Of a distribution (by), or against the samples before (drop, rise)."""

    by: Literal["psi", "ks"] = Field(default="psi", description="how distributions are compared: psi or ks")
    above: Share = Field(default=Decimal("0.2"), description="more than this is drift")
    newest: int = Field(default=50, ge=20, le=MOST - MIN_REFERENCE, description="how many of the newest samples")
    reference: int = Field(default=200, ge=MIN_REFERENCE, le=MOST, description="how many before them, at most")
    reference_file: File = Field(
        default=None, description="instead of those before: numbers of a file, one a line, that stand still"
    )
    drop: Share | None = Field(default=None, description="instead: wrong if so much below the sample before, e.g. 2%")
    rise: Share | None = Field(default=None, description="instead: wrong if so much above the sample before")
    models: int = Field(
        default=1, ge=1, le=50, description="with drop or rise: against the median of so many samples before"
    )

    @model_validator(mode="after")
    def _fits(self) -> "DriftConfig":
        if self.newest + self.reference > MOST:
            raise ValueError(
                f"newest and reference are {self.newest + self.reference} samples; {MOST} are kept in view"
            )
        if self.reference_file is not None and "reference" in self.model_fields_set:
            raise ValueError("reference and reference_file exclude each other; take one of them away")
        if not self.is_score and "models" in self.model_fields_set:
            raise ValueError("models says what drop and rise compare with; add one of them")
        given = self.model_fields_set & {"by", "above", "newest", "reference", "reference_file"}
        if self.is_score and given:
            raise ValueError(
                f"drop and rise compare two samples; take {', '.join(sorted(given))} away, or write two rules"
            )
        return self

    @property
    def is_score(self) -> bool:
        return self.drop is not None or self.rise is not None


class Drift:
    kind: ClassVar[str] = "drift"
    subject: ClassVar[str] = "series"
    Config: ClassVar[type[DriftConfig]] = DriftConfig
    clears: ClassVar[str] = (
        "the newest values are distributed as those before them, or a later score keeps its distance"
    )

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        """A sample whose moment is still to come counts from that moment on."""
        options: DriftConfig = rule.options
        if not isinstance(snapshot, SeriesSnapshot) or snapshot.series.ref.name != options.series:
            return Evaluation()
        told = [sample for sample in snapshot.samples if sample.at <= now]
        next_at = min((sample.at for sample in snapshot.samples if sample.at > now), default=None)
        found = _score(options, told) if options.is_score else _distribution(options, snapshot, told)
        if isinstance(found, str):
            return Evaluation(next_at=next_at, learning=found)
        if found.value <= found.limit:
            return Evaluation(next_at=next_at, resolution={"value": found.value})
        return Evaluation((_violation(found, snapshot),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: DriftConfig = rule.options
        if options.is_score:
            said = [f"{_percent(options.drop)} below"] if options.drop else []
            said += [f"{_percent(options.rise)} above"] if options.rise else []
            yardstick = (
                "its sample before" if options.models == 1 else f"the median of its {options.models} samples before"
            )
            return f"{options.series} must not be more than {' or '.join(said)} {yardstick}."
        fixed = options.reference_file
        like = f"those of {fixed.file}" if fixed else f"the {options.reference} before them"
        return (
            f"{options.series}: the newest {options.newest} samples must be distributed like {like} "
            f"({options.by.upper()} at most {options.above}, or what chance gives)."
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What was compared. says: with its numbers; used: the samples that are judged, newest first."""

    says: str
    value: float
    limit: float
    used: Sequence[Sample]
    evidence: dict[str, Any]


def _distribution(options: DriftConfig, snapshot: SeriesSnapshot, told: Sequence[Sample]) -> Found | str:
    if snapshot.series.kind is SeriesKind.SUM and not snapshot.series.is_delta:
        return "a counter only grows, so it has no distribution"
    fixed = options.reference_file
    newest, before = told[: options.newest], told[options.newest : options.newest + options.reference]
    wanted = options.newest + (0 if fixed else MIN_REFERENCE)
    if len(told) < wanted:
        return f"{len(told)} of {wanted} samples"
    now = [sample.value for sample in newest]
    then = fixed.values if fixed else [sample.value for sample in before]
    against = f"the {len(then)} of {fixed.file}" if fixed else f"the {len(then)} before"
    measured, chance = _MEASURES[options.by](now, then)
    word = options.by.upper()
    medians = quantile(now, 0.5), quantile(then, 0.5)
    limit = max(float(options.above), chance)
    return Found(
        f"has drifted: {word} of its newest {len(now)} samples against {against} is {measured:.3g}, "
        f"more than {limit:.3g}",
        measured,
        limit,
        newest,
        {"by": options.by, "newest": len(now), "reference": len(then), "by_chance": chance, "median": medians[0],
         "reference_median": medians[1], "reference_until": None if fixed else iso(before[0].at),
         "reference_file": fixed.file if fixed else None},
    )  # fmt: skip


def psi(now: Sequence[float], then: Sequence[float]) -> tuple[float, float]:
    """(population stability index, what chance gives once in a thousand times). Bins are quantiles of then, fewer where
    now has few samples; values that are few are bins themselves. Half a sample is added to each, so none is empty."""
    bins = max(2, min(_BINS, len(now) // _PER_BIN))
    place = _binning(then, bins)
    counts_now, counts_then = Counter(map(place, now)), Counter(map(place, then))
    names = counts_now.keys() | counts_then.keys()
    index = 0.0
    for name in names:
        share_now = (counts_now[name] + 0.5) / (len(now) + 0.5 * len(names))
        share_then = (counts_then[name] + 0.5) / (len(then) + 0.5 * len(names))
        index += (share_now - share_then) * math.log(share_now / share_then)
    return index, _chi_square(max(1, len(names) - 1)) * (1 / len(now) + 1 / len(then))


def _binning(then: Sequence[float], bins: int) -> Callable[[float], float]:
    known = sorted(set(then))
    if len(known) <= bins:
        return lambda value: value
    edges = sorted({quantile(then, step / bins) for step in range(1, bins)})
    return lambda value: float(bisect_left(edges, value))


def _chi_square(freedom: int) -> float:
    """The quantile of 99.9 %, as Wilson and Hilferty approximate it: within 5 %, and on the side of silence."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + _CHANCE_Z * math.sqrt(part)) ** 3


def ks(now: Sequence[float], then: Sequence[float]) -> tuple[float, float]:
    """(largest distance of the two distribution functions, what chance gives once in a thousand times)."""
    mine, theirs = sorted(now), sorted(then)
    distance = max(
        abs(bisect_right(mine, value) / len(mine) - bisect_right(theirs, value) / len(theirs))
        for value in (*mine, *theirs)
    )
    return distance, _CHANCE_KS * math.sqrt(1 / len(mine) + 1 / len(theirs))


_MEASURES: dict[str, Callable[[Sequence[float], Sequence[float]], tuple[float, float]]] = {"psi": psi, "ks": ks}


def _score(options: DriftConfig, told: Sequence[Sample]) -> Found | str:
    if len(told) < 2:
        return f"{len(told)} of 2 samples"
    newest, before = told[0], told[1 : 1 + options.models]
    usual = _median([Decimal(repr(sample.value)) for sample in before])
    change = Decimal(repr(newest.value)) - usual
    falls = options.drop is not None and (change <= 0 or options.rise is None)
    allowed = (options.drop if falls else options.rise) or Decimal(0)
    size = abs(usual)
    share = float((-change if falls else change) / size) if size else (0.0 if not change else math.inf)
    word = "fell" if falls else "rose"
    usually = f"{usual:g}" if len(before) == 1 else f"{usual:g}, the median of the {len(before)} before,"
    return Found(
        f"{word} from {usually} to {newest.value:g}, by {share * 100:.3g} %, more than {_percent(allowed)}",
        share if math.isfinite(share) else 1e9,
        float(allowed),
        told[:1],
        {"value": newest.value, "before": float(usual), "native_run_id": newest.run, "run_before": before[0].run,
         "samples_before": len(before)},
    )  # fmt: skip


def _median(values: Sequence[Decimal]) -> Decimal:
    """Exact, so that a fall by just what is allowed is allowed."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _violation(found: Found, snapshot: SeriesSnapshot) -> Violation:
    newest, oldest = found.used[0], found.used[-1]
    ref = snapshot.series.ref
    who = f" ({ref.job.name})" if ref.job else ""
    evidence = {
        **found.evidence,
        "series": ref.name,
        "limit": found.limit,
        "last_sample": iso(newest.at),
        "since": iso(newest.at),
        "from": iso(oldest.at),
    }
    return Violation(
        since=newest.at,
        summary=f"{ref.name} {found.says}{who}",
        value=found.value,
        evidence={name: value for name, value in evidence.items() if value is not None},
        historical=all(sample.historical for sample in found.used),
    )


def _percent(share: Decimal | None) -> str:
    return f"{float(share or 0) * 100:g} %"
