"""The real Alertmanager and its amtool for tests: Debian's package. Its own service is neither used nor changed.

The package is installed when it is missing, which needs root and a reachable package mirror; else the message says
what to install.
"""

import shutil
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.services.debian import Unavailable, ensure
from tests.services.ports import free_port

PACKAGE = "prometheus-alertmanager"
START_TIMEOUT_S = 20.0


def binary(name: str) -> str:
    """`amtool` or `prometheus-alertmanager`, installed if it is not there. Raises Unavailable with the line to type."""
    ensure(name, [PACKAGE], lambda: shutil.which(name) is not None)
    found = shutil.which(name)
    assert found is not None
    return found


def receivers_of(config: Path, labels: dict[str, str]) -> list[str]:
    """What `amtool config routes test` answers: the receivers, in order."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    command = [binary("amtool"), "config", "routes", "test", f"--config.file={config}", *pairs]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().split(",")


@contextmanager
def running(config: Path) -> Generator[str]:
    """A started Alertmanager with this file; its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [
                binary("prometheus-alertmanager"),
                f"--config.file={config}",
                f"--storage.path={folder}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/-/ready", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    pause = threading.Event()
    for _ in range(int(START_TIMEOUT_S / 0.1)):
        if process.poll() is not None:
            raise Unavailable(f"Alertmanager ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            pause.wait(0.1)
    raise Unavailable(f"Alertmanager was not ready after {START_TIMEOUT_S} s")
