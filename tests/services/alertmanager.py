"""The real Alertmanager and its amtool for tests: Debian's package. Its own service is neither used nor changed.

The package is installed when it is missing, which needs root and a reachable package mirror; else the message says
what to install.
"""

import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.services import debian
from tests.services.ports import free_port

PACKAGE = "prometheus-alertmanager"


def binary(name: str) -> str:
    """`amtool` or `prometheus-alertmanager`, installed if it is not there. Raises Unavailable with the line to type."""
    return debian.program(name, PACKAGE)


def receivers_of(config: Path, labels: dict[str, str]) -> list[str]:
    """What `amtool config routes test` answers: the receivers, in order."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    command = [binary("amtool"), "config", "routes", "test", f"--config.file={config}", *pairs]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().split(",")


@contextmanager
def running(config: Path) -> Generator[str]:
    """A started Alertmanager with this file; its address."""
    url = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            binary("prometheus-alertmanager"),
            f"--config.file={config}",
            f"--storage.path={folder}",
            f"--web.listen-address={url.removeprefix('http://')}",
            "--cluster.listen-address=",
        ]
        with debian.running(command, f"{url}/-/ready"):
            yield url
