"""The detector on labelled series of the Numenta Anomaly Benchmark (MIT), scored as that does; and what a row costs.

Eight of the 23 series were put aside by a hash of their names before anything was tuned: HELD_OUT. What the detector
is made of was chosen on the others, so only the eight say how it does on a series that nobody has seen. Published
scores are of all 58 series, most of which are not here: they say where the field stands, and are no like for like.
"""

import csv
import hashlib
import json
import multiprocessing
import random
import time
import tracemalloc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import mean

from benchmarks.figures import Figure, Options, Skipped, Unavailable
from benchmarks.machine import ROOT
from benchmarks.nab import PROFILES, STANDARD, Best, Labelled, Profile, at_threshold, best, windows_of
from rules.anomaly.detector import Detector

DATA = ROOT.parent / "shared" / "anomaly"
HELD_OUT = 8
# Standard profile, all 58 series, by the benchmark's own scoreboard.
PUBLISHED_BEST = 74.9  # ARTime
PUBLISHED_RANDOM = 11.0
RANDOM_SEEDS = 20
ROWS = 8_000  # twice as many as a lens remembers
START = datetime(2026, 3, 2)  # noqa: DTZ001 - the clock that people live by has no zone


@dataclass(frozen=True, slots=True)
class Scored:
    """seconds: of CPU."""

    series: Labelled
    seconds: float


def anomalies(_options: Options) -> Sequence[Figure | Skipped]:
    labels = _labels()
    names = by_hash(labels)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = dict(zip(names, pool.starmap(_score, [(name, labels[name]) for name in names]), strict=True))
    every = {name: one.series for name, one in found.items()}
    held, tuned = ([every[name] for name in part] for part in (names[:HELD_OUT], names[HELD_OUT:]))
    chosen = best(tuned)
    blind = at_threshold(held, chosen.threshold)
    figures = [
        _figure("all series", best(every.values())),
        _figure("series that it was chosen on", chosen),
        _figure("held-out series, by the threshold of the others", blind),
        _figure("held-out series, by their own threshold", best(held)),
        *(_figure("all series", best(every.values(), each), each) for each in PROFILES if each is not STANDARD),
        Figure("NAB, scores drawn at random", _at_random(every.values()), PUBLISHED_RANDOM, "score", note=_ALL),
    ]
    return [*figures, *_costs(found.values())]


_ALL = "theirs: published, of all 58 series"


def _figure(what: str, one: Best, profile: Profile = STANDARD) -> Figure:
    seen = f"{one.found} of {one.windows} windows, {one.false} false"
    name = f"NAB, {profile.name}, {what}"
    if profile is not STANDARD:
        return Figure(name, one.score, float("nan"), "score", note=seen)
    return Figure(f"{name} / the best published", one.score, PUBLISHED_BEST, "score", note=f"{seen}; {_ALL}")


def by_hash(names: Iterable[str]) -> list[str]:
    """The first HELD_OUT are held out. Nothing but the name decides."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def _labels() -> Mapping[str, Sequence[Sequence[str]]]:
    try:
        return json.loads((DATA / "windows.json").read_bytes())
    except FileNotFoundError as error:
        raise Unavailable(f"the labelled series are not in {DATA}") from error


def _score(name: str, windows: Sequence[Sequence[str]]) -> Scored:
    """In a process of its own: one row after the other, as they stand in the file."""
    with (DATA / "data" / name).open(encoding="utf-8", newline="") as file:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
    detector = Detector()
    begun = time.process_time()
    scores = [detector.see(datetime.fromisoformat(at), value).score for at, value in rows]
    seconds = time.process_time() - begun
    moments = [f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M:%S.%f}" for at, _ in rows]
    return Scored(Labelled(scores, windows_of(moments, windows)), seconds)


def _at_random(every: Iterable[Labelled]) -> float:
    """The mean of what random scores come to, each time by their best threshold."""
    series = list(every)
    scored: list[float] = []
    for seed in range(RANDOM_SEEDS):
        chance = random.Random(seed)
        drawn = [Labelled([chance.random() for _ in one.scores], one.windows) for one in series]
        scored.append(best(drawn).score)
    return mean(scored)


def _costs(found: Iterable[Scored]) -> list[Figure]:
    spent = [(len(one.series.scores), one.seconds) for one in found]
    rate = sum(rows for rows, _ in spent) / sum(seconds for _, seconds in spent)
    return [
        Figure("rows scored by one core", rate, float("nan"), "rows/s"),
        Figure(
            f"memory of one detector after {3 * ROWS:,} rows / {ROWS:,}",
            _memory(3 * ROWS),
            _memory(ROWS),
            "kB",
            "lower",
            1.1,
        ),
    ]


def _memory(rows: int) -> float:
    chance = random.Random(1)
    tracemalloc.start()
    detector = Detector()
    for row in range(rows):
        detector.see(START + row * timedelta(minutes=5), chance.gauss(100, 5))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1e3
