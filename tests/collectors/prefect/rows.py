"""What a real Prefect 3.8.8 said of the flows in tests/e2e/flows/prefect_cases.py, and a source that asks for it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from collectors.prefect.config import PrefectConfig
from collectors.prefect.source import PolledPrefect
from watchtower.clock import ManualClock
from watchtower.model.fact import Fact
from watchtower.model.source import Page, Window
from watchtower.outbound import Outbound
from watchtower.ports import PollContext, Received

HERE: Final = Path(__file__).parent
ROWS: Final[dict[str, Any]] = json.loads((HERE / "recorded.json").read_text())
NOW: Final = datetime(2026, 11, 30, 9, 36, tzinfo=UTC)  # a moment after it was recorded
RECEIVED: Final = Received(NOW, "shop")


def polled(url: str, clock: ManualClock | None = None, **options: Any) -> PolledPrefect:
    clock = clock or ManualClock(NOW)
    http = Outbound(clock, [ip_network("127.0.0.0/8")])
    (source,) = PrefectConfig.model_validate({"sources": [{"name": "shop", "base_url": url, **options}]}).sources

    def no_runs(source: str, namespace: str, native_run_ids: Any) -> dict[Any, Any]:
        return {}

    return PolledPrefect(source, PollContext(clock, http, http.check, lambda namespace: namespace, no_runs, HERE))


def window(hours: float = 24.0, *, deep: bool = True) -> Window:
    return Window(NOW - timedelta(hours=hours), NOW, deep=deep)


def records(pages: Sequence[Page]) -> list[bytes]:
    return [record for page in pages for record in page.records]


def decoded(source: PolledPrefect, pages: Sequence[Page], received: Received = RECEIVED) -> list[Fact]:
    facts: list[Fact] = []
    for record in records(pages):
        found = source.decode(record, received)
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts
