"""Ingest over real sockets: what is answered, and that it is true."""

import gzip
import json
import socket
import threading
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import func, select

from tests.server.site import Site, event, running, with_settings
from watchtower.clock import ManualClock
from watchtower.model.access import Scope
from watchtower.model.fact import Fact
from watchtower.ports import Decoded, Received
from watchtower.server.services import Services
from watchtower.store.database import Database
from watchtower.store.facts import Appended, Quarantined
from watchtower.store.schema.observed import facts, quarantine, runs
from watchtower.store.span_batches import BatchRow

LINEAGE = "/api/v1/lineage"
BATCH = "/api/v1/lineage/batch"
STRANGER = "wt_ingest_aaaaaaaaaaaa_b"


def count(site: Site, table: Any) -> int:
    with site.services.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def kept(site: Site) -> list[tuple[str, bytes]]:
    """(reason, body) of all that is in the quarantine."""
    with site.services.database.read() as connection:
        rows = connection.execute(select(quarantine.c.reason, quarantine.c.body).order_by(quarantine.c.id))
        return [(row.reason, row.body) for row in rows]


@pytest.mark.parametrize("path", [LINEAGE, BATCH])
def test_an_event_is_stored_before_it_is_answered(any_site: Site, clock: ManualClock, path: str) -> None:
    answer = any_site.post_event(event(clock), path)
    assert (answer.status, answer.json()["status"], answer.json()["stored"]) == (200, "success", "store")
    assert (count(any_site, facts), count(any_site, runs)) == (1, 1)


@pytest.mark.parametrize("path", [LINEAGE, BATCH])
def test_a_batch_reports_each_event_and_keeps_the_bad_ones(site: Site, clock: ManualClock, path: str) -> None:
    batch = [event(clock, "a"), {"no": "event"}, event(clock, "b"), 7]
    answer = site.post_event(batch, path)
    assert answer.status == 200
    said = answer.json()
    assert said["status"] == "partial_success"
    assert said["summary"] == {"received": 4, "successful": 2, "failed": 2, "retriable": 0, "non_retriable": 2}
    assert [failed["index"] for failed in said["failed_events"]] == [1, 3]
    assert (count(site, runs), [reason for reason, _ in kept(site)]) == (2, ["not_an_event", "not_an_event"])


def test_a_repeated_event_changes_nothing(site: Site, clock: ManualClock) -> None:
    sent = event(clock)
    assert {site.post_event(sent).status for _ in range(3)} == {200}
    assert count(site, facts) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"not json", b"\xff\xfe", b'{"a": ', b"\x00" * 10],
    ids=["empty", "cut", "words", "bytes", "half", "nul"],
)
def test_what_is_no_json_is_refused_and_not_kept(site: Site, body: bytes) -> None:
    answer = site.request("POST", LINEAGE, token="ingest", body=body)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["detail"].startswith("the body is not JSON")
    assert kept(site) == []


def test_a_replay_is_history(site: Site, clock: ManualClock) -> None:
    site.post_event(event(clock), f"{LINEAGE}?replay=true")
    with site.services.database.read() as connection:
        assert connection.execute(select(runs.c.historical)).scalar_one() is True


# -- access -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (None, "send a token"),
        ("Bearer ", "send a token"),
        ("Basic YTpi", "unknown; send `Bearer"),
        ("Bearer wt_ingest_abc", "no whole token"),
        ("Bearer \xff\xfe", "no whole token"),
        (
            "Bearer wt_ingest_aaaaaaaaaaaa_b_" + f"{zlib.crc32(b'wt_ingest_aaaaaaaaaaaa_b'):08x}",
            "unknown, was revoked or has expired",
        ),
    ],
)
def test_without_a_right_token_it_is_401(site: Site, clock: ManualClock, header: str | None, said: str) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1").decode("latin-1")}
    answer = site.request("POST", LINEAGE, json_body=event(clock), headers=headers)
    assert answer.status == 401
    assert said in answer.json()["detail"]
    assert "www-authenticate" in answer.headers
    assert count(site, facts) == 0


@pytest.mark.parametrize("scope", ["read", "respond"])
def test_a_token_of_another_scope_is_403(site: Site, clock: ManualClock, scope: str) -> None:
    assert site.post_event(event(clock), token=scope).status == 403
    assert count(site, facts) == 0


def test_a_secret_under_the_id_of_another_token_is_refused(site: Site, clock: ManualClock) -> None:
    first, second = site.tokens["ingest"].split("_"), site.tokens["admin"].split("_")
    body = "_".join([*first[:3], second[3]])
    assert site.post_event(event(clock), token=f"{body}_{zlib.crc32(body.encode()):08x}").status == 401


