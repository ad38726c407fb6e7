"""`watchtower demo --exit`, as a user runs it: the real server, the real day, and everything that was wrong in it."""

import csv
import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from watchtower.demo import recording
from watchtower.demo.bill import bill

FOUND = {"failed": "failed", "missing": "late or missing", "late": "late or missing", "slow": "slow", "hanging": "slow"}
TROUBLED = [dag for dag in recording.load().pipelines.values() if dag.scenario in FOUND]
WELL = [dag for dag in recording.load().pipelines.values() if dag.scenario not in FOUND]


@pytest.fixture(scope="module")
def printed() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "watchtower", "demo", "--exit"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,  # a machine that does much else may take long
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("dag", TROUBLED, ids=lambda dag: dag.scenario)
def test_what_was_wrong_is_found(printed: str, dag: recording.Pipeline) -> None:
    lines = [line.split() for line in printed.splitlines() if line.startswith(FOUND[dag.scenario])]
    assert any(dag.dag_id in line for line in lines), printed


@pytest.mark.parametrize("dag", WELL, ids=lambda dag: dag.dag_id)
def test_what_went_well_raises_nothing(printed: str, dag: recording.Pipeline) -> None:
    found = printed.split("incident", 1)[0]
    assert dag.dag_id not in found


def test_each_problem_is_told_once_and_with_its_reason(printed: str) -> None:
    assert printed.count("amount '1.204,50' is not a decimal number") >= 2, "in the list and in the ticket"
    assert "attempt 3 of 3" in printed
    assert "login?code=" in printed
    others = 2  # the dataset that went stale, and the budget
    assert printed.count("\nincident ") == len(TROUBLED) + others


def test_the_slow_run_names_the_call_that_made_it_slow(printed: str) -> None:
    assert "slow at fetch_profiles: GET /profiles took 4 min of own time against" in printed


def test_the_page_is_texted_then_called_and_a_key_ends_it(printed: str) -> None:
    """Nobody else is called: the escalation stops with the key."""
    rung = [line.split()[0] for line in printed.splitlines() if "+1202555" in line]
    assert rung == ["text", "call"]
    assert "key 1 → Acknowledged. Goodbye." in " ".join(printed.split())
    assert "PaymentsFailed: payments_hourly  acknowledged" in printed


def test_the_day_that_broke_its_budget_is_named_to_the_millionth(printed: str) -> None:
    found = [line for line in printed.splitlines() if line.startswith("over budget")]
    assert len(found) == 1
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    spent = sum(
        Decimal(line["BilledCost"])
        for line in csv.DictReader(io.StringIO(bill(datetime.now(UTC))))
        if line["ChargePeriodStart"].startswith(str(yesterday)) and "prod-data-pipeline" in line["Tags"]
    )
    assert f"{spent} USD on {yesterday}" in found[0]


def test_a_stale_dataset_belongs_to_whoever_writes_it(printed: str) -> None:
    ticket = printed.split("DatasetStale: shop.public.inventory", 1)[1].split("incident", 1)[0]
    assert "supply-chain-data" in ticket
