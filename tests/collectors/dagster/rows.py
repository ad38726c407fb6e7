"""What a real Dagster 1.13.27 said of tests/e2e/flows/dagster_cases.py, and a source that asks for it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from collectors.dagster.config import DagsterConfig
from collectors.dagster.source import PolledDagster
from watchtower.clock import ManualClock
from watchtower.model.fact import Fact
from watchtower.model.source import Page, Window
from watchtower.outbound import Outbound
from watchtower.ports import PollContext, Received

HERE: Final = Path(__file__).parent
ROWS: Final[dict[str, Any]] = json.loads((HERE / "recorded.json").read_text())
NOW: Final = datetime(2026, 11, 30, 9, 48, tzinfo=UTC)  # a moment after it was recorded
RECEIVED: Final = Received(NOW, "shop")


def polled(url: str, **options: Any) -> PolledDagster:
    clock = ManualClock(NOW)
    http = Outbound(clock, [ip_network("127.0.0.0/8")])
    (source,) = DagsterConfig.model_validate({"sources": [{"name": "shop", "base_url": url, **options}]}).sources

    def no_runs(source: str, namespace: str, native_run_ids: Any) -> dict[Any, Any]:
        return {}

    return PolledDagster(source, PollContext(clock, http, http.check, lambda namespace: namespace, no_runs, HERE))


def window(hours: float = 24.0, *, deep: bool = True) -> Window:
    return Window(NOW - timedelta(hours=hours), NOW, deep=deep)


def decoded(source: PolledDagster, pages: Sequence[Page], received: Received = RECEIVED) -> list[Fact]:
    facts: list[Fact] = []
    for record in (record for page in pages for record in page.records):
        found = source.decode(record, received)
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts
