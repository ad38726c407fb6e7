"""dependency_probe: an API, a port, a certificate and a file are tried; what fails so often in a row is told."""

import os
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from collectors.probes.dependencies import DependencySource, ProbedDependency
from tests.app.polls import context
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.clock import ManualClock
from watchtower.errors import ConfigError, DeliveryError
from watchtower.model.source import Page, Window
from watchtower.ports import Received

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Api(HttpSimulator):
    """Answers with what it is told, and keeps what it was asked."""

    reply = Reply(200, b'{"status": "ok"}')

    def answer(self, request: Recorded) -> Reply:
        self.ledger.append(request)
        return self.reply


@pytest.fixture
def api() -> Generator[Api]:
    with Api(NOW) as server:
        yield server


def source(**said: Any) -> ProbedDependency:
    config = {"name": "orders-api", "needed_by": ["orders_*"], **said}
    return ProbedDependency(DependencySource.model_validate(config), context(ManualClock(NOW)))


def look(probed: ProbedDependency, now: datetime = NOW, cursor: str | None = None) -> Page:
    (page,) = probed.read(Window(now, now, cursor=cursor))
    return page


def wrong(**said: Any) -> str | None:
    """What is told at the first look."""
    page = look(source(failures=1, **said))
    return page.problems[0].summary if page.problems else None


def numbers(probed: ProbedDependency, page: Page) -> dict[str, float]:
    (fact,) = probed.decode(page.records[0], Received(NOW)).facts
    assert all(dict(each.ref.labels) == {"dependency": "orders-api"} for each in fact.series)
    return {each.ref.name: each.samples[0].value for each in fact.series}


def test_an_api_that_answers_is_up_and_each_look_is_a_sample(api: Api) -> None:
    probed = source(http=f"{api.url}/health", headers={"Authorization": "Bearer right"})
    page = look(probed)
    assert page.problems == ()
    assert numbers(probed, page) == {"dependency_up": 1.0, "dependency_seconds": 0.0}
    assert api.ledger[0].headers["authorization"] == "Bearer right"


@pytest.mark.parametrize(
    ("reply", "said", "told"),
    [
        (Reply(503), {}, "/health answers 503"),
        (Reply(200, b"{}"), {"contains": "ok"}, "/health answers 200, and not with 'ok' in it"),
        (Reply(200), {"status": [204]}, "/health answers 200"),
        (Reply(404), {"status": [404]}, None),
    ],
)
def test_an_answer_is_judged_by_its_status_and_its_text(
    api: Api, reply: Reply, said: dict[str, Any], told: str | None
) -> None:
    api.reply = reply
    address = f"{api.url}/health"
    assert wrong(http=f"{address}?key=s3cret", **said) == (f"{api.url}{told}" if told else None)


def test_what_fails_once_is_not_told_and_what_goes_on_failing_is_since_its_first_failure(api: Api) -> None:
    api.reply = Reply(503)
    probed = source(http=f"{api.url}/health")
    first = look(probed)
    assert first.problems == ()
    assert numbers(probed, first)["dependency_up"] == 0.0
    second = look(probed, NOW + MINUTE, first.cursor)
    assert second.problems is not None
    assert [(each.since, each.concerns) for each in second.problems] == [(NOW, ("pipeline:orders_*",))]
    api.reply = Reply(200)
    third = look(probed, NOW + 2 * MINUTE, second.cursor)
    assert third.problems == ()
    api.reply = Reply(503)
    assert look(probed, NOW + 3 * MINUTE, third.cursor).problems == ()  # it begins to count anew


def test_an_api_that_is_away_is_wrong_and_not_an_error_of_the_source() -> None:
    assert "127.0.0.1:1" in (wrong(http="http://127.0.0.1:1/health") or "")


def test_a_huge_answer_is_wrong_and_is_not_read_whole(api: Api) -> None:
    api.reply = Reply(200, b" " * (32 << 20))
    assert "larger than" in (wrong(http=f"{api.url}/health") or "")


def test_an_answer_that_takes_too_long_is_wrong(api: Api) -> None:
    class Slow(ManualClock):
        def boottime(self) -> float:
            self.advance(3)
            return super().boottime()

    config = DependencySource.model_validate(
        {"name": "a", "http": api.url, "slower_than": "2s", "failures": 1, "timeout": "60s"}
    )
    page = look(ProbedDependency(config, context(Slow(NOW))))
    assert page.problems is not None
    assert page.problems[0].summary.endswith("takes longer than 2s")


