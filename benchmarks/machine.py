"""Processes on cores of their own, and what the kernel says of them (/proc)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Unavailable

_TICKS = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parents[1]


def cores() -> tuple[int, int]:
    """A core for servers and one for load. Raises Unavailable where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise Unavailable("two cores are needed, to keep the load away from the server")
    return allowed[0], allowed[1]


def on_core(core: int, command: Sequence[str]) -> list[str]:
    return ["taskset", "-c", str(core), *command]


@contextmanager
def pinned(core: int) -> Generator[None]:
    """This process on one core while the block runs; what it starts meanwhile inherits that."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """CPU seconds that pid has used so far, user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_bytes(pid: int) -> int:
    return _status_kb(pid, "VmRSS") * 1024


def peak_rss_bytes(pid: int) -> int:
    return _status_kb(pid, "VmHWM") * 1024


def install(program: str, package: str) -> str:
    """The path of program, from Debian's package if it is not there yet. Raises Unavailable with the line to type."""
    found = shutil.which(program)
    if found:
        return found
    line = f"apt-get install -y --no-install-recommends {package}"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise Unavailable(f"{program} is not installed; on Debian, as root: {line}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get update -q", line):
        done = subprocess.run(command.split(), env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"`{command}` failed ({done.returncode}): {done.stderr.strip()[-300:]}")
    return shutil.which(program) or _missing(program, package)


def unpack(package: str, program: str, folder: Path) -> str:
    """The path of program inside Debian's package, unpacked into folder: nothing is installed, no service is started.
    Raises Unavailable."""
    found = shutil.which(Path(program).name)
    if found:
        return found
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable(f"{Path(program).name} is not installed, and this is no Debian; install {package} by hand")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # apt's own user writes nothing here, but must be able to look
    done = subprocess.run(["apt-get", "download", package], cwd=folder, capture_output=True, text=True, check=False)
    archives = sorted(folder.glob(f"{package}_*.deb"))
    if done.returncode or not archives:
        raise Unavailable(f"`apt-get download {package}` failed: {done.stderr.strip()[-300:]}; run `apt-get update`")
    subprocess.run(["dpkg-deb", "-x", str(archives[-1]), str(folder)], check=True)
    return str(folder / program.lstrip("/"))


@contextmanager
def process(command: Sequence[str], log: Path) -> Generator["subprocess.Popen[bytes]"]:
    """command while the block runs; ended by its own pid. Its output goes to log."""
    with log.open("wb") as sink:
        started = subprocess.Popen(command, stdout=sink, stderr=sink, cwd=ROOT)
        try:
            yield started
        finally:
            end(started)


def end(started: "subprocess.Popen[bytes]") -> None:
    started.terminate()
    try:
        started.wait(20)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _status_kb(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def _missing(program: str, package: str) -> str:
    raise Unavailable(f"{program} is not in the package {package}")