def test_a_new_token_works_at_once_and_a_revoked_one_stops(site: Site, clock: ManualClock) -> None:
    made = site.request("POST", "/api/v1/tokens", token="admin", json_body={"name": "airflow", "scopes": ["ingest"]})
    token = made.json()["token"]
    assert site.post_event(event(clock), token=token).status == 200
    assert site.request("POST", f"/api/v1/tokens/{made.json()['id']}/revoke", token="admin").status == 200
    assert site.post_event(event(clock), token=token).status == 401


def test_a_token_made_by_another_process_works_at_once(site: Site, clock: ManualClock) -> None:
    assert site.post_event(event(clock), token=site.new_token({Scope.INGEST})).status == 200


def test_an_expired_token_is_refused(site: Site, clock: ManualClock) -> None:
    token = site.new_token({Scope.INGEST}, expires_at=clock.now().replace(hour=9))
    assert site.post_event(event(clock), token=token).status == 200
    clock.advance(3_600)
    assert site.post_event(event(clock), token=token).status == 401


def test_a_token_of_one_source_writes_only_that_source(site: Site, clock: ManualClock) -> None:
    token = site.new_token({Scope.INGEST}, source="openlineage:prod")
    foreign = event(clock, "other", job={"namespace": "staging", "name": "orders"})
    answer = site.post_event([event(clock), foreign], token=token)
    assert (answer.status, answer.json()["summary"]["successful"]) == (200, 1)
    assert (count(site, runs), kept(site)[0][0]) == (1, "foreign_source")


def test_only_post_is_taken(site: Site) -> None:
    answer = site.request("GET", LINEAGE, token="ingest")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


# -- bodies -------------------------------------------------------------------------------------------------------


def deflated(body: bytes) -> bytes:
    return zlib.compress(body)


def raw_deflated(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def with_tail(body: bytes) -> bytes:
    return gzip.compress(body) + b"trailing"


def two_members(body: bytes) -> bytes:
    return gzip.compress(body[:50]) + gzip.compress(body[50:])


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [
        (gzip.compress, "gzip"),
        (gzip.compress, "GZIP"),
        (gzip.compress, "x-gzip"),
        (gzip.compress, None),
        (two_members, "gzip"),
        (with_tail, "gzip"),
        (deflated, "deflate"),
        (raw_deflated, "deflate"),
        (bytes, "identity"),
        (bytes, "gzip"),
    ],
    ids=["gzip", "GZIP", "x-gzip", "unnamed", "two members", "trailing", "zlib", "raw", "identity", "only claimed"],
)
def test_compressed_bodies_are_read(
    site: Site, clock: ManualClock, pack: Callable[[bytes], bytes], encoding: str | None
) -> None:
    body = pack(json.dumps(event(clock)).encode())
    headers = {"Content-Encoding": encoding} if encoding else {}
    answer = site.request("POST", LINEAGE, token="ingest", body=body, headers=headers)
    assert (answer.status, count(site, runs)) == (200, 1)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"[]" * 1_000)[:-12], "gzip"),
        (gzip.compress(b"{}")[:5] + b"\xff" * 30, "gzip"),
        (b"\xff\xfe", "gzip"),
        (b"\x00\x01", "deflate"),
        (gzip.compress(gzip.compress(b"{}")), "gzip"),
        (b"{}", "br"),
        (gzip.compress(b"{}"), "gzip, gzip"),
    ],
    ids=["cut", "spoilt", "no gzip", "no deflate", "nested", "unknown", "twice"],
)
def test_what_cannot_be_inflated_is_400(site: Site, body: bytes, encoding: str) -> None:
    answer = site.request("POST", LINEAGE, token="ingest", body=body, headers={"Content-Encoding": encoding})
    assert answer.status == 400


def test_a_body_beyond_the_limit_is_413_and_its_head_is_kept(site: Site) -> None:
    body = b'{"a": "' + b"x" * (16 << 20) + b'"}'
    answer = site.request("POST", LINEAGE, token="ingest", body=body)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    ((reason, head),) = kept(site)
    assert reason == "too_large"
    assert body.startswith(head)
    assert 1_000 < len(head) <= 64 << 10


