"""CloudEvents, EventBridge and Event Grid: three envelopes, read into run events."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from collectors.events import Events, EventsConfig
from collectors.events.envelopes import structured, validation_code
from collectors.events.mapping import value_at
from watchtower.model.fact import Fact
from watchtower.model.run import RunState
from watchtower.ports import Decoded, Received

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
CONFIG = EventsConfig.model_validate(
    {"map": [{"type": "com.example.run.*", "job": "source", "run": "subject", "error": "data.error"}]}
)
CLOUD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/pipelines/orders",
    "type": "com.example.run.failed",
    "subject": "run-42",
    "time": "2026-03-02T07:59:00Z",
    "datacontenttype": "application/json",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "data": {"error": "schema mismatch"},
}
# Shapes as published by AWS ("Step Functions events", "Glue events", "AWS Batch events") and Azure.
STEP_FUNCTIONS: dict[str, Any] = {
    "version": "0",
    "id": "315c1398-40ff-a850-213b-158f73e60175",
    "detail-type": "Step Functions Execution Status Change",
    "source": "aws.states",
    "account": "012345678912",
    "time": "2026-03-02T07:59:42Z",
    "region": "us-east-1",
    "detail": {
        "executionArn": "arn:aws:states:us-east-1:012345678912:execution:orders:run-7",
        "stateMachineArn": "arn:aws:states:us-east-1:012345678912:stateMachine:orders",
        "name": "run-7",
        "status": "TIMED_OUT",
        "startDate": 1772438000000,
        "stopDate": 1772438300000,
        "cause": None,
    },
}
GRID: dict[str, Any] = {
    "id": "g-1",
    "topic": "/subscriptions/s/resourceGroups/r/providers/Microsoft.DataFactory/factories/f",
    "subject": "orders",
    "eventType": "Factory.PipelineRunEnded",
    "eventTime": "2026-03-02T07:59:00.1234567Z",
    "dataVersion": "1.0",
    "data": {"runId": "r-1", "status": "Succeeded"},
}


def decode(*events: Any, config: EventsConfig = CONFIG) -> Decoded:
    return Events(config).decode(json.dumps(list(events)).encode(), Received(NOW))


def only(*events: Any, config: EventsConfig = CONFIG) -> Fact:
    (found,) = decode(*events, config=config).facts
    return found


def test_a_cloud_event_becomes_a_run_event_by_its_entry() -> None:
    run = only(CLOUD).run
    assert run
    assert (run.job.pipeline, run.native_run_id, run.state) == ("orders", "run-42", RunState.FAILED)
    assert run.error
    assert (run.error.message, run.trace_id) == ("schema mismatch", "0af7651916cd43dd8448eb211c80319c")


def test_all_three_ways_to_send_a_cloud_event_are_one_fact() -> None:
    headers = {
        f"ce-{name}".encode(): str(value).encode()
        for name, value in CLOUD.items()
        if name not in ("data", "datacontenttype")
    }
    binary = structured({**headers, b"content-type": b"application/json"}, json.dumps(CLOUD["data"]).encode())
    assert binary
    raw = base64.b64encode(json.dumps(CLOUD["data"]).encode()).decode()
    in_base64 = {**{name: value for name, value in CLOUD.items() if name != "data"}, "data_base64": raw}
    found = [*decode(CLOUD).facts, *Events(CONFIG).decode(binary, Received(NOW)).facts, only(in_base64)]
    assert len({told.key for told in found}) == 1
    assert len({repr(told.run) for told in found}) == 1


def test_the_same_source_and_id_are_the_same_event_whatever_else_it_says() -> None:
    assert only(CLOUD).key == only({**CLOUD, "subject": "another"}).key
    assert only(CLOUD).key != only({**CLOUD, "id": "e-2"}).key
    without_time = {name: value for name, value in CLOUD.items() if name != "time"}
    later = Events(CONFIG).decode(json.dumps(without_time).encode(), Received(NOW.replace(hour=9))).facts[0]
    assert only(without_time).key == later.key


def test_binary_headers_are_unescaped_and_a_body_that_is_no_json_is_kept_whole() -> None:
    headers = {
        b"ce-specversion": b"1.0",
        b"ce-id": b"1",
        b"ce-source": b"%C3%BCber",
        b"ce-type": b"t",
        b"content-type": b"text/plain",
    }
    event = msgspec.json.decode(structured(headers, b"\xff\x00") or b"")
    assert (event["source"], base64.b64decode(event["data_base64"])) == ("über", b"\xff\x00")
    assert structured({b"content-type": b"application/json"}, b"{}") is None


def test_a_run_event_may_come_as_the_data_of_a_cloud_event() -> None:
    event = {**CLOUD, "type": "watchtower.run", "data": {"job": "train", "run": "7", "event": "start"}}
    run = only(event, config=EventsConfig()).run
    assert run
    assert (run.job.pipeline, run.started_at) == ("train", datetime(2026, 3, 2, 7, 59, tzinfo=UTC))


def test_what_amazon_sends_is_known_without_configuration() -> None:
    run = only(STEP_FUNCTIONS, config=EventsConfig()).run
    assert run
    assert (run.job.namespace, run.job.pipeline, run.state) == ("012345678912", "orders", RunState.TIMED_OUT)
    assert (run.ended_at - run.started_at).total_seconds() == 300 if run.ended_at and run.started_at else False


@pytest.mark.parametrize(
    ("detail_type", "detail", "wanted"),
    [
        (
            "Glue Job State Change",
            {
                "jobName": "MyJob",
                "severity": "INFO",
                "state": "SUCCEEDED",
                "jobRunId": "jr_abc",
                "message": "Job run succeeded",
            },
            ("MyJob", "jr_abc", RunState.SUCCEEDED),
        ),
        (
            "Batch Job State Change",
            {"jobName": "event-test", "jobId": "4c7599ae", "status": "RUNNABLE", "createdAt": 1508781340401},
            ("event-test", "4c7599ae", RunState.QUEUED),
        ),
    ],
)
def test_other_services_of_amazon(detail_type: str, detail: dict[str, Any], wanted: tuple[str, str, RunState]) -> None:
    run = only({**STEP_FUNCTIONS, "detail-type": detail_type, "detail": detail}, config=EventsConfig()).run
    assert run
    assert (run.job.pipeline, run.native_run_id, run.state) == wanted


def test_event_grid_is_read_by_an_entry_too() -> None:
    config = EventsConfig.model_validate(
        {
            "map": [
                {
                    "type": "Factory.*",
                    "job": "subject",
                    "run": "data.runId",
                    "state": "data.status",
                    "namespace": "=adf",
                }
            ]
        }
    )
    run = only(GRID, config=config).run
    assert run
    assert (run.job.namespace, run.job.pipeline, run.native_run_id) == ("adf", "orders", "r-1")
    assert run.state is RunState.SUCCEEDED


def test_a_type_that_nothing_reads_is_kept_aside_with_the_remedy() -> None:
    (reject,) = decode({**CLOUD, "type": "com.other"}).rejects
    assert (reject.reason, reject.permanent) == ("unmapped", False)
    assert 'type: "com.other"' in reject.message


@pytest.mark.parametrize("missing", ["id", "source", "type"])
def test_an_envelope_without_identity_is_refused(missing: str) -> None:
    (reject,) = decode({name: value for name, value in CLOUD.items() if name != missing}).rejects
    assert reject.reason == "no_identity"


def test_states_of_ones_own_are_translated_and_a_wrong_translation_is_a_fault_of_the_file() -> None:
    entry = {"type": "*", "state": "data.s", "states": {"7": "fail"}}
    run = only({**CLOUD, "data": {"s": 7}}, config=EventsConfig.model_validate({"map": [entry]})).run
    assert run
    assert run.state is RunState.FAILED
    with pytest.raises(ValueError, match="'7' means 'nonsense'"):
        EventsConfig.model_validate({"map": [{**entry, "states": {"7": "nonsense"}}]})


@pytest.mark.parametrize(
    ("path", "value"),
    [("a.b", 1), ("a.c.0", 2), ("a.c.9", None), ("d.e", 3), ("x.y", None), ("=a.b", "a.b"), ("a.b.c", None)],
)
def test_paths_lead_into_the_event(path: str, value: Any) -> None:
    assert value_at({"a": {"b": 1, "c": [2]}, "d.e": 3}, path) == value


def test_secrets_in_the_data_are_taken_out_before_they_are_kept() -> None:
    told = only(
        {**CLOUD, "data": {"error": "x", "password": "hunter2", "env": [{"name": "API_KEY", "value": "s3cret"}]}}
    )
    assert b"hunter2" not in told.body
    assert b"s3cret" not in told.body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'[{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d"}}]', "512d"),
        (b'[{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{}}]', None),
        (b'[{"eventType":"Other","data":{"validationCode":"Microsoft.EventGrid.SubscriptionValidationEvent"}}]', None),
        (b"Microsoft.EventGrid.SubscriptionValidationEvent", None),
        (b"{}", None),
    ],
)
def test_event_grid_hears_its_code_and_nobody_else(body: bytes, code: str | None) -> None:
    assert validation_code(body) == code
