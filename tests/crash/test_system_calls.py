"""A process is killed within a system call: strace delivers SIGKILL at the n-th call of a kind, in any of its threads.

Nothing in the product has to help, so these deaths also lie where no point of the table does: between two pages of a
transaction, before the sync of a spool, in the middle of a start. Each n is one that an undisturbed story reaches.
"""

import os
import re
import uuid
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.app.house import until
from tests.conftest import NewDatabase
from tests.crash.conftest import Record
from tests.crash.desks import KINDS, Desk, configured
from tests.crash.lives import Died, Life, run_of
from tests.crash.tracing import need_strace, traced
from tests.crash.verdict import Figures, integrity_of, kept_in, missing, twice

pytestmark = pytest.mark.usefixtures("warmed", "strace")

CALLS = ("fdatasync", "fsync", "pwrite64", "write", "sendto", "connect", "ftruncate", "rename")
CASES = int(os.environ.get("CASES", "40"))
FIXED: tuple[tuple[str, int], ...] = (("fdatasync", 1), ("pwrite64", 2), ("connect", 1), ("sendto", 1), ("sendto", 2))
FAULT_CASES = int(os.environ.get("FAULT_CASES", "16"))
FAULTS = (
    *(("pwrite64", fault) for fault in ("error=EIO", "error=ENOSPC", "error=EINTR", "retval=0")),
    *(("fdatasync", fault) for fault in ("error=EIO", "error=ENOSPC")),
    *(("write", fault) for fault in ("error=ENOSPC", "error=EINTR")),
    ("rename", "error=EIO"),
)
STORY_S = 20.0


@pytest.fixture(scope="module")
def strace() -> None:
    need_strace()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_death_in_any_system_call_costs_nothing(
    new_database: NewDatabase, tmp_path: Path, seed: int, record: Record
) -> None:
    figures = Figures()
    store = new_database("watchtower", True)
    kind = KINDS["webhook"]
    with kind.open(datetime.now(UTC)) as desk:
        (tmp_path / "watchtower.yaml").write_text(configured(desk.config, store))
        stories = _Stories(tmp_path, desk, figures)
        stories.tell()
        passed = stories.counted(tmp_path / "calls")
        known = sorted((call, n) for call, most in passed.items() for n in range(1, most + 1))
        sampled = Random(f"{seed} calls").sample(known, min(CASES, len(known)))
        for call, n in dict.fromkeys([*FIXED, *sampled]):
            stories.killed_in(call, n)
            assert integrity_of(store) == "ok", f"the store is damaged by a death in {call} {n}"
    kept = kept_in(store)
    figures.obligations = kept.obligations
    figures.lost += len(missing(stories.acknowledged, kept.runs)) + len(kept.unfinished)
    record(figures)
    assert (missing(stories.acknowledged, kept.runs), kept.unfinished) == ([], ())
    assert set(passed) >= {"fdatasync", "pwrite64", "write", "connect", "sendto"}, passed
    assert figures.kills > len(sampled) / 2, "most of what was sampled was not reached"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_system_call_that_fails_costs_nothing_that_was_answered(
    new_database: NewDatabase, tmp_path: Path, seed: int, record: Record
) -> None:
    """Errors of the disk, a full one, interruptions and writes of nothing, each once at the n-th call of a thread."""
    figures = Figures()
    store = new_database("watchtower", True)
    with KINDS["webhook"].open(datetime.now(UTC)) as desk:
        (tmp_path / "watchtower.yaml").write_text(configured(desk.config, store))
        stories = _Stories(tmp_path, desk, figures)
        passed = stories.counted(tmp_path / "calls")
        known = sorted((call, fault, n) for call, fault in FAULTS for n in range(1, passed[call] + 1))
        for call, fault, n in Random(f"{seed} faults").sample(known, min(FAULT_CASES, len(known))):
            stories.failed_in(call, fault, n)
            assert integrity_of(store) == "ok", f"the store is damaged by {fault} in {call} {n}"
    kept = kept_in(store)
    figures.obligations = kept.obligations
    figures.lost += len(missing(stories.acknowledged, kept.runs)) + len(kept.unfinished)
    record(figures)
    assert (missing(stories.acknowledged, kept.runs), kept.unfinished) == ([], ())


