"""`compare`: the verdict on the old way and the new one, for a change request."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.builders import DAY, complete, start, writes
from tests.cli.terminal import Watchtower
from watchtower.clock import ManualClock
from watchtower.model.run import DatasetRef, JobRef
from watchtower.store import facts
from watchtower.store.database import Database
from watchtower.store.migrations import migrate

NEW, OLD = JobRef("airflow", "prod", "orders"), JobRef("cron", "cron", "orders")
DAYS = 3


@pytest.fixture
def store(tmp_path: Path) -> Database:
    """Three days on which both ran and wrote; on the last one they did not write the same."""
    database = Database(f"sqlite:///{tmp_path}/compared.db")
    migrate(database, ManualClock(DAY))
    (tmp_path / "watchtower.yaml").write_text(f"store: sqlite:///{tmp_path}/compared.db\n")
    told: list[Any] = []
    for day in range(DAYS):
        for job, late_s in ((OLD, 0), (NEW, 600)):
            begins = DAY + timedelta(days=day, seconds=late_s)
            rows = 990 if day == DAYS - 1 and job == OLD else 1_000
            wrote = writes(DatasetRef("db", f"{job.namespace}.orders"), rows=rows)
            run = f"{job.source}{day}"
            told += [
                start(run, begins, job=job),
                complete(run, begins + timedelta(minutes=5), job=job, datasets=(wrote,)),
            ]
    facts.append(database, facts.Intake(told)).result(30)
    database.close()
    return database


HERE = ("orders", "orders", "--namespace", "prod", "--old-namespace", "cron")


def test_it_is_said_on_which_dates_they_agree_and_whether_it_is_safe(store: Database, watchtower: Watchtower) -> None:
    answer = watchtower("compare", *HERE, "--dates", 3)
    found = json.loads(answer.out)
    assert (answer.code, found["safe"]) == (1, False)
    assert found["verdict"] == "2 of 3 agree: not safe to cut over yet."
    assert found["dates"][0] == {
        "date": "2026-03-04",
        "result": "differs",
        "says": "prod.orders and cron.orders: 1,000 and 990 rows",
    }
    assert found["dates"][1]["says"] == "succeeded; done 10m apart; prod.orders and cron.orders: 1,000 rows"
    shown = watchtower("compare", *HERE, "--dates", 3, "--tolerance", "1%", terminal=True)
    assert (shown.code, "All 3 agree: safe to cut over." in shown.said) == (0, True)


def test_too_few_dates_are_not_safe(store: Database, watchtower: Watchtower) -> None:
    answer = watchtower("compare", *HERE, "--of", "outcome", terminal=True)
    assert (answer.code, "3 of 3 agree, 7 are wanted: not safe to cut over yet." in answer.said) == (1, True)


def test_datasets_are_compared_by_their_own_names(store: Database, watchtower: Watchtower) -> None:
    answer = watchtower("compare", "prod.orders", "cron.orders", "--dates", 2)
    assert [each["result"] for each in json.loads(answer.out)["dates"]] == ["differs", "agrees"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("orders", "orders"), "'orders' is known more than once (cron, prod); say --namespace"),
        (("nothing", "orders"), "no pipeline or dataset called 'nothing' is known"),
        ((*HERE[:4], "--old-namespace", "elsewhere"), "orders was never heard of"),
        ((*HERE, "--pair", "a"), "--pair 'a' is not understood; write NEW=OLD"),
        ((*HERE, "--of", "colour"), "--of: "),
        ((*HERE, "--of", "outcome", "--pair", "a=b"), "pairs are of what jobs write"),
        ((*HERE, "--tolerance", "much"), "--tolerance: "),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_compared_is_said(
    store: Database, watchtower: Watchtower, arguments: tuple[str, ...], told: str
) -> None:
    answer = watchtower("compare", *arguments)
    assert (answer.code, told in answer.said) == (2, True), answer.said
