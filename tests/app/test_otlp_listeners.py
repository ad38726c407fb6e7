"""OTLP on ports of its own: what is answered there, and what a start does when one is taken."""

import socket
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from tests.app.house import HTTP, House, running
from tests.otlp import body, span
from watchtower.clock import SystemClock
from watchtower.errors import UsageError


@pytest.fixture
def taken() -> Generator[int]:
    """A port on which somebody else listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        yield other.getsockname()[1]


def post(url: str, path: str, house: House) -> int:
    sent = body(span(1, begin=SystemClock().now()))
    headers = {"Authorization": f"Bearer {house.ingest}", "Content-Type": "application/x-protobuf"}
    return HTTP.request("POST", url + path, body=sent, headers=headers).status


def otlp_url(house: House) -> str:
    address = house.instance.server.address_of("otlp_http")
    assert address is not None
    return f"http://{address}"


def test_the_port_of_otlp_takes_otlp_and_nothing_else(tmp_path: Path) -> None:
    with running(tmp_path) as house:
        assert post(otlp_url(house), "/v1/traces", house) == 200
        assert post(house.instance.url, "/v1/traces", house) == 200
        for path in ("/api/v1/lineage", "/api/v1/runs", "/", "/metrics", "/v1/nothing"):
            answer = HTTP.request("POST", otlp_url(house) + path, headers={"Authorization": f"Bearer {house.ingest}"})
            assert (answer.status, answer.json()["code"]) == (404, 5), path


def test_an_exporter_is_told_the_address_that_other_machines_reach(tmp_path: Path) -> None:
    with running(tmp_path) as house:
        assert house.instance.otlp_url == otlp_url(house)
    with running(tmp_path, "server: {external_url: https://watchtower.example.com/}") as house:
        assert house.instance.otlp_url == "https://watchtower.example.com"


def test_switched_off_it_is_taken_on_the_main_port_alone(tmp_path: Path) -> None:
    with running(tmp_path, "server: {otlp_http: off}") as house:
        assert house.instance.server.address_of("otlp_http") is None
        assert post(house.instance.url, "/v1/traces", house) == 200


def test_a_port_that_the_file_names_is_had_or_the_start_is_refused(tmp_path: Path, taken: int) -> None:
    with (
        pytest.raises(UsageError, match=rf"port {taken} .* is in use.*otlp_http: HOST:PORT"),
        running(tmp_path, f"server: {{otlp_http: '127.0.0.1:{taken}'}}"),
    ):
        pass
