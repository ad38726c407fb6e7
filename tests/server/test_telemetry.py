"""Metrics, logs and traces of our own."""

import io
import json
import logging
import re
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server import metrics_reference
from tests.server.site import Site, event, running, with_settings
from watchtower.clock import ManualClock
from watchtower.store.database import Database
from watchtower.telemetry import logs, metrics, traces
from watchtower.telemetry.instruments import REGISTRY, tally
from watchtower.telemetry.metrics import declared


def test_names_and_labels_follow_the_house_rule() -> None:
    names = [metric.name for metric in declared()]
    assert len(names) == len(set(names))
    for metric in declared():
        assert re.fullmatch(r"watchtower_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") is (metric.kind == "counter"), metric.name
        assert metric.text.endswith(".")
        if metric.kind == "histogram":
            assert metric.name.endswith("_seconds")


def test_the_page_lists_every_metric_as_it_is() -> None:
    assert metrics_reference.replaced() == metrics_reference.PAGE.read_text(), "run `make docs`"
    assert len(re.findall(r"^\| `watchtower_", metrics_reference.PAGE.read_text(), re.M)) == len(declared())


def test_openmetrics_is_given_to_those_who_ask_and_closed_to_those_without_a_token(site: Site) -> None:
    asked = site.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert asked.headers["content-type"].startswith("application/openmetrics-text")
    assert asked.body.endswith(b"# EOF\n")
    assert site.get("/metrics").headers["content-type"].startswith("text/plain")
    assert site.request("GET", "/metrics").status == 401
    assert site.get("/metrics", "ingest").status == 403


def test_metrics_can_be_made_public(sqlite: Database, tmp_path: Path, clock: ManualClock) -> None:
    with running(sqlite, tmp_path, clock, settings=with_settings(metrics_public=True)) as site:
        assert site.request("GET", "/metrics").status == 200
        assert site.request("GET", "/api/v1/runs").status == 401


def test_a_scrape_tells_what_was_counted_since_the_last_one() -> None:
    def seen() -> float:
        name, labels = "watchtower_ingest_body_bytes_total", {"collector": "counted"}
        return REGISTRY.get_sample_value(name, labels) or 0.0

    counted = tally(metrics.INGEST_BYTES, "counted")
    before = seen()
    counted.inc(3)
    counted.inc()
    assert seen() == before + 4
    assert seen() == before + 4
    assert tally(metrics.INGEST_BYTES, "counted") is counted


# -- logs ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def logged() -> Generator[io.StringIO]:
    """What the root logger writes during the test, as configured for a service."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    root.handlers[:], root.level = before, level


def test_a_log_record_is_one_line_of_json_with_its_facts(logged: io.StringIO) -> None:
    logging.getLogger("watchtower.test").warning("it is late", extra={"pipeline": "orders", "late_s": 12.5})
    record = json.loads(logged.getvalue())
    assert (record["level"], record["message"], record["pipeline"], record["late_s"]) == (
        "warning",
        "it is late",
        "orders",
        12.5,
    )
    assert record["time"].endswith("Z")


def test_a_fault_is_logged_with_its_traceback_on_one_line(logged: io.StringIO) -> None:
    try:
        raise ValueError("no\nsuch thing")
    except ValueError:
        logging.getLogger("x").exception("a request failed")
    (line,) = logged.getvalue().splitlines()
    assert "ValueError: no\nsuch thing" in json.loads(line)["exception"]


@given(st.text())
def test_no_text_can_end_the_line_or_steer_a_terminal(text: str) -> None:
    line = logs.to_line({"message": text.encode("utf-8", "replace").decode()})
    assert not [char for char in line if ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029\u202e"]
    assert json.loads(line)


@pytest.mark.parametrize(
    "text",
    [
        "token wt_ingest_abcdefghijkl_0123456789abcdefghij0123456789_deadbeef leaked",
        "header Authorization: Bearer abc.def-ghi_jkl",
        "GET /login?code=AbCdEf0123456789_-AbCdEf0123456789",
    ],
)
def test_secrets_are_replaced_as_a_second_net(text: str) -> None:
    line = logs.to_line({"message": text})
    assert "***" in line
    assert not re.search(r"0123456789|def-ghi", line)


def test_a_server_logs_no_secret_of_its_requests(site: Site, clock: ManualClock, logged: io.StringIO) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    site.post_event(event(clock))
    site.get("/login?code=" + "A1b2" * 10)
    site.get("/api/v1/runs", "wt_ingest_nobody_nothing_00000000")
    cookie = site.sign_in()
    for secret in (*site.tokens.values(), cookie.partition("=")[2], "A1b2" * 10):
        assert secret not in logged.getvalue()


# -- traces -------------------------------------------------------------------------------------------------------


def test_our_own_traces_reach_a_collector_when_configured(
    site: Site, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=collector.serve_forever, daemon=True).start()
    monkeypatch.setattr(traces, "_tracer", None)
    provider = traces.configure(f"http://127.0.0.1:{collector.server_port}/v1/traces", version="1.2.3")
    try:
        assert site.post_event(event(clock)).status == 200
        assert site.get("/api/v1/runs").status == 200
        scraped = site.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}).body
        provider.force_flush()
    finally:
        provider.shutdown()
        collector.shutdown()
        collector.server_close()
    sent = b"".join(received)
    assert b"GET /api/v1/runs" in sent
    assert b"ingest" in sent
    assert re.search(rb'watchtower_ingest_request_seconds_bucket.* # \{trace_id="[0-9a-f]{32}"\}', scraped)
