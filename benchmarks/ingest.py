"""Durable ingest over HTTP: single events on 32 connections, and batches of 100.

Ours commits to SQLite with synchronous=FULL before it answers, and evaluates its rules meanwhile. Beside it: the same
server storing nothing, and Prometheus remote write, five samples a run (it does not sync before it answers). Requests
wait for the store here, however long; as shipped, those that would wait for more than a quarter of a second are
answered from the spool, which is as durable: that is a figure of its own, and its time ends when all is in the store.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, Options, Skipped, Unavailable, alternate, now_s, pause
from benchmarks.machine import cores, cpu_s
from benchmarks.peers import prometheus
from benchmarks.serving import Serving, metric, watchtower
from benchmarks.traffic import event, template
from benchmarks.wrk import Wrk, events_script, samples_script

BATCH = 100
REMOTE_WRITE = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
# Wide enough apart for a burst, since Prometheus refuses samples that are older than those it has.
_REMOTE_SEEDS = itertools.count(int(time.time()) - 3_000, 60)

Measure = Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _Target:
    """One server, and what is sent to it. size: runs a request."""

    wrk: Wrk
    pid: int
    url: str
    script: str
    headers: Mapping[str, str]
    size: int
    seconds: float

    def measure(self, seed: int) -> dict[str, float]:
        before = cpu_s(self.pid)
        load = self.wrk.burst(
            self.url, self.script, self.headers, seed=seed, per_request=self.size, seconds=self.seconds
        )
        runs = load.requests * self.size
        return {
            "requests": load.requests,
            "rate": runs / load.seconds,
            "cpu_us": (cpu_s(self.pid) - before) / runs * 1e6,
            "p99_ms": load.p99_s * 1e3,
        }


def ingest(options: Options) -> Sequence[Figure | Skipped]:
    server, load = cores()
    seconds = 10.0 if options.full else 3.0
    found: list[Figure | Skipped] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(watchtower(folder / "full", server, patience_s=30))
        shipped = stack.enter_context(watchtower(folder / "shipped", server))
        floor = stack.enter_context(watchtower(folder / "nothing", server, store=False))
        try:
            peer = stack.enter_context(prometheus(folder / "prometheus", server))
        except Unavailable as error:
            found.append(Skipped("ingest against Prometheus", str(error)))
            peer = None
        for size, connections, shape in ((1, 32, "single"), (BATCH, 8, "batch of 100")):
            wrk = Wrk(load, connections=connections)
            candidates: dict[str, Measure] = {}
            for name, made in (("", event()), (", datasets", event(datasets=True))):
                script = events_script(template(made))
                candidates[f"FULL{name}"] = _lineage(wrk, ours, script, size, seconds)
                candidates[f"nothing{name}"] = _lineage(wrk, floor, script, size, seconds)
            candidates["shipped"] = _lineage(wrk, shipped, events_script(template(event())), size, seconds)
            if peer:
                url, script = f"{peer.url}/api/v1/write", samples_script()
                target = _Target(wrk, peer.pid, url, script, REMOTE_WRITE, size, seconds)
                candidates["Prometheus"] = lambda target=target: target.measure(next(_REMOTE_SEEDS))
            found += _figures(shape, alternate(candidates, options.rounds), single=size == 1)
    return found


def _lineage(wrk: Wrk, server: Serving, script: str, size: int, seconds: float) -> Measure:
    url = f"{server.url}/api/v1/lineage{'/batch' if size > 1 else ''}"
    target = _Target(wrk, server.pid, url, script, server.headers, size, seconds)

    def measure() -> Mapping[str, float]:
        before, began = metric(server, _SPOOLED), cpu_s(server.pid)
        seen = target.measure(time.time_ns() & 0xFFFFFFFF)
        spooled = metric(server, _SPOOLED) - before
        runs, ended = seen["requests"] * size, now_s()
        while spooled and metric(server, "watchtower_spool_bytes"):
            pause(0.05)
        seconds = runs / seen["rate"] + (now_s() - ended if spooled else 0.0)
        cpu_us = (cpu_s(server.pid) - began) / runs * 1e6
        return {**seen, "rate": runs / seconds, "cpu_us": cpu_us, "spooled": spooled / seen["requests"]}

    return measure


_SPOOLED = 'watchtower_spool_records_total{direction="in"}'  # requests: as durable, but not in the store yet


def _figures(shape: str, seen: Mapping[str, Mapping[str, float]], *, single: bool) -> list[Figure]:
    figures: list[Figure] = []
    ours = seen["FULL"]
    if "Prometheus" in seen:
        gate, aim = (0.38, 0.50) if single else (0.25, 0.40)
        figures.append(_figure(f"ingest, {shape}, SQLite FULL / Prometheus", ours, seen["Prometheus"], gate, aim))
    gate, aim = (0.42, 0.55) if single else (0.16, 0.30)
    figures.append(_figure(f"ingest, {shape}, SQLite FULL / no store", ours, seen["nothing"], gate, aim))
    wide, floor = seen["FULL, datasets"], seen["nothing, datasets"]
    figures.append(_figure(f"ingest, {shape}, two datasets, SQLite FULL / no store", wide, floor, None, None))
    name = f"ingest, {shape}, as shipped (store or spool, then store) / no store"
    figures.append(_figure(name, seen["shipped"], seen["nothing"], None, None))
    return figures


def _figure(
    name: str, ours: Mapping[str, float], theirs: Mapping[str, float], gate: float | None, aim: float | None
) -> Figure:
    note = f"CPU {ours['cpu_us']:.0f} / {theirs['cpu_us']:.0f} µs a run"
    note += f"; p99 {ours['p99_ms']:.0f} / {theirs['p99_ms']:.0f} ms"
    if ours["spooled"]:
        note += f"; {ours['spooled']:.0%} answered from the spool"
    return Figure(name, ours["rate"], theirs["rate"], "runs/s", gate=gate, aim=aim, note=note)
