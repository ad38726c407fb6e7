"""What a benchmark reports, and how its rounds alternate."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. ours and theirs: medians, with their unit in `unit`; ratio: ours / theirs. better: which
    way the ratio is better; gate and aim: bounds of the ratio (None: reported only). note: what stands behind it."""

    name: str
    ours: float
    theirs: float
    unit: str
    better: Literal["higher", "lower"] = "higher"
    gate: float | None = None
    aim: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs if self.theirs else float("nan")

    @property
    def holds(self) -> bool:
        if self.gate is None:
            return True
        return self.ratio >= self.gate if self.better == "higher" else self.ratio <= self.gate


@dataclass(frozen=True, slots=True)
class Skipped:
    """A figure that could not be had here, and why."""

    name: str
    why: str


class Unavailable(Exception):
    """Something that a figure needs is not on this machine; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """full: the sizes of the published table; else a few minutes for everything together."""

    full: bool = False
    rounds: int = ROUNDS


Benchmark = Callable[[Options], Sequence[Figure | Skipped]]


def alternate(candidates: Mapping[str, Callable[[], Mapping[str, float]]], rounds: int) -> dict[str, dict[str, float]]:
    """Run the candidates in turn, rounds + 1 times, and give the median of each of their measurements. The first round
    warms caches and connections and is not counted."""
    seen: dict[str, dict[str, list[float]]] = {name: {} for name in candidates}
    for number in range(rounds + 1):
        for name, measure in candidates.items():
            measured = measure()
            say(f"  {'warm-up' if number == 0 else f'round {number}'} {name}: {shown(measured)}")
            if number:
                for key, value in measured.items():
                    seen[name].setdefault(key, []).append(value)
    return {name: {key: median(values) for key, values in some.items()} for name, some in seen.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of values lie, by the nearest rank. values must not be empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def now_s() -> float:
    """For intervals; the same clock in every process of this machine."""
    return time.monotonic()


def pause(seconds: float) -> None:
    time.sleep(seconds)


def say(text: str) -> None:
    """Progress, beside the report."""
    print(text, file=sys.stderr, flush=True)


def shown(measured: Mapping[str, float]) -> str:
    return ", ".join(f"{key} {value:,.4g}" for key, value in measured.items())
