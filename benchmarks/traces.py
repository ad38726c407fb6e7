"""OTLP over HTTP, 512 spans a request: spans acknowledged once they are durable, and how fast they are walked.

Beside it: the same server parsing and checking but storing nothing, and rotel, a collector in Rust that forwards to
nowhere (it answers before anything is durable). Every request has a trace of its own. The walker runs meanwhile, on the
same core.
"""

import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, Options, Skipped, Unavailable, alternate
from benchmarks.machine import ROOT, cores, cpu_s, on_core, process
from benchmarks.peers import Peer
from benchmarks.serving import Serving, watchtower
from benchmarks.wrk import Wrk, spans_script
from collectors.otlp.spans import spans_of
from collectors.otlp.traces import OtlpTraces
from tests.otlp import body, span
from tests.services.ports import free_port
from watchtower.app.walking import Walker
from watchtower.clock import SystemClock
from watchtower.model.trace import SpanBatch
from watchtower.ports import Received
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.migrations import migrate
from watchtower.store.span_batches import pack

SPANS = 512  # a request
TRACE = b"0123456789abcdef"  # replaced in each request
ROTEL = ROOT / ".cache" / "rotel" / "bin" / "python"
READY_S = 20.0


def traces(options: Options) -> Sequence[Figure | Skipped]:
    found: list[Figure | Skipped] = [_walking(options)]
    server, load = cores()
    seconds = 10.0 if options.full else 3.0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sent = folder / "request"
        sent.write_bytes(request())
        script = spans_script(sent, TRACE)
        ours = stack.enter_context(watchtower(folder / "full", server, patience_s=30))
        floor = stack.enter_context(watchtower(folder / "nothing", server, store=False))
        wrk = Wrk(load, connections=8)
        candidates = {"FULL": _burst(wrk, ours, script, seconds), "nothing": _burst(wrk, floor, script, seconds)}
        try:
            peer = stack.enter_context(rotel(folder / "rotel", server))
            candidates["rotel"] = _burst(wrk, Serving(peer.pid, peer.url, ""), script, seconds)
        except Unavailable as error:
            found.append(Skipped("OTLP against rotel", str(error)))
        seen = alternate(candidates, options.rounds)
    for name, other, gate, aim in (("no store", "nothing", None, None), ("rotel", "rotel", 0.20, 0.60)):
        if other in seen:
            found.append(_figure(f"OTLP/HTTP, acknowledged durable / {name}", seen["FULL"], seen[other], gate, aim))
    return found


def request() -> bytes:
    """Spans of a few operations with a handful of attributes each, as instrumented pipelines send them."""
    now = datetime.now(UTC)
    return body(
        *(
            span(
                number,
                f"operation {number % 12}",
                trace=TRACE,
                parent=1 if number > 1 else None,
                at=number / 1_000,
                seconds=0.01,
                begin=now,
                said={"db.system.name": "postgresql", "db.collection.name": "orders", "rows": number, "thread": "main"},
            )
            for number in range(1, SPANS + 1)
        )
    )


def _burst(wrk: Wrk, server: Serving, script: str, seconds: float) -> Callable[[], Mapping[str, float]]:
    headers = {**server.headers, "Content-Type": "application/x-protobuf"}

    def measure() -> Mapping[str, float]:
        before = cpu_s(server.pid)
        url = f"{server.url}/v1/traces"
        done = wrk.burst(url, script, headers, seed=time.time_ns() & 0xFFFFFF, per_request=SPANS, seconds=seconds)
        count = done.requests * SPANS
        cpu_us = (cpu_s(server.pid) - before) / count * 1e6
        return {"rate": count / done.seconds, "cpu_us": cpu_us, "p99_ms": done.p99_s * 1e3}

    return measure


def _figure(
    name: str, ours: Mapping[str, float], theirs: Mapping[str, float], gate: float | None, aim: float | None
) -> Figure:
    note = f"CPU {ours['cpu_us']:.2f} / {theirs['cpu_us']:.2f} µs a span; p99 {ours['p99_ms']:.0f} ms"
    return Figure(name, ours["rate"], theirs["rate"], "spans/s", gate=gate, aim=aim, note=note)


def _walking(options: Options) -> Figure:
    """Batches that wait are walked into a SQLite store, beside merely reading what their spans say."""
    batches = 400 if options.full else 60
    made = request()
    seen = alternate({"walk": lambda: _walk(made, batches), "read": lambda: _read(made, batches)}, options.rounds)
    note = f"CPU {seen['walk']['cpu_us']:.0f} / {seen['read']['cpu_us']:.0f} µs a span"
    walk, read = seen["walk"]["rate"], seen["read"]["rate"]
    return Figure("walking spans into figures / reading them", walk, read, "spans/s", note=note)


def _walk(made: bytes, batches: int) -> Mapping[str, float]:
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/watchtower.db")
        migrate(database, SystemClock())
        for number in range(batches):
            one = made.replace(TRACE, number.to_bytes(16, "little")[:15] + b"\x01")
            append(database, Intake((), batches=[pack(SpanBatch(now, SPANS, one))])).result()
        walker = Walker(database)
        began, cpu = time.perf_counter(), time.process_time()
        while walker.step(now):
            pass
        taken, cpu = time.perf_counter() - began, time.process_time() - cpu
        database.close()
    count = batches * SPANS
    return {"rate": count / taken, "cpu_us": cpu / count * 1e6}


def _read(made: bytes, batches: int) -> Mapping[str, float]:
    """As the receiver and the walker read: parse, check, and make a Span of each."""
    collector, received = OtlpTraces(), Received(datetime.now(UTC), content_type="application/x-protobuf")
    began, cpu = time.perf_counter(), time.process_time()
    count = 0
    for _ in range(batches):
        for batch in collector.decode(made, received).batches:
            count += sum(1 for _ in spans_of(batch.body))
    return {"rate": count / (time.perf_counter() - began), "cpu_us": (time.process_time() - cpu) / count * 1e6}


@contextmanager
def rotel(folder: Path, core: int) -> Generator[Peer]:
    """rotel from its wheel, in an environment of its own, with an exporter that forwards to nowhere."""
    found = sorted(ROTEL.parents[1].glob("lib/*/site-packages/rotel/rotel-agent"))
    if not found:
        raise Unavailable("rotel is not here: python -m venv .cache/rotel && .cache/rotel/bin/pip install rotel")
    port = free_port()
    folder.mkdir()
    listen = ["--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"]
    command = [str(found[0]), "start", "--exporter", "blackhole", *listen]
    url = f"http://127.0.0.1:{port}"
    with process(on_core(core, command), folder / "log") as started:
        for _ in range(int(READY_S / 0.1)):
            if started.poll() is not None:
                raise Unavailable(f"rotel ended: {(folder / 'log').read_text()[-500:]}")
            if _takes(url):
                yield Peer(started.pid, url)
                return
            threading.Event().wait(0.1)
    raise Unavailable(f"rotel was not ready after {READY_S:g} s")


def _takes(url: str) -> bool:
    asked = urllib.request.Request(f"{url}/v1/traces", b"", {"Content-Type": "application/x-protobuf"})
    try:
        with urllib.request.urlopen(asked, timeout=1):
            return True
    except OSError:
        return False
