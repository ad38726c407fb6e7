"""What is read from spans: names, errors, attributes, and the run they belong to."""

import json
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from collectors.otlp.names import operation_name
from collectors.otlp.spans import MAX_ATTRIBUTES, spans_of
from tests.otlp import body, span
from watchtower.model.trace import Claim, Span


def read(one: Any, **options: Any) -> Span:
    [found] = spans_of(body(one, **options))
    return found


@pytest.mark.parametrize(
    ("name", "attributes", "operation"),
    [
        ("SELECT orders", {}, "SELECT orders"),
        ("GET /orders/123", {}, "GET /orders/{}"),
        ("GET /orders/123", {"http.route": "/orders/:id", "http.request.method": "GET"}, "GET /orders/:id"),
        ("POST", {"http.route": "/orders"}, "POST /orders"),
        ("GET /a?token=abc&x=1", {}, "GET /a"),
        ("task_run.work[2]", {}, "task_run.work[{}]"),
        ("load 4f9c2e1a-1b2c-4d3e-8f90-a1b2c3d4e5f6 done", {}, "load {} done"),
        ("blob deadbeef01", {}, "blob {}"),
        ("partition 2026-11-21", {}, "partition {}-{}-{}"),
        ("s3.get load_q4 oauth2/token facade", {}, "s3.get load_q4 oauth2/token facade"),
        ("extract-488", {"prefect.run.type": "task"}, "extract"),
        ("extract-ab", {}, "extract-ab"),
        ("", {}, "(unnamed)"),
        ("x" * 5_000, {}, "x" * 256),
    ],
)
def test_names_lose_what_differs_from_call_to_call(name: str, attributes: dict[str, Any], operation: str) -> None:
    assert operation_name(name, attributes) == operation


def test_a_span_is_read_with_its_service_kind_and_times() -> None:
    found = read(
        span(1, "work", parent=2, at=1.5, seconds=0.25, kind=SpanMessage.SPAN_KIND_CLIENT, said={"rows": 7}),
        service="etl",
    )
    assert (found.operation.service, found.operation.name, found.operation.kind) == ("etl", "work", "client")
    assert (found.duration_us, found.parent_span_id) == (250_000, (2).to_bytes(8, "big"))
    assert json.loads(found.attributes) == {"rows": 7}


def test_the_message_of_an_error_is_that_of_its_status_or_else_of_its_exception() -> None:
    assert read(span(1, error="out of memory")).message == "out of memory"
    thrown = span(1, error="")
    event = thrown.events.add(name="exception")
    for name, text in (("exception.type", "ValueError"), ("exception.message", "bad row")):
        event.attributes.append(KeyValue(key=name, value=AnyValue(string_value=text)))
    assert (read(thrown).is_error, read(thrown).message) == (True, "ValueError: bad row")
    assert read(span(1)).is_error is False


def test_secrets_in_attributes_and_messages_are_not_kept() -> None:
    said = {"password": "hunter2", "url": "db://me:hunter2@host/x"}
    found = read(span(1, error="cannot reach db://me:hunter2@host", said=said))
    assert "hunter2" not in found.attributes + found.message


def test_attributes_of_every_kind_are_kept_within_bounds() -> None:
    one = span(1, said={f"a{number:03}": number for number in range(500)})
    assert len(json.loads(read(one).attributes)) == MAX_ATTRIBUTES
    one = span(1, said={"long": "x" * 10_000, "nan": float("nan"), "no": False})
    one.attributes.append(KeyValue(key="raw", value=AnyValue(bytes_value=b"\x01\xff")))
    deep = AnyValue(string_value="end")
    for _ in range(20):
        deep = AnyValue(array_value=ArrayValue(values=[deep]))
    one.attributes.append(KeyValue(key="deep", value=deep))
    kept = json.loads(read(one).attributes)
    assert (len(kept["long"]), kept["nan"], kept["no"], kept["raw"]) == (2_048, "nan", False, "01ff")
    assert kept["deep"] == [[[[None]]]]


@pytest.mark.parametrize(
    ("attributes", "claim", "task"),
    [
        (
            {"airflow.dag_id": "orders", "airflow.dag_run.run_id": "r1", "airflow.task_id": "load"},
            Claim(run="r1", pipeline="orders"),
            "load",
        ),
        ({"airflow.dag_id": "orders"}, None, ""),
        ({"prefect.run.type": "flow", "prefect.run.id": "f-1"}, Claim(run="f-1"), ""),
        ({"prefect.run.type": "task", "prefect.run.id": "t-1"}, None, ""),
        (
            {"openlineage.run_id": "u", "openlineage.job.name": "j", "openlineage.job.namespace": "n"},
            Claim(alias="ol|n|j|u"),
            "",
        ),
        (
            {"watchtower.run_id": "r", "watchtower.job": "p", "watchtower.namespace": "n", "watchtower.task": "t"},
            Claim(run="r", pipeline="p", namespace="n"),
            "t",
        ),
        ({"watchtower.task": "t"}, None, "t"),
    ],
)
def test_the_run_is_the_one_that_attributes_name(attributes: dict[str, Any], claim: Claim | None, task: str) -> None:
    found = read(span(1, said=attributes))
    assert (found.claim, found.task) == (claim, task)


def test_what_a_resource_says_holds_for_each_of_its_spans() -> None:
    found = read(
        span(1, said={"watchtower.task": "own"}), resource={"watchtower.run_id": "r", "watchtower.task": "shared"}
    )
    assert (found.claim, found.task) == (Claim(run="r"), "own")
