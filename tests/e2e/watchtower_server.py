"""Watchtower itself as a user starts it: `watchtower serve --config FILE` in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
K = TypeVar("K")

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
POLLS_S = 120.0  # of a source that is asked every five seconds, on a busy machine
COMMAND_TIMEOUT_S = 240.0  # it imports much before it does anything, beside a server that is busy


class WatchtowerServer:
    """Starts in `with`, on port; ended by its pid. get asks its API over HTTP with a token that may read."""

    def __init__(self, folder: Path, port: int, config: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.state = folder / "state"
        self._file = folder / "watchtower.yaml"
        self.config = config
        self._file.write_text(config)
        self._log = folder / "watchtower.log"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = ""

    def __enter__(self) -> Self:
        self.start()
        self._reader = self.command("token", "create", "e2e-reader", "--scope", "read").strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        arguments = ["serve", "--config", str(self._file), "--state", str(self.state)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "watchtower", *arguments, "--listen", f"127.0.0.1:{self._port}"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_for("the server to be ready", self._is_ready, timeout_s=START_TIMEOUT_S)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)

    def reload(self, config: str) -> None:
        """Another configuration, by SIGHUP."""
        assert self._process is not None
        self._file.write_text(config)
        self._process.send_signal(signal.SIGHUP)

    def command(self, *arguments: str) -> str:
        """What `watchtower …` prints on standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "watchtower", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
            env={**os.environ, "WATCHTOWER_STATE": str(self.state), "WATCHTOWER_CONFIG": str(self._file)},
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self._reader}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    def wait_until_it_fails(self, source: str) -> None:
        """To ask the source, which is away."""
        self.wait_for(f"{source} not to answer", lambda: self._polls(source)["failures"] or None, timeout_s=POLLS_S)

    def wait_until_asked(self, source: str) -> None:
        """Wholly: the poll that is under way, if there is one, and another that begins from now on."""
        for _ in range(2):
            self._wait_for_success_after(source, self._polls(source)["last_success"])

    def _wait_for_success_after(self, source: str, last: str | None) -> None:
        def asked() -> bool | None:
            return self._polls(source)["last_success"] != last or None

        self.wait_for(f"{source} to be asked", asked, timeout_s=POLLS_S)

    def _polls(self, source: str) -> dict[str, Any]:
        (found,) = [each for each in self.get("/api/v1/sources")["items"] if each["name"] == source]
        return found

    def wait_until_it_has(self, theirs: Callable[[], Counter[K]], ours: Callable[[], Counter[K]]) -> None:
        """All that theirs gives, and nothing else. Both go on meanwhile, and a poll later they are one."""
        deadline = time.monotonic() + 3 * POLLS_S
        while (here := ours()) != (there := theirs()):
            assert time.monotonic() < deadline, f"missing here: {there - here}; here alone: {here - there}"
            time.sleep(1)

    def wait_for(self, what: str, probe: Callable[[], T | None], *, timeout_s: float, every_s: float = 0.2) -> T:
        """The first answer of probe that is not None; AssertionError with the end of the log when it takes too long."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = probe()
            if found is not None:
                return found
            time.sleep(every_s)
        raise AssertionError(f"waited {timeout_s:g} s for {what}; the end of the log:\n{self.log_tail()}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log_bytes(self) -> bytes:
        """All that it has written to its standard output and error."""
        return self._log.read_bytes()

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:]) if self._log.exists() else ""

    def _is_ready(self) -> bool | None:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended with {self._process.returncode}:\n{self.log_tail()}"
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return True if answer.status == 200 else None
        except OSError:
            return None
