"""A webhook receiver and a scrape target in one: notes when each pipeline's alert arrived, and shows which pipelines
failed as Prometheus metrics. Alertmanager and Watchtower send the same payload (version 4)."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.figures import Unavailable, now_s


@dataclass(slots=True)
class Hooks:
    """url: of the webhook; target: host:port to scrape."""

    url: str = ""
    target: str = ""
    failed: list[str] = field(default_factory=list[str])
    _arrived: dict[str, float] = field(default_factory=dict[str, float])
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, pipeline: str, timeout_s: float) -> float:
        """When its first firing alert arrived. Raises Unavailable when it does not come."""
        with self._changed:
            if not self._changed.wait_for(lambda: pipeline in self._arrived, timeout_s):
                raise Unavailable(f"no webhook for {pipeline} within {timeout_s:g} s")
            return self._arrived[pipeline]

    def note(self, payload: Any, at: float) -> None:
        with self._changed:
            for alert in payload["alerts"]:
                if alert["status"] == "firing":
                    self._arrived.setdefault(alert["labels"].get("pipeline", ""), at)
            self._changed.notify_all()

    def metrics(self) -> bytes:
        return "".join(f'run_failed{{pipeline="{name}"}} 1\n' for name in self.failed).encode()


@contextmanager
def hooks() -> Generator[Hooks]:
    """Listens on a free loopback port while the block runs."""
    made = Hooks()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            at = now_s()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(b"{}")
            made.note(json.loads(body), at)

        def do_GET(self) -> None:
            self._answer(made.metrics())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is logged."""

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.target = f"127.0.0.1:{server.server_port}"
    made.url = f"http://{made.target}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