def test_a_bomb_is_413_and_never_held_in_memory_whole(site: Site) -> None:
    bomb = gzip.compress(b"[" + b" " * (300 << 20) + b"]", 9)
    before = peak_rss_kib()
    answer = site.request("POST", LINEAGE, token="ingest", body=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status == 413
    assert peak_rss_kib() - before < 64 << 10
    assert kept(site)[0][1].startswith(b"[   ")


def peak_rss_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


def test_a_chunked_body_is_read_and_bounded(site: Site, clock: ManualClock) -> None:
    body = json.dumps(event(clock)).encode()
    assert chunked(site, [body[:10], body[10:]]).startswith(b"HTTP/1.1 200")
    assert chunked(site, [b"x" * (1 << 20)] * 17).startswith(b"HTTP/1.1 413")


def chunked(site: Site, chunks: list[bytes]) -> bytes:
    with connected(site) as peer:
        peer.sendall(head(site, b"Transfer-Encoding: chunked"))
        try:
            for chunk in chunks:
                peer.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            peer.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer came before the end of the body
        return peer.recv(4096)


def connected(site: Site) -> socket.socket:
    address = site.server.addresses[0]
    return socket.create_connection((address.host, address.port), timeout=10)


def head(site: Site, *lines: bytes) -> bytes:
    token = site.tokens["ingest"].encode()
    return b"\r\n".join(
        [b"POST /api/v1/lineage HTTP/1.1", b"Host: x", b"Authorization: Bearer " + token, *lines, b"", b""]
    )


def test_a_slow_body_is_given_up(sqlite: Database, tmp_path: Path, clock: ManualClock) -> None:
    with running(sqlite, tmp_path, clock, settings=with_settings(body_timeout_s=0.3)) as site, connected(site) as peer:
        peer.sendall(head(site, b"Content-Length: 100") + b'{"a"')
        assert peer.recv(4096).startswith(b"HTTP/1.1 408")


def test_a_sender_that_goes_away_leaves_nothing(site: Site, clock: ManualClock) -> None:
    with connected(site) as peer:
        peer.sendall(head(site, b"Content-Length: 100") + b'{"a"')
    assert site.post_event(event(clock)).status == 200
    assert (count(site, facts), kept(site)) == (1, [])


def test_bytes_in_flight_are_bounded_and_given_back(sqlite: Database, tmp_path: Path, clock: ManualClock) -> None:
    with running(sqlite, tmp_path, clock, settings=with_settings(inflight_bytes=4_000)) as site:
        waiting = [connected(site) for _ in range(2)]
        for peer in waiting:
            peer.sendall(head(site, b"Content-Length: 2000") + b"{")
        results: list[int] = []
        thread = threading.Thread(target=lambda: results.append(site.post_event(event(clock)).status))
        thread.start()
        thread.join(0.5)
        assert results == []  # it waits its turn
        for peer in waiting:
            peer.close()
        thread.join(10)
        assert results == [200]


# -- faults of ours -----------------------------------------------------------------------------------------------


def unstorable(_: object) -> Appended:
    raise RuntimeError("a bug in a fold")


class Broken:
    kind: ClassVar[str] = "openlineage"
    Config: ClassVar[type[Any]] = dict

    def decode(self, body: bytes, received: Received) -> Decoded:
        raise RuntimeError("a bug in a collector")


def test_a_bug_in_a_collector_costs_no_event(sqlite: Database, tmp_path: Path, clock: ManualClock) -> None:
    def change(services: Services) -> None:
        services.collectors = {"openlineage": Broken()}

    with running(sqlite, tmp_path, clock, change=change) as site:
        answer = site.post_event(event(clock))
        assert (answer.status, answer.json()["status"]) == (200, "error")
        assert [(reason, json.loads(body)["job"]["name"]) for reason, body in kept(site)] == [
            ("fault", "orders_hourly")
        ]


def test_an_event_that_cannot_be_stored_is_quarantined_and_others_go_on(
    sqlite: Database, tmp_path: Path, clock: ManualClock
) -> None:
    def change(services: Services) -> None:
        append = services.append

        def failing(
            facts: Sequence[Fact], quarantined: Sequence[Quarantined] = (), batches: Sequence[BatchRow] = ()
        ) -> "Future[Appended]":
            if any(fact.run and fact.run.ol_run_id == "poison" for fact in facts):
                return services.database.submit_unit(unstorable)
            return append(facts, quarantined, batches)

        services.append = failing

    with running(sqlite, tmp_path, clock, change=change) as site:
        assert site.post_event(event(clock, "poison")).status == 200
        assert site.post_event(event(clock, "fine")).status == 200
        assert (count(site, runs), [reason for reason, _ in kept(site)]) == (1, ["fault"])


def test_metrics_count_what_came(site: Site, clock: ManualClock) -> None:
    site.post_event([event(clock), {"no": "event"}])
    scraped = site.get("/metrics").body.decode()
    assert 'watchtower_ingest_requests_total{code="200",collector="openlineage"}' in scraped
    assert 'watchtower_ingest_refusals_total{collector="openlineage",reason="not_an_event"}' in scraped
