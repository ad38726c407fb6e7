"""Numbers over HTTP: told, kept, read back; and OTLP metrics on their own route."""

import json
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from sqlalchemy import func, select

from tests.app.house import until
from tests.collectors.test_otlp_metrics import gauge, number, request
from tests.server.site import Site, event, running
from watchtower.clock import ManualClock
from watchtower.errors import StoreUnavailable
from watchtower.model.access import Scope
from watchtower.server.services import Services
from watchtower.store import jobs
from watchtower.store.database import Database
from watchtower.store.facts import Appended
from watchtower.store.schema.observed import quarantine
from watchtower.store.schema.series import samples, series

PATH = "/api/v1/series"


def tell(site: Site, *given: dict[str, Any], **options: Any) -> Any:
    return site.request("POST", PATH, token=options.pop("token", "ingest"), json_body=list(given), **options)


def count(site: Site, table: Any) -> int:
    with site.services.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def known(site: Site, clock: ManualClock, *namespaces: str) -> None:
    """train_churn ran in each of namespaces."""
    for place, namespace in enumerate(namespaces):
        sent = event(clock, f"run-{place}")
        sent["job"] = {"namespace": namespace, "name": "train_churn"}
        assert site.post_event(sent).status == 200


def test_a_number_is_stored_before_it_is_answered(any_site: Site, clock: ManualClock) -> None:
    known(any_site, clock, "prod")
    answer = any_site.post_event({"name": "score", "value": 0.71, "job": "train_churn"}, PATH)
    assert (answer.status, answer.json()["status"], answer.json()["stored"]) == (200, "success", "store")
    [item] = any_site.get(f"{PATH}?name=score").json()["items"]
    assert (item["namespace"], item["pipeline"], item["kind"], item["derived"]) == (
        "prod",
        "train_churn",
        "gauge",
        False,
    )
    told = any_site.get(f"{PATH}/{item['id']}").json()
    assert [(sample["value"], sample["historical"]) for sample in told["samples"]] == [(0.71, False)]


def test_a_list_reports_each_number_and_keeps_the_bad_ones(site: Site) -> None:
    good = {"name": "score", "value": 1}
    answer = tell(site, good, {"name": "score"}, good, {**good, "lables": {}})
    assert answer.status == 200
    said = answer.json()
    assert (said["status"], said["summary"]["successful"]) == ("partial_success", 2)
    assert [failed["index"] for failed in said["failed_events"]] == [1, 3]
    assert (count(site, samples), count(site, quarantine)) == (1, 2)


def test_a_number_that_cannot_be_taken_is_refused_with_the_reason(site: Site) -> None:
    answer = site.request("POST", PATH, token="ingest", body=b'{"name": "score", "value": 1e999}')
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["detail"] == "a number is too large; a value is a finite 64-bit float"
    assert (count(site, series), count(site, quarantine)) == (0, 0)


def test_an_ambiguous_job_is_told_and_kept_and_understood_once_it_is_named(site: Site, clock: ManualClock) -> None:
    known(site, clock, "prod", "staging")
    good = {"name": "score", "value": 1.0}
    answer = tell(site, {"name": "bad"}, good, {**good, "job": "train_churn"})
    assert answer.status == 200
    assert answer.json()["summary"] == {
        "received": 3, "successful": 1, "failed": 2, "retriable": 0, "non_retriable": 2,
    }  # fmt: skip
    ambiguous = answer.json()["failed_events"][1]
    assert ambiguous["index"] == 2
    assert "known in several namespaces: prod (source openlineage:prod), staging" in ambiguous["reason"]
    assert tell(site, {**good, "job": "train_churn", "namespace": "staging"}).json()["status"] == "success"
    assert (count(site, series), count(site, quarantine)) == (2, 2)


def test_a_token_of_one_source_means_the_job_of_its_own_source(site: Site, clock: ManualClock) -> None:
    known(site, clock, "prod", "staging")
    token = site.new_token({Scope.INGEST}, source="openlineage:staging")
    assert tell(site, {"name": "score", "value": 1, "job": "train_churn"}, token=token).json()["status"] == "success"
    [item] = site.get(f"{PATH}?job=train_churn").json()["items"]
    assert (item["namespace"], item["source"]) == ("staging", "openlineage:staging")


def test_a_repeat_changes_nothing(site: Site, clock: ManualClock) -> None:
    said = {"name": "score", "value": 1, "at": clock.now().isoformat()}
    for _ in range(3):
        assert tell(site, said).status == 200
    assert count(site, samples) == 1


