"""Prometheus and Alertmanager as Debian packages them, unpacked and started by hand on free loopback ports."""

import threading
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Unavailable
from benchmarks.machine import ROOT, on_core, process, unpack
from tests.services.ports import free_port

CACHE = ROOT / ".cache" / "benchmarks"
READY_S = 30.0
# Where Debian's Alertmanager looks for its own templates, whatever its configuration says.
TEMPLATES = Path("/usr/share/prometheus/alertmanager")


@dataclass(frozen=True, slots=True)
class Peer:
    pid: int
    url: str


@contextmanager
def prometheus(folder: Path, core: int, config: str = "", *, port: int | None = None) -> Generator[Peer]:
    """Prometheus with remote write switched on, its data in folder."""
    program = unpack("prometheus", "/usr/bin/prometheus", CACHE)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(config or "global: {scrape_interval: 1h}\n")
    arguments = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.enable-remote-write-receiver",
        "--log.level=error",
    ]
    with _started([program, *arguments], folder, core, port or free_port()) as peer:
        yield peer


@contextmanager
def alertmanager(folder: Path, core: int, config: str, *, port: int | None = None) -> Generator[Peer]:
    program = unpack("prometheus-alertmanager", "/usr/bin/prometheus-alertmanager", CACHE)
    _lay_out_templates()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alertmanager.yml").write_text(config)
    arguments = [
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        "--cluster.listen-address=",
        "--log.level=error",
    ]
    with _started([program, *arguments], folder, core, port or free_port()) as peer:
        yield peer


def _lay_out_templates() -> None:
    unpacked = CACHE / TEMPLATES.relative_to("/")
    if TEMPLATES.exists() or not unpacked.exists():
        return
    try:
        TEMPLATES.parent.mkdir(parents=True, exist_ok=True)
        TEMPLATES.symlink_to(unpacked)
    except OSError as error:
        raise Unavailable(f"Alertmanager needs its templates: ln -s {unpacked} {TEMPLATES} ({error})") from error


@contextmanager
def _started(command: Sequence[str], folder: Path, core: int, port: int) -> Generator[Peer]:
    url = f"http://127.0.0.1:{port}"
    listening = [*command, f"--web.listen-address=127.0.0.1:{port}"]
    with process(on_core(core, listening), folder / "log") as started:
        pause = threading.Event()
        for _ in range(int(READY_S / 0.1)):
            if started.poll() is not None:
                raise Unavailable(f"{command[0]} ended: {(folder / 'log').read_text()[-500:]}")
            if _is_ready(f"{url}/-/ready"):
                yield Peer(started.pid, url)
                return
            pause.wait(0.1)
        raise Unavailable(f"{command[0]} was not ready after {READY_S:g} s")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
