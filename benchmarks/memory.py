"""Resident memory of a server: after the start, and after many events (100,000; a million with --full)."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure, Options, Skipped, pause, say
from benchmarks.machine import cores, peak_rss_bytes, rss_bytes
from benchmarks.serving import metric, watchtower
from benchmarks.traffic import event, template
from benchmarks.wrk import Wrk, events_script

MIB = 1 << 20
WAITING = 256 * MIB  # of a spool of 1 GiB
BOUND_MIB = 512.0  # what a small installation is promised


def memory(options: Options) -> Sequence[Figure | Skipped]:
    server, load = cores()
    wanted = 1_000_000 if options.full else 100_000
    wrk, script = Wrk(load, connections=8), events_script(template(event()))
    with tempfile.TemporaryDirectory() as folder, watchtower(Path(folder) / "state", server) as ours:
        pause(2)
        idle, sent = rss_bytes(ours.pid) / MIB, 0
        url = f"{ours.url}/api/v1/lineage/batch"
        while sent < wanted:
            burst = wrk.burst(url, script, ours.headers, seed=time.time_ns() & 0xFFFFFFFF, per_request=100, seconds=5)
            sent += burst.requests * 100
            while metric(ours, "watchtower_spool_bytes") > WAITING:  # or it fills up on a slow machine, and says 503
                pause(0.5)
            say(f"  {sent:,} events: {rss_bytes(ours.pid) / MIB:.0f} MiB")
        pause(5)
        after, peak = rss_bytes(ours.pid) / MIB, peak_rss_bytes(ours.pid) / MIB
    note = f"{sent:,} events of 2,000 pipelines; peak {peak:.0f} MiB"
    return [
        Figure("memory, idle / bound", idle, BOUND_MIB, "MiB", "lower", 1.0),
        Figure("memory, after the events / bound", after, BOUND_MIB, "MiB", "lower", 1.0, note=note),
    ]
