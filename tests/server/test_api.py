"""The JSON API over a store with a story in it; every answer is held against the OpenAPI document."""

import json
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import insert

from tests.server.site import Answer, Site, event, iso, running
from tests.server.story import ORDERS, REVENUE, tell
from watchtower.clock import ManualClock
from watchtower.model.access import Scope
from watchtower.server.endpoints import ListQuery
from watchtower.server.routes import ENDPOINTS
from watchtower.store.database import Database
from watchtower.store.schema.observed import run_aliases

LISTS = [one.path for one in ENDPOINTS if one.query is not None and issubclass(one.query, ListQuery)]


@pytest.fixture
def told(sqlite: Database, tmp_path: Path, clock: ManualClock) -> Generator[Site]:
    """A server over the story."""
    tell(sqlite, clock)
    with running(sqlite, tmp_path, clock) as site:
        yield site


@pytest.fixture
def told_on_each(database: Database, tmp_path: Path, clock: ManualClock) -> Generator[Site]:
    """The same, on each engine."""
    tell(database, clock)
    with running(database, tmp_path, clock) as site:
        yield site


def walk(site: Site, path: str, limit: int, **query: Any) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        asked = {"limit": limit, **query, **({"cursor": cursor} if cursor else {})}
        page = site.get(f"{path}?{urlencode(asked, doseq=True)}", "admin").json()
        assert len(page["items"]) <= limit
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


# -- the document -------------------------------------------------------------------------------------------------


class Judge:
    """Holds answers against the served OpenAPI document."""

    def __init__(self, site: Site) -> None:
        self.document = site.get("/openapi.json").json()

    def check(self, method: str, path: str, answer: Answer) -> None:
        said = self.document["paths"][path][method.lower()]["responses"]
        assert str(answer.status) in said, f"{method} {path} answered {answer.status}: {answer.body[:200]!r}"
        content = said[str(answer.status)].get("content", {})
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if kind.endswith("json"):
            assert kind in content, f"{method} {path}: {kind} is not announced for {answer.status}"
            schema = {**content[kind]["schema"], "components": self.document["components"]}
            validator: Any = Draft202012Validator(schema)
            errors = [error.message for error in validator.iter_errors(answer.json())]
            assert not errors, f"{method} {path}: {errors[:3]}"


def test_every_answer_is_as_the_document_says(told: Site) -> None:
    judge = Judge(told)
    ids = {
        "runs": walk(told, "/api/v1/runs", 5)[0]["id"],
        "jobs": ORDERS.id,
        "datasets": walk(told, "/api/v1/datasets", 5)[0]["id"],
        "alerts": walk(told, "/api/v1/alerts", 5)[0]["fingerprint"],
        "incidents": walk(told, "/api/v1/incidents", 5)[0]["id"],
        "deliveries": walk(told, "/api/v1/deliveries", 5)[0]["id"],
        "tokens": walk(told, "/api/v1/tokens", 5)[0]["id"],
    }
    for endpoint in ENDPOINTS:
        if endpoint.kind == "page":
            continue
        noun = endpoint.path.split("/")[3] if endpoint.path.count("/") >= 3 else ""
        for ident in (ids.get(noun, "x"), "nothing", "a%00b", "%F0%9F%92%A9"):
            path = endpoint.path.replace("{id}", ident).replace("{fingerprint}", ident)
            judge.check(endpoint.method, endpoint.path, told.request(endpoint.method, path, token="admin"))
            judge.check(endpoint.method, endpoint.path, told.request(endpoint.method, path, token="ingest"))
            if "{" not in endpoint.path:
                break


NASTY = [
    "",
    "\0",
    "x" * 10_000,
    "-1",
    "0",
    "99999999999999999999999",
    "nan",
    "null",
    "'; --",
    "%",
    "\ud800",
    "é",
    "1e400",
]


def test_no_query_makes_a_fault_of_ours(told_on_each: Site) -> None:
    """Every parameter of every list with values that hurt: 200 or 400, and as announced."""
    judge = Judge(told_on_each)
    for endpoint in ENDPOINTS:
        if endpoint.path not in LISTS:
            continue
        for parameter in judge.document["paths"][endpoint.path]["get"]["parameters"]:
            for value in NASTY:
                query = urlencode({parameter["name"]: value.encode("utf-8", "surrogatepass")})
                answer = told_on_each.get(f"{endpoint.path}?{query}", "admin")
                assert answer.status in (200, 400), f"{endpoint.path}?{parameter['name']}={value!r}: {answer.body!r}"
                judge.check("GET", endpoint.path, answer)


