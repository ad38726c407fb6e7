"""One pytest session that judges many faults: it runs its tests once, notes what each reaches, and then forks.

A plug-in of pytest. `judge` is called where tests would be run; the session, its fixtures and the modules are then
loaded as for any test.
"""

import importlib
import os
import resource
import select
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol

from tools.mutants.operators import ROOT
from tools.mutants.swap import Unswappable, swap

_SURVIVED, _KILLED, _UNSWAPPABLE = 0, 1, 2
_PIPE_HOLDS = 65_536  # bytes that nobody has to read while a child writes them


@dataclass(frozen=True, slots=True)
class Edit:
    """One fault in one module. lines: those that are changed, or of what uses it if it stands outside of functions."""

    name: str
    module: str
    changed: bytes
    lines: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """killed_by: the test that failed, "time" or "death"; "": none did. reached: how many tests were asked."""

    edit: Edit
    killed_by: str
    reached: int
    seconds: float


@dataclass(slots=True)
class _Child:
    edit: Edit
    pid: int
    pipe: int
    began: float
    deadline: float
    reached: int


@dataclass(slots=True)
class Reach:
    """By file and line the numbers of tests that reach it; how long each test takes (CPU seconds of this process)."""

    tests: dict[str, dict[int, set[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    seconds: list[float] = field(default_factory=list[float])
    kills: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])  # (module, test)
    left_out: set[int] = field(default_factory=set[int])

    def leave_out(self, numbers: Iterable[int]) -> None:
        """Not to be asked: what fails without any fault says nothing about one."""
        self.left_out.update(numbers)

    def of(self, edit: Edit, names: Sequence[str]) -> list[int]:
        """Numbers of the tests that reach it: first what is quick, or has found faults in this module before."""
        found = {
            number
            for line, numbers in self.tests[str(ROOT / edit.module)].items()
            if any(first <= line <= last for first, last in edit.lines)
            for number in numbers
        }
        return sorted(
            found - self.left_out,
            key=lambda number: (self.seconds[number] + 0.01) / (1 + self.kills[edit.module, names[number]]),
        )


class Judge:
    """pytest plug-in. edits: what is tried; told: hears of each verdict as soon as it is known; patience_s: no more
    than tests of so many CPU seconds are asked about one fault."""

    def __init__(
        self,
        modules: Sequence[str],
        edits: Iterable[Edit],
        told: Callable[[Verdict], None],
        *,
        jobs: int,
        patience_s: float,
    ) -> None:
        self._sources = {module: (ROOT / module).read_bytes() for module in modules}
        self._edits = edits
        self._told = told
        self._jobs = jobs
        self._patience_s = patience_s
        self.left_out: list[str] = []  # tests that fail without any fault: they are not asked

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if "postgresql" not in item.nodeid]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return False
        loaded = {module: importlib.import_module(_dotted(module)) for module in self._sources}
        reach = self._run_once(session)
        forks = Forks(session, loaded, self._sources, reach, jobs=self._jobs, patience_s=self._patience_s)
        reach.leave_out(forks.harmed())
        self.left_out = [session.items[number].nodeid for number in sorted(reach.left_out)]
        for verdict in forks.judged(self._edits):
            self._told(verdict)
        session.testsfailed = 0
        return True

    def _run_once(self, session: pytest.Session) -> Reach:
        reach, items = Reach(), session.items
        seen = coverage.Coverage(
            data_file=None, config_file=False, include=[str(ROOT / module) for module in self._sources]
        )
        seen.start()
        for number, item in enumerate(items):
            seen.switch_context(str(number))
            began = time.process_time()
            # With a next one, what belongs to the whole session stays as it is set up.
            reports = runtestprotocol(item, log=False, nextitem=items[number + 1 - len(items)])
            reach.seconds.append(time.process_time() - began)
            if any(report.failed for report in reports):
                reach.leave_out([number])
        session._setupstate.teardown_exact(items[0])  # pyright: ignore[reportPrivateUsage]
        seen.stop()
        data = seen.get_data()
        for file in data.measured_files():
            for line, contexts in data.contexts_by_lineno(file).items():
                reach.tests[file][line] = {int(context) for context in contexts if context}
        return reach


