"""From a failed run to the first attempt at the provider: a webhook on loopback, from sending the event to its arrival.

Beside it Alertmanager alone (alert POST → webhook, group_wait 0s), and Prometheus with Alertmanager, which see the same
failure as a metric: with 1 s intervals, and with --full by their defaults (scrape and evaluate each minute, wait 30 s).
"""

import http.client
import json
import random
import tempfile
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.figures import Figure, Options, Skipped, Unavailable, now_s, pause, percentile, say
from benchmarks.hooks import Hooks, hooks
from benchmarks.machine import cores, on_core, pinned, process, python
from benchmarks.peers import alertmanager, prometheus
from benchmarks.serving import Serving, watchtower
from benchmarks.traffic import failure, filled, template
from tests.services.ports import free_port

LOAD = 1_000  # events a second
UNDER_LOAD = f"under {LOAD:,} events/s"
TIMEOUT_S = 300.0

_WATCHTOWER = """
outbound: {{allow: [127.0.0.0/8]}}
rules:
  - {{alert: RunFailed, kind: run_failure, match: {{pipeline: "~failing_.*"}}, severity: page}}
route: {{receiver: hook, group_by: [pipeline], group_wait: 0s}}
receivers:
  - name: hook
    webhook_configs: [{{url: "{url}", send_resolved: false}}]
"""
_ALERTMANAGER = """
route: {{receiver: hook, group_by: [pipeline]{wait}}}
receivers:
  - name: hook
    webhook_configs: [{{url: "{url}", send_resolved: false}}]
"""
_PROMETHEUS = """
global: {{{intervals}}}
rule_files: [{rules}]
scrape_configs:
  - {{job_name: runs, static_configs: [{{targets: ["{target}"]}}]}}
alerting:
  alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]
"""
_RULES = 'groups: [{name: runs, rules: [{alert: RunFailed, expr: "run_failed == 1", labels: {severity: page}}]}]'

Send = Callable[[str], None]  # makes the pipeline of this name fail


@dataclass(frozen=True, slots=True)
class _Pace:
    """How quickly Prometheus and Alertmanager look. spread_s: within which `count` failures begin, at any phase."""

    name: str
    intervals: str
    wait: str
    spread_s: float
    count: int = 20


FAST = _Pace("1 s intervals", "scrape_interval: 1s, evaluation_interval: 1s", ", group_wait: 0s", 10.0)
DEFAULT = _Pace("default intervals", "", "", 120.0)


def detection(options: Options) -> Sequence[Figure | Skipped]:
    server, load = cores()
    count = 40 if options.full else 12
    found: list[Figure | Skipped] = []
    delays: dict[str, list[float]] = {"idle": [], UNDER_LOAD: [], "Alertmanager": []}
    with ExitStack() as stack:
        stack.enter_context(pinned(load))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        heard = stack.enter_context(hooks())
        ours = stack.enter_context(watchtower(folder / "ours", server, config=_WATCHTOWER.format(url=heard.url)))
        senders: dict[str, Send] = {"idle": _event_sender(ours), UNDER_LOAD: _event_sender(ours)}
        try:
            text = _ALERTMANAGER.format(url=heard.url, wait=", group_wait: 0s")
            peer = stack.enter_context(alertmanager(folder / "alone", server, text))
            senders["Alertmanager"] = _alert_sender(peer.url)
        except Unavailable as error:
            found.append(Skipped("failure → webhook / Alertmanager alone", str(error)))
        for number in range(options.rounds + 1):
            for name, send in senders.items():
                with _load(ours, load, folder / "load.log", wanted=name == UNDER_LOAD):
                    seen = _one_by_one(heard, send, count)
                say(f"  {f'round {number}' if number else 'warm-up'} {name}: p50 {percentile(seen, 0.5) * 1e3:.2f} ms")
                delays[name] += seen if number else []
        mine = {name: delays[name] for name in ("idle", UNDER_LOAD)}
        if delays["Alertmanager"]:
            found += _compared(mine, delays["Alertmanager"], "Alertmanager alone", gate=3.0, aim=1.5)
        for pace in (FAST, DEFAULT) if options.full else (FAST,):
            try:
                theirs = _prometheus_delays(heard, folder / pace.name.replace(" ", "-"), server, pace)
                found += _compared(mine, theirs, f"Prometheus with Alertmanager, {pace.name}", gate=1.0)
            except Unavailable as error:
                found.append(Skipped(f"failure → webhook / Prometheus, {pace.name}", str(error)))
    if not options.full:
        found.append(Skipped("failure → webhook / Prometheus, default intervals", "takes five minutes; run --full"))
    return found