def test_a_series_is_read_by_time(site: Site, clock: ManualClock) -> None:
    begin = clock.now().timestamp()
    tell(site, *({"name": "score", "value": n, "at": begin - 60 * n} for n in range(5)))
    [item] = site.get(PATH).json()["items"]
    first = site.get(f"{PATH}/{item['id']}?limit=3").json()
    assert [sample["value"] for sample in first["samples"]] == [0, 1, 2]
    rest = site.get(f"{PATH}/{item['id']}?limit=3&to={first['samples'][-1]['at']}").json()
    assert [sample["value"] for sample in rest["samples"]] == [3, 4]
    wrong = site.get(f"{PATH}/{item['id']}?limit=0")
    assert (wrong.status, "limit 0 is not between 1 and 1000" in wrong.json()["detail"]) == (400, True)
    window = site.get(f"{PATH}/{item['id']}?from=2026-03-02T07:57:00Z&to=2026-03-02T07:59:00Z").json()
    assert [sample["value"] for sample in window["samples"]] == [2, 3]


def test_a_derived_series_is_read_by_its_job(site: Site, clock: ManualClock) -> None:
    site.post_event({**event(clock, "r1"), "eventType": "START"})
    clock.advance(90)
    site.post_event({**event(clock, "r1"), "eventType": "COMPLETE"})
    [job] = site.get("/api/v1/jobs").json()["items"]
    told = site.get(f"{PATH}/job_duration_seconds@{job['id']}").json()
    assert (told["derived"], told["unit"], [sample["value"] for sample in told["samples"]]) == (True, "s", [90.0])


@pytest.mark.parametrize("ident", ["nothing", "job_duration_seconds@nothing", "score@nothing", "@"])
def test_a_series_that_is_not_there_is_not_found(site: Site, ident: str) -> None:
    assert site.get(f"{PATH}/{ident}").status == 404


def test_a_team_sees_the_series_of_its_own_jobs(site: Site, clock: ManualClock) -> None:
    known(site, clock, "prod")
    tell(site, {"name": "score", "value": 1, "job": "train_churn"}, {"name": "queue", "value": 2})
    [job] = site.get("/api/v1/jobs").json()["items"]
    site.services.database.write(lambda connection: jobs.set_team(connection, {job["id"]: "data"}))
    data, other = (site.new_token({Scope.READ}, team=team) for team in ("data", "other"))
    assert [item["name"] for item in site.get(PATH, token=data).json()["items"]] == ["score"]
    assert site.get(PATH, token=other).json()["items"] == []
    [score] = site.get(f"{PATH}?name=score").json()["items"]
    assert [site.get(f"{PATH}/{score['id']}", token=token).status for token in (data, other)] == [200, 404]


def test_other_methods_are_answered_as_on_other_paths(site: Site) -> None:
    assert site.request("DELETE", PATH, token="admin").status == 405
    assert site.get(PATH, token="ingest").status == 403


def test_while_the_store_is_away_numbers_wait_in_the_spool(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    is_away = threading.Event()
    is_away.set()

    def go_away(services: Services) -> None:
        there = services.append

        def append(*given: Any) -> "Future[Appended]":
            if is_away.is_set():
                raise StoreUnavailable("away")
            return there(*given)

        services.append = append

    with running(database, tmp_path, clock, change=go_away) as site:
        answer = tell(site, {"name": "score", "value": 1})
        assert (answer.status, answer.json()["stored"]) == (202, "spool")
        assert count(site, samples) == 0
        is_away.clear()
        until(lambda: count(site, samples), "the spool is replayed")


def test_otlp_metrics_become_series(site: Site, clock: ManualClock) -> None:
    known(site, clock, "prod")
    body = request(gauge(number(3, dag_id="train_churn", table="orders")), gauge(number(1), name="no name"))
    answer = site.request(
        "POST",
        "/v1/metrics",
        token="ingest",
        body=body.SerializeToString(),
        headers={"Content-Type": "application/x-protobuf"},
    )
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-protobuf")
    [item] = site.get(PATH).json()["items"]
    assert (item["name"], item["pipeline"], item["namespace"], item["labels"]) == (
        "queue.length", "train_churn", "prod", {"table": "orders"},
    )  # fmt: skip


def test_otlp_points_of_an_ambiguous_job_are_rejected_and_not_kept(site: Site, clock: ManualClock) -> None:
    known(site, clock, "prod", "staging")
    document = MessageToDict(request(gauge(number(3, dag_id="train_churn"), number(4))))
    headers = {"Content-Type": "application/json"}
    answer = site.request("POST", "/v1/metrics", token="ingest", body=json.dumps(document).encode(), headers=headers)
    partial = answer.json()["partialSuccess"]
    assert (answer.status, partial["rejectedDataPoints"]) == (200, "1")
    assert "known in several namespaces" in partial["errorMessage"]
    assert (count(site, series), count(site, quarantine)) == (1, 0)
