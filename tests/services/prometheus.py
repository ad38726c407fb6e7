"""The real Prometheus and its promtool for tests: Debian's package. Its own service is neither used nor changed."""

import json
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services import debian
from tests.services.ports import free_port

PACKAGE = "prometheus"


def binary(name: str) -> str:
    """`prometheus` or `promtool`, installed if it is not there. Raises Unavailable with the line to type."""
    return debian.program(name, PACKAGE)


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
    url = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            binary("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}",
            f"--web.listen-address={url.removeprefix('http://')}",
            "--enable-feature=exemplar-storage",
        ]
        with debian.running(command, f"{url}/-/ready"):
            yield Prometheus(url)
