"""`slos` against a running Watchtower: what is left, what does not count, and the SLO as OpenSLO has it."""

import json
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.app.house import House, running
from tests.cli.terminal import Watchtower
from tests.config.test_slos import slo
from watchtower.clock import ManualClock, SystemClock
from watchtower.config import load_text

NOW = SystemClock().now().replace(microsecond=0)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Generator[House]:
    clock = ManualClock(NOW)
    given = [slo(objectives=[{"target": 0.95}])]
    text = yaml.safe_dump({"slos": given}, sort_keys=False)
    with running(tmp_path_factory.mktemp("objectives"), text, clock=clock) as found:
        for ago in range(5, 0, -1):
            clock.set(NOW - timedelta(days=ago))
            run = f"00000000-0000-4000-8000-{ago:012d}"
            ended = "FAIL" if ago <= 2 else "COMPLETE"
            found.store(found.event("START", "orders", run), found.event(ended, "orders", run))
        clock.set(NOW)
        yield found


@pytest.fixture(autouse=True)
def here(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHTOWER_STATE", str(house.instance.state.path))
    monkeypatch.setenv("WATCHTOWER_CONFIG", str(house.config))


def test_the_table_says_what_is_left_and_exits_with_1_while_it_is_wrong(watchtower: Watchtower) -> None:
    shown = watchtower("slos", terminal=True)
    assert shown.code == 1
    assert "orders exhausted 0%" in shown.said
    assert json.loads(watchtower("slos", "--output", "json").out)[0]["objectives"][0]["bad"] == 2


def test_a_correction_shows_what_it_changes_and_can_be_taken_back(watchtower: Watchtower) -> None:
    begin, end = (NOW - timedelta(days=3)).isoformat(), NOW.isoformat()
    refused = watchtower("slos", "correct", "orders", "--from", begin, "--to", end)
    assert (refused.code, "needs a reason" in refused.said) == (2, True)
    made = watchtower("slos", "correct", "orders", "--from", begin, "--to", end, "--reason", "moved", terminal=True)
    assert made.code == 0
    assert "budget left: 0% before, 100% now" in made.said
    ident = made.said.partition("(correction ")[2].partition(")")[0]
    assert "2 of 1.5 allowed failures used" in watchtower("slos", "withdraw", "orders", ident, terminal=True).said
    naive = watchtower("slos", "correct", "orders", "--from", "2026-11-20T08:00:00", "--to", end, "--reason", "x")
    assert (naive.code, "has no zone" in naive.said) == (2, True)


def test_an_export_is_read_as_the_same_slo(watchtower: Watchtower, house: House, tmp_path: Path) -> None:
    (tmp_path / "out.yaml").write_text(watchtower("slos", "export").out)
    assert load_text("slos: [out.yaml]", tmp_path).slos == house.instance.parts.config.slos
    assert watchtower("slos", "export", "nothing").code == 2
