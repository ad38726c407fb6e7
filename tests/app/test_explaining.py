"""`watchtower explain`, the API and the page of an incident say why an alert stands, in a running Watchtower."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import HTTP, House, running, until
from tests.cli.terminal import Watchtower, runner
from watchtower.cli import output

RULES = "rules:\n- {alert: Failed, kind: run_failure, keep_firing_for: 10m}\n"


@pytest.fixture
def watchtower(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Watchtower:
    monkeypatch.setattr(output.out, "width", 200)
    return runner(monkeypatch, capsys)


def failed(house: House, *pipelines: str) -> list[dict[str, Any]]:
    """Their alerts, once each has an incident."""
    for pipeline in pipelines:
        house.fail(pipeline)
    until(lambda: len(house.items("/api/v1/incidents")) == len(pipelines), "each has an incident")
    return house.items("/api/v1/alerts?rule=Failed")


def test_the_api_and_the_page_say_why_it_stands_and_what_ends_it(tmp_path: Path) -> None:
    with running(tmp_path, RULES) as house:
        [alert] = failed(house, "orders")
        said = house.get(f"/api/v1/alerts/{alert['fingerprint']}/explain")
        assert said["alert"]["labels"] == alert["labels"]
        expected = "orders: alert when a run fails (after its tasks' retries), until a newer run succeeds."
        assert said["expects"].startswith(expected)
        assert said["why"].startswith("orders failed")
        assert said["clears"].startswith("It is over when a newer run has ended well, and 10m later: not before ")
        [incident] = house.items("/api/v1/incidents")
        page = HTTP.request(
            "GET",
            f"{house.instance.url}/incidents/{incident['id']}",
            headers={"Authorization": f"Bearer {house.reader}"},
        )
        assert page.status == 200
        shown = page.data.decode()
        assert "It is over when a newer run has ended well" in shown
        assert shown.count("until a newer run succeeds.") == 1, "what the rule expects is said once"


def test_the_command_finds_an_alert_by_its_fingerprint_its_beginning_or_its_labels(
    tmp_path: Path, watchtower: Watchtower
) -> None:
    with running(tmp_path, RULES) as house:
        found = failed(house, "orders", "billing")
        orders = next(each["fingerprint"] for each in found if each["labels"]["pipeline"] == "orders")

        def explained(*named: str) -> dict[str, Any]:
            answer = watchtower("explain", "--state", tmp_path / "state", "-o", "json", *named)
            assert answer.code == 0, answer.said
            return json.loads(answer.out)

        for named in ([orders], [orders[:12]], ["pipeline=orders"], ["alertname=Failed", "pipeline=orders"]):
            assert explained(*named)["alert"]["fingerprint"] == orders
        several = watchtower("explain", "--state", tmp_path / "state", "alertname=Failed")
        assert (several.code, "2 alerts fit" in several.said) == (2, True)
        none = watchtower("explain", "--state", tmp_path / "state", "pipeline=nobody")
        assert (none.code, "there is no alert with pipeline=nobody" in none.said) == (2, True)
        shown = watchtower("explain", "--state", tmp_path / "state", orders, terminal=True)
        assert "It is over when a newer run has ended well" in shown.said
