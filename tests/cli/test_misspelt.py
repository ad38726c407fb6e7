"""A name in the configuration of which nothing was ever heard is told wherever a store is at hand."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.app.house import House, running
from tests.cli.terminal import Watchtower

CONFIG = "rules:\n  - {alert: OrdersFailed, kind: run_failure, match: {pipeline: orders_dialy, namespace: prod}}\n"
SAYS = "rule OrdersFailed: no pipeline 'orders_dialy' was ever heard of"
MEANT = "is 'orders_daily' meant?"


@pytest.fixture
def house(tmp_path: Path) -> Generator[House]:
    with running(tmp_path, CONFIG) as found:
        found.fail("orders_daily")
        yield found


def test_a_misspelt_name_is_told_by_check_evaluate_and_doctor(
    watchtower: Watchtower, house: House, tmp_path: Path
) -> None:
    here = ("--config", house.config, "--state", tmp_path / "state")
    checked = json.loads(watchtower("check", *here).out)
    assert [(each["path"], each["message"], each["remedy"]) for each in checked["warnings"]] == [
        ("rule OrdersFailed", SAYS.partition(": ")[2], MEANT)
    ]
    assert checked["ok"]
    assert f"{SAYS}; {MEANT}" in watchtower("evaluate", *here).said
    found = {item["text"]: item["remedy"] for item in json.loads(watchtower("doctor", *here).out)}
    assert found[SAYS] == MEANT


def test_without_a_store_every_name_is_new(watchtower: Watchtower, tmp_path: Path) -> None:
    (tmp_path / "watchtower.yaml").write_text(CONFIG)
    assert json.loads(watchtower("check").out)["warnings"] == []
