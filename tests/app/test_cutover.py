"""An old way and a new way write the same: what scripts tell in one line becomes "safe to cut over", or an alert."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import House, running, until

RULES = """
rules:
  - alert: NewWayDiffers
    kind: compare
    match: {dataset: revenue_new, namespace: default}
    against: {dataset: revenue_old}
    of: [rows, checksum]
    dates: 1
"""


@pytest.fixture
def house(tmp_path: Path) -> Any:
    with running(tmp_path, RULES) as house:
        yield house


def watchtower(house: House, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command in a process of its own, as a script of a crontab has it."""
    told = {"WATCHTOWER_URL": house.instance.url, "WATCHTOWER_TOKEN": house.ingest}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCHTOWER")}
    command = [sys.executable, "-m", "watchtower", *words]
    return subprocess.run(
        command, env={**kept, **told}, capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )


def firing(house: House) -> list[dict[str, Any]]:
    return [each for each in house.items("/api/v1/alerts") if each["state"] == "firing"]


def over(house: House) -> list[dict[str, Any]]:
    return [each for each in house.items("/api/v1/alerts?state=resolved") if each["rule"] == "NewWayDiffers"]


def test_two_scripts_that_wrote_the_same_are_safe_to_cut_over(house: House, tmp_path: Path) -> None:
    for name, checksum in (("revenue_old", "9f3c"), ("revenue_new", "77aa")):
        given = ("wrote", name, "--rows", "10452", "--checksum", checksum, "--partition", "2026-03-02")
        done = watchtower(house, *given)
        assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "success"), done.stderr
    [alert] = until(lambda: firing(house), "the alert fires")
    assert alert["annotations"]["summary"] == (
        "revenue_new and revenue_old disagree on 2026-03-02: checksums 77aa and 9f3c"
    )

    mended = ("wrote", "revenue_new", "--rows", "10452", "--checksum", "9f3c", "--partition", "2026-03-02")
    assert watchtower(house, *mended).returncode == 0
    [ended] = until(lambda: over(house), "the alert is over")
    assert ended["evidence"]["resolution"]["verdict"] == "All 1 agree: safe to cut over."
    here = ("--config", str(tmp_path / "watchtower.yaml"), "--state", str(tmp_path / "state"), "--output", "json")
    rows = json.loads(watchtower(house, "evaluate", "revenue_new", *here).stdout)
    [said] = [row["says"] for row in rows if row["rule"] == "NewWayDiffers"]
    assert said.endswith("2026-03-02 agrees. All 1 agree: safe to cut over.")
