"""Prometheus evaluating what a generator of SLOs (Sloth) writes: a recording rule for each window, alerts, the budget.

Two counters for each pipeline, runs and failed ones, are scraped each minute; the history is backfilled by promtool.
Where it is longer than a month, scrapes older than three days are five minutes apart, in Prometheus' favour.
"""

import random
import re
import subprocess
import urllib.request
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import msgspec

from benchmarks.figures import Unavailable, now_s, pause, say
from benchmarks.machine import cores, cpu_s, unpack
from benchmarks.peers import CACHE, Peer, prometheus
from watchtower.model.slo import minute_of

SEED = 20_261_130
BAD = 0.005  # of runs
ALLOWED = 0.01  # of the objective, 99 %
DAY = 1_440  # minutes
FINE = 3 * DAY  # of which there is a scrape each minute
MARGIN = 180  # after now: what is evaluated later finds scrapes, too
BLOCK = 162 * 60  # minutes; as promtool cuts time
EVALUATIONS = 3
INTERVAL_S = 5
PATIENCE_S = 900.0
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_STEPS = (("page", "1h", "5m", 14.4), ("page", "6h", "30m", 6), ("ticket", "1d", "2h", 3), ("ticket", "3d", "6h", 1))
_RATE = "rate(run_failed_total[{0}]) / rate(run_total[{0}])"


@dataclass(frozen=True)
class Fleet:
    """every: minutes between two runs of a pipeline. now: a whole minute."""

    pipelines: int
    days: int
    every: int
    now: datetime

    @cached_property
    def last(self) -> int:
        return minute_of(self.now)

    @property
    def first(self) -> int:
        return self.last - self.days * DAY

    def runs(self, pipeline: int) -> Iterator[tuple[int, bool]]:
        """(minute since the epoch, went well) of each, oldest first: the same whenever it is asked for."""
        dice = random.Random(f"{SEED} {pipeline}")
        for minute in range(self.first + dice.randrange(self.every), self.last + 1, self.every):
            yield minute, dice.random() >= BAD


@dataclass(frozen=True, slots=True, order=True)
class Spent:
    """Microseconds for each SLO."""

    cpu: float
    wall: float

    @classmethod
    def of(cls, cpu_seconds: float, wall_seconds: float, pipelines: int) -> "Spent":
        return cls(cpu_seconds / pipelines * 1e6, wall_seconds / pipelines * 1e6)

    def __str__(self) -> str:
        return f"{self.cpu:,.0f} µs CPU, {self.wall:,.0f} µs each"


def evaluating(folder: Path, fleet: Fleet) -> tuple[Spent, Spent]:
    """One evaluation of the windows with their alerts, and of these with the ratio over the budget's thirty days."""
    (folder / "data").mkdir(parents=True)
    begun = now_s()
    for piece in _pieces(fleet):
        _backfill(folder, fleet, piece)
    say(f"  backfilled in {now_s() - begun:.0f} s")
    windows = _spent(folder, fleet, [_windows()])
    whole = _spent(folder, fleet, [_windows(), _budget()])
    say(f"  Prometheus, windows alone: {windows}; with the budget: {whole}")
    return windows, whole


def _windows() -> Mapping[str, object]:
    records = [{"record": f"slo:ratio_{window}", "expr": _RATE.format(window)} for window in _WINDOWS]
    alerts = [
        {
            "alert": f"SloBurn{long}",
            "expr": f"slo:ratio_{long} > {factor * ALLOWED:g} and slo:ratio_{short} > {factor * ALLOWED:g}",
            "labels": {"severity": severity},
        }
        for severity, long, short, factor in _STEPS
    ]
    return {"name": "windows", "rules": [*records, *alerts]}


def _budget() -> Mapping[str, object]:
    used = {"record": "slo:ratio_budget", "expr": _RATE.format("30d")}
    gone = {"alert": "SloExhausted", "expr": f"slo:ratio_budget > {ALLOWED:g}", "labels": {"severity": "ticket"}}
    return {"name": "budget", "rules": [used, gone]}


def _spent(folder: Path, fleet: Fleet, groups: Sequence[Mapping[str, object]]) -> Spent:
    rules = folder / "rules.yml"
    rules.write_bytes(msgspec.yaml.encode({"groups": groups}))
    config = f"global: {{scrape_interval: 1h, evaluation_interval: {INTERVAL_S}s}}\nrule_files: [{rules}]\n"
    with prometheus(folder, cores()[0], config) as peer:
        rounds, seconds = _told(peer, after=1)
        used = cpu_s(peer.pid)
        last, sum_s = _told(peer, after=rounds + EVALUATIONS)
        count = last - rounds
        return Spent.of((cpu_s(peer.pid) - used) / count, (sum_s - seconds) / count, fleet.pipelines)


def _told(peer: Peer, after: float) -> tuple[float, float]:
    """(evaluations of every group, seconds they took together) once there were so many. Prometheus counts the ones that
    it left out, since the last one took longer than the interval, as iterations, too."""
    end = now_s() + PATIENCE_S
    while now_s() < end:
        with urllib.request.urlopen(f"{peer.url}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        rounds = _done(text)
        taken = re.findall(r"^prometheus_rule_group_duration_seconds_sum (\S+)$", text, re.MULTILINE)
        if rounds and min(rounds) >= after:
            return min(rounds), float(taken[0])
        pause(0.2)
    raise Unavailable(f"Prometheus did not evaluate its rules within {PATIENCE_S:g} s")


def _done(text: str) -> list[float]:
    """Of each group, the evaluations that were made."""
    told = re.findall(r"^prometheus_rule_group_iterations_(missed_)?total(\{.*\}) (\S+)$", text, re.MULTILINE)
    missed = {group: float(count) for left_out, group, count in told if left_out}
    return [float(count) - missed.get(group, 0.0) for left_out, group, count in told if not left_out]


# -- the history --------------------------------------------------------------------------------------------------


def _pieces(fleet: Fleet) -> Iterator[range]:
    """Minutes of one block each."""
    first, end = fleet.first, fleet.last + MARGIN
    while first < end:
        following = min(end, (first // BLOCK + 1) * BLOCK)
        yield range(first, following)
        first = following


def _backfill(folder: Path, fleet: Fleet, piece: range) -> None:
    file = folder / "piece.txt"
    with file.open("w", encoding="ascii") as sink:
        for family in ("run_failed", "run"):
            sink.write(f"# TYPE {family} counter\n")
            for pipeline in range(fleet.pipelines):
                sink.writelines(_samples(fleet, pipeline, family, piece))
        sink.write("# EOF\n")
    promtool = unpack("prometheus", "/usr/bin/promtool", CACHE)
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=162h", "--quiet"]
    done = subprocess.run([*command, str(file), str(folder / "data")], capture_output=True, text=True, check=False)
    file.unlink()
    if done.returncode:
        raise Unavailable(f"promtool failed ({done.returncode}): {done.stderr.strip()[-300:]}")


def _samples(fleet: Fleet, pipeline: int, family: str, piece: range) -> Iterator[str]:
    counted = [minute for minute, good in fleet.runs(pipeline) if family == "run" or not good]
    count = bisect_right(counted, piece.start)
    fine_from = fleet.last - FINE if fleet.days > 30 else 0
    for minute in piece:
        while count < len(counted) and counted[count] <= minute:
            count += 1
        if minute >= fine_from or minute % 5 == 0:
            yield f'{family}_total{{pipeline="p{pipeline:04}"}} {count} {minute * 60}\n'
