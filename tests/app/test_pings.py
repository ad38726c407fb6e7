"""A crontab that pings, in a whole Watchtower: missing, failed, late, as of any other run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.app.house import HTTP, House, running
from watchtower.clock import ManualClock
from watchtower.model.access import Scope

CHECKS = """
jobs:
  - pipeline: Nightly backup
    namespace: cron
    schedule: "0 2 * * *"
    start_within: 10m
    finish_within: 1h
    severity: page
"""


def ping(house: House, secret: str, rest: str, body: bytes = b"") -> int:
    return HTTP.request("POST", f"{house.instance.url}/ping/{secret}/{rest}", body=body).status


def alerts(house: House) -> dict[str, str]:
    house.instance.step()
    items = house.items("/api/v1/alerts?state=firing")
    return {alert["labels"]["alertname"]: alert["annotations"]["summary"] for alert in items}


def test_a_declared_check_is_missed_before_it_ever_ran_and_well_once_it_did(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 3, 2, 1, tzinfo=UTC))
    with running(tmp_path, CHECKS, clock=clock, live=False) as house:
        key = house.instance.first_access.new_token("crontabs", [Scope.PING])
        assert ping(house, key, "unknown") == 404
        assert alerts(house) == {}
        clock.advance(timedelta(hours=1, minutes=11).total_seconds())
        assert "was expected to start" in alerts(house)["RunMissing"]
        assert ping(house, key, "nightly-backup/start") == 200
        assert alerts(house) == {}
        clock.advance(600)
        assert ping(house, key, "nightly-backup/23", b"tar: /data: file changed\nrsync error: code 23") == 200
        failed = alerts(house)
        assert failed["RunFailed"] == "Nightly backup failed: exit status 23: rsync error: code 23"
        clock.advance(60)
        assert ping(house, key, "nightly-backup") == 200
        assert "RunFailed" not in alerts(house)
        assert house.get("/api/v1/jobs")["items"][0]["declared"] is True


def test_a_run_that_began_and_never_ended_is_an_orphan(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 3, 2, 1, tzinfo=UTC))
    with running(tmp_path, "", clock=clock, live=False) as house:
        secret = house.instance.first_access.new_token("crontabs", [Scope.PING])
        assert ping(house, secret, "sync/start?create=1") == 201
        clock.advance(25 * 3600)
        assert list(alerts(house)) == ["RunOrphaned"]
