"""`watchtower suggest`: what it proposes of which history, what it says of it, and that it can be pasted."""

import json
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.app.house import event
from tests.cli.terminal import Answer, Watchtower, runner
from tests.rehearsal.living import Life, lived
from tests.rules.timeline import MONDAY, daily, of_dataset, of_job, update
from tests.rules.timeline import at as at_day
from watchtower.cli import output
from watchtower.config import load_text
from watchtower.rehearsal.suggesting import propose

BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
RUN = "00000000-0000-4000-8000-{:012x}"
TABLE = {"namespace": "postgres://shop:5432", "name": "public.orders"}
WRITTEN = {"outputs": [{**TABLE, "outputFacets": {"outputStatistics": {"rowCount": 1_000}}}]}
LATE_DAY = 18


@pytest.fixture
def watchtower(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Watchtower:
    monkeypatch.setattr(output.out, "width", 200)
    monkeypatch.chdir(tmp_path)
    return runner(monkeypatch, capsys)


@pytest.fixture
def life(tmp_path: Path) -> Generator[Life]:
    """Three weeks of orders, which takes ten minutes each day but one, and of billing, which ran three times."""
    with lived(tmp_path, load_text(""), BEGINS, f"sqlite:///{tmp_path}/life.db") as found:
        for day in range(21):
            at = BEGINS + timedelta(days=day, hours=6)
            run(found, "orders", day, at, minutes=180 if day == LATE_DAY else 10)
            if day < 3:
                run(found, "billing", 100 + day, at + timedelta(hours=8), minutes=5, **{"outputs": []})
        yield found


def run(life: Life, pipeline: str, number: int, at: datetime, minutes: float, **said: Any) -> None:
    said = said or WRITTEN
    ended = at + timedelta(minutes=minutes)
    life.post(at, json.dumps(event(at, "START", pipeline, RUN.format(number))).encode())
    life.post(ended, json.dumps(event(ended, "COMPLETE", pipeline, RUN.format(number), **said)).encode())


def asked(watchtower: Watchtower, life: Life, *more: object, terminal: bool = False) -> Answer:
    folder = life.instance.state.path.parent
    config = folder / "watchtower.yaml"
    config.write_text(f"store: sqlite:///{folder}/life.db\n", encoding="utf-8")
    return watchtower("suggest", "--config", config, "--state", folder / "elsewhere", *more, terminal=terminal)


def test_what_was_usual_becomes_limits_with_what_they_would_have_told(watchtower: Watchtower, life: Life) -> None:
    found = json.loads(asked(watchtower, life, "-o", "json").out)
    said = {each["rule"]["alert"]: (each["rule"], each["fired"]) for each in found["suggestions"]}
    assert said["OrdersSlow"][0]["max"] == "15m"
    assert said["OrdersSlow"][1] == 1
    assert said["PublicOrdersStale"][0]["match"] == {"dataset": TABLE["name"], "namespace": TABLE["namespace"]}
    assert said["PublicOrdersSmall"] == (
        {
            **{"alert": "PublicOrdersSmall", "kind": "volume"},
            **{"match": {"dataset": TABLE["name"], "namespace": TABLE["namespace"]}, "min": 500},
        },
        0,
    )
    assert not any(each["is_noisy"] for each in found["suggestions"])


def test_a_flaky_pipeline_with_a_schedule_is_told_of_when_it_stays_down_or_away(
    watchtower: Watchtower, tmp_path: Path
) -> None:
    dag = {"dag_id": "sync", "timetable": {"expression": "0 6 * * *", "timezone": "UTC"}}
    with lived(tmp_path, load_text(""), BEGINS, f"sqlite:///{tmp_path}/life.db") as life:
        for day in range(21):
            at = BEGINS + timedelta(days=day, hours=6, minutes=11)
            end = "FAIL" if day in (4, 9, 15) else "COMPLETE"
            told = {"runId": RUN.format(day), "facets": {"airflowDagRun": {"dag": dag}}}
            life.post(at, json.dumps({**event(at, "START", "sync", RUN.format(day)), "run": told}).encode())
            ended = at + timedelta(minutes=5)
            life.post(ended, json.dumps(event(ended, end, "sync", RUN.format(day))).encode())
        found = json.loads(asked(watchtower, life, "-o", "json").out)
    said = {each["rule"]["kind"]: each for each in found["suggestions"]}
    assert (said["run_failure"]["rule"]["fail_after"], said["run_failure"]["fired"]) == (2, 0)
    assert said["run_failure"]["says"] == "run_failure of sync: told from 2 failures in a row on"
    assert (said["missing_run"]["rule"]["start_within"], said["missing_run"]["fired"]) == ("17m", 0)


def test_too_short_a_history_is_said_and_nothing_is_made_of_it(watchtower: Watchtower, life: Life) -> None:
    found = json.loads(asked(watchtower, life, "--pipeline", "billing", "-o", "json").out)
    assert found["suggestions"] == []
    assert found["too_short"] == [{"subject": "billing", "why": "3 of 10 completed runs"}]


def test_labelled_incidents_say_what_would_have_been_caught(watchtower: Watchtower, life: Life) -> None:
    day = BEGINS + timedelta(days=LATE_DAY)
    file = life.instance.state.path.parent / "incidents.csv"
    file.write_text(f"pipeline,from,to\norders,{day.isoformat()},{(day + timedelta(days=1)).isoformat()}\n")
    found = json.loads(asked(watchtower, life, "--pipeline", "orders", "--labels", file, "-o", "json").out)
    slow = next(each for each in found["suggestions"] if each["rule"]["alert"] == "OrdersSlow")
    assert (slow["caught"], slow["incidents"]) == (1, 1)
    assert slow["told"].endswith(", 1 of 1 incidents caught")


def test_what_is_printed_can_be_pasted(watchtower: Watchtower, life: Life) -> None:
    shown = asked(watchtower, life, terminal=True)
    pasted = shown.out[shown.out.index("rules:") :]
    rules = load_text(pasted).declared_rules
    assert {"OrdersSlow", "PublicOrdersStale", "PublicOrdersSmall"} <= {rule.name for rule in rules}
    assert "nothing of billing: 3 of 10 completed runs" in shown.said


def test_a_name_that_nobody_knows_is_refused(watchtower: Watchtower, life: Life) -> None:
    answer = asked(watchtower, life, "--pipeline", "nobody")
    assert (answer.code, "no pipeline or dataset called 'nobody' is known" in answer.said) == (2, True)


def test_an_objective_is_proposed_with_what_it_would_have_told_and_can_be_pasted(
    watchtower: Watchtower, life: Life
) -> None:
    found = json.loads(asked(watchtower, life, "-o", "json").out)
    target, in_time = found["objectives"]
    assert (in_time["says"], in_time["bad"]) == ("latency of orders within 15m: 95% over 30d", 1)
    assert in_time["told"].endswith("1 of 21 runs failed or were too late, 66.7% of the budget used")
    assert target["says"] == "success of orders: 95% over 30d"
    assert (target["made_of"], target["pages"], target["tickets"], target["bad"]) == (21, 0, 0, 0)
    assert target["told"] == "0 pages, 0 tickets; 0 of 21 runs failed, 0% of the budget used"
    said = asked(watchtower, life, terminal=True).out
    slos = {slo.name: slo.objectives[0] for slo in load_text(said[said.index("slos:") :]).slos}
    assert {name: each.target for name, each in slos.items()} == {
        "orders-success": Decimal("0.95"),
        "orders-latency": Decimal("0.95"),
    }
    assert slos["orders-latency"].indicator.value == 900.0


def test_failures_of_the_past_leave_a_target_that_has_room_for_them(watchtower: Watchtower, life: Life) -> None:
    for number in (50, 51):
        failed(life, number, BEGINS + timedelta(days=21, hours=number - 40))
    target, _ = json.loads(asked(watchtower, life, "--pipeline", "orders", "-o", "json").out)["objectives"]
    assert target["says"] == "success of orders: 90% over 30d"
    assert (target["bad"], target["pages"]) == (2, 1)
    assert "2 of 23 runs failed" in target["told"]


def failed(life: Life, number: int, at: datetime) -> None:
    life.post(at, json.dumps(event(at, "START", "orders", RUN.format(number))).encode())
    ended = at + timedelta(minutes=5)
    life.post(ended, json.dumps(event(ended, "FAIL", "orders", RUN.format(number))).encode())


def test_how_long_runs_wait_for_their_start_becomes_a_limit_where_it_is_told() -> None:
    queued = [
        structs.replace(each, queued_at=(each.started_at or MONDAY) - timedelta(seconds=30 + place % 3))
        for place, each in enumerate(daily(12))
    ]
    found, _ = propose([of_job(queued)], MONDAY - timedelta(days=1))
    [waits] = [each for each in found if each.kind == "queue_time"]
    assert (waits.options, waits.samples) == ({"max": "1m40s"}, 12)
    assert waits.says == "queue_time of orders_daily: starts at most 1m40s after it is queued"
    found, _ = propose([of_job(daily(12))], MONDAY - timedelta(days=1))
    assert "queue_time" not in {each.kind for each in found}


@pytest.mark.parametrize(("least", "proposed"), [(3, {"min": 1}), (0, None)], ids=["never empty", "empty at times"])
def test_of_rows_that_come_and_go_only_none_at_all_is_told(least: int, proposed: dict[str, int] | None) -> None:
    updates = [update(at_day(day, "06:00"), row_count=least if day % 2 else 1_000) for day in range(14)]
    found, _ = propose([of_dataset(updates)], MONDAY - timedelta(days=1))
    rows = [each for each in found if each.kind == "volume"]
    assert [each.options for each in rows] == ([] if proposed is None else [proposed])
    if proposed:
        assert rows[0].says == "volume of shop.public.orders: never empty"