class Forks:
    """Tries faults in forks of this process, some at a time."""

    def __init__(
        self,
        session: pytest.Session,
        loaded: dict[str, ModuleType],
        sources: dict[str, bytes],
        reach: Reach,
        *,
        jobs: int,
        patience_s: float,
    ) -> None:
        self._session = session
        self._names = [item.nodeid for item in session.items]
        self._loaded = loaded
        self._sources = sources
        self._reach = reach
        self._jobs = jobs
        self._patience_s = patience_s

    def harmed(self) -> list[int]:
        """Numbers of the tests that fail in a fork without any fault."""
        module, source = next(iter(self._sources.items()))
        numbers = [number for number in range(len(self._names)) if number not in self._reach.left_out]
        child = self._fork(Edit("nothing", module, source, ()), numbers, all_of_them=True)
        (verdict,) = self._waited_for([child], until_all=True)
        failed = set(verdict.killed_by.splitlines())
        return [number for number in numbers if self._names[number] in failed]

    def judged(self, edits: Iterable[Edit]) -> Iterator[Verdict]:
        running: list[_Child] = []
        for edit in edits:
            numbers = self._within_patience(self._reach.of(edit, self._names))
            if not numbers:
                yield Verdict(edit, "", 0, 0.0)
                continue
            running.append(self._fork(edit, numbers))
            if len(running) >= self._jobs:
                yield from self._learned(self._waited_for(running))
        yield from self._learned(self._waited_for(running, until_all=True))

    def _within_patience(self, numbers: list[int]) -> list[int]:
        usual = accumulate(self._reach.seconds[number] for number in numbers)
        return [number for number, total in zip(numbers, usual, strict=True) if total <= self._patience_s]

    def _learned(self, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
        for verdict in verdicts:
            self._reach.kills[verdict.edit.module, verdict.killed_by] += 1
            yield verdict

    def _fork(self, edit: Edit, numbers: list[int], *, all_of_them: bool = False) -> _Child:
        usual = sum(self._reach.seconds[number] for number in numbers)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            self._be_child(edit, numbers, write, cpu_s=round(10 + 5 * usual), all_of_them=all_of_them)
        os.close(write)
        now = time.monotonic()
        return _Child(edit, pid, read, now, now + 60 + 20 * usual, len(numbers))

    def _be_child(self, edit: Edit, numbers: list[int], write: int, *, cpu_s: int, all_of_them: bool) -> None:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        try:
            swap(self._loaded[edit.module], self._sources[edit.module], edit.changed)
            self._move_temporary_files()
            failures = self._failures(numbers)
            killed_by = "\n".join(failures) if all_of_them else next(failures, "")
        except Unswappable:
            os._exit(_UNSWAPPABLE)
        except BaseException:  # whatever it is, the fault did not go unnoticed
            killed_by = "an error of the session"
        os.write(write, killed_by.encode()[:_PIPE_HOLDS])
        os._exit(_KILLED if killed_by else _SURVIVED)

    def _move_temporary_files(self) -> None:
        """Into a folder of this fork: pytest has no public way to say so once it runs."""
        factory: Any = vars(self._session.config)["_tmp_path_factory"]
        folder = factory.getbasetemp() / f"fault-{os.getpid()}"
        folder.mkdir()
        factory._basetemp = folder

    def _failures(self, numbers: list[int]) -> Iterator[str]:
        items = [self._session.items[number] for number in numbers]
        for item, following in zip(items, [*items[1:], None], strict=True):
            item._initrequest()  # type: ignore[attr-defined]  # it ran before
            self._session._setupstate.teardown_exact(item)  # pyright: ignore[reportPrivateUsage]
            if any(report.failed for report in runtestprotocol(item, log=False, nextitem=following)):
                yield item.nodeid

    def _waited_for(self, running: list[_Child], *, until_all: bool = False) -> Iterator[Verdict]:
        """Of those that end first, at least one; they leave the list."""
        while running:
            patience = max(0.0, min(child.deadline for child in running) - time.monotonic())
            ready, _, _ = select.select([child.pipe for child in running], [], [], patience)
            now = time.monotonic()
            ended = [child for child in running if child.pipe in ready or child.deadline <= now]
            for child in ended:
                running.remove(child)
                yield _end(child)
            if ended and not until_all:
                return


def _end(child: _Child) -> Verdict:
    late = not select.select([child.pipe], [], [], 0)[0]
    if late:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    said = os.read(child.pipe, _PIPE_HOLDS).decode(errors="replace")
    os.close(child.pipe)
    _, status = os.waitpid(child.pid, 0)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # what its tests have left running
    code = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - child.began
    if code == _UNSWAPPABLE:
        return Verdict(child.edit, "?", child.reached, seconds)
    killed_by = said if code in (_SURVIVED, _KILLED) else "time" if late or code == -signal.SIGXCPU else "death"
    return Verdict(child.edit, killed_by, child.reached, seconds)


def _dotted(module: str) -> str:
    return module.removesuffix(".py").replace("/", ".")


def collected(tests: Sequence[str], plugin: object) -> int:
    """Run pytest over tests with plugin; its exit code."""
    quiet = [
        "-q",
        "--no-header",
        "--no-summary",
        "-p",
        "no:cacheprovider",
        "-o",
        "faulthandler_timeout=0",
        "-p",
        "no:xdist",
    ]
    return pytest.main([*quiet, "--rootdir", str(ROOT), *(str(Path(ROOT, test)) for test in tests)], plugins=[plugin])
