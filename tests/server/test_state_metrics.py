"""What `/metrics` says of pipelines: read from a real store on both engines, and never at the price of the scrape."""

import re
import threading
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import parser as text_format
from prometheus_client.openmetrics import parser as openmetrics
from sqlalchemy import event as sql_events
from sqlalchemy import insert

from alerting.incidents import acknowledge
from tests.builders import ORDERS, complete, fail, start
from tests.charges import Line, bring
from tests.rules.spending import budget
from tests.server.site import Site, running, with_settings
from tests.server.story import CLICKS, MODEL, TABLE, tell
from watchtower.clock import ManualClock
from watchtower.errors import StoreUnavailable
from watchtower.model.access import Scope
from watchtower.model.cost import Money
from watchtower.model.run import JobRef, RunState
from watchtower.model.source import Problem
from watchtower.model.spending import midnight
from watchtower.server.state_metrics import CACHE_S, StateMetrics
from watchtower.store import budgets, facts, incidents, sources
from watchtower.store.database import Connection, Database
from watchtower.store.facts import Intake
from watchtower.store.reading import now_page
from watchtower.store.schema.observed import runs
from watchtower.store.sources import Declared, Tally
from watchtower.telemetry import exposition, metrics
from watchtower.telemetry.exposition import Samples
from watchtower.telemetry.metrics import RUN_STATE_CODES

Labels = frozenset[tuple[str, str]]


