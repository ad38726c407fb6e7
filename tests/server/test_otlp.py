"""OTLP over HTTP: what exporters are told, and that a batch is durable before they are told it."""

import gzip
import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.otlp import NS, as_json, body, key_values, request, span
from tests.server.site import Answer, Site, running, with_settings
from tests.server.test_ingest import kept, peak_rss_kib
from tests.server.test_spooling import locked, until
from watchtower.clock import ManualClock
from watchtower.store import span_batches
from watchtower.store.database import Database

PROTOBUF = {"Content-Type": "application/x-protobuf"}
TRACES = "/v1/traces"


def send(site: Site, sent: bytes, **options: Any) -> Answer:
    headers = {**PROTOBUF, **options.pop("headers", {})}
    return site.request("POST", TRACES, token=options.pop("token", "ingest"), body=sent, headers=headers, **options)


def stored(site: Site) -> list[ExportTraceServiceRequest]:
    with site.services.database.read() as connection:
        rows = span_batches.waiting(connection, limit=1_000_000)
    return [ExportTraceServiceRequest.FromString(row.batch.body) for row in rows]


def names(site: Site) -> list[str]:
    return [
        one.name
        for batch in stored(site)
        for of_resource in batch.resource_spans
        for of_scope in of_resource.scope_spans
        for one in of_scope.spans
    ]


def response(answer: Answer) -> ExportTraceServiceResponse:
    assert answer.headers["content-type"] == "application/x-protobuf"
    return ExportTraceServiceResponse.FromString(answer.body)


def refusal(answer: Answer) -> Status:
    assert answer.headers["content-type"] == "application/x-protobuf"
    return Status.FromString(answer.body)


# -- taken --------------------------------------------------------------------------------------------------------


def test_a_batch_is_stored_as_it_was_sent(any_site: Site) -> None:
    sent = body(span(1, "a"), span(2, "b", parent=1))
    answer = send(any_site, sent)
    assert (answer.status, answer.body) == (200, b"")  # no partial_success
    assert [batch.SerializeToString() for batch in stored(any_site)] == [sent]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_compressed_batches_are_stored(site: Site, pack: Callable[[bytes], bytes]) -> None:
    encoding = "gzip" if pack is gzip.compress else "zstd"
    answer = send(site, pack(body(span(1, "a"))), headers={"Content-Encoding": encoding})
    assert (answer.status, names(site)) == (200, ["a"])


def test_json_with_hexadecimal_ids_is_the_same_batch(site: Site) -> None:
    sent = request([span(1, "a", error="boom", said={"rows": 3, "ratio": 0.5, "ok": True}), span(2, "b", parent=1)])
    answer = site.request("POST", TRACES, token="ingest", json_body=as_json(sent))
    assert (answer.status, answer.headers["content-type"], answer.json()) == (200, "application/json", {})
    assert stored(site) == [sent]


def test_json_with_fields_that_are_unknown_is_taken(site: Site) -> None:
    document = as_json(request([span(1, "a")]))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["fromTheFuture"] = {"traceId": 7}
    assert site.request("POST", TRACES, token="ingest", json_body=document).status == 200
    assert names(site) == ["a"]


def test_an_empty_request_is_a_success_and_leaves_nothing(site: Site) -> None:
    assert send(site, b"").status == 200
    assert stored(site) == []


def test_ten_thousand_spans_are_one_row(site: Site) -> None:
    sent = body(*(span(number, f"op {number % 7}", at=number / 1_000) for number in range(1, 10_001)))
    assert send(site, gzip.compress(sent), headers={"Content-Encoding": "gzip"}).status == 200
    with site.services.database.read() as connection:
        assert span_batches.backlog(connection).spans == 10_000
    assert len(stored(site)) == 1


# -- some of it rejected ------------------------------------------------------------------------------------------


def spoilt(**fields: Any) -> Any:
    one = span(9, "bad")
    one.attributes.extend(key_values(fields.pop("attributes", {})))
    for name, value in fields.items():
        setattr(one, name, value)
    return one


BAD = {
    "trace_id": spoilt(trace_id=bytes(16)),
    "trace_id is not": spoilt(trace_id=b"short"),
    "span_id": spoilt(span_id=bytes(8)),
    "span_id is not": spoilt(span_id=b""),
    "parent_span_id": spoilt(parent_span_id=b"123"),
    "start_time_unix_nano is missing": spoilt(start_time_unix_nano=0),
    "ends before it starts": spoilt(end_time_unix_nano=1),
    "begins before 2000": spoilt(start_time_unix_nano=1_795_228_729_228, end_time_unix_nano=1_795_228_729_229),
    "ahead of our clock": spoilt(start_time_unix_nano=2**63, end_time_unix_nano=2**63),
    "more than 31 days": spoilt(end_time_unix_nano=span(9).start_time_unix_nano + 32 * 86_400 * NS),
    "more than 1024 attributes": spoilt(attributes={f"a{number}": number for number in range(1_025)}),
}


@pytest.mark.parametrize("says", BAD)
def test_a_bad_span_is_told_and_costs_no_other(site: Site, says: str) -> None:
    answer = send(site, body(span(1, "a"), BAD[says], span(2, "b")))
    partial = response(answer).partial_success
    assert (answer.status, partial.rejected_spans) == (200, 1)
    assert says in partial.error_message
    assert (names(site), kept(site)) == (["a", "b"], [])


def test_what_was_rejected_is_told_in_json_too(site: Site) -> None:
    document = as_json(request([span(1, "a"), span(2, "b")]))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = "not hexadecimal"
    answer = site.request("POST", TRACES, token="ingest", json_body=document)
    assert answer.status == 200
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert names(site) == ["b"]


