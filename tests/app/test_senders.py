"""A source that sends falls silent: from its events over HTTP to the alert, the API, the command and the metrics."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import HTTP, House, running, step_until, until
from tests.app.polls import FakeSource, ask, record
from tests.cli.terminal import Watchtower, runner
from watchtower.clock import ManualClock
from watchtower.model.run import RunState
from watchtower.model.source import Page

FIRST = datetime(2026, 11, 2, 5, tzinfo=UTC)
DAY = timedelta(days=1)


def told_on_day(house: House, clock: ManualClock, day: int) -> None:
    """A run of ten minutes, the same hour every day."""
    step_until(house, clock, FIRST + day * DAY)
    run = f"00000000-0000-4000-8000-{day:012d}"
    started = house.event("START", "orders_daily", run)
    clock.advance(600)
    before = well(house)
    assert house.post(started, house.event("COMPLETE", "orders_daily", run))[0] in (200, 202)
    until(lambda: well(house) > before, "the run is in the store")
    step_until(house, clock, clock.now() + timedelta(minutes=1))


def well(house: House) -> int:
    return len(house.items("/api/v1/runs?state=succeeded&limit=100"))


def source(house: House) -> dict[str, Any]:
    (found,) = house.items("/api/v1/sources")
    return found


def standing(house: House) -> list[str]:
    return [each["state"] for each in house.items("/api/v1/alerts?rule=SourceSilent")]


def test_a_silent_source_is_told_and_well_with_its_next_event(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = ManualClock(FIRST)
    watchtower: Watchtower = runner(monkeypatch, capsys)
    with running(tmp_path, f"store: {database_url!r}\n", clock=clock, live=False) as house:
        for day in range(12):
            told_on_day(house, clock, day)
        last = FIRST + 11 * DAY + timedelta(minutes=10)
        step_until(house, clock, last + timedelta(hours=29))
        assert (source(house)["state"], standing(house)) == ("ok", [])

        step_until(house, clock, last + timedelta(hours=30))
        (alert,) = house.items("/api/v1/alerts?rule=SourceSilent")
        assert alert["labels"] == {
            "alertname": "SourceSilent",
            "kind": "source_silence",
            "namespace": "prod",
            "severity": "ticket",
            "source": "openlineage:prod",
        }
        assert alert["annotations"]["summary"] == (
            "openlineage:prod has sent nothing since 2026-11-13T05:10:00Z; its longest silence in four weeks was 1d"
        )
        shown = source(house)
        assert (shown["state"], shown["longest_silence_s"], shown["lag_s"]) == ("silent", 86_400.0, 0.0)
        assert shown["coverage"] == {"pipelines_heard_7d": 1}
        asked = watchtower("sources", "--state", tmp_path / "state", "-o", "json")
        assert (asked.code, [each["state"] for each in json.loads(asked.out)]) == (1, ["silent"])
        metrics = HTTP.request(
            "GET", f"{house.instance.url}/metrics", headers={"Authorization": f"Bearer {house.reader}"}
        ).data.decode()
        labels = 'source="openlineage:prod",namespace="prod",team=""'
        assert f"watchtower_sender_longest_silence_seconds{{{labels}}} 86400.0" in metrics

        told_on_day(house, clock, 13)
        assert (source(house)["state"], standing(house)) == ("ok", ["resolved"])


PUSHED = """store: {store!r}
collectors:
  dagster: {{sources: [{{name: assets, base_url: "https://dagster.example.com", every: 10m, pushes: true}}]}}
"""


def test_a_source_that_is_to_send_and_never_does_is_told_until_its_first_event(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = ManualClock(FIRST)
    watchtower: Watchtower = runner(monkeypatch, capsys)
    with running(tmp_path, PUSHED.format(store=database_url), clock=clock, live=False) as house:

        def poll(*pages: Page) -> None:
            """It is asked, and answers this."""
            asked = FakeSource([[*pages, Page(mark=clock.now())]], name="assets", namespace="assets")
            assert ask(house.instance.polling, asked, house.instance.holder, declare=False)
            step_until(house, clock, clock.now() + timedelta(seconds=1))

        clock.advance(60)
        poll(Page(tuple(record(f"r{number}", RunState.SUCCEEDED, clock.now(), "daily") for number in range(12))))
        assert (source(house)["pushes"], source(house)["last_push"], standing(house)) == (True, None, [])
        clock.advance(15 * 60)
        poll()
        assert (source(house)["state"], standing(house)) == ("silent", ["firing"])
        (alert,) = house.items("/api/v1/alerts?rule=SourceSilent")
        assert "is to send events, and none ever came; 12 runs or more" in alert["annotations"]["summary"]
        shown = watchtower("sources", "--state", tmp_path / "state", "-o", "table")
        assert shown.code == 1
        assert "assets: it is to send events, too (`pushes`), and none ever came" in " ".join(shown.out.split())
        assert "it is to send events, too, and none ever came" in house.page("/sources")

        event = house.event("START", "daily", "00000000-0000-4000-8000-000000000001")
        event["job"]["namespace"] = "assets"
        house.store(event)
        poll()
        assert (source(house)["state"], standing(house)) == ("ok", ["resolved"])
        assert source(house)["last_push"] is not None
        assert "asked every 10m, and sends" in house.page("/sources")
