"""Atlassian's published specification of Jira Cloud judges the requests that the simulator recorded.

The specification is not part of the project; where `shared/specs/jira` stands beside the checkout it is used, and
otherwise the assertions of the tests beside this stand alone. It dates from 2022: the search of that time was removed
since, so `search/jql` is held against its parameters of today by hand.
"""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest

from tests.alerting.notices import NOW, alert, all_resolved, late, notice
from tests.alerting.tickets.jira.benches import bench_of
from tests.simulators.http import Recorded
from tests.simulators.jira import JiraSimulator
from watchtower.model.alert import NoticeReason

SPECIFICATION = Path(__file__).parents[5] / "shared" / "specs" / "jira" / "jira-cloud-platform-v3.trimmed.json"
NEW_SEARCH = {"jql", "nextPageToken", "maxResults", "fields", "expand", "properties", "fieldsByKeys", "reconcileIssues"}

pytestmark = pytest.mark.skipif(not SPECIFICATION.exists(), reason="Jira's specification is not beside the checkout")


@pytest.fixture(scope="module")
def judge() -> OpenAPI:
    return OpenAPI.from_dict(json.loads(SPECIFICATION.read_text()), config=Config(spec_validator_cls=cast(Any, None)))


@pytest.fixture(scope="module")
def recorded() -> list[Recorded]:
    """A life of an issue with all that is ever asked: opened, grown, taken, ended, looked up and reopened."""
    service: dict[str, Any] = {"project": "HELP", "issue_type": "[System] Incident", "components": ["pipelines"]}
    with JiraSimulator(NOW) as simulator:
        bench = bench_of(simulator)
        ref = bench.tell(notice(late()), **service)
        bench.tell(notice(alert(), late(), reason=NoticeReason.NEW_ALERTS, seq=2, ref=ref), **service)
        simulator.person(ref["ticket"], owner="somebody")
        bench.tell(all_resolved(ref=ref, seq=3), **service, resolve_owned=True)
        bench.make(**service).look_up(all_resolved(ref=ref, seq=3))
        bench.tell(notice(episode="e2", previous_ref=ref), **service)
        return list(simulator.requests)


def test_every_request_is_what_atlassian_specified(judge: OpenAPI, recorded: list[Recorded]) -> None:
    told = {(request.method, request.path.rpartition("/")[2].partition("-")[0]) for request in recorded}
    assert told == {
        *(("POST", "issue"), ("GET", "HELP"), ("PUT", "HELP"), ("GET", "jql")),
        *(("GET", "comment"), ("POST", "comment"), ("GET", "transitions"), ("POST", "transitions")),
    }
    for request in recorded:
        if request.path.endswith("/search/jql"):
            assert request.query.keys() <= NEW_SEARCH
        else:
            judge.validate_request(as_specified(request))


def test_every_parameter_is_one_that_atlassian_knows(recorded: list[Recorded]) -> None:
    """The judge lets unknown parameters pass."""
    paths = json.loads(SPECIFICATION.read_text())["paths"]
    for request in recorded:
        if not request.path.endswith("/search/jql"):
            path = request.path.replace("HELP-1", "{issueIdOrKey}")
            known = {item["name"] for item in paths[path][request.method.lower()].get("parameters", ())}
            assert request.query.keys() <= known, request.path


def test_the_judge_is_awake(judge: OpenAPI, recorded: list[Recorded]) -> None:
    move = next(request for request in recorded if (request.method, request.path[-11:]) == ("POST", "transitions"))
    body = json.dumps({"transition": {"id": 5}}).encode()
    with pytest.raises(Exception, match="5 is not of type 'string'"):
        judge.validate_request(as_specified(Recorded(move.method, move.path, {}, move.headers, body)))


def as_specified(request: Recorded) -> Any:
    headers = {"Authorization": request.headers["authorization"]}
    site, method = "https://your-domain.atlassian.net", request.method.lower()
    if method == "get":
        return MockRequest(site, "get", request.path, args=dict(request.query), headers=headers)
    return MockRequest(site, method, request.path, data=request.body, content_type="application/json", headers=headers)
