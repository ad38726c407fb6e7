"""A source that sends falls silent: from its events over HTTP to the alert, the API, the command and the metrics."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import HTTP, House, running, step_until, until
from tests.cli.terminal import Watchtower, runner
from watchtower.clock import ManualClock

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