def test_a_port_takes_a_connection_or_does_not() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        assert wrong(tcp=f"127.0.0.1:{port}") is None
    assert f"127.0.0.1:{port} does not answer" in (wrong(tcp=f"127.0.0.1:{port}") or "")


@pytest.mark.parametrize(
    "said", [{"http": "http://10.9.8.7/"}, {"tcp": "10.9.8.7:22"}, {"tls": "10.9.8.7:443"}], ids=str
)
def test_an_address_that_the_guard_refuses_is_a_fault_of_the_source(said: dict[str, Any]) -> None:
    with pytest.raises(DeliveryError, match=r"10\.9\.8\.7"):
        look(source(**said))


@contextmanager
def serving(certificate: trustme.LeafCert) -> Generator[int]:
    """A port that shakes hands with that certificate, once."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server)  # pyright: ignore[reportUnknownMemberType]
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def shake() -> None:
            connection, _ = listening.accept()
            try:
                server.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

        thread = threading.Thread(target=shake, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(20)


def certified(folder: Path, days: float, host: str = "localhost") -> tuple[trustme.LeafCert, str]:
    """A certificate that ends that many days from the test's now, and the file of its authority."""
    authority = trustme.CA()
    file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    began = datetime(2020, 1, 1, tzinfo=UTC)
    return authority.issue_cert(host, not_before=began, not_after=datetime.now(UTC) + timedelta(days=days)), str(file)


def look_at(port: int, ca_file: str | None, host: str = "localhost") -> tuple[str | None, dict[str, float]]:
    clock = ManualClock(datetime.now(UTC))
    config = DependencySource.model_validate(
        {"name": "orders-api", "tls": f"{host}:{port}", "ca_file": ca_file, "failures": 1}
    )
    probed = ProbedDependency(config, context(clock))
    page = look(probed, clock.now())
    return page.problems[0].summary if page.problems else None, numbers(probed, page)


def test_a_certificate_is_told_before_it_ends(tmp_path: Path) -> None:
    certificate, ca_file = certified(tmp_path, 30)
    with serving(certificate) as port:
        told, measured = look_at(port, ca_file)
    assert told is None
    assert measured["dependency_days_left"] == pytest.approx(30, abs=0.1)
    certificate, ca_file = certified(tmp_path, 10)
    with serving(certificate) as port:
        told, _ = look_at(port, ca_file)
    assert told is not None
    assert told.startswith(f"the certificate of localhost:{port} ends on ")


def test_a_certificate_that_is_over_or_of_a_stranger_is_not_valid(tmp_path: Path) -> None:
    certificate, ca_file = certified(tmp_path, -1)
    with serving(certificate) as port:
        told, _ = look_at(port, ca_file)
    assert told == f"the certificate of localhost:{port} is not valid: certificate has expired"
    certificate, _ = certified(tmp_path, 30)
    with serving(certificate) as port:
        told, _ = look_at(port, None)
    assert told is not None
    assert "is not valid" in told


def test_an_authority_that_cannot_be_read_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        look(source(tls="localhost:443", ca_file=str(tmp_path / "gone.pem")))


def test_a_port_that_speaks_no_tls_is_wrong(api: Api) -> None:
    told, _ = look_at(int(api.url.rpartition(":")[2]), None, "127.0.0.1")
    assert told is not None
    assert "does not speak TLS" in told


def test_a_file_must_be_there_and_young_enough(tmp_path: Path) -> None:
    file = tmp_path / "lookup.csv"
    assert wrong(file=str(file)) == f"{file} cannot be read: No such file or directory"
    file.write_text("a")
    os.utime(file, (NOW.timestamp() - 7200, NOW.timestamp() - 7200))
    assert wrong(file=str(file), max_age="3h") is None
    assert wrong(file=str(file), max_age="1h") == f"{file} was written longer than 1h ago"
    probed = source(file=str(file))
    assert numbers(probed, look(probed)) == {"dependency_up": 1.0, "dependency_age_s": 7200.0}


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, "name one of http, tcp, tls and file; named: none"),
        ({"tcp": "a:1", "file": "b"}, "named: tcp, file"),
        ({"tcp": "sftp.example.com"}, "no host with a port"),
        ({"tls": "a:99999"}, "no host with a port"),
    ],
)
def test_a_dependency_that_makes_no_sense_is_refused(said: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        DependencySource.model_validate({"name": "a", **said})
