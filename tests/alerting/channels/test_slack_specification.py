"""Slack's published specification judges the requests that the simulator recorded.

The specification is not part of the project; where `shared/specs/slack` stands beside the checkout it is used, and
otherwise our own assertions of test_slack.py stand alone. It dates from 2021: it knows form bodies and a `token`
header, and neither `metadata` nor `include_all_metadata`, so the recorded JSON is laid out as such a form.
"""

import json
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest

from tests.alerting.desks import slack_bench
from tests.alerting.notices import all_resolved, notice
from tests.simulators.http import Recorded

SPECIFICATION = Path(__file__).parents[4] / "shared" / "specs" / "slack" / "slack_web.openapi3.converted.json"
_NEWER_THAN_IT = {"metadata", "include_all_metadata"}
_READS = {"conversations.history", "conversations.replies", "conversations.list"}

pytestmark = pytest.mark.skipif(not SPECIFICATION.exists(), reason="Slack's specification is not beside the checkout")


@pytest.fixture(scope="module")
def judge() -> OpenAPI:
    return OpenAPI.from_dict(json.loads(SPECIFICATION.read_text()), config=Config(spec_validator_cls=cast(Any, None)))


def test_every_call_of_an_episode_is_what_slack_specified(judge: OpenAPI) -> None:
    with slack_bench() as bench:
        first = bench.channel.deliver(notice())
        bench.channel.deliver(all_resolved(ref=first.ref))
        bench.channel.look_up(notice())
        bench.channel.look_up(all_resolved(ref=first.ref))
        recorded = list(bench.provider.requests)

    assert {request.path.rpartition("/")[2] for request in recorded} >= {"chat.postMessage", "chat.update"}
    for request in recorded:
        judge.validate_request(as_specified(request))


def test_the_judge_is_awake(judge: OpenAPI) -> None:
    with slack_bench() as bench:
        bench.channel.deliver(notice())
        request = bench.provider.requests[0]
    without_channel = {name: value for name, value in request.json.items() if name != "channel"}
    broken = Recorded("POST", request.path, {}, request.headers, json.dumps(without_channel).encode())

    with pytest.raises(Exception, match="'channel' is a required property"):
        judge.validate_request(as_specified(broken))


def as_specified(request: Recorded) -> Any:
    """The request as the specification's time would have sent it."""
    method = request.path.rpartition("/")[2]
    given = request.json if "json" in request.headers["content-type"] else request.form
    shown = {name: _plain(value) for name, value in given.items() if name not in _NEWER_THAN_IT}
    token = request.headers["authorization"].removeprefix("Bearer ")
    headers = {"token": token, "Authorization": f"Bearer {token}"}
    if method in _READS:
        asked = {**shown, "token": token}
        return MockRequest("https://slack.com", "get", f"/api/{method}", args=asked, headers=headers)
    body, form = urlencode(shown).encode(), "application/x-www-form-urlencoded"
    return MockRequest("https://slack.com", "post", f"/api/{method}", data=body, content_type=form, headers=headers)


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict | bool) else value
