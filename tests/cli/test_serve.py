"""A server as a process: what it prints, how it reloads and stops, and what a kill leaves behind."""

import json
import signal
import socket
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tests.app.house import until
from tests.cli.process import served, story
from tests.cli.terminal import Watchtower
from tests.simulators.webhook import WebhookSimulator

NOW = datetime.now(UTC)

CONFIG = """
rules: [{{alert: OrdersFailed, kind: run_failure, match: {{pipeline: orders_daily}}, severity: page}}]
outbound: {{allow: [127.0.0.0/8]}}
route: {{receiver: team, group_by: [pipeline], group_wait: 0s}}
receivers: [{{name: team, webhook_configs: [{{url: {url!r}, send_resolved: true}}]}}]
"""


def test_a_server_starts_by_itself_reloads_on_a_signal_and_drains_on_another(
    tmp_path: Path, watchtower: Watchtower
) -> None:
    file = tmp_path / "watchtower.yaml"
    with WebhookSimulator(NOW) as first, WebhookSimulator(NOW) as second:
        file.write_text(CONFIG.format(url=first.url))
        with served(tmp_path, "--listen", "127.0.0.1:0") as server:
            token = server.token
            shown = "".join(server.welcome)
            assert "/login?code=" in shown
            transport = json.loads(shown.split("TRANSPORT='")[1].split("'")[0])
            assert (transport["url"], transport["endpoint"]) == (server.url, "api/v1/lineage")

            file.write_text("rulez: []\n" + CONFIG.format(url=second.url))
            server.send(signal.SIGHUP)
            refusal = server.says("the configuration was refused; the one in force stays")
            assert "rulez: unknown section" in refusal["faults"]
            until(lambda: first.requests, "the refusal is told by the configuration in force")

            file.write_text(CONFIG.format(url=second.url))
            server.send(signal.SIGHUP)
            server.says("the configuration was reloaded")
            server.post(token, *story("orders_daily", "r1", "START", "FAIL"))
            until(lambda: second.requests, "the new receiver is told")

            # A request that is under way when the server is told to stop is still answered.
            with closing(socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))) as peer:
                body = json.dumps(story("orders_daily", "r2", "START")).encode()
                head = f"POST /api/v1/lineage/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                peer.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
                threading.Event().wait(0.2)
                server.send(signal.SIGTERM)
                threading.Event().wait(0.2)
                peer.sendall(body[10:])
                assert peer.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert server.process.wait(20) == 0
        state = tmp_path / "state"
        assert {run["state"] for run in json.loads(watchtower("runs", "--state", state).out)} == {"failed", "running"}
        assert not [line for line in server.log if "exc_info" in line or "Traceback" in str(line)]


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path, watchtower: Watchtower) -> None:
    file, state = tmp_path / "watchtower.yaml", tmp_path / "state"
    with WebhookSimulator(NOW) as hook:
        away, url = WebhookSimulator(NOW), hook.url
        file.write_text(CONFIG.format(url=away.url))
        away.close()
        with served(tmp_path, "--listen", "127.0.0.1:0") as server:
            token = server.token
            assert server.post(token, *story("orders_daily", "r1", "START", "FAIL"))[0] in (200, 202)
            until(lambda: json.loads(watchtower("deliveries", "--state", state).out), "it is owed")
            with closing(sqlite3.connect(state / "watchtower.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                status, answer = server.post(token, *story("spooled", "r2", "START"))
                assert (status, answer["stored"]) == (202, "spool")
                server.end(signal.SIGKILL)
                other.execute("ROLLBACK")
        file.write_text(CONFIG.format(url=url))
        with served(tmp_path, "--listen", "127.0.0.1:0") as server:
            assert "wt_ingest_" not in "".join(server.welcome)  # the tokens of the first start are still good
            until(lambda: hook.requests, "what was owed is delivered after the restart")
            until(lambda: server.post(token, *story("orders_daily", "r3", "START"))[0] == 200, "the token is known")
            until(lambda: "spooled" in watchtower("runs", "--state", state).out, "the spool is replayed")
            assert server.end() == 0
        doctor = watchtower("doctor", "--state", state, "--deep")
        assert "integrity_check: ok" in doctor.said


def test_a_second_server_is_refused_until_the_first_is_gone(tmp_path: Path, watchtower: Watchtower) -> None:
    with served(tmp_path, "--listen", "127.0.0.1:0") as server:
        answer = watchtower("serve", "--listen", "127.0.0.1:0", "--state", server.state)
        assert (answer.code, f"is in use by process {server.process.pid}" in answer.said) == (2, True)


def test_two_state_directories_cannot_share_one_store_file(tmp_path: Path, watchtower: Watchtower) -> None:
    config = tmp_path / "other.yaml"
    with served(tmp_path, "--listen", "127.0.0.1:0") as server:
        config.write_text(f"store: sqlite:///{server.state}/watchtower.db\n")
        other = ["--state", tmp_path / "elsewhere", "--config", config]
        answer = watchtower("serve", "--listen", "127.0.0.1:0", *other)
        assert answer.code == 2
        assert f"watchtower.db is in use by process {server.process.pid}; stop it" in answer.said