@pytest.mark.parametrize(
    "cursor",
    ["x", "W10", "W251bGwsbnVsbF0", "WyJhIiwiYiJd", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTksImEiXQ", "[", "é", "e30"],
)
def test_a_cursor_that_no_list_gave_is_400(site: Site, cursor: str) -> None:
    for path in LISTS:
        answer = site.get(f"{path}?{urlencode({'cursor': cursor})}", "admin")
        assert answer.status == 400, path
        assert "cursor" in answer.json()["detail"]


def test_bodies_that_hurt_are_400(site: Site) -> None:
    bodies = [b"", b"[", b"[]", b"7", b"null", b'{"matchers": 7}', b"[" * 100_000, b'"\xff"', b'{"a\\u0000": 1}']
    bodies += [json.dumps({"name": "a\0", "scopes": ["read"]}).encode(), b'{"name": "x", "scopes": ["all"]}']
    bodies += [
        b'{"matchers": [{"name": "a", "op": "=~", "value": "("}], "ends_at": "2030-01-01T00:00:00Z", "comment": "x"}'
    ]
    bodies += [
        b'{"matchers": [], "ends_at": "2030-01-01T00:00:00Z", "comment": "x"}',
        b'{"hours": -1}',
        b'{"hours": 1e999}',
    ]
    for endpoint in ENDPOINTS:
        if endpoint.body is None or endpoint.kind == "page":
            continue
        for body in bodies:
            answer = site.request(endpoint.method, endpoint.path.replace("{id}", "x"), token="admin", body=body)
            wanted = {400, 404} | ({409} if body == b"" else set[int]())  # nothing sent may be all that is asked for
            assert answer.status in wanted, f"{endpoint.path} {body[:60]!r}: {answer.status} {answer.body!r}"


def test_a_body_beyond_4_mib_is_413(site: Site) -> None:
    answer = site.request("POST", "/api/v1/tokens", token="admin", body=b'{"name": "' + b"x" * (4 << 20) + b'"}')
    assert answer.status == 413


# -- lists --------------------------------------------------------------------------------------------------------


def test_pages_hold_every_item_once_in_order(told_on_each: Site) -> None:
    for path in LISTS:
        whole = told_on_each.get(f"{path}?limit=1000", "admin").json()["items"]
        assert walk(told_on_each, path, 7) == whole, path
        assert walk_some(told_on_each, path, 1, 3) == whole[:3], path


def walk_some(site: Site, path: str, limit: int, pages: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = ""
    for _ in range(pages):
        page = site.get(f"{path}?limit={limit}{f'&cursor={cursor}' if cursor else ''}", "admin").json()
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return items


def test_what_comes_in_meanwhile_neither_repeats_nor_hides(told: Site, clock: ManualClock) -> None:
    first = told.get("/api/v1/runs?limit=5", "admin").json()
    told.post_event(event(clock, "new-one"))
    rest = walk_some_from(told, "/api/v1/runs", first["next_cursor"])
    ids = [item["id"] for item in first["items"] + rest]
    assert len(ids) == len(set(ids))


def walk_some_from(site: Site, path: str, cursor: str) -> list[dict[str, Any]]:
    return site.get(f"{path}?limit=1000&cursor={cursor}", "admin").json()["items"]


def test_runs_are_filtered(told_on_each: Site, clock: ManualClock) -> None:
    failed = walk(told_on_each, "/api/v1/runs", 100, state=["failed", "lost"], top_level="true")
    assert [(item["pipeline"], item["state"]) for item in failed] == [("orders_hourly", "failed")]
    tasks = walk(told_on_each, "/api/v1/runs", 100, parent_run_id=failed[0]["id"])
    assert [item["attempt"] for item in tasks] == [2, 1]
    detail = told_on_each.get(f"/api/v1/runs/{failed[0]['id']}").json()
    assert [item["attempt"] for item in detail["attempts"]] == [1, 2]
    hours = {"from": iso(clock.now() - timedelta(hours=5)), "to": iso(clock.now() - timedelta(hours=2))}
    some = walk(told_on_each, "/api/v1/runs", 100, job_id=ORDERS.id, **hours)
    assert {item["pipeline"] for item in some} == {"orders_hourly"}
    assert all(hours["from"] <= item["nominal_start"] < hours["to"] for item in some)
    assert len(some) == 3


def test_a_plus_that_was_not_escaped_is_still_a_time_zone(told: Site) -> None:
    assert told.get("/api/v1/runs?from=2026-03-02T08:00:00+01:00").status == 200


def test_a_query_or_a_form_of_too_many_fields_is_told_so(site: Site) -> None:
    fields = "&".join(f"a{number}=1" for number in range(101))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    asked, sent = site.get(f"/api/v1/runs?{fields}"), site.request("POST", "/login", body=fields.encode(), headers=form)
    assert (asked.status, sent.status) == (400, 400)
    assert "more than 100 fields were sent" in asked.json()["detail"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("stat=failed", "parameter 'stat' is unknown; known: limit, cursor, from, to, state"),
        ("state=broken", "state 'broken' is unknown; known: queued"),
        ("limit=0", "limit 0 is not between 1 and 1000"),
        ("from=null", "parameter 'from' is null; leave it out instead"),
        ("trigger=", "trigger '' is unknown; known: "),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "given twice"),
        ("from=yesterday", "from"),
        ("from=2026-03-02T08:00:00", "no time zone"),
    ],
)
def test_a_query_that_is_wrong_is_told_what_is_right(site: Site, query: str, said: str) -> None:
    answer = site.get(f"/api/v1/runs?{query}")
    assert answer.status == 400
    assert said in answer.json()["detail"]


def test_a_merged_id_leads_to_the_run_that_holds_it(told: Site) -> None:
    run_id = walk(told, "/api/v1/runs", 5)[0]["id"]
    row = {"alias": f"id|{'0' * 32}", "run_id": run_id}
    told.services.database.write(lambda c: c.execute(insert(run_aliases).values(**row)))
    answer = told.get(f"/api/v1/runs/{'0' * 32}")
    assert (answer.status, answer.headers["location"]) == (308, f"/api/v1/runs/{run_id}")


# -- alerting -----------------------------------------------------------------------------------------------------


def test_an_incident_has_all_that_is_known_of_it(told_on_each: Site) -> None:
    listed = walk(told_on_each, "/api/v1/incidents", 10, status=["triggered"])
    assert {(item["severity"], item["status"]) for item in listed} == {("page", "triggered"), ("ticket", "triggered")}
    incident = next(item for item in listed if item["severity"] == "page")
    found = told_on_each.get(f"/api/v1/incidents/{incident['id']}").json()
    assert found["cause"]["summary"].startswith("The run of 08:00 failed")
    assert [item["dataset"]["name"] for item in found["impact"]] == ["shop.public.orders"]
    assert [item["name"] for item in found["impact"][0]["readers"]] == [REVENUE.name]
    assert {item["state"] for item in found["deliveries"]} == {"delivered", "dead_letter"}
    assert all(item["provider_id"] for item in found["deliveries"] if item["state"] == "delivered")
    assert found["timeline"][0]["kind"] == "triggered"


def test_acknowledging_names_the_actor_and_is_taken_back(told: Site) -> None:
    incident = walk(told, "/api/v1/incidents", 10, status=["triggered"])[0]["id"]
    path = f"/api/v1/incidents/{incident}"
    acked = told.request("POST", f"{path}/acknowledge", token="respond", json_body={"hours": 1})
    assert (acked.status, acked.json()["status"]) == (200, "acknowledged")
    assert acked.json()["acknowledged_by"].startswith("token:")
    back = told.request("POST", f"{path}/unacknowledge", token="respond")
    assert (back.status, back.json()["status"]) == (200, "triggered")
    kinds = [item["kind"] for item in told.get(path).json()["timeline"]]
    assert kinds[-2:] == ["acknowledged", "unacknowledged"]
    over = walk(told, "/api/v1/incidents", 10, status=["resolved"])[0]["id"]
    assert told.request("POST", f"/api/v1/incidents/{over}/acknowledge", token="respond").status == 409


def test_a_silence_is_made_changed_and_ended(told_on_each: Site, clock: ManualClock) -> None:
    body = {
        "matchers": [{"name": "pipeline", "op": "=~", "value": "orders.*"}],
        "ends_at": iso(clock.now() + timedelta(hours=1)),
        "comment": "deploy",
    }
    made = told_on_each.request("POST", "/api/v1/silences", token="respond", json_body=body).json()
    assert (made["state"], made["matchers"][0]["op"]) == ("active", "=~")
    body |= {"id": made["id"], "ends_at": iso(clock.now() + timedelta(hours=2))}
    changed = told_on_each.request("POST", "/api/v1/silences", token="respond", json_body=body).json()
    assert (changed["id"], changed["ends_at"]) == (made["id"], iso(clock.now() + timedelta(hours=2)))
    assert [item["id"] for item in walk(told_on_each, "/api/v1/silences", 10, active="true")] == [made["id"]]
    ended = told_on_each.request("DELETE", f"/api/v1/silences/{made['id']}", token="respond").json()
    assert ended["state"] == "expired"
    assert walk(told_on_each, "/api/v1/silences", 10, active="true") == []


def test_the_ledger_accounts_for_every_obligation(told: Site) -> None:
    page = told.get("/api/v1/ledger?limit=1000").json()
    counted = dict.fromkeys(page["totals"], 0)
    for item in page["items"]:
        counted[item["state"]] += 1
    assert counted == page["totals"]
    assert counted["due"] == counted["sending"] == 0
    assert counted["delivered"] > 0
    created = [item["created_at"] for item in page["items"]]
    assert created == sorted(created)


def test_a_dead_letter_is_tried_again_once(told_on_each: Site) -> None:
    dead = walk(told_on_each, "/api/v1/deliveries", 100, state=["dead_letter"])[0]
    path = f"/api/v1/deliveries/{dead['id']}/replay"
    assert told_on_each.request("POST", path, token="respond").status == 403
    again = told_on_each.request("POST", path, token="admin")
    assert (again.status, again.json()["state"]) == (200, "due")
    assert told_on_each.request("POST", path, token="admin").status == 409


# -- teams --------------------------------------------------------------------------------------------------------


def test_a_team_sees_and_changes_only_its_own(told_on_each: Site, clock: ManualClock) -> None:
    token = told_on_each.new_token({Scope.RESPOND}, team="finance")
    everything = {path: told_on_each.get(f"{path}?limit=1000", "admin").json()["items"] for path in LISTS}
    own = {
        path: told_on_each.get(f"{path}?limit=1000", token).json()["items"]
        for path in LISTS
        if path not in ("/api/v1/audit", "/api/v1/tokens", "/api/v1/silences", "/api/v1/quarantine")
    }
    assert {item["pipeline"] for item in own["/api/v1/jobs"]} == {"revenue_daily"}
    assert {item["pipeline"] for item in own["/api/v1/runs"]} == {"revenue_daily"}
    assert [item["labels"]["pipeline"] for item in own["/api/v1/alerts"]] == ["revenue_daily"]
    assert len(own["/api/v1/incidents"]) == 1
    assert 0 < len(own["/api/v1/ledger"]) < len(everything["/api/v1/ledger"])
    for path, items in own.items():
        seen = {item["id"] for item in items}
        for item in everything[path]:
            ident = item["fingerprint"] if path.endswith("alerts") else item["id"]
            if item["id"] not in seen and not path.endswith("ledger"):
                assert told_on_each.get(f"{path}/{ident}", token).status == 404, path
    foreign = next(item["id"] for item in everything["/api/v1/incidents"] if item["severity"] == "page")
    assert told_on_each.request("POST", f"/api/v1/incidents/{foreign}/acknowledge", token=token).status == 404
    matchers = [{"name": "pipeline", "value": "orders_hourly"}]
    body = {"matchers": matchers, "ends_at": iso(clock.now() + timedelta(hours=1)), "comment": "quiet"}
    assert told_on_each.request("POST", "/api/v1/silences", token=token, json_body=body).status == 400
    matchers.append({"name": "team", "value": "finance"})
    assert told_on_each.request("POST", "/api/v1/silences", token=token, json_body=body).status == 200
