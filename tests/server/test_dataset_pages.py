"""A dataset on a whole server, for whoever waits for it: page, list and API, and only for those who may see it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert
from tests.alerting.routes import node, pipeline
from tests.builders import complete, fail, start, writes
from tests.server.site import Site
from tests.server.test_pipeline_pages import shown
from tests.simulators.provider import Provider
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.model.access import Role
from watchtower.model.fact import Fact
from watchtower.model.run import DatasetIO, DatasetRef, JobRef
from watchtower.store import datasets, facts, jobs

RAW, MART = (
    DatasetRef("postgres://warehouse:5432", "raw.orders"),
    DatasetRef("postgres://warehouse:5432", "marts.orders"),
)
EXTRACT, BUILD = JobRef("airflow-prod", "prod", "orders_extract"), JobRef("airflow-prod", "prod", "orders_build")
REPORT = JobRef("airflow-prod", "prod", "revenue_report")
DAYS = 12


@pytest.fixture
def waiting(any_site: Site, clock: ManualClock) -> Site:
    """Twelve good days; today extracting failed at 07:20, and it is 09:00: the mart was expected at 07:40."""
    today = clock.now().replace(hour=7, minute=0)
    told: list[Fact] = []
    for ago in range(DAYS, 0, -1):
        told += day(today - timedelta(days=ago), f"d{ago}")
    told += [
        start("bad", today, job=EXTRACT),
        fail("bad", today + timedelta(minutes=20), job=EXTRACT, message="no route"),
    ]
    facts.append(any_site.services.database, facts.Intake(told)).result(10)
    clock.set(today + timedelta(hours=2))
    return any_site


def day(begin: datetime, ident: str) -> list[Fact]:
    half, end, reported = (begin + timedelta(minutes=minutes) for minutes in (20, 40, 50))
    return [
        start(ident, begin, job=EXTRACT),
        complete(ident, half, job=EXTRACT, datasets=(writes(RAW, 1_000),)),
        start(ident, half, job=BUILD),
        complete(ident, end, job=BUILD, datasets=(DatasetIO(RAW, "in"), writes(MART, 900))),
        start(ident, end, job=REPORT, datasets=(DatasetIO(MART, "in"),)),
        complete(ident, reported, job=REPORT),
    ]


def test_whoever_waits_reads_how_late_it_is_and_why(waiting: Site) -> None:
    text = shown(waiting, f"/datasets/{MART.id}", waiting.sign_in())
    for said in (
        "marts.orders is fresh as of 2026-03-01 07:40 UTC.",
        "New data is late by 1 h 20 min: it was expected at 2026-03-02 07:40 UTC (learned: at 07:40 UTC).",
        "It is held up: orders_extract failed at 2026-03-02 07:20 UTC: no route.",
        "It usually comes 40 min after a run of orders_extract begins; none is under way.",
        "holds it up",
        "writes it",
        "one step before",
        "revenue_report",
        "900",
    ):
        assert said in text, said


def test_the_api_says_the_same(waiting: Site) -> None:
    found = waiting.get(f"/api/v1/datasets/{MART.id}").json()
    assert (found["state"], found["late_s"], found["expected_at"]) == ("late", 4_800.0, None)
    assert (found["waits_for"], found["usually_takes_s"]) == ("orders_extract", 2_400.0)
    assert [(each["job"]["name"], each["what"].partition(":")[0]) for each in found["held_up_by"]] == [
        ("orders_extract", "orders_extract failed at 2026-03-02 07"),
    ]
    assert [(each["job"]["name"], each["steps"], each["state"]) for each in found["upstream"]] == [
        ("orders_build", 1, "succeeded"),
        ("orders_extract", 2, "failed"),
    ]
    assert [each["name"] for each in found["readers"]] == ["revenue_report"]
    assert len(found["updates"]) == DAYS
    assert found["updates"][0]["row_count"] == 900


def test_a_run_under_way_says_when_it_will_be_there(waiting: Site, clock: ManualClock) -> None:
    facts.append(waiting.services.database, facts.Intake([start("again", clock.now(), job=EXTRACT)])).result(10)
    text = shown(waiting, f"/datasets/{MART.id}", waiting.sign_in())
    assert "A run is under way; new data will probably be there at 2026-03-02 09:40 UTC." in text
    assert "held up" not in text


def test_datasets_are_found_by_a_part_of_their_name(waiting: Site) -> None:
    admin = waiting.sign_in()
    everything = shown(waiting, "/datasets", admin)
    assert everything.index("marts.orders") < everything.index("raw.orders")
    assert "late" in everything
    assert "raw.orders" not in shown(waiting, "/datasets?q=MARTS", admin)
    assert "No dataset is like that." in shown(waiting, "/datasets?q=%25", admin)
    assert [each["name"] for each in waiting.get("/api/v1/datasets?q=Raw").json()["items"]] == ["raw.orders"]


def test_a_team_sees_its_own_and_of_others_no_more_than_that_they_hold_it_up(waiting: Site) -> None:
    database = waiting.services.database
    database.write(lambda c: datasets.set_team(c, {MART.id: "shop", RAW.id: "platform"}))
    database.write(lambda c: jobs.set_team(c, {EXTRACT.id: "platform", BUILD.id: "shop"}))
    analyst = waiting.sign_in(Role.VIEWER, team="shop")
    text = shown(waiting, f"/datasets/{MART.id}", analyst)
    assert "It is held up: orders_extract failed at 2026-03-02 07:20 UTC." in text
    assert "no route" not in text
    body = waiting.request("GET", f"/datasets/{MART.id}", headers={"Cookie": analyst}).body.decode()
    assert f"/pipelines/{EXTRACT.id}" not in body
    assert f"/pipelines/{BUILD.id}" in body
    shown(waiting, f"/datasets/{RAW.id}", analyst, status=404)
    assert "raw.orders" not in shown(waiting, "/datasets", analyst)


def test_whoever_the_configuration_names_is_the_owner(waiting: Site) -> None:
    waiting.services.owner_of = lambda labels: "anna" if labels.get("dataset") == MART.name else None
    assert "anna" in shown(waiting, "/datasets?q=marts", waiting.sign_in())


# -- what surrounds an incident -----------------------------------------------------------------------------------


def opened(site: Site, clock: ManualClock, job: JobRef) -> str:
    """The id of an incident about job, which has just opened."""
    chain = pipeline(
        node("team", wait=0, goes_on=False, group_by=("pipeline",)),
        receivers={"team": [Destination("team/webhook[0]")]},
    )
    story = Timeline(site.services.database, clock, chain, {"team/webhook[0]": Provider(clock)})
    labels = {"source": job.source, "namespace": job.namespace, "pipeline": job.pipeline, "kind": "missing_run"}
    about = replace(firing_alert(story.at(0), **labels), subject=f"job:{job.id}")
    story.push(0, fires(chain, about))
    story.play(60)
    [incident] = site.get("/api/v1/incidents?status=triggered").json()["items"]
    return str(incident["id"])


def test_an_incident_names_what_is_wrong_before_it_and_who_waits_for_what_comes_of_it(
    waiting: Site, clock: ManualClock
) -> None:
    path = f"/incidents/{opened(waiting, clock, BUILD)}"
    text = shown(waiting, path, waiting.sign_in())
    assert "Wrong before it: orders_extract failed at 2026-03-02 07:20 UTC: no route. orders_extract" in text
    assert "marts.orders · no owner known · was expected 2026-03-02 07:40:00 UTC · read by revenue_report" in text
    found = waiting.get(f"/api/v1{path}").json()
    assert [each["job"]["name"] for each in found["held_up_by"]] == ["orders_extract"]
    assert [(each["dataset"]["name"], each["steps"], each["next_expected"]) for each in found["impact"]] == [
        ("marts.orders", 1, "2026-03-02T07:40:00Z")
    ]


def test_what_is_wrong_first_has_nothing_wrong_before_it_and_all_that_comes_of_it_waits(
    waiting: Site, clock: ManualClock
) -> None:
    found = waiting.get(f"/api/v1/incidents/{opened(waiting, clock, EXTRACT)}").json()
    assert found["held_up_by"] == []
    assert [(each["dataset"]["name"], each["steps"]) for each in found["impact"]] == [
        ("raw.orders", 1),
        ("marts.orders", 2),
    ]
    assert [[reader["name"] for reader in each["readers"]] for each in found["impact"]] == [
        ["orders_build"],
        ["revenue_report"],
    ]
