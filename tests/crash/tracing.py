"""A process under strace."""

import shutil
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from tests.services.debian import Unavailable, ensure

ENDS_S = 2.0  # after whom it traces
_ATTACHED = "attached"


def need_strace() -> None:
    """Skips the test where nothing can be traced."""
    try:
        ensure("strace", ["strace"], lambda: shutil.which("strace") is not None)
    except Unavailable as error:
        pytest.skip(str(error))
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"this container may not trace processes: {probe.stderr.strip()[-200:]}")


@contextmanager
def traced(pid: int, *options: str, ends_s: float = ENDS_S) -> Generator[None]:
    """Under strace from here on, with every thread that it will have. ends_s: given to strace to end by itself."""
    tracer = subprocess.Popen(["strace", "-f", "-p", str(pid), *options], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        _wait_for(_ATTACHED, tracer.stderr)
        reader = threading.Thread(target=tracer.stderr.read, daemon=True)  # else it would wait for a reader
        reader.start()
        yield
    finally:
        try:
            tracer.wait(ends_s)
        except subprocess.TimeoutExpired:
            tracer.kill()  # SIGTERM lets it wait for threads that are about to die, for ever
            tracer.wait(20)


def _wait_for(word: str, lines: Iterator[str]) -> None:
    for line in lines:
        if word in line:
            return
    raise AssertionError("strace ended before it was attached")