def scraped(site: Site, path: str = "/metrics", token: str = "read") -> dict[tuple[str, Labels], float]:
    answer = site.get(path, token)
    assert answer.status == 200, answer.body
    found: dict[tuple[str, Labels], float] = {}
    for line in answer.body.decode().splitlines():
        if line.startswith("watchtower_"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()  # type: ignore[union-attr]
            pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")
            found[name, frozenset(pairs)] = float(value)
    return found


def of(found: dict[tuple[str, Labels], float], name: str, **labels: str) -> dict[Labels, float]:
    """The series of name that have these labels."""
    wanted = set(labels.items())
    return {pairs: value for (each, pairs), value in found.items() if each == name and wanted <= pairs}


def one(found: dict[tuple[str, Labels], float], name: str, **labels: str) -> float:
    (value,) = of(found, name, **labels).values()
    return value


def test_a_morning_stands_in_the_metrics_as_it_happened(any_site: Site, clock: ManualClock) -> None:
    site, began = any_site, clock.now()
    tell(site.services.database, clock)
    found = scraped(site)
    orders = {"source": "airflow-prod", "namespace": "prod", "pipeline": "orders_hourly", "team": "data"}
    assert one(found, "watchtower_state_scrape_ok") == 1
    assert one(found, "watchtower_pipeline_last_run_state", **orders) == 7
    assert one(found, "watchtower_pipeline_last_end_state", **orders) == 7
    assert one(found, "watchtower_pipeline_last_start_timestamp_seconds", **orders) == began.timestamp()
    assert one(found, "watchtower_pipeline_last_duration_seconds", **orders) == 58
    newest = began - timedelta(hours=1) + timedelta(seconds=240 + 11 * (29 % 7))
    assert one(found, "watchtower_pipeline_last_success_timestamp_seconds", **orders) == newest.timestamp()
    assert one(found, "watchtower_pipeline_open_runs", **orders) == 0
    assert one(found, "watchtower_pipeline_open_runs", pipeline="revenue_daily") == 1
    assert one(found, "watchtower_pipeline_runs_total", state="succeeded", **orders) == 30
    assert one(found, "watchtower_pipeline_runs_total", state="failed", **orders) == 1
    assert one(found, "watchtower_pipeline_run_seconds_total", state="failed", **orders) == 58
    assert one(found, "watchtower_pipeline_runs_total", state="failed", pipeline=CLICKS.pipeline) == 0
    assert one(found, "watchtower_pipelines", team="data") == 2
    assert one(found, "watchtower_dataset_updated_timestamp_seconds", dataset=TABLE.name) == newest.timestamp()
    assert one(found, "watchtower_alerts", severity="page", kind="run_failure", team="data", state="firing") == 1
    assert (
        one(found, "watchtower_alert_oldest_timestamp_seconds", severity="page")
        == (began + timedelta(seconds=60)).timestamp()
    )
    assert (
        sum(of(found, "watchtower_incidents", status="triggered").values()) == 3
    )  # one of them tells of the dead letter
    assert one(found, "watchtower_obligations", state="dead_letter", destination="team/email[0]") > 0
    assert one(found, "watchtower_state_left_out", what="pipelines") == 0


def test_a_scope_of_its_own_is_enough_and_a_team_sees_only_its_pipelines(site: Site, clock: ManualClock) -> None:
    tell(site.services.database, clock)
    assert one(scraped(site, token="metrics"), "watchtower_pipelines", team="ml") == 1
    assert site.get("/api/v1/runs", "metrics").status == 403
    found = scraped(site, token=site.new_token({Scope.METRICS}, team="ml"))
    assert {dict(pairs)["pipeline"] for pairs in of(found, "watchtower_pipeline_open_runs")} == {MODEL.pipeline}
    assert not of(found, "watchtower_obligations")
    assert one(found, "watchtower_state_scrape_ok") == 1


def test_public_metrics_tell_nothing_of_pipelines(sqlite: Database, tmp_path: Path, clock: ManualClock) -> None:
    with running(sqlite, tmp_path, clock, settings=with_settings(metrics_public=True)) as site:
        facts.append(sqlite, Intake([start("a", clock.now())])).result(10)
        assert ORDERS.pipeline.encode() not in site.request("GET", "/metrics").body
        assert ORDERS.pipeline.encode() in site.get("/metrics").body


def test_what_is_beyond_the_limit_is_counted(sqlite: Database, tmp_path: Path, clock: ManualClock) -> None:
    with running(sqlite, tmp_path, clock, settings=with_settings(metrics_pipelines=2)) as site:
        tell(sqlite, clock)
        found = scraped(site)
    assert len(of(found, "watchtower_pipeline_open_runs")) == 2
    assert one(found, "watchtower_state_left_out", what="pipelines") == 2


def test_the_state_can_be_left_out(site: Site, clock: ManualClock) -> None:
    tell(site.services.database, clock)
    found = scraped(site, "/metrics?state=false")
    assert not of(found, "watchtower_state_scrape_ok")
    assert not of(found, "watchtower_pipelines")
    assert site.get("/metrics?state=perhaps").status == 400


def test_an_end_counts_once_however_often_it_is_told_and_history_never(site: Site, clock: ManualClock) -> None:
    database, now = site.services.database, clock.now()
    ended = [start("a", now), complete("a", now + timedelta(seconds=30))]
    for told in (ended, ended, [replace(fail("old", now - timedelta(days=3)), historical=True)]):
        facts.append(database, Intake(told)).result(10)
    found = scraped(site)
    assert one(found, "watchtower_pipeline_runs_total", state="succeeded") == 1
    assert one(found, "watchtower_pipeline_run_seconds_total", state="succeeded") == 30
    assert one(found, "watchtower_pipeline_runs_total", state="failed") == 0


def test_a_unit_that_fails_beside_others_counts_nothing(sqlite: Database, clock: ManualClock) -> None:
    def told(connection: object) -> None:
        raise AssertionError("not reached")

    before = metrics.RUN_SECONDS.labels(ORDERS.source, "succeeded")._sum.get()  # type: ignore[attr-defined]
    gate = threading.Event()
    held = sqlite.submit_unit(lambda connection: gate.wait(10))
    good = facts.append(sqlite, Intake([start("a", clock.now()), complete("a", clock.now() + timedelta(seconds=7))]))
    bad = sqlite.submit_unit(told)  # type: ignore[arg-type]
    gate.set()
    held.result(10)
    good.result(10)
    with pytest.raises(AssertionError):
        bad.result(10)
    assert metrics.RUN_SECONDS.labels(ORDERS.source, "succeeded")._sum.get() == before + 7  # type: ignore[attr-defined]


def test_how_long_people_took_is_counted_once_and_carries_the_incident(site: Site, clock: ManualClock) -> None:
    database = site.services.database

    def taken(name: str) -> float:
        return sum(value for (each, _), value in scraped(site, "/metrics?state=false").items() if each == name)

    resolved = taken("watchtower_incident_resolve_seconds_count")
    acknowledged = taken("watchtower_incident_acknowledge_seconds_count")
    tell(database, clock)
    with database.read() as connection:
        incident, *_ = now_page.open_incidents(connection, None)
    clock.advance(300)
    for _ in range(2):
        database.write(
            lambda connection: incidents.edit(
                connection, incident.id, lambda it: acknowledge(it, "person:primary", clock.now())
            )
        )
    assert taken("watchtower_incident_resolve_seconds_count") == resolved + 1
    assert taken("watchtower_incident_acknowledge_seconds_count") == acknowledged + 1
    text = site.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}).body.decode()
    assert f'# {{incident_id="{incident.id}"}}' in text


