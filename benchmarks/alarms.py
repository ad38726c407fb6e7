"""How many faults of made pipeline series are found, at one false alarm a month: the detector and its peers.

Peers are what a team would write itself: how far a value lies from the median of the last four weeks in MADs, and how
far it lies from the same hour a week before, in MADs of such differences. All are judged alike. An alarm holds for
half a day; a fault is found if a row in it is over the threshold; one threshold holds for all series, the lowest at
which a month of hourly rows has one false alarm at most. The series come from seeds that nothing was chosen on.
"""

import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.figures import Figure, Options, Skipped, say
from benchmarks.made_series import DAYS, FIRST_FAULT, Made, make
from rules.anomaly.detector import Detector
from rules.anomaly.usual import NEARLY, Expectation, Range, comes_often
from rules.anomaly.windows import SortedWindow
from rules.kinds.anomaly import COMMON, AnomalyConfig, limits

HELD_BACK = range(1_000, 1_040)  # seeds; those below are to try things on
MONTH = 30 * 24  # rows
HOLDS = 12  # rows that an alarm holds
WEEK = timedelta(days=7)
FOUR_WEEKS = 28 * 24  # rows
DEFAULTS = {"detector": 0.5, "rule kind anomaly": 1e-9}  # the threshold as shipped; a rule has said already what counts

Scores = Sequence[float]


@dataclass(frozen=True, slots=True)
class Alarms:
    """found: whether each fault was, in order; false: alarms outside of faults; months: of rows that counted."""

    found: Sequence[bool]
    false: int
    months: float

    @property
    def a_month(self) -> float:
        return self.false / self.months


def alarms(options: Options) -> Sequence[Figure | Skipped]:
    seeds = HELD_BACK if options.full else HELD_BACK[:16]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        judged = pool.map(_judge, seeds)
    series = [make(seed) for seed in seeds]
    recalls: dict[str, float] = {}
    in_hindsight: dict[str, float] = {}
    for name in METHODS:
        scores = [one[name][0] for one in judged]
        threshold = quiet_enough(series, scores)
        recalls[name] = _recall(series, scores, [threshold] * len(series))
        own = [quiet_enough([made], [some]) for made, some in zip(series, scores, strict=True)]
        in_hindsight[name] = _recall(series, scores, own)
        say(f"  {name}: {recalls[name]:.0%} of faults at {threshold:.3f}; {_by_kind(series, scores, threshold)}")
    rows = sum(len(made.values) for made in series)
    faults = sum(len(made.faults) for made in series)
    note = f"{len(series)} series of {DAYS} days, {faults} faults"
    peers = max(recalls[name] for name in PEERS)
    return [
        *(
            Figure(
                f"faults found at one false alarm a month, {name} / the better peer",
                recall,
                peers,
                "",
                note=f"{note}; {in_hindsight[name]:.0%} with a threshold of each series' own, chosen in hindsight",
            )
            for name, recall in recalls.items()
        ),
        *(_as_shipped(series, name, [one[name][0] for one in judged]) for name in DEFAULTS),
        Figure(
            "rows scored by one core / least that is wanted",
            rows / sum(one["detector"][1] for one in judged),
            3_000,
            "rows/s",
            gate=1.0,
        ),
    ]


def _as_shipped(series: Sequence[Made], name: str, scores: Sequence[Scores]) -> Figure:
    thresholds = [DEFAULTS[name]] * len(series)
    judged = [judge(*one) for one in zip(series, scores, thresholds, strict=True)]
    false = sum(one.false for one in judged) / sum(one.months for one in judged)
    note = f"{_recall(series, scores, thresholds):.0%} of faults found"
    return Figure(f"false alarms a month as shipped, {name} / one", false, 1.0, "", "lower", note=note)


# -- who says how odd a row is ------------------------------------------------------------------------------------


def by_detector(made: Made) -> Scores:
    detector = Detector()
    return [detector.see(at, value).score for at, value in zip(made.moments, made.values, strict=True)]


def by_rule(made: Made) -> Scores:
    """As the rule kind `anomaly` judges by default: how many usual deviations from what is expected, if that counts."""
    expectation, scores, past = Expectation(), list[float](), deque[tuple[datetime, float, float | None]](maxlen=500)
    for at, value in zip(made.moments, made.values, strict=True):
        expected = expectation.range(at)
        residual = expectation.see(at, value)
        scores.append(_deviations(value, residual, expected, past) if expected else 0.0)
        past.append((at, value, residual))
    return scores