def _compared(
    mine: Mapping[str, list[float]], theirs: list[float], peer: str, *, gate: float, aim: float | None = None
) -> list[Figure]:
    """The median while idle has the gate; all figures are reported. The peer is always idle."""
    figures: list[Figure] = []
    for load, delays in mine.items():
        for share, word in ((0.5, "p50"), (0.99, "p99")):
            figures.append(
                Figure(
                    f"failure → webhook, {load}, {word} / {peer}",
                    percentile(delays, share) * 1e3,
                    percentile(theirs, share) * 1e3,
                    "ms",
                    better="lower",
                    gate=gate if load == "idle" and word == "p50" else None,
                    aim=aim if load == "idle" and word == "p50" else None,
                    note=f"{len(delays)} / {len(theirs)} failures",
                )
            )
    return figures


def _prometheus_delays(heard: Hooks, folder: Path, core: int, pace: _Pace) -> list[float]:
    folder.mkdir(parents=True)
    rules, port = folder / "rules.yml", free_port()
    rules.write_text(_RULES)
    with ExitStack() as stack:
        text = _ALERTMANAGER.format(url=heard.url, wait=pace.wait)
        stack.enter_context(alertmanager(folder / "alertmanager", core, text, port=port))
        config = _PROMETHEUS.format(
            intervals=pace.intervals, rules=rules, target=heard.target, alertmanager=f"127.0.0.1:{port}"
        )
        stack.enter_context(prometheus(folder / "prometheus", core, config))
        pause(3)
        begun: dict[str, float] = {}
        chance = random.Random(7)
        for _ in range(pace.count):
            pause(chance.uniform(0, 2 * pace.spread_s / pace.count))
            name = _fresh()
            begun[name] = now_s()
            heard.failed.append(name)
        delays = [heard.wait(name, TIMEOUT_S) - at for name, at in begun.items()]
    heard.failed.clear()
    say(f"  Prometheus, {pace.name}: p50 {percentile(delays, 0.5):.2f} s")
    return delays


def _one_by_one(heard: Hooks, send: Send, count: int) -> list[float]:
    """Seconds from sending to the webhook; each failure is a new group, and waits for the one before."""
    delays: list[float] = []
    for _ in range(count):
        name = _fresh()
        begun = now_s()
        send(name)
        delays.append(heard.wait(name, 30) - begun)
        pause(0.05)
    return delays


def _fresh() -> str:
    return f"failing_{uuid.uuid4().hex[:12]}"


def _event_sender(server: Serving) -> Send:
    text = template(failure())
    post = _poster(server.url, "/api/v1/lineage", server.headers)

    def send(pipeline: str) -> None:
        post(filled(text, run=str(uuid.uuid4()), at=datetime.now(UTC), pipeline=pipeline))

    return send


def _alert_sender(url: str) -> Send:
    post = _poster(url, "/api/v2/alerts", {"Content-Type": "application/json"})

    def send(pipeline: str) -> None:
        labels = {"alertname": "RunFailed", "pipeline": pipeline, "severity": "page"}
        post(json.dumps([{"labels": labels, "annotations": {"summary": "a run failed"}}]).encode())

    return send


def _poster(url: str, path: str, headers: dict[str, str]) -> Callable[[bytes], None]:
    """Posts on one kept connection."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)

    def post(body: bytes) -> None:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 300:
            raise Unavailable(f"{url}{path} answered {answer.status}")

    return post


@contextmanager
def _load(server: Serving, core: int, log: Path, *, wanted: bool) -> Generator[None]:
    """LOAD events a second while the block runs, from a process on core; nothing unless wanted."""
    if not wanted:
        yield
        return
    with process(on_core(core, python("benchmarks.steady", server.url, server.token, str(LOAD))), log) as sender:
        pause(2)
        yield
        if sender.poll() is not None:
            raise Unavailable(f"the steady load ended: {log.read_text()[-300:]}")