def test_a_batch_of_bad_spans_alone_is_a_success_that_takes_none(site: Site) -> None:
    answer = send(site, body(BAD["trace_id"], BAD["span_id"]))
    assert (answer.status, response(answer).partial_success.rejected_spans, stored(site)) == (200, 2, [])


# -- refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        (b"\xff" * 40, {}),
        (body(span(1))[:-3], {}),
        (gzip.compress(body(span(1)))[:-9], {"Content-Encoding": "gzip"}),
        (zstandard.compress(body(span(1)))[:-2], {"Content-Encoding": "zstd"}),
        (zstandard.compress(os.urandom(100))[:20] + b"\xff" * 30, {"Content-Encoding": "zstd"}),
        (body(span(1)), {"Content-Encoding": "gzip"}),
        (body(span(1)), {"Content-Encoding": "zstd"}),
        (body(span(1)), {"Content-Encoding": "br"}),
        (b"{}", {}),
    ],
    ids=["noise", "cut", "cut gzip", "cut zstd", "spoilt zstd", "no gzip", "no zstd", "unknown", "json as protobuf"],
)
def test_what_cannot_be_read_is_400_with_a_status(site: Site, sent: bytes, headers: dict[str, str]) -> None:
    answer = send(site, sent, headers=headers)
    assert (answer.status, refusal(answer).code) == (400, 3)
    assert refusal(answer).message
    assert (stored(site), kept(site)) == ([], [])


@pytest.mark.parametrize(
    "sent", [b"", b"[]", b"{", b'{"resourceSpans": 7}', b'{"resourceSpans":' * 200 + b"{}" + b"}" * 200, b"\xff"]
)
def test_json_that_is_no_request_is_400_in_json(site: Site, sent: bytes) -> None:
    answer = site.request(
        "POST", TRACES, token="ingest", body=sent, headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert (answer.status, answer.json()["code"]) == (400, 3)
    assert stored(site) == []


def test_noise_never_brings_it_down(site: Site) -> None:
    noise = random.Random(7)
    whole = body(span(1, "a"), span(2, "b", parent=1))
    for _ in range(200):
        sent = bytearray(whole)
        for _ in range(noise.randrange(1, 6)):
            sent[noise.randrange(len(sent))] = noise.randrange(256)
        status = send(site, bytes(sent)).status
        try:
            ExportTraceServiceRequest.FromString(bytes(sent))
        except DecodeError:
            assert status == 400
        else:
            assert status == 200


def test_another_content_type_is_415(site: Site) -> None:
    answer = send(site, body(span(1)), headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.json()["code"]) == (415, 3)
    assert "application/x-protobuf" in answer.json()["message"]


@pytest.mark.parametrize(("token", "status", "code"), [("", 401, 16), ("read", 403, 7)])
def test_without_an_ingest_token_it_is_refused(site: Site, token: str, status: int, code: int) -> None:
    answer = send(site, body(span(1)), token=token or None)
    assert (answer.status, refusal(answer).code) == (status, code)


def test_a_body_beyond_the_limit_is_413(site: Site) -> None:
    answer = send(site, b"\0" * (21 << 20))
    assert (answer.status, refusal(answer).code) == (413, 8)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_bomb_is_413_and_never_held_in_memory_whole(site: Site, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(bytes(300 << 20))
    before = peak_rss_kib()
    encoding = "gzip" if pack is gzip.compress else "zstd"
    answer = send(site, bomb, headers={"Content-Encoding": encoding})
    assert answer.status == 413
    assert peak_rss_kib() - before < 96 << 10


# -- while the store is away --------------------------------------------------------------------------------------


def test_while_the_store_is_locked_spans_go_to_the_spool_and_arrive_later(hasty: Site, clock: ManualClock) -> None:
    with locked(hasty.services.database):
        for number in range(1, 4):
            answer = send(hasty, body(span(number, f"op{number}")))
            assert (answer.status, answer.body) == (200, b"")
        assert hasty.services.spool.size_bytes > 0
        received = clock.now()
        clock.advance(600)
    # The first may be there twice, in the spool and in the store's queue: the walker knows a span again.
    until(lambda: set(names(hasty)) == {"op1", "op2", "op3"} and hasty.services.spool.size_bytes == 0)
    with hasty.services.database.read() as connection:
        assert span_batches.backlog(connection).oldest == received


def test_json_that_waited_in_the_spool_is_read_as_json(hasty: Site) -> None:
    sent = request([span(1, "a")])
    with locked(hasty.services.database):
        assert hasty.request("POST", TRACES, token="ingest", json_body=as_json(sent)).status == 200
    until(lambda: hasty.services.spool.size_bytes == 0 and sent in stored(hasty))


def test_when_nothing_can_take_it_the_exporter_is_told_to_come_again(
    sqlite: Database, tmp_path: Any, clock: ManualClock
) -> None:
    settings = with_settings(patience_s=0.1)
    with running(sqlite, tmp_path, clock, spool_bytes=10, settings=settings) as site, locked(sqlite):
        answer = send(site, body(span(1)))
        assert (answer.status, refusal(answer).code, answer.headers["retry-after"]) == (503, 14, "5")


# -- what is not taken --------------------------------------------------------------------------------------------


def test_logs_are_refused_for_good_with_the_reason(site: Site) -> None:
    answer = site.request("POST", "/v1/logs", token="ingest", body=json.dumps({}).encode())
    assert (answer.status, answer.json()["code"]) == (501, 12)
    assert "logs" in answer.json()["message"]
