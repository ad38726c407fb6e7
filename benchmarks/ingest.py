"""Durable ingest over HTTP: single events on 32 connections, and batches of 100.

Ours commits to SQLite with synchronous=FULL before it answers. Beside it: the same server storing nothing, and
Prometheus remote write, five samples a run (it does not sync before it answers).
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import Figure, Options, Skipped, Unavailable, alternate
from benchmarks.machine import cores, cpu_s
from benchmarks.peers import prometheus
from benchmarks.serving import Serving, watchtower
from benchmarks.traffic import event, template
from benchmarks.wrk import Wrk, events_script, samples_script

BATCH = 100
REMOTE_WRITE = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_REMOTE_SEEDS = iter(range(int(time.time()) - 3_000, int(time.time()) + 3_000, 60))  # rising, apart by more than a burst

Measure = Callable[[], Mapping[str, float]]


def ingest(options: Options) -> Sequence[Figure | Skipped]:
    server, load = cores()
    seconds = 10.0 if options.full else 3.0
    found: list[Figure | Skipped] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        wrk = Wrk(load)
        ours = stack.enter_context(watchtower(folder / "full", server))
        floor = stack.enter_context(watchtower(folder / "nothing", server, store=False))
        try:
            peer = stack.enter_context(prometheus(folder / "prometheus", server))
        except Unavailable as error:
            found.append(Skipped("ingest against Prometheus", str(error)))
            peer = None
        for size, shape in ((1, "single"), (BATCH, "batch of 100")):
            plain, wide = events_script(template(event())), events_script(template(event(datasets=True)))
            candidates: dict[str, Measure] = {
                "FULL": _lineage(wrk, ours, plain, size, seconds),
                "nothing": _lineage(wrk, floor, plain, size, seconds),
                "FULL, datasets": _lineage(wrk, ours, wide, size, seconds),
                "nothing, datasets": _lineage(wrk, floor, wide, size, seconds),
            }
            if peer:
                candidates["Prometheus"] = _remote_write(wrk, peer.pid, peer.url, size, seconds)
            seen = alternate(candidates, options.rounds)
            found += _figures(shape, seen, single=size == 1)
    return found


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
    return figures


def _figure(
    name: str, ours: Mapping[str, float], theirs: Mapping[str, float], gate: float | None, aim: float | None
) -> Figure:
    note = f"CPU {ours['cpu_us']:.1f} / {theirs['cpu_us']:.1f} µs a run, p99 {ours['p99_ms']:.1f} / {theirs['p99_ms']:.1f} ms"
    return Figure(name, ours["rate"], theirs["rate"], "runs/s", gate=gate, aim=aim, note=note)


def _lineage(wrk: Wrk, server: Serving, script: str, size: int, seconds: float) -> Measure:
    url = f"{server.url}/api/v1/lineage{'/batch' if size > 1 else ''}"
    return lambda: _burst(wrk, server.pid, url, script, server.headers, time.time_ns() & 0xFFFFFFFF, size, seconds)


def _remote_write(wrk: Wrk, pid: int, base: str, size: int, seconds: float) -> Measure:
    url, script = f"{base}/api/v1/write", samples_script()
    return lambda: _burst(wrk, pid, url, script, REMOTE_WRITE, next(_REMOTE_SEEDS), size, seconds)


def _burst(
    wrk: Wrk, pid: int, url: str, script: str, headers: Mapping[str, str], seed: int, size: int, seconds: float
) -> Mapping[str, float]:
    before = cpu_s(pid)
    load = wrk.burst(url, script, headers, seed=seed, per_request=size, seconds=seconds)
    runs = load.requests * size
    return {"rate": runs / load.seconds, "cpu_us": (cpu_s(pid) - before) / runs * 1e6, "p99_ms": load.p99_s * 1e3}
