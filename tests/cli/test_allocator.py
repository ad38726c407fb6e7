"""Threads of a process share two heaps of malloc, unless its operator chose otherwise."""

import os
import platform
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cli.process import served

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc has heaps of threads")

HEAP_BYTES = 64 << 20  # of address space, for each heap but the first; they begin and end at multiples of it
PROGRAM = """
import ctypes, sys, threading
from watchtower.allocator import share_heaps

shared, libc, together = share_heaps(), ctypes.CDLL(None), threading.Barrier(8)
libc.malloc.restype, libc.fdopen.restype = ctypes.c_void_p, ctypes.c_void_p

def allocate():
    together.wait()
    libc.malloc(1000)  # lets go of the interpreter
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(shared, flush=True)
file = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, file)
libc.fflush(file)
"""


def heaps(**environment: str) -> tuple[bool, int]:
    """Whether share_heaps did anything in a process of eight threads, and how many heaps it has."""
    cleared = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**cleared, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.startswith("True"), done.stdout.count("<heap nr=")


def test_threads_share_two_heaps() -> None:
    assert heaps() == (True, 2)


@pytest.mark.parametrize("chosen", [{"MALLOC_ARENA_MAX": "5"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=5"}])
def test_what_an_operator_chose_stays(chosen: dict[str, str]) -> None:
    assert heaps(**chosen) == (False, 5)


def test_a_server_has_no_more_than_that(tmp_path: Path) -> None:
    with served(tmp_path, "--listen", "127.0.0.1:0") as server:
        maps = Path(f"/proc/{server.process.pid}/maps").read_text().splitlines()
    spans = [(*(int(end, 16) for end in line.split()[0].split("-")), line.split()[1]) for line in maps]
    heaps = [
        start
        for (start, used, rights), (_, end, beyond) in pairwise(spans)
        if (rights, beyond) == ("rw-p", "---p") and not start % HEAP_BYTES and not end % HEAP_BYTES and used < end
    ]
    assert len(heaps) <= 1
