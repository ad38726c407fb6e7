"""Whatever is wrong, a user reads one sentence with a remedy, on standard error, and the exit code is 2."""

import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import inspect

from tests.app.house import House, running
from tests.cli.terminal import Watchtower
from watchtower.app import Options
from watchtower.cli import serving
from watchtower.clock import ManualClock, SystemClock
from watchtower.config import load
from watchtower.model.access import Scope
from watchtower.store import access
from watchtower.store.database import Database

SERVE = ("serve", "--listen", "127.0.0.1:0", "--state")


@pytest.fixture
def sound(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """A state directory with a store and keys that belong to each other."""
    state = tmp_path / "sound"
    with running(tmp_path, state="sound"):
        pass
    (state / "watchtower.sock").unlink()
    return state


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service waits for a store that is away; what it says is said before that."""
    monkeypatch.setattr(serving, "WAITS_S", ())


@contextmanager
def without_privilege() -> Generator[None]:
    """Root may write everywhere; the tests of permissions are made by nobody."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def readable() -> Generator[Path]:
    """A folder that nobody can enter by its path, too."""
    folder = Path(tempfile.mkdtemp(prefix="wt-faults-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def refused(watchtower: Watchtower, says: str, *arguments: object) -> None:
    answer = watchtower(*arguments)
    assert (answer.code, says in answer.said) == (2, True), answer.said
    assert answer.out == ""


# -- what a user types --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["incident"], "Did you mean 'incidents'"),
        (["runs", "--bogus"], "No such option: --bogus"),
        (["runs", "--limit", "0"], "Invalid value for '--limit'"),
        (["runs", "--output", "xml"], "'--output'"),
        (["token", "create", "x", "--scope", "everything"], "'--scope'"),
        (["token", "create", "x", "--for", "soon"], "duration 'soon' is not understood"),
        (["serve", "--listen", "8642"], "listen address '8642' is not of the form 127.0.0.1:8642"),
        (["serve", "--listen", "127.0.0.1:99999"], "is not of the form"),
        (["serve", "--no-auth", "--listen", "0.0.0.0:0", "--state", "s"], "--no-auth is refused"),
        (["runs", "--url", "127.0.0.1:8642"], "is not of the form http://HOST:PORT"),
        (["runs", "--url", "http://127.0.0.1:99999"], "is not of the form http://HOST:PORT"),
        (["notify", "test", "nobody"], "unknown receiver 'nobody'; known: local"),
    ],
)
def test_a_slip_of_the_hand_is_named(watchtower: Watchtower, arguments: list[str], says: str) -> None:
    refused(watchtower, says, *arguments)


@pytest.mark.parametrize("command", ["backtest", "suggest", "evaluate"])
def test_who_only_reads_makes_no_store(
    watchtower: Watchtower, tmp_path: Path, empty_database_url: str, command: str
) -> None:
    (tmp_path / "watchtower.yaml").write_text(f"store: {empty_database_url}\n", encoding="utf-8")
    refused(watchtower, "start `watchtower serve`" if "sqlite" in empty_database_url else "is empty", command)
    with closing(Database(empty_database_url)) as database, database.read() as connection:
        assert inspect(connection).get_table_names() == []


# -- configuration ------------------------------------------------------------------------------------------------


def test_all_faults_of_a_configuration_are_named_at_once(watchtower: Watchtower, tmp_path: Path) -> None:
    (tmp_path / "watchtower.yaml").write_text(
        "rulez: []\nrules: [{alert: X, kind: run_failre}]\nroute: {receiver: nobody}\nstore: env:NOT_SET\n"
    )
    for arguments in (("serve",), ("route", "test", "a=b"), ("evaluate",), ("migrate",)):
        answer = watchtower(*arguments)
        assert answer.code == 2
        for part in ("3 faults", "watchtower.yaml:1: rulez: unknown section", "'run_failre'", "'nobody'"):
            assert part in answer.said, answer.said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rules: [", "watchtower.yaml"),
        ("\tx: 1", "watchtower.yaml"),
        ("- a\n- b\n", "watchtower.yaml"),
        ("store: env:NOT_SET\n", "environment variable NOT_SET is not set"),
        ("store: mysql://x/y\n", "write sqlite:///watchtower.db or postgresql://"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(watchtower: Watchtower, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "watchtower.yaml").write_text(text)
    refused(watchtower, says, *SERVE, tmp_path / "state")


def test_a_file_that_is_not_there_is_named(watchtower: Watchtower) -> None:
    refused(watchtower, "nowhere.yaml: cannot be read: No such file", "serve", "--config", "nowhere.yaml")


# -- a Watchtower elsewhere ---------------------------------------------------------------------------------------


def test_nobody_at_the_address(watchtower: Watchtower) -> None:
    refused(watchtower, "cannot be reached (Connection refused); is Watchtower running there?", "runs", "--url",
            "http://127.0.0.1:1")  # fmt: skip


def test_something_else_at_the_address(watchtower: Watchtower, house: House) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer(reply: bytes) -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(reply)

        for reply, says in (
            (b"SSH-2.0-OpenSSH_9.2\r\n", "speaks no HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "is no Watchtower"),
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        ):
            thread = threading.Thread(target=answer, args=[reply])
            thread.start()
            refused(watchtower, says, "runs", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}")
            thread.join()
    refused(watchtower, "no TLS connection", "runs", "--url", house.instance.url.replace("http:", "https:"))


def test_tokens_that_do_not_open(watchtower: Watchtower, house: House) -> None:
    instance = house.instance
    now = SystemClock().now()
    made = {
        "revoked": instance.database.write(
            lambda c: access.create_token(
                c, instance.keys, name="a", scopes=[Scope.READ], created_by="test", now=now
            )
        ),
        "expired": instance.database.write(
            lambda c: access.create_token(
                c, instance.keys, name="b", scopes=[Scope.READ], created_by="test", now=now - timedelta(days=2),
                expires_at=now - timedelta(days=1),
            )
        ),
    }  # fmt: skip
    assert watchtower("token", "revoke", made["revoked"].token.id, "--state", instance.state.path).code == 0
    runs = ("runs", "--url", instance.url)
    refused(watchtower, "wants a token: name one by --token or $WATCHTOWER_TOKEN", *runs)
    refused(watchtower, "this is no whole token", *runs, "--token", "hunter2")
    for token in made.values():
        refused(watchtower, "unknown, was revoked or has expired", *runs, "--token", token.text)
    reader = instance.first_access.new_token("reader", [Scope.READ])
    assert watchtower(*runs, "--token", reader).code == 0
    refused(
        watchtower, "makes one that may", "silence", "add", "a=b", "-m", "why", "--url", instance.url, "--token", reader
    )


# -- the state directory, the keys, the port ----------------------------------------------------------------------


def test_a_state_directory_in_use_names_its_process(watchtower: Watchtower, house: House) -> None:
    refused(watchtower, f"is in use by process {os.getpid()}; stop it", *SERVE, house.instance.state.path)


def test_a_port_in_use_is_named(watchtower: Watchtower, house: House, tmp_path: Path) -> None:
    port = house.instance.url.rpartition(":")[2]
    refused(watchtower, f"port {port} on 127.0.0.1 is in use", "serve", "--listen", f"127.0.0.1:{port}", "--state",
            tmp_path / "s")  # fmt: skip


def test_a_state_directory_that_cannot_be_written_is_named(
    watchtower: Watchtower, tmp_path: Path, readable: Path
) -> None:
    (tmp_path / "file").write_text("")
    refused(watchtower, "cannot be written", *SERVE, tmp_path / "file" / "state")
    with without_privilege():
        refused(watchtower, "cannot be used (Permission denied)", *SERVE, readable / "state")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "open to others": (lambda keys: (keys / "pepper").chmod(0o644), "other users may read the keys; run `chmod 600"),
    "folder open to others": (lambda keys: keys.chmod(0o755), "has mode 755"),
    "no key": (lambda keys: (keys / "audit").write_text("no key"), "is no key of 32 bytes in hexadecimal; restore it"),
    "half a key": (lambda keys: (keys / "audit").write_text("abcd"), "has 2 bytes, not 32"),
    "another key": (lambda keys: (keys / "pepper").write_text("00" * 32), "are not those of this store"),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_keys_that_cannot_be_used_are_named(
    watchtower: Watchtower, sound: Path, spoil: Callable[[Path], object], says: str
) -> None:
    spoil(sound / "keys")
    refused(watchtower, says, *SERVE, sound)


def test_a_key_that_cannot_be_read_is_named(watchtower: Watchtower, sound: Path, readable: Path) -> None:
    state = readable / "state"
    shutil.copytree(sound, state)
    for path in (state, *state.rglob("*")):
        os.chown(path, 65534, 65534) if os.geteuid() == 0 else None
    (state / "keys" / "forms").chmod(0o000)
    with without_privilege():
        refused(watchtower, f"key {state / 'keys' / 'forms'} cannot be read: Permission denied", *SERVE, state)


# -- the store ----------------------------------------------------------------------------------------------------


def test_a_store_that_is_locked_is_named(watchtower: Watchtower, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchtower.store.database.BUSY_TIMEOUT_MS", 200)
    with closing(sqlite3.connect(sound / "watchtower.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused(watchtower, "is locked by another process; stop it, or wait", *SERVE, sound)


def test_a_start_waits_for_a_store_that_is_locked(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchtower.store.database.BUSY_TIMEOUT_MS", 100)
    monkeypatch.setattr(serving, "WAITS_S", (0.05,))
    options = Options(sound, ("127.0.0.1", 0), otlp=False)
    with ThreadPoolExecutor(1) as pool:
        with closing(sqlite3.connect(sound / "watchtower.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            start = pool.submit(serving.opened, load(None), options, load=None)
            with pytest.raises(TimeoutError):
                start.result(0.5)
        start.result(60).stop()


def test_a_store_that_is_gone_is_not_begun_anew(watchtower: Watchtower, sound: Path) -> None:
    for file in sound.glob("watchtower.db*"):
        file.unlink()
    refused(watchtower, "is empty, and it was not: it is gone", *SERVE, sound)
    (sound / "store").unlink()
    with running(sound.parent, state="sound"):
        pass


def test_a_store_that_may_not_be_written_is_named(watchtower: Watchtower, sound: Path, readable: Path) -> None:
    state = readable / "state"
    shutil.copytree(sound, state)
    for path in (state, *state.rglob("*")):
        os.chown(path, 65534, 65534) if os.geteuid() == 0 else None
    for path in state.glob("watchtower.db*"):
        path.chmod(0o444)
    with without_privilege():
        refused(watchtower, "is read-only; give this user write permission", *SERVE, state)


def test_a_damaged_store_is_named(watchtower: Watchtower, sound: Path) -> None:
    (sound / "watchtower.db").write_bytes(b"this is not a database" * 1000)
    refused(watchtower, "is damaged or not a database", *SERVE, sound)
    doctor = watchtower("doctor", "--state", sound, terminal=True)
    assert (doctor.code, "is damaged or not a database" in doctor.said) == (1, True)


def test_a_store_of_a_newer_version_is_named(watchtower: Watchtower, sound: Path) -> None:
    with closing(sqlite3.connect(sound / "watchtower.db")) as store, store:
        store.execute("INSERT INTO migrations (number, name, digest, applied_at) VALUES (999, 'later', 'x', 0)")
    for command in ((*SERVE, sound), ("migrate", "--state", sound), ("runs", "--state", sound)):
        refused(watchtower, "a newer Watchtower made it (schema step 999", *command)
    assert "999" in watchtower("doctor", "--state", sound).said


def test_a_store_of_something_else_is_named(watchtower: Watchtower, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "watchtower.db")) as store, store:
        store.execute("CREATE TABLE customers (name TEXT)")
    refused(watchtower, "is in use by something else", *SERVE, tmp_path)


def test_a_postgresql_that_is_away_is_named_in_one_line(
    watchtower: Watchtower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE", "postgresql://wt:hunter2@127.0.0.1:1/wt")
    (tmp_path / "watchtower.yaml").write_text("store: env:STORE\n")
    answer = watchtower(*SERVE, tmp_path / "state")
    assert (answer.code, "Connection refused" in answer.said, "hunter2" in answer.said) == (2, True, False)
    assert len(answer.err.strip().splitlines()) == 1
    assert watchtower("doctor", "--state", tmp_path / "state").code == 1


def test_a_full_disk_is_named(watchtower: Watchtower, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can only be mounted by root, and not in every container")
    try:
        refused(watchtower, "no space left", *SERVE, folder / "state")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# -- the clock ----------------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_is_found_by_the_doctor(watchtower: Watchtower, tmp_path: Path) -> None:
    with running(tmp_path, clock=ManualClock(SystemClock().now() + timedelta(days=1)), live=False) as house:
        house.store(house.event("START", "orders_daily", "r1"))
    doctor = watchtower("doctor", "--state", tmp_path / "state", terminal=True)
    assert (doctor.code, "the clock of this machine" in doctor.said) == (1, True), doctor.said


# -- providers ----------------------------------------------------------------------------------------------------


def test_a_provider_that_cannot_be_reached_is_a_finding(watchtower: Watchtower, tmp_path: Path) -> None:
    (tmp_path / "watchtower.yaml").write_text(
        """
outbound: {allow: [127.0.0.0/8]}
route: {receiver: team}
receivers:
  - name: team
    webhook_configs: [{url: "http://127.0.0.1:1/a"}, {url: "http://10.255.0.1/b"}]
"""
    )
    answer = watchtower("notify", "test", "team", terminal=True)
    assert answer.code == 1
    assert "Connection refused" in answer.said
    assert "outbound" in answer.said  # the guard says which line would allow the other one
