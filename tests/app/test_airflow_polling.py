"""Five lines of YAML, and Airflow's runs, tries, owners and schedules are there; what is wrong with it is told."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from collectors.airflow import AirflowConfig, AirflowPoller
from tests.app.house import House, running, until
from tests.app.polls import ask, context, polling
from tests.cli.terminal import runner
from tests.simulators.airflow import AirflowSimulator, asset_event, dag, run, task
from tests.simulators.faults import Fault
from tests.simulators.http import Recorded, Reply
from watchtower.clock import ManualClock, SystemClock
from watchtower.ports import PolledSource
from watchtower.store.database import Database
from watchtower.store.schema.observed import dataset_updates, runs

CONFIG = """
outbound: {{allow: [127.0.0.0/8]}}
collectors:
  airflow:
    sources:
      - {{name: prod, base_url: "{url}", username: watchtower, password: pw, every: 5s,
          timezones: [Europe/Berlin]}}
"""
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def airflow() -> Generator[AirflowSimulator]:
    with AirflowSimulator(datetime.now(UTC)) as simulator:
        yield simulator


def house_of(tmp_path: Path, airflow: AirflowSimulator):  # type: ignore[no-untyped-def]
    return running(tmp_path, CONFIG.format(url=airflow.url))


def whole_poll(house: House) -> dict[str, Any]:
    """The source, once it was read."""
    return until(
        lambda: next((each for each in house.items("/api/v1/sources") if each["last_success"]), None), "a poll", 60
    )


def test_a_team_sees_its_runs_tries_owners_and_schedules_after_one_poll(
    tmp_path: Path, airflow: AirflowSimulator
) -> None:
    began = SystemClock().now() - timedelta(minutes=2)
    due = datetime.now(BERLIN).replace(hour=7, minute=0, second=0, microsecond=0).isoformat()
    airflow.dags = [dag("orders", timetable_summary="0 7 * * *", next_dagrun_run_after=due, tags=[{"name": "tier:1"}])]
    airflow.runs = [(began, run("orders", "r1", "failed", began))]
    second = task("orders", "r1", "load", "failed", began + timedelta(seconds=9), try_number=2, max_tries=1)
    airflow.tasks = [(began, second)]
    first = task("orders", "r1", "load", "failed", began, try_number=1, max_tries=1)
    airflow.tries["orders", "r1", "load", -1] = [first, second]
    with house_of(tmp_path, airflow) as house:
        whole_poll(house)
        found = house.items("/api/v1/runs?pipeline=orders")
        by_attempt = {(each["job"]["name"], each["attempt"]): each["state"] for each in found}
        assert by_attempt == {("orders", 1): "failed", ("orders.load", 1): "failed", ("orders.load", 2): "failed"}
        (job,) = [each for each in house.items("/api/v1/jobs?pipeline=orders") if not each["task"]]
        assert (job["owner"], job["schedule"], job["timezone"]) == ("data-platform", "0 7 * * *", "Europe/Berlin")
        (alert,) = until(lambda: house.items("/api/v1/alerts?state=firing"), "the failure")
        assert (alert["labels"]["kind"], alert["labels"]["pipeline"]) == ("run_failure", "orders")
    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.rglob("*.db*"))


@pytest.mark.parametrize("version", [3, 2])
def test_what_set_a_run_off_is_told_with_its_failure_and_shown_with_a_link(tmp_path: Path, version: int) -> None:
    began = SystemClock().now() - timedelta(minutes=2)
    kind = "asset_triggered" if version == 3 else "dataset_triggered"
    load = task("orders", "r1", "load", "success", began)
    report = run("report", "a1", "failed", began + timedelta(seconds=9), run_type=kind)
    with AirflowSimulator(datetime.now(UTC), version=version) as airflow:
        airflow.runs = [(began, run("orders", "r1", "success", began)), (began, report)]
        airflow.tasks = [(began, load)]
        airflow.assets = [
            asset_event(1, load, began + timedelta(seconds=2), report),
            asset_event(2, None, began + timedelta(seconds=5), extra={}),
        ]
        with house_of(tmp_path, airflow) as house:
            (alert,) = until(lambda: house.items("/api/v1/alerts?state=firing"), "the failure")
            said = "shop.public.orders_clean, written by orders.load in run r1"
            assert alert["evidence"]["set_off_by"] == [said]
            (failed,) = house.items("/api/v1/runs?pipeline=report")
            assert (failed["trigger"], [each["said"] for each in failed["origins"]]) == ("event", [said])
            page = house.page(f"/runs/{failed['id']}")
            (first,) = house.items("/api/v1/runs?pipeline=orders&top_level=true")
            assert said in page
            assert f'href="/runs/{first["id"]}"' in page
            (wrote,) = house.items("/api/v1/runs?pipeline=orders&top_level=false")
            (output,) = house.get(f"/api/v1/runs/{wrote['id']}")["outputs"]
            assert (output["dataset"]["name"], output["row_count"]) == ("shop.public.orders_clean", 1234)
            (dataset,) = house.items("/api/v1/datasets")
            assert datetime.fromisoformat(dataset["updated_at"]) == began + timedelta(seconds=5)
    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.rglob("*.db*"))


def test_a_writing_belongs_to_the_try_that_was_under_way(database: Database, clock: ManualClock) -> None:
    """The task was cleared and is tried again: the event of its first try is not the second one's."""
    with AirflowSimulator(clock.now()) as airflow:
        hour_ago = clock.now() - timedelta(hours=1)
        first = task("orders", "r1", "load", "success", hour_ago)
        second = task("orders", "r1", "load", "running", clock.now() - timedelta(minutes=1), try_number=2)
        airflow.runs = [(hour_ago, run("orders", "r1", "running", hour_ago))]
        airflow.tasks, airflow.tries["orders", "r1", "load", -1] = [(clock.now(), second)], [first, second]
        airflow.assets = [asset_event(1, first, hour_ago + timedelta(seconds=3))]
        ask(polling(database, clock), polled_by(airflow, clock))
    query = select(runs.c.attempt).join(dataset_updates, dataset_updates.c.run_id == runs.c.id)
    with database.read() as connection:
        assert list(connection.scalars(query)) == [1]


