"""The webhook: Alertmanager's payload, Standard Webhooks' signature, and who is told to try again."""

import base64
import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook as Judge

from alerting.channels.webhook import WebhookConfig, payload, sign
from tests.alerting.desks import channel
from tests.alerting.notices import NOW, alert, all_resolved, late, notice, resolved
from tests.simulators.webhook import WebhookSimulator
from watchtower.clock import ManualClock, SystemClock
from watchtower.errors import Permanent, Reason
from watchtower.model.alert import NoticeReason

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_the_signature_is_that_of_the_reference_libraries() -> None:
    """The vector that all libraries of the specification test (libraries/python/tests/test_webhooks.py)."""
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_arrives_is_verified_by_the_reference_library_with_either_secret() -> None:
    clock = SystemClock()  # the library looks at the real time
    with WebhookSimulator(NOW) as receiver:
        channel("webhook", clock, url=receiver.url, signing_secrets=[SECRET, OTHER]).deliver(notice())
        request = receiver.requests[0]

    for secret in (SECRET, OTHER):
        assert Judge(secret).verify(request.body, dict(request.headers))["receiver"] == "team"


def test_attempts_share_the_id_and_differ_in_the_timestamp() -> None:
    clock = ManualClock(NOW)
    with WebhookSimulator(NOW) as receiver:
        hook = channel("webhook", clock, url=receiver.url, signing_secrets=[SECRET])
        hook.deliver(notice())
        clock.advance(60)
        hook.deliver(notice(attempt=2))
        first, second = (request.headers for request in receiver.requests)

    assert first["webhook-id"] == second["webhook-id"] == "wt-e1-1"
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60
    assert first["webhook-signature"] != second["webhook-signature"]


def test_an_id_never_holds_a_full_stop_so_that_nothing_can_be_moved_across_the_parts_of_the_signature() -> None:
    with WebhookSimulator(NOW) as receiver:
        channel("webhook", url=receiver.url).deliver(notice(key="a.1.{}"))

        assert "." not in receiver.requests[0].headers["webhook-id"]


@pytest.mark.parametrize(
    "secret",
    ["whsec_c2hvcnQ=", "whsec_" + base64.b64encode(bytes(65)).decode(), "plain text", SECRET.removeprefix("whsec_")],
)
def test_a_weak_or_malformed_secret_is_refused_without_being_shown(secret: str) -> None:
    with WebhookSimulator(NOW) as receiver, pytest.raises(Permanent, match="whsec_") as caught:
        channel("webhook", url=receiver.url, signing_secrets=[secret]).deliver(notice())

    assert caught.value.reason is Reason.AUTH
    assert secret not in str(caught.value)


def test_the_payload_is_alertmanagers_message_field_by_field() -> None:
    made = payload(notice(alert(), late(), resolved(alert("billing")), reason=NoticeReason.NEW_ALERTS))

    assert list(made) == [
        *("receiver", "status", "alerts", "notification_reason", "groupLabels", "commonLabels", "commonAnnotations"),
        *("externalURL", "version", "groupKey", "truncatedAlerts"),
    ]
    assert (made["version"], made["status"], made["truncatedAlerts"]) == ("4", "firing", 0)
    assert made["groupKey"] == '{}:{pipeline="orders_daily"}'
    assert made["notification_reason"] == "new alerts added"
    assert made["commonLabels"] == {
        "namespace": "prod", "owner": "data-lead", "source": "airflow-prod", "team": "commerce",
    }  # fmt: skip
    assert [one["status"] for one in made["alerts"]] == ["firing", "firing", "resolved"]
    firing, _, ended = made["alerts"]
    assert list(firing) == ["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"]
    assert (firing["startsAt"], firing["endsAt"]) == ("2026-03-02T08:00:00.000Z", "0001-01-01T00:00:00Z")
    assert ended["endsAt"] == "2026-03-02T08:12:00.000Z"
    assert firing["annotations"]["evidence_error"] == "division by zero"
    assert all(isinstance(value, str) for one in made["alerts"] for value in one["annotations"].values())
    json.dumps(made)


def test_alerts_above_max_alerts_are_counted_and_left_out() -> None:
    made = payload(notice(alert("a"), alert("b"), alert("c")), max_alerts=2)

    assert (len(made["alerts"]), made["truncatedAlerts"]) == (2, 1)


def test_an_annotation_of_the_operator_wins_over_evidence_of_the_same_name() -> None:
    one = alert(annotations={"evidence_error": "mine"})

    assert payload(notice(one))["alerts"][0]["annotations"]["evidence_error"] == "mine"


def test_text_that_is_no_unicode_does_not_stop_a_message() -> None:
    broken = alert(annotations={"summary": "lone \ud83d surrogate"})
    with WebhookSimulator(NOW) as receiver:
        channel("webhook", url=receiver.url).deliver(notice(broken))

        assert "lone" in receiver.requests[0].json["alerts"][0]["annotations"]["summary"]


def test_headers_and_login_of_http_config_are_sent_and_ours_cannot_be_replaced() -> None:
    http = {
        "authorization": {"credentials": "env:TOKEN"},
        "http_headers": {"X-Team": {"values": ["a\r\nX-Evil: 1"]}, "Content-Type": {"values": ["text/evil"]}},
    }
    with WebhookSimulator(NOW) as receiver:
        environ = {"TOKEN": "s3cret\n"}
        channel("webhook", None, environ, url=receiver.url, http_config=http).deliver(all_resolved())
        headers = receiver.requests[0].headers

    assert headers["authorization"] == "Bearer s3cret"
    assert headers["x-team"] == "a X-Evil: 1"
    assert "x-evil" not in headers
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({}, "exactly one of url and url_file"),
        ({"url": "https://a.example.com", "url_file": "/f"}, "exactly one of url and url_file"),
        ({"url": "https://a.example.com/{{ .Receiver }}"}, "Go template"),
        ({"url": "https://a.example.com", "timeout": "soon"}, "soon"),
        ({"url": "https://a.example.com", "http_config": {"proxy_url": "http://p"}}, "proxy_url: not supported"),
        ({"url": "https://a.example.com", "http_config": {"tls_config": {"insecure_skip_verify": True}}}, "ca_file"),
        ({"url": "https://a.example.com", "http_config": {"oauth2": {"client_id": "x"}}}, "use authorization"),
    ],
)
def test_a_faulty_config_is_refused_with_the_remedy(config: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        WebhookConfig.model_validate(config)


def test_a_payload_template_is_accepted_and_warned_about() -> None:
    config = WebhookConfig.model_validate({"url": "https://a.example.com", "payload": {"x": "{{ .Status }}"}})

    assert [fault.path for fault in config.warnings()] == ["payload"]


def test_an_address_is_a_secret_and_is_not_shown() -> None:
    config = WebhookConfig.model_validate({"url": "https://a.example.com/T0KEN"})

    assert "T0KEN" not in f"{config!r} {config} {config.model_dump_json()}"


def test_the_timestamp_is_whole_seconds_since_the_epoch() -> None:
    clock = ManualClock(datetime(2026, 3, 2, 8, 0, 0, 999_999, tzinfo=UTC))
    with WebhookSimulator(NOW) as receiver:
        channel("webhook", clock, url=receiver.url).deliver(notice())

        assert receiver.requests[0].headers["webhook-timestamp"] == "1772438400"
