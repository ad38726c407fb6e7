"""Scores detectors as the Numenta Anomaly Benchmark does (Lavin and Ahmad 2015, arXiv 1510.03336; facts of its scorer).

A detection in a window of an anomaly earns by how early it comes, and only the first one in it counts; one outside
costs, the more the farther it lies behind the last window; a window without one costs. One threshold holds for all
series: the best one. The scale runs from 0 (nothing is ever detected) to 100 (all windows at their beginning, nothing
else). The first part of each series counts neither way.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

PROBATION = 0.15  # of the rows
MOST_PROBATION = 750  # rows
FAR = 3.0  # widths of a window: a detection as far behind it costs all


@dataclass(frozen=True, slots=True)
class Profile:
    """What a detected window earns, and what a false detection and a missed window cost."""

    name: str
    found: float
    false: float
    missed: float


STANDARD = Profile("standard", 1.0, 0.11, 1.0)
LOW_FALSE = Profile("reward low FP", 1.0, 0.22, 1.0)
LOW_MISSED = Profile("reward low FN", 1.0, 0.11, 2.0)
PROFILES = (STANDARD, LOW_FALSE, LOW_MISSED)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One series: a score a row, and the windows as (first row, last row), in order, none overlapping."""

    scores: Sequence[float]
    windows: Sequence[tuple[int, int]]

    @property
    def probation(self) -> int:
        return min(int(PROBATION * len(self.scores)), MOST_PROBATION)


@dataclass(frozen=True, slots=True)
class Best:
    """score: on the scale from 0 to 100; false: rows detected outside of windows; found: windows of `windows`."""

    score: float
    threshold: float
    found: int
    windows: int
    false: int


@dataclass(frozen=True, slots=True)
class _Detection:
    """worth: +1 at the beginning of a window, down to 0 at its end, -1 far behind the last one."""

    score: float
    worth: float
    window: tuple[int, int] | None


@dataclass(slots=True)
class _Sum:
    profile: Profile
    windows: int
    false: float = 0.0
    false_rows: int = 0
    earned: dict[tuple[int, int], float] = field(default_factory=dict[tuple[int, int], float])

    def add(self, detection: _Detection) -> None:
        if detection.window is None:
            self.false += detection.worth * self.profile.false
            self.false_rows += 1
        else:
            earned = self.earned.get(detection.window, -math.inf)
            self.earned[detection.window] = max(earned, detection.worth * self.profile.found)

    def at(self, threshold: float) -> Best:
        missed = self.windows - len(self.earned)
        raw = sum(self.earned.values()) + self.false - missed * self.profile.missed
        nothing = -self.windows * self.profile.missed
        perfect = self.windows * self.profile.found
        score = 100 * (raw - nothing) / (perfect - nothing) if self.windows else 0.0
        return Best(score, threshold, len(self.earned), self.windows, self.false_rows)


def sigmoid(widths: float) -> float:
    """Of a place, in widths of the window from its end: -1 its beginning, 0 its end, 1 as far behind."""
    return -1.0 if widths >= FAR else 2 / (1 + math.exp(5 * widths)) - 1


def best(series: Iterable[Labelled], profile: Profile = STANDARD) -> Best:
    """By the threshold at which the series together score highest."""
    detections, windows = _detections(series)
    total = _Sum(profile, windows)
    highest = total.at(math.inf)
    for place, detection in enumerate(detections):
        total.add(detection)
        if place + 1 == len(detections) or detections[place + 1].score < detection.score:
            highest = max(highest, total.at(detection.score), key=lambda one: one.score)
    return highest


def at_threshold(series: Iterable[Labelled], threshold: float, profile: Profile = STANDARD) -> Best:
    detections, windows = _detections(series)
    total = _Sum(profile, windows)
    for detection in detections:
        if detection.score >= threshold:
            total.add(detection)
    return total.at(threshold)


def _detections(series: Iterable[Labelled]) -> tuple[list[_Detection], int]:
    """All rows that count, the highest score first, and the number of windows that can be found."""
    found: list[_Detection] = []
    for number, one in enumerate(series):
        found += (
            _Detection(one.scores[row], worth, window and (number, window[0]))
            for row, (worth, window) in enumerate(_worths(one))
            if row >= one.probation
        )
    found.sort(key=lambda detection: -detection.score)
    return found, len({detection.window for detection in found if detection.window is not None})


def _worths(one: Labelled) -> Iterable[tuple[float, tuple[int, int] | None]]:
    """Of each row: what a detection there is worth, and the window it lies in."""
    earliest = sigmoid(-1.0)
    ahead = list(one.windows)
    behind: tuple[int, int] | None = None
    for row in range(len(one.scores)):
        if ahead and row > ahead[0][1]:
            behind = ahead.pop(0)
        if ahead and row >= ahead[0][0]:
            first, last = ahead[0]
            yield sigmoid(-(last - row + 1) / (last - first + 1)) / earliest, ahead[0]
        elif behind is None:
            yield -1.0, None
        else:
            yield sigmoid((row - behind[1]) / max(behind[1] - behind[0], 1)), None


def windows_of(moments: Sequence[str], labelled: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Windows given by moments as rows. Each moment is one of the series', written alike."""
    place: Mapping[str, int] = {moment: row for row, moment in reversed(list(enumerate(moments)))}
    return sorted((place[first], place[last]) for first, last in labelled)
