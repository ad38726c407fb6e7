"""The real Prometheus and its promtool for tests: Debian's package. Its own service is neither used nor changed."""

import json
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.debian import Unavailable, ensure
from tests.services.ports import free_port

PACKAGE = "prometheus"
START_TIMEOUT_S = 20.0


def binary(name: str) -> str:
    """`prometheus` or `promtool`, installed if it is not there. Raises Unavailable with the line to type."""
    ensure(name, [PACKAGE], lambda: shutil.which(name) is not None)
    found = shutil.which(name)
    assert found is not None
    return found


def promtool(*arguments: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([binary("promtool"), *arguments], input=given, capture_output=True, check=False, timeout=60)


@dataclass(frozen=True)
class Prometheus:
    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API. AssertionError with what it says of a faulty expression."""
        asked = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, expression: str) -> list[Any]:
        """What expression is at present: an instant vector, or a scalar as one."""
        data = self.get("query", query=expression)
        return data["result"] if data["resultType"] == "vector" else [data["result"]]


@contextmanager
def running(config: Path) -> Generator[Prometheus]:
    """A started Prometheus with this file."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [
                binary("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/-/ready", process)
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(10)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    pause = threading.Event()
    for _ in range(int(START_TIMEOUT_S / 0.1)):
        if process.poll() is not None:
            raise Unavailable(f"Prometheus ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            pause.wait(0.1)
    raise Unavailable(f"Prometheus was not ready after {START_TIMEOUT_S} s")
