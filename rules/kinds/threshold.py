"""A number that a pipeline tells, or that its runs give, is above or below what it may be.

The limit itself is silent: only a value beyond it counts. A window holds what was told after its beginning; the last
sample before it is where increases begin, so that slow counters are seen (Prometheus' `increase` needs two samples
inside). A sample whose moment is still to come counts from that moment on. How each statistic treats gauges, counters
and histograms is told in `rules.samples`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from rules.changes import ChangeOptions
from rules.options import Seconds, SeriesOptions
from rules.samples import Stat, value_of
from rules.words import iso, length_words, moment_words
from watchtower.model.rule import Evaluation, Rule, SeriesSnapshot, Snapshot, Violation
from watchtower.model.series import Sample

MAX_RUNS = 500  # as many samples as a snapshot holds
_MAX_DECIMALS = 12
_SHOWN_LABELS = 3


class ThresholdConfig(SeriesOptions, ChangeOptions):
    above: float | None = Field(default=None, allow_inf_nan=False, description="a value greater than this is wrong")
    below: float | None = Field(default=None, allow_inf_nan=False, description="a value smaller than this is wrong")
    stat: Stat = Field(default=Stat.LAST, description="what is compared; see the table below")
    window: Seconds | None = Field(default=None, description="over the samples of this length of time")
    runs: int | None = Field(default=None, ge=1, le=MAX_RUNS, description="over this many newest samples")
    no_data: Literal["unknown", "ok"] = Field(default="unknown", description="what the absence of samples means")
    no_data_after: Seconds | None = Field(
        default=None, description="after this time without a sample there is no data; without it, after the window"
    )

    @model_validator(mode="after")
    def _fits(self) -> "ThresholdConfig":
        if self.above is None and self.below is None:
            raise ValueError("needs a limit: above, below, or both")
        if self.above is not None and self.below is not None and self.above < self.below:
            raise ValueError(f"above ({self.above:g}) is less than below ({self.below:g}), so every value is wrong")
        if self.window is not None and self.runs is not None:
            raise ValueError("window and runs exclude one another; keep one of them")
        if self.stat is not Stat.LAST and self.window is None and self.runs is None:
            raise ValueError(
                f"stat {self.stat} needs a window (e.g. window: 1h) or a number of samples (e.g. runs: 10)"
            )
        return self

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        where = "".join(f", {name} {value}" for name, value in sorted(self.where.items()))
        over = f" over {self.window or self.runs}" if self.window or self.runs else ""
        low = -math.inf if self.below is None else self.below
        return {f"{self.stat} of {self.series}{where}{over}": (low, math.inf if self.above is None else self.above)}


class Threshold:
    kind: ClassVar[str] = "threshold"
    subject: ClassVar[str] = "series"
    clears: ClassVar[str] = "the number keeps its limit again"
    Config: ClassVar[type[ThresholdConfig]] = ThresholdConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        options: ThresholdConfig = rule.options
        if not isinstance(snapshot, SeriesSnapshot) or snapshot.series.ref.name != options.series:
            return Evaluation()
        if snapshot.series.derived and not snapshot.samples:
            return Evaluation()  # no run has ended yet, or the job tells this series itself
        seen = _seen(options, snapshot.samples, now)
        next_at = min((moment for moment in seen.moments if moment > now), default=None)
        value = None
        if seen.newest and not seen.is_silent(now):
            value = value_of(options.stat, snapshot.series, seen.used, seen.before)
        if value is None or not math.isfinite(value):
            unknown = _no_data(options, seen) if options.no_data == "unknown" else None
            return Evaluation(unknown=unknown, next_at=next_at)
        broken = _broken(options, value)
        if broken is None:
            return Evaluation(next_at=next_at, resolution={"value": value, **_told_by(snapshot, seen)})
        return Evaluation((_violation(rule, snapshot, seen, value, broken),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: ThresholdConfig = rule.options
        unit = snapshot.series.unit if isinstance(snapshot, SeriesSnapshot) else None
        limits = [("above", options.above), ("below", options.below)]
        said = " or ".join(f"{word} {number_words(limit, unit)}" for word, limit in limits if limit is not None)
        who = f" ({_whose(snapshot)})" if isinstance(snapshot, SeriesSnapshot) and _whose(snapshot) else ""
        return f"{_what(options)} must not be {said}{who}."


@dataclass(frozen=True, slots=True)
class Seen:
    """What of the samples counts at a moment. used: newest first; before: what precedes them, newest first; began:
    since when it is these (now, if nothing was told); moments: at which time alone changes that; silent_at: when no
    data begins."""

    used: Sequence[Sample]
    before: Sequence[Sample]
    began: datetime
    moments: Sequence[datetime]
    silent_at: datetime | None

    def is_silent(self, now: datetime) -> bool:
        return self.silent_at is not None and self.silent_at <= now

    @property
    def newest(self) -> Sample | None:
        return next(iter((*self.used[:1], *self.before[:1])), None)


def _seen(options: ThresholdConfig, samples: Sequence[Sample], now: datetime) -> Seen:
    told = [sample for sample in samples if sample.at <= now]
    ahead = [sample.at for sample in samples if sample.at > now]
    moments = list(ahead)
    count = len(told)
    began = told[0].at if told else now
    if options.window is not None:
        window = timedelta(seconds=options.window)
        leaving = [sample.at + window for sample in told]
        count = sum(moment > now for moment in leaving)
        moments += leaving
        began = max([began, *(moment for moment in leaving if moment <= now)])
    elif options.runs is not None or options.stat is Stat.LAST:
        count = min(count, options.runs or 1)
    silent_at = None
    if options.no_data_after is not None and told:
        silent_at = told[0].at + timedelta(seconds=options.no_data_after)
        moments.append(silent_at)
    return Seen(told[:count], told[count:], began, moments, silent_at)


def _broken(options: ThresholdConfig, value: float) -> tuple[str, float] | None:
    if options.above is not None and value > options.above:
        return "above", options.above
    if options.below is not None and value < options.below:
        return "below", options.below
    return None


def _violation(rule: Rule, snapshot: SeriesSnapshot, seen: Seen, value: float, broken: tuple[str, float]) -> Violation:
    options: ThresholdConfig = rule.options
    word, limit = broken
    shown, shown_limit = number_pair(value, limit, _unit(options, snapshot))
    whose = _whose(snapshot)
    evidence: dict[str, Any] = {
        "series": snapshot.series.ref.name,
        "stat": options.stat.value,
        "value": value,
        "limit": limit,
        "expected": f"not {word} {shown_limit}",
        "unit": snapshot.series.unit,
        "samples": len(seen.used),
        "last_sample": iso(seen.newest.at if seen.newest else None),
        "since": iso(seen.began),
        **_told_by(snapshot, seen),
    }
    return Violation(
        since=seen.began,
        summary=f"{_what(options)} is {shown}, {word} {shown_limit}" + (f" ({whose})" if whose else ""),
        value=value,
        evidence={name: said for name, said in evidence.items() if said is not None},
        historical=bool(seen.used) and all(sample.historical for sample in seen.used),
    )


def _told_by(snapshot: SeriesSnapshot, seen: Seen) -> dict[str, str]:
    """The run of the newest sample. A derived series knows our own id of it, a told one what its sender calls it."""
    run = seen.used[0].run if seen.used else None
    return {"run_id" if snapshot.series.derived else "native_run_id": run} if run else {}


def _no_data(options: ThresholdConfig, seen: Seen) -> str:
    newest = seen.newest
    if newest is None:
        return f"no sample of {options.series} was told yet"
    if seen.used and options.stat is not Stat.LAST and seen.silent_at is None:
        return f"the samples of {options.series} do not give its {options.stat}"
    return f"no sample of {options.series} since {moment_words(newest.at)}"


# -- words --------------------------------------------------------------------------------------------------------


def _what(options: ThresholdConfig) -> str:
    """`model_validation_score`, `p95 of latency over 1h`, `avg of rows over the last 5 samples`."""
    stat = "" if options.stat is Stat.LAST else f"{options.stat} of "
    if options.stat is Stat.LAST or (options.window is None and options.runs is None):
        return stat + options.series
    if options.window is not None:
        return f"{stat}{options.series} over {length_words(options.window)}"
    return f"{stat}{options.series} over " + ("the last sample" if options.runs == 1 else f"{options.runs} samples")


def _whose(snapshot: SeriesSnapshot) -> str:
    """The job, and the labels that tell this series from its neighbours."""
    ref = snapshot.series.ref
    labels = [f"{name}={ref.labels[name]}" for name in sorted(ref.labels)][:_SHOWN_LABELS]
    return ", ".join(([ref.job.name] if ref.job else []) + labels)


def _unit(options: ThresholdConfig, snapshot: SeriesSnapshot) -> str | None:
    unit = snapshot.series.unit
    if options.stat is Stat.COUNT:
        return None
    if options.stat is Stat.RATE:
        return f"{unit}/s" if unit and not _is_plain(unit) else "1/s"
    return unit


def _is_plain(unit: str) -> bool:
    """`1` is OpenTelemetry's (UCUM's) word for a number without a unit."""
    return unit in ("", "1")


def number_pair(value: float, limit: float, unit: str | None) -> tuple[str, str]:
    """Both with the same number of decimals: enough for three digits of each, and enough to tell them apart."""
    decimals = max(_decimals(value), _decimals(limit))
    while decimals < _MAX_DECIMALS and round(value, decimals) == round(limit, decimals):
        decimals += 1
    return _number(value, decimals, unit), _number(limit, decimals, unit)


def number_words(value: float, unit: str | None) -> str:
    return _number(value, _decimals(value), unit)


def _decimals(value: float) -> int:
    """Three significant digits of a fraction; none of a whole number."""
    if value == int(value) or abs(value) >= 1000:
        return 0
    size = math.floor(math.log10(abs(value)))
    decimals = min(max(2 - size, 0), _MAX_DECIMALS)
    while decimals and round(value, decimals - 1) == round(value, decimals):
        decimals -= 1
    return decimals


def _number(value: float, decimals: int, unit: str | None) -> str:
    if abs(value) >= 1e15 or (value and abs(value) < 10**-_MAX_DECIMALS):
        text = f"{value:.6g}"
    else:
        text = f"{value:,.{decimals}f}"
    if not unit or _is_plain(unit):
        return text
    return f"{text} {unit.replace('{', '').replace('}', '')}"
