"""A Watchtower behind a certificate of one's own authority: refused in words that help, taken once it is named."""

import ssl
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import trustme

from tests.cli.terminal import Watchtower


class Empty(BaseHTTPRequestHandler):
    """Answers as a Watchtower in which nothing is."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b'{"items": [], "next_cursor": null}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away at once is what these tests are about."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def url(authority: trustme.CA) -> Generator[str]:
    server = Server(("127.0.0.1", 0), Empty)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cast("Any", authority.issue_cert("localhost")).configure_cert(context)  # its argument is untyped
    # The handshake is each handler's own, so that a client that refuses it ends no loop.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    with suppress(OSError):
        server.server_close()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def test_commands_name_what_is_not_trusted_and_how_it_is(
    url: str, ca_file: str, watchtower: Watchtower, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = watchtower("runs", "--url", url, "--token", "t")
    assert (refused.code, "is not trusted here" in refused.said) == (2, True), refused.said
    assert "$SSL_CERT_FILE" in refused.said
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    assert watchtower("runs", "--url", url, "--token", "t").code == 0


def test_a_wrapped_command_says_why_it_is_not_told_and_keeps_it(url: str, ca_file: str, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "watchtower", "run", "--job", "backup", "--url", url, "--token", "t"]
    line += ["--spool", str(tmp_path / "spool"), "--patience", "60", "--", "true"]

    def run(**environment: str) -> "subprocess.CompletedProcess[str]":
        given = {"PATH": "/usr/bin:/bin", **environment}
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120, env=given)

    refused = run()
    assert (refused.returncode, "name the file of its authority by $SSL_CERT_FILE" in refused.stderr) == (0, True)
    assert list((tmp_path / "spool").iterdir())
    told = run(SSL_CERT_FILE=ca_file)
    assert (told.returncode, told.stderr) == (0, "")
    assert list((tmp_path / "spool").iterdir()) == []
