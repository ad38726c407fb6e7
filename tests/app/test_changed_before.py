"""A run fails on a new version of its code: the alert names it, and the incident shows what else changed before."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import HTTP, House, running, until
from tests.cli.terminal import Watchtower, runner
from tests.simulators.webhook import WebhookSimulator
from watchtower.cli import output
from watchtower.clock import ManualClock
from watchtower.model.instants import from_micros

NOW = from_micros(1772438400_000000)  # 2026-03-02 08:00 UTC
RULES = """
route: {receiver: team, group_wait: 0s}
receivers: [{name: team, webhook_configs: [{url: "%s/hook"}]}]
outbound: {allow: [127.0.0.0/8]}
"""


def told(house: House, event_type: str, run: int, version: str) -> None:
    location = {"type": "git", "url": "https://git.example.com/orders.git", "version": version}
    job = {"namespace": "prod", "name": "orders", "facets": {"sourceCodeLocation": location}}
    status, answer = house.post(house.event(event_type, "orders", f"00000000-0000-4000-8000-{run:012d}", job=job))
    assert status in (200, 202), answer
    wanted = {"START": "running", "COMPLETE": "succeeded", "FAIL": "failed"}[event_type]
    until(lambda: house.items(f"/api/v1/runs?state={wanted}"), f"a run that is {wanted}")


def incident(house: House) -> dict[str, Any]:
    (found,) = house.items("/api/v1/incidents")
    return house.get(f"/api/v1/incidents/{found['id']}")


def test_what_changed_before_is_told_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output.out, "width", 200)
    watchtower: Watchtower = runner(monkeypatch, capsys)
    clock = ManualClock(NOW)
    with WebhookSimulator(NOW) as hook, running(tmp_path, RULES % hook.url, clock=clock, live=False) as house:
        told(house, "START", 1, "1.4")
        told(house, "COMPLETE", 1, "1.4")
        clock.advance(3_600)
        told(house, "START", 2, "1.5")
        clock.advance(600)
        told(house, "FAIL", 2, "1.5")
        while house.instance.step():
            pass
        words = 'code changed 10m before: "1.4 → 1.5"'
        found = until(lambda: incident(house), "the incident")
        assert words in found["summary"]
        assert [(each["kind"], each["title"]) for each in found["changes"]] == [("code changed", "1.4 → 1.5")]
        (request,) = hook.requests
        assert words in request.json["alerts"][0]["annotations"]["summary"]
        page = HTTP.request(
            "GET", f"{house.instance.url}/incidents/{found['id']}", headers={"Authorization": f"Bearer {house.reader}"}
        ).data.decode()
        assert "What changed before" in page
        assert "Possible causes, and no proof." in page
        assert "1.4 → 1.5" in page.split("What changed before")[1]
        shown = watchtower("incidents", "show", "--state", tmp_path / "state", found["id"], terminal=True)
        assert "what changed before" in shown.said
        assert "1.4 → 1.5" in shown.said
        asked = watchtower("incidents", "show", "--state", tmp_path / "state", "-o", "json", found["id"])
        assert json.loads(asked.out)["changes"] == found["changes"]