def test_bills_and_budgets_stand_beside_the_pipelines(any_site: Site, clock: ManualClock) -> None:
    site, database, today = any_site, any_site.services.database, clock.now().date()
    services = [Line(today - timedelta(days=1), f"{number}.25", service=f"Service{number:02}") for number in range(12)]
    bring(database, services, clock.now())
    database.write(
        lambda connection: budgets.declare(connection, [budget(limit=Money(Decimal(50), "USD"))], clock.now())
    )
    found = scraped(site)
    days = of(
        found, "watchtower_cost_day_amount", day=str(today - timedelta(days=1)), source="aws-main", currency="USD"
    )
    assert len(days) == 11
    assert sum(days.values()) == pytest.approx(sum(range(12)) + 12 * 0.25)
    assert one(found, "watchtower_cost_day_amount", service="other services") == 0.25 + 1.25
    assert one(found, "watchtower_bill_covered_until_timestamp_seconds", source="aws-main") == (
        midnight(today).timestamp()
    )
    assert one(found, "watchtower_budget_limit_amount") == 50
    assert one(found, "watchtower_budget_spent_amount") == 69
    assert one(found, "watchtower_budget_share_ratio") == 1.38
    assert one(found, "watchtower_budget_late_seconds") == 0


def test_a_source_that_is_asked_tells_how_far_behind_it_is(any_site: Site, clock: ManualClock) -> None:
    database, began = any_site.services.database, clock.now()
    tally = Tally(3, began, (Problem("scheduler", "no scheduler is alive"),))
    asked = [Declared("prod", "airflow", "prod-airflow", 60.0)]
    database.write(lambda connection: sources.declare(connection, asked, began))
    database.write(lambda connection: sources.succeeded(connection, "prod", tally, 0.5, began))
    clock.advance(90)
    database.write(lambda connection: sources.failed(connection, "prod", "HTTP 503", None, clock.now()))
    found = scraped(any_site)
    assert one(found, "watchtower_source_lag_seconds", source="prod", collector="airflow") == 90
    assert one(found, "watchtower_source_last_success_timestamp_seconds") == began.timestamp()
    assert one(found, "watchtower_source_failures") == 1
    assert one(found, "watchtower_source_problems") == 1


# -- a scrape is never held up ------------------------------------------------------------------------------------