class _Stories:
    """Of a run that fails and the next that completes, told to one desk by a process on the system's clock."""

    def __init__(self, folder: Path, desk: Desk, figures: Figures) -> None:
        self._folder, self._desk, self._figures = folder, desk, figures
        self.acknowledged: set[str] = set()
        self._said: dict[str, list[dict[str, Any]]] = {}  # by run: what is not answered is sent again as it was

    def tell(self) -> None:
        with Life(self._folder) as life:
            self._whole(life.started())
            assert life.end() == 0

    def counted(self, file: Path) -> Counter[str]:
        """How often an undisturbed story makes each call, in the thread that makes it most often."""
        with (
            Life(self._folder, held=True) as life,
            traced(life.pid, "-o", str(file), "-e", f"trace={','.join(CALLS)}"),
        ):
            life.go()
            self._whole(life.started())
            life.end()
        found = re.findall(r"^(\d+) +(\w+)\(", file.read_text(), re.MULTILINE)
        most: Counter[str] = Counter()
        for (_, call), count in Counter(found).items():
            most[call] = max(most[call], count)
        return most

    def killed_in(self, call: str, n: int) -> None:
        """strace counts the calls of each thread."""
        pipeline, run = _names()
        before, told = len(self._desk.seen()), False
        inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}", "-o", "/dev/null")
        with Life(self._folder, held=True) as life, traced(life.pid, *inject):
            life.go()
            try:
                life.started()
                told = self._post(life, pipeline, run, "START", "FAIL")
                until(lambda: len(self._desk.seen()) > before or life.is_dead(), "somebody is told", STORY_S)
                self._post(life, pipeline, f"{run}-next", "START", "COMPLETE")
                until(lambda: len(self._desk.seen()) > before + 1 or life.is_dead(), "or it is dead", STORY_S)
            except Died:
                pass
            self._figures.kills += life.is_dead()
            life.kill()  # what was not reached; while its tracer still answers for it
        with Life(self._folder) as life:
            life.started()
            self._whole(life, pipeline, run, told=told, before=before)
            life.end()
        again = twice(self._desk.seen()[before:])
        self._figures.duplicates += len(again)
        assert not again, f"seen twice after a death in {call} {n}: {again}"

    def failed_in(self, call: str, fault: str, n: int) -> None:
        """strace makes the n-th call fail. The life may end of it, if it was just beginning; the next one goes on."""
        pipeline, run = _names()
        before, told = len(self._desk.seen()), False
        inject = ("-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={n}", "-o", "/dev/null")
        with Life(self._folder, held=True) as life, traced(life.pid, *inject):
            life.go()
            with suppress(Died, AssertionError):  # a start that is refused says why, and is tried again below
                life.started()
                told = self._post(life, pipeline, run, "START", "FAIL")
            life.kill()
        with Life(self._folder) as life:
            life.started()
            self._whole(life, pipeline, run, told=told, before=before)
            life.end()
        again = twice(self._desk.seen()[before:])
        self._figures.duplicates += len(again)
        assert not again, f"seen twice after {fault} in {call} {n}: {again}"

    def _whole(self, life: Life, pipeline: str = "", run: str = "", *, told: bool = False, before: int = -1) -> None:
        """All of a story, or what is left of it; the sender repeats what was not answered."""
        if not run:
            (pipeline, run), before = _names(), len(self._desk.seen())
        assert told or self._post(life, pipeline, run, "START", "FAIL")
        until(lambda: len(self._desk.seen()) > before, "somebody is told", STORY_S)
        assert self._post(life, pipeline, f"{run}-next", "START", "COMPLETE")
        until(lambda: len(self._desk.seen()) == before + 2, "they are told that it is over", STORY_S)

    def _post(self, life: Life, pipeline: str, run: str, *kinds: str) -> bool:
        ident = str(uuid.uuid5(uuid.NAMESPACE_URL, run))
        status = life.post(*self._said.setdefault(ident, run_of(pipeline, ident, datetime.now(UTC), *kinds)))
        if status is None:
            return False
        assert status in (200, 202), status
        self._figures.events += len(kinds)
        self.acknowledged.add(ident)
        return True


def _names() -> tuple[str, str]:
    run = str(uuid.uuid4())
    return f"orders_{run[:8]}", run
