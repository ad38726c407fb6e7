"""A server that is killed: spans that were acknowledged are there after the next start, each counted once."""

import re
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from tests.app.house import HTTP, until
from tests.cli.process import Served, served
from tests.otlp import body, span
from watchtower.clock import SystemClock

SPANS = 20  # a batch


def test_a_kill_loses_no_span_that_was_acknowledged_and_counts_none_twice(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    with served(tmp_path, "--listen", "127.0.0.1:0") as server:
        url, token = otlp(server), server.token
        sender = threading.Thread(target=send, args=(url, token, acknowledged))
        sender.start()
        until(lambda: len(acknowledged) > 40, "some batches are taken")
        server.end(signal.SIGKILL)
        sender.join(20)
    assert acknowledged
    with served(tmp_path, "--listen", "127.0.0.1:0") as server:
        until(lambda: counted(server)[1] == 0, "all of it is walked")
        assert server.end() == 0
    whole, _, hours = counted(server)
    # One more batch may have been committed whose answer the kill cut off.
    assert len(acknowledged) * SPANS <= whole <= (len(acknowledged) + 1) * SPANS
    assert hours == whole


def otlp(server: Served) -> str:
    found = until(lambda: re.search(r"OTEL_EXPORTER_OTLP_ENDPOINT=(\S+)", "".join(server.welcome)), "it is printed")
    assert found[1] != server.url
    return found[1]


def send(url: str, token: str, acknowledged: list[int]) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-protobuf"}
    for number in range(100_000):
        first = number * SPANS + 1
        trace = (number + 1).to_bytes(16, "big")
        now = SystemClock().now()
        sent = body(*(span(one, f"op {one % 3}", trace=trace, begin=now) for one in range(first, first + SPANS)))
        try:
            answer = HTTP.request("POST", f"{url}/v1/traces", body=sent, headers=headers)
        except Exception:
            return
        if answer.status == 200:
            acknowledged.append(number)


def counted(server: Served) -> tuple[int, int, int]:
    """Spans that are stored, batches that wait, and spans in the hours of operations."""
    with closing(sqlite3.connect(f"file:{server.state / 'watchtower.db'}?mode=ro", uri=True)) as store:
        queries = ("count(*) FROM spans", "count(*) FROM span_batches", "coalesce(sum(calls), 0) FROM operation_hours")
        whole, waiting, hours = (store.execute(f"SELECT {query}").fetchone()[0] for query in queries)
    return whole, waiting, hours