class Held(Database):
    """A database whose reads hang until they are let go."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.gate = threading.Event()
        self.gate.set()

    def read(self):  # type: ignore[no-untyped-def, override]
        self.gate.wait(20)
        return super().read()


def test_a_store_that_hangs_costs_a_scrape_its_patience_and_no_more(sqlite: Database, clock: ManualClock) -> None:
    held = Held(str(sqlite.url))
    state = StateMetrics(held, clock, lambda: 10, max_wait_s=0.2)
    try:
        held.gate.clear()
        began = time.monotonic()
        scrapes = [threading.Thread(target=state.samples) for _ in range(5)]
        for each in scrapes:
            each.start()
        for each in scrapes:
            each.join()
        assert time.monotonic() - began < 1
        assert values(state) == {"watchtower_state_scrape_ok": 0}
        assert sum(thread.name == "state-metrics" for thread in threading.enumerate()) == 1
        held.gate.set()
        deadline = time.monotonic() + 10
        while values(state).get("watchtower_state_scrape_ok") != 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        held.gate.set()
        held.close()


def test_a_store_that_is_away_leaves_watchtowers_own_metrics(site: Site, clock: ManualClock) -> None:
    database = site.services.database
    assert one(scraped(site), "watchtower_state_scrape_ok") == 1  # and the token is known from now on
    clock.advance(1.5 + CACHE_S)

    def away(*_: object) -> None:
        raise StoreUnavailable("the disk is gone")

    sql_events.listen(database._reader, "before_cursor_execute", away)  # type: ignore[attr-defined]
    try:
        found = scraped(site)
    finally:
        sql_events.remove(database._reader, "before_cursor_execute", away)  # type: ignore[attr-defined]
    assert one(found, "watchtower_state_scrape_ok") == 0
    assert of(found, "watchtower_spool_bytes")
    assert not of(found, "watchtower_pipelines")


def test_scrapes_share_a_reading_for_a_few_seconds(site: Site, clock: ManualClock) -> None:
    database = site.services.database
    assert not of(scraped(site), "watchtower_pipeline_open_runs")
    facts.append(database, Intake([start("a", clock.now())])).result(10)
    assert not of(scraped(site), "watchtower_pipeline_open_runs")
    clock.advance(CACHE_S + 1)
    assert one(scraped(site), "watchtower_pipeline_open_runs") == 1


def values(state: StateMetrics) -> dict[str, float]:
    return {metric.name: value for metric, _, value in state.samples().items()}


# -- and costs no more with more history --------------------------------------------------------------------------


def test_the_newest_runs_are_found_by_index_whatever_lies_before_them(database: Database, clock: ManualClock) -> None:
    """A pipeline that failed thousands of times since its last success, and one whose runs never end."""
    now = clock.now()
    for job, state, count in ((ORDERS, "failed", 3_000), (CLICKS, "running", 3_000)):
        facts.append(database, Intake([start("first", now - timedelta(days=9), job=job)])).result(10)
        facts.append(database, Intake([complete("first", now - timedelta(days=9) + timedelta(1), job=job)])).result(10)
        database.write(lambda connection, job=job, state=state, count=count: _copies(connection, job, state, count))
    state = StateMetrics(database, clock, lambda: 10)
    found = {
        (metric.name, dict(zip(metric.labels, labels, strict=True)).get("pipeline")): value
        for metric, labels, value in state.samples().items()
    }
    for job in (ORDERS, CLICKS):
        success = found["watchtower_pipeline_last_success_timestamp_seconds", job.pipeline]
        assert success == (now - timedelta(days=8)).timestamp()
    assert found["watchtower_pipeline_last_end_state", ORDERS.pipeline] == 7
    assert found["watchtower_pipeline_open_runs", CLICKS.pipeline] == 3_000
    assert ("watchtower_pipeline_last_end_state", CLICKS.pipeline) not in found


def _copies(connection: Connection, job: JobRef, state: str, count: int) -> None:
    row: dict[str, Any] = dict(connection.execute(runs.select().where(runs.c.job_id == job.id)).mappings().one())  # type: ignore[arg-type]
    ended = row["ended_at"] if state == "failed" else None
    copies = [
        {
            **row,
            "id": f"{job.pipeline}-{number}",
            "state": state,
            "ended_at": ended,
            "position": row["position"] + timedelta(minutes=number + 1),
        }
        for number in range(count)
    ]
    connection.execute(insert(runs), copies)


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_what_is_written_here_is_read_by_the_clients_own_parser(accept: str) -> None:
    samples, odd = Samples(), 'a "quoted" name, {curly}\\ and\na line ☃'
    samples.add(metrics.PIPELINE_RUNS, 3, "airflow", "prod", odd, "", "failed")
    samples.add(metrics.STATE_SECONDS, 1e-7)
    body, content_type = exposition.render(accept, samples)
    parser: Any = openmetrics if "openmetrics" in content_type else text_format
    found = {
        sample.name: (sample.labels, sample.value)
        for family in parser.text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    labels = {"source": "airflow", "namespace": "prod", "pipeline": odd, "team": "", "state": "failed"}
    assert found["watchtower_pipeline_runs_total"] == (labels, 3)
    assert found["watchtower_state_scrape_seconds"] == ({}, 1e-7)


def test_every_state_has_a_number_and_what_is_bad_is_above_the_rest() -> None:
    assert set(RUN_STATE_CODES) == set(RunState)
    assert {state for state, code in RUN_STATE_CODES.items() if code >= 7} == {
        state for state in RunState if state.is_bad
    }
