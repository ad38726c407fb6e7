"""`POST /api/v1/events` over real sockets: its handshakes, its answers, and one run from several senders."""

import json
from typing import Any

from sqlalchemy import select

from tests.server.site import Site, event, iso
from tests.server.test_ingest import count, kept
from watchtower.clock import ManualClock
from watchtower.store.schema.observed import facts, runs

EVENTS = "/api/v1/events"


def rows(site: Site) -> list[Any]:
    with site.services.database.read() as connection:
        return list(connection.execute(select(runs).order_by(runs.c.position)))


def test_a_run_event_is_stored_before_it_is_answered(any_site: Site, clock: ManualClock) -> None:
    answer = any_site.post_event({"job": "backup", "run": "1", "event": "fail", "error": "disk full"}, EVENTS)
    assert (answer.status, answer.json()["status"]) == (200, "success")
    (row,) = rows(any_site)
    assert (row.state, row.error["message"]) == ("failed", "disk full")


def test_a_mistake_is_told_at_once(site: Site) -> None:
    answer = site.post_event({"job": "backup"}, EVENTS)
    assert answer.status == 400
    assert "a run event says what happened" in answer.json()["detail"]
    assert kept(site) == []


def test_an_unknown_type_is_kept_and_named(site: Site) -> None:
    sent = {"specversion": "1.0", "id": "1", "source": "s", "type": "com.x", "data": "x"}
    answer = site.post_event(sent, EVENTS)
    assert (answer.status, answer.json()["status"]) == (200, "error")
    assert "collectors.events.map" in answer.json()["failed_events"][0]["reason"]
    assert [reason for reason, _ in kept(site)] == ["unmapped"]


def test_a_binary_cloud_event_is_taken_with_its_headers(site: Site, clock: ManualClock) -> None:
    headers = {
        "CE-SpecVersion": "1.0",
        "ce-id": "1",
        "Ce-Source": "s",
        "ce-type": "watchtower.run",
        "ce-time": iso(clock.now()),
    }
    body = json.dumps({"job": "train", "run": "9", "event": "start"}).encode()
    sent = {**headers, "Content-Type": "application/json"}
    for _ in range(2):
        assert site.request("POST", EVENTS, token="ingest", body=body, headers=sent).status == 200
    assert ([row.pipeline for row in rows(site)], count(site, facts)) == (["train"], 1)


def test_clouds_are_welcomed_and_nothing_is_told_to_others(site: Site) -> None:
    greeting = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}
    answer = site.request("OPTIONS", EVENTS, headers=greeting)
    assert (answer.status, answer.headers["webhook-allowed-origin"]) == (200, "eventgrid.azure.net")
    assert site.request("OPTIONS", EVENTS).status == 405
    assert site.request("OPTIONS", EVENTS, headers={"WebHook-Request-Origin": "a b<c>"}).status == 405
    body = b'[{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6"}}]'
    answer = site.request("POST", EVENTS, token="ingest", body=body)
    assert (answer.status, answer.json()) == (200, {"validationResponse": "512d38b6"})
    assert site.request("POST", EVENTS, body=body).status == 401


def test_a_callback_and_openlineage_meet_in_one_run(site: Site, clock: ManualClock) -> None:
    """As an Airflow callback tells it, which knows the DAG's run and not the id that OpenLineage gave it."""
    told = {"job": "orders", "namespace": "prod", "run": "scheduled__1", "event": "fail", "error": "from the callback"}
    dag_run = {
        "dag": {"dag_id": "orders"},
        "dagRun": {"dag_id": "orders", "run_id": "scheduled__1", "run_type": "scheduled", "clear_number": 0},
    }
    ol = event(
        clock,
        "ol-1",
        "FAIL",
        job={"namespace": "prod", "name": "orders"},
        run={"runId": "ol-1", "facets": {"airflowDagRun": dag_run}},
    )
    for first, second in (((told, EVENTS), (ol, "/api/v1/lineage")), ((ol, "/api/v1/lineage"), (told, EVENTS))):
        for body, path in (first, second):
            assert site.post_event(body, path).status == 200
        assert [(row.pipeline, row.state, row.ol_run_id) for row in rows(site)] == [("orders", "failed", "ol-1")]
