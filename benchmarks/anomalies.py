"""The detector on labelled series of the Numenta Anomaly Benchmark (MIT), scored as that does; and what a row costs.

What the detector is made of was chosen on the 23 series that are at hand, so they do not say how it does on a series
that nobody has seen. Published scores are of all 58 series: they say where the field stands, and are no like for like.
Where CHECKOUT names a checkout of the benchmark (github.com/numenta/NAB), all 58 are scored, which is like for like,
and the 35 that are not among the 23 are blind: nothing was chosen on them.
"""

import csv
import json
import multiprocessing
import os
import random
import time
import tracemalloc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import mean

from benchmarks.figures import Figure, Options, Skipped, Unavailable
from benchmarks.machine import ROOT
from benchmarks.nab import PROFILES, STANDARD, Best, Labelled, Profile, at_threshold, best, windows_of
from rules.anomaly.detector import Detector

DATA = ROOT.parent / "shared" / "anomaly"
CHECKOUT = "WATCHTOWER_NAB"
DEFAULT = 0.5  # the threshold as shipped
OTHERS = tuple(profile for profile in PROFILES if profile is not STANDARD)
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
    found = _scored(DATA / "data", _labels(DATA / "windows.json"))
    every = {name: one.series for name, one in found.items()}
    chosen = best(every.values())
    figures = [
        _figure("series that it was chosen on", chosen),
        _figure("series that it was chosen on, as shipped", at_threshold(every.values(), DEFAULT)),
        *(_figure("series that it was chosen on", best(every.values(), each), each) for each in OTHERS),
        Figure("NAB, scores drawn at random", _at_random(every.values()), PUBLISHED_RANDOM, "score", note=_ALL),
    ]
    return [*figures, *_of_all(every, chosen.threshold), *_costs(found.values())]


def _of_all(known: Mapping[str, Labelled], threshold: float) -> Iterable[Figure | Skipped]:
    """The whole benchmark. threshold: of the series that the detector was chosen on."""
    checkout = os.environ.get(CHECKOUT)
    if not checkout:
        yield Skipped("NAB, all 58 series", f"{CHECKOUT} names no checkout of github.com/numenta/NAB")
        return
    labels = _labels(Path(checkout) / "labels" / "combined_windows.json")
    unseen = {name: windows for name, windows in labels.items() if name not in known}
    blind = [one.series for one in _scored(Path(checkout) / "data", unseen).values()]
    of_all = f"all {len(labels)} series"
    every = [*known.values(), *blind]
    yield _figure(of_all, best(every), note=_LIKE)
    yield from (_figure(of_all, best(every, each), each) for each in OTHERS)
    yield _figure(f"{len(blind)} blind series, as shipped", at_threshold(blind, DEFAULT))
    yield _figure(f"{len(blind)} blind series, by the threshold of the others", at_threshold(blind, threshold))
    yield _figure(f"{len(blind)} blind series, by their own threshold", best(blind))


_ALL = "theirs: published, of all 58 series"
_LIKE = "both of all series, by their own threshold"


def _figure(what: str, one: Best, profile: Profile = STANDARD, note: str = _ALL) -> Figure:
    seen = f"{one.found} of {one.windows} windows, {one.false} false"
    name = f"NAB, {profile.name}, {what}"
    if profile is not STANDARD:
        return Figure(name, one.score, float("nan"), "score", note=seen)
    return Figure(f"{name} / the best published", one.score, PUBLISHED_BEST, "score", note=f"{seen}; {note}")


def _labels(file: Path) -> Mapping[str, Sequence[Sequence[str]]]:
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise Unavailable(f"the labelled series are not in {file.parent}") from error


def _scored(folder: Path, labels: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, Scored]:
    wanted = [(folder / name, windows) for name, windows in labels.items()]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return dict(zip(labels, pool.starmap(_score, wanted), strict=True))


def _score(file: Path, windows: Sequence[Sequence[str]]) -> Scored:
    """In a process of its own: one row after the other, as they stand in the file."""
    with file.open(encoding="utf-8", newline="") as told:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(told)]
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