def _deviations(
    value: float, residual: float | None, expected: Range, past: Iterable[tuple[datetime, float, float | None]]
) -> float:
    low, high = limits(AnomalyConfig(series="made"), expected)
    if low <= value <= high:
        return 0.0
    away = value - expected.middle
    others = [each - expected.middle for _, each, _ in past]
    if expected.pattern is None:
        share = sum(each / away >= NEARLY for each in others) / len(others)
        often = share > COMMON or comes_often(away, others, [at.date() for at, _, _ in past])
    else:
        often = comes_often(residual, [each for _, _, each in past], [at.date() for at, _, _ in past])
    return 0.0 if often else abs(away) / _unit(expected.sigma, expected.middle)


def by_median(made: Made) -> Scores:
    values, scores = SortedWindow(FOUR_WEEKS), list[float]()
    away = SortedWindow(FOUR_WEEKS)
    for value in made.values:
        if len(values) < WEEK.days * 24:
            scores.append(0.0)
            values.add(value)
            continue
        middle = values.quantile(0.5)
        distance = abs(value - middle)
        scores.append(distance / _unit(away.quantile(0.5), middle) if len(away) else 0.0)
        away.add(distance)
        values.add(value)
    return scores


def by_last_week(made: Made) -> Scores:
    known: dict[datetime, float] = {}
    away, scores = SortedWindow(FOUR_WEEKS), list[float]()
    for at, value in zip(made.moments, made.values, strict=True):
        before = known.get(at - WEEK)
        distance = None if before is None else abs(value - before)
        scores.append(distance / _unit(away.quantile(0.5), value) if distance is not None and len(away) else 0.0)
        if distance is not None:
            away.add(distance)
        known[at] = value
    return scores


def _unit(spread: float, middle: float) -> float:
    return max(spread, 0.001 * abs(middle), 1e-9)


METHODS: Mapping[str, Callable[[Made], Scores]] = {
    "detector": by_detector,
    "rule kind anomaly": by_rule,
    "median and MAD of four weeks": by_median,
    "same hour a week before": by_last_week,
}
PEERS = ("median and MAD of four weeks", "same hour a week before")


def _judge(seed: int) -> Mapping[str, tuple[Scores, float]]:
    """Scores of each method, and their seconds of CPU."""
    made, judged = make(seed), dict[str, tuple[Scores, float]]()
    for name, method in METHODS.items():
        begun = time.process_time()
        scores = method(made)
        judged[name] = scores, time.process_time() - begun
    return judged


# -- what they are worth ------------------------------------------------------------------------------------------


def judge(made: Made, scores: Scores, threshold: float) -> Alarms:
    """Nothing counts before the first fault can come."""
    begins = next(row for row, at in enumerate(made.moments) if (at - made.moments[0]).days >= FIRST_FAULT)
    faults = [False] * len(made.faults)
    false, quiet_from = 0, begins
    for row in range(begins, len(scores)):
        if scores[row] < threshold:
            continue
        hit = next((n for n, fault in enumerate(made.faults) if fault.first <= row <= fault.last), None)
        if hit is not None:
            faults[hit] = True
        elif row >= quiet_from and not _is_excused(made, row):
            false += 1
        if row >= quiet_from:
            quiet_from = row + HOLDS
    return Alarms(faults, false, (len(scores) - begins) / MONTH)


def _is_excused(made: Made, row: int) -> bool:
    """Settling at a new level, or only just out of a fault."""
    if any(fault.last < row <= fault.last + HOLDS for fault in made.faults):
        return True
    return any(first <= row <= last for first, last in made.settling)


def quiet_enough(series: Sequence[Made], scores: Sequence[Scores]) -> float:
    """The lowest threshold with at most one false alarm a month over all series, to a thousandth of the thresholds."""
    candidates = sorted({score for some in scores for score in some if score > 0})
    low, high = 0, len(candidates)
    while low < high:
        half = (low + high) // 2
        judged = [judge(made, some, candidates[half]) for made, some in zip(series, scores, strict=True)]
        if sum(one.false for one in judged) <= sum(one.months for one in judged):
            high = half
        else:
            low = half + 1
    return candidates[low] if low < len(candidates) else float("inf")


def _recall(series: Sequence[Made], scores: Sequence[Scores], thresholds: Sequence[float]) -> float:
    judged = [judge(*one) for one in zip(series, scores, thresholds, strict=True)]
    found = [hit for one in judged for hit in one.found]
    return sum(found) / len(found)


def _by_kind(series: Sequence[Made], scores: Sequence[Scores], threshold: float) -> str:
    counted: dict[str, list[bool]] = {}
    for made, some in zip(series, scores, strict=True):
        for fault, hit in zip(made.faults, judge(made, some, threshold).found, strict=True):
            counted.setdefault(f"{fault.kind} of {made.nature}", []).append(hit)
    return ", ".join(f"{kind} {sum(hits)}/{len(hits)}" for kind, hits in sorted(counted.items()))
