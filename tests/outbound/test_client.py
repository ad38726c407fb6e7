"""The client against real servers: what it sends, what it makes of each way to fail, and that it always ends."""

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import trustme

from tests.outbound import servers
from tests.outbound.servers import Answer, Ledger, says, serving
from watchtower.clock import SystemClock
from watchtower.errors import DeliveryError, Permanent, Reason, Transient
from watchtower.outbound import MAX_ANSWER_BYTES, Outbound, parse_networks

LOOPBACK = parse_networks(["127.0.0.0/8", "::1/128"])


@pytest.fixture
def client() -> Generator[Outbound]:
    made = Outbound(SystemClock(), LOOPBACK)
    yield made
    made.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


def tls(authority: trustme.CA, *names: str, expired: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ended = datetime.now(UTC) - timedelta(days=1) if expired else None
    certificate = authority.issue_cert(*names, not_after=ended)
    cast(Any, certificate).configure_cert(context)
    return context


def refused(call: Callable[[], object]) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        call()
    return caught.value


def fixed(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda host, port: list(addresses)


def test_an_answer_comes_back_whole_whatever_its_status(client: Outbound) -> None:
    with serving(says("X-Two: a", "X-Two: b", body=b'{"ok":true}', status="503 Busy")) as ledger:
        answer = client.request("POST", ledger.url("/hook?a=b%20c"), headers={"X-Key": "1"}, body=b"hi")
    assert (answer.status, answer.body, answer.headers["x-two"]) == (503, b'{"ok":true}', "a, b")
    head, _, body = ledger.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?a=b%20c HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{ledger.port}".encode() in head
    assert b"X-Key: 1" in head
    assert body == b"hi"


def test_connections_are_kept_and_used_again(client: Outbound) -> None:
    with serving(says(body=b"ok")) as ledger:
        for _ in range(3):
            client.request("GET", ledger.url())
        assert (ledger.connections, len(ledger.requests)) == (1, 3)


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(client: Outbound) -> None:
    with serving(says(body=b"ok", keep_alive=False)) as ledger:
        for _ in range(3):
            client.request("GET", ledger.url())
            threading.Event().wait(0.05)
        assert len(ledger.requests) == 3


def test_the_name_is_kept_for_host_and_tls_while_the_checked_address_is_used(
    authority: trustme.CA, ca_file: str
) -> None:
    client = Outbound(SystemClock(), LOOPBACK, fixed("127.0.0.1"))
    with serving(says(body=b"ok"), tls(authority, "hooks.example.com")) as ledger:
        answer = client.request("GET", ledger.url("/", "https", "hooks.example.com"), ca_file=ca_file)
    assert answer.body == b"ok"
    assert ledger.names == ["hooks.example.com"]
    assert f"Host: hooks.example.com:{ledger.port}".encode() in ledger.requests[0]


def test_a_certificate_for_an_address_is_checked_against_it(
    client: Outbound, authority: trustme.CA, ca_file: str
) -> None:
    with serving(says(body=b"ok"), tls(authority, "127.0.0.1")) as ledger:
        assert client.request("GET", ledger.url(scheme="https"), ca_file=ca_file).body == b"ok"


@pytest.mark.parametrize("case", ["another name", "expired", "unknown authority"])
def test_a_certificate_that_is_not_that_of_the_name_gets_no_request(
    case: str, authority: trustme.CA, ca_file: str
) -> None:
    client = Outbound(SystemClock(), LOOPBACK, fixed("127.0.0.1"))
    name = "other.example.com" if case == "another name" else "hooks.example.com"
    context = tls(authority, name, expired=case == "expired")
    with serving(says(body=b"ok"), context) as ledger:
        url = ledger.url("/", "https", "hooks.example.com")
        error = refused(lambda: client.request("GET", url, ca_file=None if case == "unknown authority" else ca_file))
        assert ledger.requests == []
    assert error.reason is Reason.TLS
    assert not error.outcome_unknown
    assert isinstance(error, Transient)


def test_a_missing_authority_file_is_named(client: Outbound) -> None:
    error = refused(lambda: client.request("GET", "https://127.0.0.1:9/", ca_file="/nowhere/ca.pem"))
    assert error.reason is Reason.TLS
    assert "/nowhere/ca.pem" in str(error)


def test_nothing_was_sent_to_a_port_that_nobody_listens_on(client: Outbound) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/secret-path"
        error = refused(lambda: client.request("POST", url))
    assert (type(error), error.reason, error.outcome_unknown) == (Transient, Reason.CONNECT, False)
    assert "secret-path" not in str(error)


def test_the_next_address_is_tried_while_nothing_was_sent(client: Outbound) -> None:
    with serving(says(body=b"ok")) as ledger:
        both = Outbound(SystemClock(), LOOPBACK, fixed("127.0.0.2", "::1", "127.0.0.1"))
        assert both.request("GET", ledger.url(host="hooks.example.com")).body == b"ok"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (servers.resets_at_once, Reason.CONNECT),
        (servers.resets_in_body, Reason.CONNECT),
        (servers.raw(b""), Reason.CONNECT),
        (servers.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Reason.CONNECT),
        (servers.raw(b"220 mail.example.com ESMTP\r\n"), Reason.BAD_ANSWER),
        (servers.raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"), Reason.BAD_ANSWER),
        (servers.raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\nnope"), Reason.BAD_ANSWER),
        (servers.raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), Reason.BAD_ANSWER),
        (servers.silent, Reason.TIMEOUT),
        (servers.drips(b"HTTP/1.1 200 OK\r\nX-Slow: "), Reason.TIMEOUT),
        (servers.drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"), Reason.TIMEOUT),
        (servers.drips(b"HTTP/1.1 200 OK\r\n\r\n"), Reason.TIMEOUT),
    ],
    ids=[
        "reset", "reset in body", "closed", "cut", "not http", "bad gzip", "unasked encoding", "header flood",
        "silence", "slow head", "slow body", "slow body without length",
    ],
)  # fmt: skip
def test_after_the_first_byte_was_sent_the_outcome_is_unknown(client: Outbound, answer: Answer, reason: Reason) -> None:
    clock = SystemClock()
    with serving(answer) as ledger:
        began = clock.boottime()
        error = refused(lambda: client.request("POST", ledger.url(), body=b"x", timeout_s=0.5))
        assert clock.boottime() - began < 1.5
    assert (type(error), error.reason, error.outcome_unknown) == (Transient, reason, True)
    assert len(ledger.requests) == 1


def _never(_: threading.Timer) -> None:
    return None


def test_silence_ends_where_the_thread_of_the_deadline_comes_late(
    client: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the socket's own time runs out first."""
    monkeypatch.setattr(threading.Timer, "start", _never)
    with serving(servers.silent) as ledger:
        error = refused(lambda: client.request("POST", ledger.url(), body=b"x", timeout_s=0.3))
    assert (type(error), error.reason, error.outcome_unknown) == (Transient, Reason.TIMEOUT, True)


def test_a_handshake_that_drips_ends_at_the_deadline_with_nothing_sent(client: Outbound) -> None:
    clock = SystemClock()
    with serving(servers.drips(b"")) as ledger:
        began = clock.boottime()
        error = refused(lambda: client.request("GET", ledger.url(scheme="https"), timeout_s=0.5))
        assert clock.boottime() - began < 1.5
    assert not error.outcome_unknown


class _Late(SystemClock):
    """Lets the deadline of the exchange pass between the look-up of its name and its connection."""

    def boottime(self) -> float:
        while any(isinstance(thread, threading.Timer) for thread in threading.enumerate()):
            threading.Event().wait(0.01)
        return super().boottime()


def test_past_the_deadline_nothing_is_sent_so_that_nothing_is_in_doubt() -> None:
    with serving(says()) as ledger:
        error = refused(lambda: Outbound(_Late(), LOOPBACK).request("POST", ledger.url(), body=b"x", timeout_s=0.1))
    assert (type(error), error.reason, error.outcome_unknown) == (Transient, Reason.TIMEOUT, False)
    assert not any(ledger.requests)


def test_a_resolver_that_does_not_answer_ends_at_the_deadline() -> None:
    stop = threading.Event()

    def never(host: str, port: int) -> list[str]:
        stop.wait(10)
        return []

    error = refused(
        lambda: Outbound(SystemClock(), LOOPBACK, never).request("GET", "https://a.example/", timeout_s=0.2)
    )
    stop.set()
    assert (error.reason, error.outcome_unknown) == (Reason.TIMEOUT, False)


def test_a_name_that_cannot_be_resolved_is_worth_repeating() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    error = refused(lambda: Outbound(SystemClock(), (), unknown).request("GET", "https://a.example/"))
    assert (type(error), error.reason, error.outcome_unknown) == (Transient, Reason.CONNECT, False)


@pytest.mark.parametrize("status", ["300 Choices", "301 Moved", "302 Found", "308 Permanent", "399 Unheard of"])
def test_redirects_are_named_and_never_followed(client: Outbound, status: str) -> None:
    with serving(says(body=b"canary")) as canary:
        location = f"Location: {canary.url('/inner?token=hidden')}"
        with serving(says(location, status=status)) as ledger:
            error = refused(lambda: client.request("GET", ledger.url()))
        assert canary.connections == 0
    assert (type(error), error.reason) == (Permanent, Reason.REJECTED)
    assert canary.url("/inner") in str(error)
    assert "hidden" not in str(error)


def test_a_client_is_of_use_again_after_each_failure(client: Outbound) -> None:
    with serving(says("Location: /x", status="302 Found")) as moved:
        refused(lambda: client.request("GET", moved.url()))
    with serving(says(body=b"ok")) as ledger:
        assert client.request("GET", ledger.url()).body == b"ok"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
def test_an_answer_without_end_is_cut_at_the_cap(client: Outbound, head: bytes) -> None:
    with serving(servers.endless(head)) as ledger:
        error = refused(lambda: client.request("POST", ledger.url()))
    assert (type(error), error.reason, error.outcome_unknown) == (Permanent, Reason.TOO_LARGE, True)


def test_an_answer_of_exactly_the_cap_is_taken(client: Outbound) -> None:
    with serving(says(body=b"x" * MAX_ANSWER_BYTES)) as ledger:
        assert len(client.request("GET", ledger.url()).body) == MAX_ANSWER_BYTES


@pytest.mark.parametrize("cut", [1, 10])
def test_a_compressed_answer_that_ends_too_soon_is_no_answer(client: Outbound, cut: int) -> None:
    with serving(says("Content-Encoding: gzip", body=gzip.compress(b"taken" * 100)[:-cut])) as ledger:
        error = refused(lambda: client.request("POST", ledger.url()))
    assert (type(error), error.reason, error.outcome_unknown) == (Transient, Reason.BAD_ANSWER, True)
    assert "it ends too soon" in str(error)


def test_gzip_is_decoded_and_a_bomb_is_not(client: Outbound) -> None:
    two = gzip.compress(b"first ") + gzip.compress(b"second")
    with serving(says("Content-Encoding: gzip", body=two)) as ledger:
        assert client.request("GET", ledger.url()).body == b"first second"
    bomb = gzip.compress(b"\0" * (200 * 1024 * 1024), 9)
    assert len(bomb) < MAX_ANSWER_BYTES
    with serving(says("Content-Encoding: gzip", body=bomb)) as ledger:
        error = refused(lambda: client.request("GET", ledger.url()))
    assert (error.reason, error.outcome_unknown) == (Reason.TOO_LARGE, True)


@pytest.mark.parametrize("headers", [{"X-A": "1\r\nX-B: 2"}, {"X-A\r\nX-B": "1"}, {"X-A": "☃"}])
def test_a_header_that_would_end_its_line_is_never_sent(client: Outbound, headers: dict[str, str]) -> None:
    with serving(says(body=b"ok")) as ledger:
        error = refused(lambda: client.request("GET", ledger.url(), headers=headers))
        assert ledger.requests == []
    assert (error.reason, error.outcome_unknown) == (Reason.REJECTED, False)


def test_proxies_of_the_environment_are_ignored(client: Outbound, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(says(body=b"proxy")) as proxy, serving(says(body=b"ok")) as ledger:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert client.request("GET", ledger.url()).body == b"ok"
        assert proxy.connections == 0


def test_a_caller_cannot_send_another_host_header(client: Outbound) -> None:
    with serving(says(body=b"ok")) as ledger:
        client.request("GET", ledger.url(), headers={"host": "internal.example"})
    assert b"internal.example" not in ledger.requests[0]


def test_many_threads_share_one_client(client: Outbound) -> None:
    with serving(says(body=b"ok")) as ledger:
        answers: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.request("GET", ledger.url()).body)) for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [b"ok"] * 16


def test_a_replaced_authority_file_is_used_for_the_next_connection(authority: trustme.CA, tmp_path: Path) -> None:
    client = Outbound(SystemClock(), LOOPBACK)
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    with serving(says(body=b"ok"), tls(authority, "127.0.0.1")) as ledger:
        url = ledger.url(scheme="https")
        assert refused(lambda: client.request("GET", url, ca_file=str(file))).reason is Reason.TLS
        authority.cert_pem.write_to_path(str(file))
        assert client.request("GET", url, ca_file=str(file)).body == b"ok"


def test_ledger_urls_are_what_the_tests_think() -> None:
    assert Ledger(port=80).url("/x") == "http://127.0.0.1:80/x"


def test_a_name_without_any_address_is_worth_repeating() -> None:
    nowhere = Outbound(SystemClock(), LOOPBACK, fixed())
    error = refused(lambda: nowhere.request("GET", "https://hooks.example.com/"))
    assert (type(error), error.reason, error.outcome_unknown) == (Transient, Reason.CONNECT, False)


def test_another_address_is_not_tried_where_the_certificate_is_wrong(authority: trustme.CA, ca_file: str) -> None:
    both = Outbound(SystemClock(), LOOPBACK, fixed("127.0.0.1", "127.0.0.1"))
    with serving(says(), tls(authority, "other.example.com")) as ledger:
        url = ledger.url(scheme="https", host="hooks.example.com")
        error = refused(lambda: both.request("GET", url, ca_file=ca_file))
    assert error.reason is Reason.TLS
    assert ledger.connections == 1


def test_of_more_servers_than_are_kept_the_one_that_was_asked_first_is_let_go(
    client: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchtower.outbound.client.MAX_POOLS", 1)
    with serving(says(body=b"one")) as one, serving(says(body=b"two")) as two:
        for ledger, body in ((one, b"one"), (two, b"two"), (one, b"one")):
            assert client.request("GET", ledger.url()).body == body
        assert one.connections == 2


def test_what_speaks_no_http_gets_a_connection_to_an_address_that_was_checked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        made = Outbound(SystemClock(), LOOPBACK, fixed("127.0.0.2", "127.0.0.1"))
        with made.dial("broker.example.com", port, 10.0) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        alone = Outbound(SystemClock(), LOOPBACK, fixed("127.0.0.1"))
        error = refused(lambda: alone.dial("broker.example.com", unused.getsockname()[1], 10.0))
    assert (type(error), error.reason) == (Transient, Reason.CONNECT)
    assert "broker.example.com" in str(error)


def test_an_address_of_version_six_is_dialled_and_refused_as_any_other() -> None:
    error = refused(lambda: Outbound(SystemClock(), ()).dial("::1", 9, 10.0))
    assert error.reason is Reason.REFUSED_ADDRESS
