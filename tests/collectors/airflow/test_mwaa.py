"""Amazon MWAA: what is asked goes through InvokeRestApi, as its published service model has it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collectors.airflow.api import Api
from collectors.airflow.authentication import Anonymous
from collectors.airflow.mwaa import InvokedAirflow, MwaaConfig
from tests.simulators.airflow import TOKEN, AirflowSimulator
from tests.simulators.http import Recorded, Reply
from watchtower.clock import ManualClock
from watchtower.errors import Permanent, Reason, Transient


class Environment(AirflowSimulator):
    """Airflow 3 behind AWS's API: what it answers is told within AWS's own answer."""

    name = "shop-prod"

    def answer(self, request: Recorded) -> Reply:
        assert (request.method, request.path) == ("POST", f"/restapi/{self.name}")
        asked = request.json
        assert asked["Method"] == "GET"
        headers = {"authorization": f"Bearer {TOKEN}"}
        inner = super().answer(Recorded("GET", self.api + asked["Path"], asked["QueryParameters"], headers, b""))
        told = {"RestApiStatusCode": inner.status, "RestApiResponse": json.loads(inner.body)}
        date = {"Date": inner.headers["Date"]}
        if inner.status < 400:
            return Reply(200, json.dumps(told).encode(), date)
        word = "RestApiClientException" if inner.status < 500 else "RestApiServerException"
        return Reply(400, json.dumps(told).encode(), {**date, "x-amzn-ErrorType": word})


boto3: Any = pytest.importorskip("boto3")
URL = "https://abc.airflow.eu-central-1.on.aws"
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.fixture
def stubbed() -> tuple[Any, Api]:
    """What the service answers, in the order in which it is asked, and Airflow's API through it."""
    from botocore.stub import Stubber

    session = boto3.session.Session(region_name="eu-central-1")
    client = session.client("mwaa", aws_access_key_id="key", aws_secret_access_key="secret")
    clock = ManualClock(NOW)
    http = InvokedAirflow(MwaaConfig(environment="shop-prod", region="eu-central-1"), clock, lambda url: None)
    http._make = lambda: client  # type: ignore[attr-defined]
    stub: Any = Stubber(client)
    stub.activate()
    return stub, Api(http, clock, URL, Anonymous())


def asked(path: str, **query: Any) -> dict[str, Any]:
    return {"Name": "shop-prod", "Path": path, "Method": "GET", "QueryParameters": query}


def answered(response: Any, status: int = 200) -> dict[str, Any]:
    return {"RestApiStatusCode": status, "RestApiResponse": response}


def test_the_api_of_the_environments_version_is_asked(stubbed: tuple[Any, Api]) -> None:
    stub, api = stubbed
    stub.add_response("invoke_rest_api", answered({"version": "2.10.3"}), asked("/version"))
    page = {"dag_runs": [{"dag_id": "orders", "dag_run_id": "r1"}], "total_entries": 1}
    stub.add_response("invoke_rest_api", answered(page), asked("/dags/~/dagRuns", limit="100", offset="0"))
    assert api.begin().api == 1
    assert list(api.rows("/dags/~/dagRuns", "dag_runs", ("dag_id", "dag_run_id"))) == [page["dag_runs"]]
    stub.assert_no_pending_responses()


def test_what_airflow_itself_refuses_is_its_own_answer(stubbed: tuple[Any, Api]) -> None:
    stub, api = stubbed
    stub.add_client_error(
        "invoke_rest_api",
        "RestApiClientException",
        modeled_fields={"RestApiStatusCode": 404, "RestApiResponse": {"detail": "not found"}},
    )
    with pytest.raises(Permanent, match="HTTP 404") as caught:
        api._json("GET", 2, "/dags/gone", {}, dict)  # type: ignore[attr-defined]
    assert caught.value.reason is Reason.NOT_FOUND


def test_what_aws_refuses_says_so(stubbed: tuple[Any, Api]) -> None:
    stub, api = stubbed
    stub.add_client_error("invoke_rest_api", "AccessDeniedException", http_status_code=403)
    with pytest.raises(Permanent, match="AccessDeniedException") as caught:
        api.begin()
    assert caught.value.reason is Reason.AUTH
    stub.add_client_error("invoke_rest_api", "ThrottlingException", http_status_code=429)
    with pytest.raises(Transient):
        api.begin()


def test_nothing_but_questions_goes_through_aws() -> None:
    http = InvokedAirflow(MwaaConfig(environment="e"), ManualClock(NOW), lambda url: None)
    with pytest.raises(Permanent, match="is not asked through AWS"):
        http.request("POST", f"{URL}/auth/token")
