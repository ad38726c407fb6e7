"""Twilio's published specification judges the requests that the simulator recorded.

The specification is not part of the project; where `shared/specs/twilio` stands beside the checkout it is used, and
otherwise our own assertions of test_twilio.py stand alone.
"""

import json
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlencode

import pytest
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest

from alerting.channels.sms import Sms
from alerting.channels.voice import Voice
from tests.alerting.channels.test_twilio import made
from tests.alerting.desks import sms_bench, voice_bench
from tests.alerting.notices import notice
from tests.simulators.http import Recorded

SPECIFICATION = Path(__file__).parents[4] / "shared" / "specs" / "twilio" / "twilio_api_v2010.trimmed.json"

pytestmark = pytest.mark.skipif(not SPECIFICATION.exists(), reason="Twilio's specification is not beside the checkout")


@pytest.fixture(scope="module")
def judge() -> OpenAPI:
    return OpenAPI.from_dict(json.loads(SPECIFICATION.read_text()), config=Config(spec_validator_cls=cast(Any, None)))


@pytest.fixture(scope="module")
def recorded() -> list[Recorded]:
    """A text and a call with all that they can say, and the look-ups of both."""
    with sms_bench() as bench:
        text = made(Sms, bench, replies=True)
        text.deliver(notice())
        text.look_up(notice())
        found = list(bench.provider.requests)
    with voice_bench() as bench:
        call = made(Voice, bench, machine_detection="DetectMessageEnd")
        call.deliver(notice())
        call.look_up(notice())
        return [*found, *bench.provider.requests]


def test_every_request_is_what_twilio_specified(judge: OpenAPI, recorded: list[Recorded]) -> None:
    assert [(request.method, request.path.rpartition("/")[2]) for request in recorded] == [
        ("POST", "Messages.json"),
        ("GET", "Messages.json"),
        ("POST", "Calls.json"),
        ("GET", "Calls.json"),
    ]
    for request in recorded:
        judge.validate_request(as_specified(request))


@pytest.mark.parametrize("missing", ["To", "From"])
def test_the_judge_is_awake(judge: OpenAPI, recorded: list[Recorded], missing: str) -> None:
    call = recorded[2]
    form = {name: values for name, values in parse_qs(call.body.decode()).items() if name != missing}
    broken = Recorded("POST", call.path, {}, call.headers, urlencode(form, doseq=True).encode())
    with pytest.raises(Exception, match=f"'{missing}' is a required property"):
        judge.validate_request(as_specified(broken))


def test_every_field_is_one_that_twilio_knows(recorded: list[Recorded]) -> None:
    """The judge lets unknown fields pass."""
    paths = json.loads(SPECIFICATION.read_text())["paths"]
    for request in recorded:
        name = request.path.rpartition("/")[2]
        operation = paths[f"/2010-04-01/Accounts/{{AccountSid}}/{name}"][request.method.lower()]
        if request.method == "POST":
            schema = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
            assert parse_qs(request.body.decode()).keys() <= schema["properties"].keys()
        else:
            assert request.query.keys() <= {item["name"] for item in operation["parameters"]}


def as_specified(request: Recorded) -> Any:
    headers = {"Authorization": request.headers["authorization"]}
    if request.method == "GET":
        return MockRequest("https://api.twilio.com", "get", request.path, args=dict(request.query), headers=headers)
    form = request.headers["content-type"]
    return MockRequest(
        "https://api.twilio.com", "post", request.path, data=request.body, content_type=form, headers=headers
    )
