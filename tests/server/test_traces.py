"""The API of traces: who may see which, and what is said of one that is not there."""

import pytest

from tests.app.test_walking import airflow_trace
from tests.builders import ORDERS, at, start
from tests.otlp import body, span
from tests.server.site import Site
from watchtower.app.walking import Walker
from watchtower.model.access import Scope
from watchtower.model.trace import SpanBatch
from watchtower.store import jobs
from watchtower.store.facts import Intake, append
from watchtower.store.span_batches import pack

JOINED = bytes([1]) * 16
UNJOINED = bytes([2]) * 16


@pytest.fixture
def run_id(site: Site) -> str:
    """A run of team `shop` with its trace; beside it stands a trace of nobody."""
    database = site.services.database
    append(database, Intake([start("u1", at(0), native_run_id="r1")])).result(10)
    database.write(lambda connection: jobs.set_team(connection, {ORDERS.id: "shop"}))
    sent = [*airflow_trace("r1", JOINED), span(1, trace=UNJOINED)]
    append(database, Intake((), batches=[pack(SpanBatch(at(0), len(sent), body(*sent)))])).result(10)
    walker = Walker(database)
    while walker.step(at(1)):
        pass
    return site.get("/api/v1/runs").json()["items"][0]["id"]


def test_a_run_lists_its_traces_and_a_trace_tells_all_it_holds(site: Site, run_id: str) -> None:
    [item] = site.get(f"/api/v1/traces?run_id={run_id}").json()["items"]
    assert (item["trace_id"], item["run_id"], item["span_count"], item["complete"]) == (JOINED.hex(), run_id, 5, True)
    whole = site.get(f"/api/v1/traces/{JOINED.hex()}").json()
    assert {one["span_id"]: one["parent_span_id"] for one in whole["spans"]} == {
        f"{number:016x}": f"{parent:016x}" if parent else None
        for number, parent in ((1, None), (2, 1), (3, 2), (4, 3), (5, 3))
    }
    [insert] = [one for one in whole["operations"] if one["name"] == "INSERT orders"]
    assert (insert["calls"], insert["task"], insert["total_s"]) == (2, "load", 9.0)
    assert insert["p50_s"] == pytest.approx(4.0, rel=0.02)


def test_a_team_sees_the_traces_of_its_own_runs_alone(site: Site, run_id: str) -> None:
    shop, other = (site.new_token({Scope.READ}, team=team) for team in ("shop", "other"))
    paths = [f"/api/v1/traces?run_id={run_id}", f"/api/v1/traces/{JOINED.hex()}"]
    assert [site.get(path, token=shop).status for path in paths] == [200, 200]
    assert [site.get(path, token=other).status for path in paths] == [404, 404]
    assert site.get(f"/api/v1/traces/{UNJOINED.hex()}", token=shop).status == 404
    assert site.get(f"/api/v1/traces/{UNJOINED.hex()}").status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/api/v1/traces/{bytes(16).hex()}", 404),
        ("/api/v1/traces/nonsense", 400),
        ("/api/v1/traces", 400),
        ("/api/v1/traces?run_id=none", 404),
        ("/api/v1/traces?run_id=a&other=b", 400),
    ],
)
def test_what_is_not_there_is_said(site: Site, path: str, status: int) -> None:
    assert site.get(path).status == status
