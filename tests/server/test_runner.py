"""The server on real sockets: ports, Unix socket, TLS, slow headers, draining."""

import errno
import http.client
import os
import socket
import ssl
import threading
import time
import warnings
from pathlib import Path

import pytest
import trustme
import uvicorn

from tests.server.site import Site, event, running
from watchtower.clock import ManualClock
from watchtower.errors import UsageError
from watchtower.server import runner
from watchtower.server.runner import Address, Server, Tls, bind
from watchtower.store.database import Database


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8642", "127.0.0.1", 8642),
        ("[::1]:80", "::1", 80),
        (":9", "0.0.0.0", 9),
        ("localhost:0", "localhost", 0),
    ],
)
def test_addresses_are_read(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)


@pytest.mark.parametrize("text", ["", "8642", "host:", "host:x", "host:70000"])
def test_an_address_that_is_none_says_how_one_is_written(text: str) -> None:
    with pytest.raises(UsageError, match=r"write e\.g\. 127\.0\.0\.1:8642"):
        Address.parse(text)


def test_a_port_in_use_is_told_with_a_remedy(site: Site) -> None:
    with pytest.raises(UsageError, match=r"is in use; stop what listens there .* or choose another"):
        bind(site.server.addresses[0])


def test_an_optional_port_that_is_taken_is_told_and_gone_without(site: Site) -> None:
    taken = site.server.addresses[0].port
    server = Server(site.app, [Address(port=0), Address(port=taken, key="otlp_http", optional=True)])
    try:
        server.bind()
        [why] = server.left_out
        assert f"port {taken} on 127.0.0.1 is in use" in why
        assert "server: {otlp_http: HOST:PORT}" in why
        assert (len(server.addresses), server.address_of("otlp_http")) == (1, None)
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("address", "number", "said"),
    [
        (Address("192.0.2.1", 1), errno.EADDRNOTAVAIL, "no address of this machine"),
        (Address("127.0.0.1", 80), errno.EACCES, "below 1024 need a privilege"),
    ],
)
def test_other_failures_name_their_remedy_too(address: Address, number: int, said: str) -> None:
    assert said in runner._remedy(address, OSError(number, os.strerror(number)))  # pyright: ignore[reportPrivateUsage] - its words are the contract


def test_the_port_is_taken_before_anything_is_answered(sqlite: Database, tmp_path: Path, clock: ManualClock) -> None:
    with running(sqlite, tmp_path, clock) as site:
        other = Server(site.app, [Address(port=0)])
        other.bind()
        try:
            assert other.addresses[0].port > 0
            with pytest.raises(UsageError):
                bind(other.addresses[0])
        finally:
            other.stop()


def test_the_unix_socket_is_for_this_user_and_needs_no_token(site: Site, tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "s.sock"
    server = Server(site.app, [Address(path=path)])
    server.start()
    try:
        assert path.stat().st_mode & 0o777 == 0o600
        assert over_unix(path, "GET", "/api/v1/tokens") == 200
        assert over_unix(path, "POST", "/api/v1/lineage", b"{}") == 200
        with pytest.raises(UsageError, match="in use by another Watchtower"):
            bind(Address(path=path))
    finally:
        server.stop()
    bind(Address(path=path)).close()  # what a stopped process left behind is replaced


def over_unix(path: Path, method: str, target: str, body: bytes | None = None) -> int:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(path))
    try:
        connection.request(method, target, body)
        return connection.getresponse().status
    finally:
        connection.close()


def raw(site: Site, data: bytes) -> bytes:
    address = site.server.addresses[0]
    with socket.create_connection((address.host, address.port), timeout=10) as peer:
        peer.sendall(data)
        answer = b""
        try:
            while part := peer.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def test_what_is_no_http_is_400_with_all_headers(site: Site) -> None:
    answer = raw(site, b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"content-security-policy" in answer


def test_endless_headers_are_cut_off(site: Site) -> None:
    assert raw(site, b"GET /livez HTTP/1.1\r\n" + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n") == b""


def test_slow_headers_are_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "HEADER_TIMEOUT_S", 0.3)
    began = time.monotonic()
    assert raw(site, b"GET /livez HTTP/1.1\r\nHost: x\r\n") == b""
    assert time.monotonic() - began > 0.2


def test_a_second_request_on_one_connection_has_its_own_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "HEADER_TIMEOUT_S", 0.3)
    answer = raw(site, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n")
    assert answer.count(b"HTTP/1.1 200") == 1


def test_stopping_lets_a_request_end(sqlite: Database, tmp_path: Path, clock: ManualClock) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow_check() -> None:
        entered.set()
        go.wait(60)

    with running(sqlite, tmp_path, clock) as site:
        site.services.ready = {"slow": slow_check}
        address = site.server.addresses[0]
        statuses: list[int] = []
        asking = threading.Thread(target=lambda: statuses.append(site.request("GET", "/readyz").status))
        asking.start()
        assert entered.wait(60)
        stopping = threading.Thread(target=site.server.stop)
        stopping.start()
        threading.Event().wait(0.3)
        go.set()
        for thread in (asking, stopping):
            thread.join(60)
        assert statuses == [200]
        with pytest.raises(OSError):
            socket.create_connection((address.host, address.port), timeout=1)


def test_who_is_kept_waiting_for_nothing_does_not_hold_up_the_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections of earlier requests are still open; uvicorn's own way, which waits in any case, is not gone."""
    slowly: list[object] = []
    monkeypatch.setattr(uvicorn.Server, "shutdown", slowly.append)
    kept = http.client.HTTPConnection(site.server.addresses[0].host, site.server.addresses[0].port, timeout=60)
    kept.request("GET", "/livez")
    assert kept.getresponse().read()

    site.server.stop()

    assert (site.server.is_serving, slowly) == (False, [])
    assert kept.sock.recv(1) == b""
    kept.close()
    site.server.stop()  # twice is as good as once


def test_tls_is_served_from_1_2_on(site: Site, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(key))
    server = Server(site.app, [Address(port=0)], tls=Tls(chain, key))
    server.start()
    try:
        context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        connection = http.client.HTTPSConnection("127.0.0.1", server.addresses[0].port, context=context, timeout=10)
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
        connection.close()
        old = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", server.addresses[0].port)) as peer:
            old.wrap_socket(peer, server_hostname="127.0.0.1")
    finally:
        server.stop()


def test_health_tells_whether_it_can_work(site: Site, clock: ManualClock) -> None:
    assert (site.request("GET", "/livez").status, site.request("GET", "/readyz").status) == (200, 200)
    site.services.ready = {"rules": lambda: "the rules stand still since 08:00"}
    answer = site.request("GET", "/readyz")
    assert (answer.status, answer.json()["checks"]["rules"]) == (503, "failed")
    assert "stand still" not in answer.body.decode(), "details are for the log"
    assert site.post_event(event(clock)).status == 200