@pytest.mark.parametrize(("listed", "state"), [([2], "lost"), ([1, 2], "failed"), ([], "running")], ids=str)
def test_a_try_that_airflow_has_forgotten_is_lost(
    database: Database, clock: ManualClock, listed: list[int], state: str
) -> None:
    """Airflow 2 forgets a try that was under way as its scheduler died. Where it keeps no list at all, none is lost."""
    with AirflowSimulator(clock.now(), version=2) as airflow:
        began, again = clock.now() - timedelta(minutes=9), clock.now() - timedelta(minutes=1)
        airflow.runs = [(began, run("orders", "r1", "running", began))]
        airflow.tasks = [(began, task("orders", "r1", "load", "running", began))]
        frame, source = polling(database, clock), polled_by(airflow, clock)
        ask(frame, source)
        second = task("orders", "r1", "load", "success", again, try_number=2)
        tries = {1: task("orders", "r1", "load", "failed", began, try_number=1), 2: second}
        airflow.tasks = [(clock.now(), second)]
        airflow.tries["orders", "r1", "load", -1] = [tries[number] for number in listed]
        clock.advance(60)
        ask(frame, source)
    query = select(runs.c.attempt, runs.c.state, runs.c.ended_at, runs.c.final).where(runs.c.task.is_not(None))
    with database.read() as connection:
        first, last = connection.execute(query.order_by(runs.c.attempt)).all()
    assert (first.state, last.state) == (state, "succeeded")
    if state == "lost":
        assert (first.ended_at, first.final) == (again, False)


def test_who_may_not_read_assets_has_all_the_rest(database: Database, clock: ManualClock) -> None:
    class Closed(AirflowSimulator):
        def _read(self, path: str, request: Recorded) -> Reply:
            if "sset" in path:
                return Reply.of_json({"detail": "Forbidden"}, 403)
            return super()._read(path, request)

    with Closed(clock.now()) as airflow:
        airflow.runs = [(clock.now(), run("orders", "r1", "success", clock.now(), run_type="asset_triggered"))]
        ask(polling(database, clock), polled_by(airflow, clock))
    with database.read() as connection:
        assert list(connection.scalars(select(runs.c.trigger))) == ["event"]


def test_wrong_credentials_are_told_with_what_to_do(tmp_path: Path, airflow: AirflowSimulator) -> None:
    airflow.password = "another"
    with house_of(tmp_path, airflow) as house:
        (source,) = until(
            lambda: [each for each in house.items("/api/v1/sources") if each["error"]], "the source to fail"
        )
        assert "HTTP 401" in source["error"]
        assert "check username and password" in source["error"]


def test_html_instead_of_json_is_told_and_asked_again(tmp_path: Path, airflow: AirflowSimulator) -> None:
    airflow.fail_next(Fault.BAD_GATEWAY)
    with house_of(tmp_path, airflow) as house:
        assert whole_poll(house)["error_rate"] == 0.5


def test_a_failing_source_is_a_finding_on_the_command_line_too(
    tmp_path: Path, airflow: AirflowSimulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    airflow.password = "another"
    with house_of(tmp_path, airflow) as house:
        until(lambda: [each for each in house.items("/api/v1/sources") if each["error"]], "the source to fail")
        monkeypatch.setenv("WATCHTOWER_STATE", str(house.instance.state.path))
        shown = runner(monkeypatch, capsys)("sources")
    assert shown.code == 1
    assert "HTTP 401" in shown.out


def test_a_day_that_was_missed_is_read_by_the_first_poll(database: Database, clock: ManualClock) -> None:
    """Promise P6: ten pipelines that ran each hour while Watchtower was away, and what failed meanwhile is news."""
    with AirflowSimulator(clock.now()) as airflow:
        frame, source = polling(database, clock), polled_by(airflow, clock)
        ask(frame, source)
        clock.advance(86_400)
        airflow.now = clock.now()
        for hour, number in product(range(24), range(10)):
            began = airflow.now - timedelta(minutes=30) - hour * timedelta(hours=1)
            dag_id, state = f"dag_{number}", "failed" if number == 7 else "success"
            run_id = f"scheduled__{began.isoformat()}"
            airflow.runs.append((began, run(dag_id, run_id, state, began)))
            airflow.tasks.append((began, task(dag_id, run_id, "load", state, began)))
        ask(polling(database, clock, "wt-b"), polled_by(airflow, clock), "wt-b")
    with database.read() as connection:
        found = connection.execute(select(runs.c.pipeline, runs.c.task, runs.c.historical)).all()
    assert len(found) == 2 * 240
    assert not any(row.historical for row in found)


def polled_by(airflow: AirflowSimulator, clock: ManualClock) -> PolledSource:
    config = {"name": "prod", "base_url": airflow.url, "username": "watchtower", "password": "pw"}
    (source,) = AirflowPoller(AirflowConfig.model_validate({"sources": [config]})).sources(context(clock))
    return source
