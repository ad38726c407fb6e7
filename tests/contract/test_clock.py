"""Nothing but watchtower/clock.py reads the time: decisions get `now`.

So tests, replays and backtests can move the time, and a rule that is evaluated twice answers the same twice.
"""

import ast
import textwrap

import pytest

from tests.contract.tree import ROOT, files, parse, sources, uses

READS_TIME = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    *(
        f"time.{name}{suffix}"
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
        for suffix in ("", "_ns")
    ),
    "time.gmtime",
    "time.localtime",
    "time.ctime",
    "time.strftime",
    "time.sleep",  # waiting is done on an Event or a Condition, which a stop can end
}
# The clock itself, and the wrapper around a command, a process of its own that decides nothing by time. Nothing else
# belongs here: ask for a `Clock` (watchtower.ports) instead.
ALLOWED = {"watchtower/clock.py", "watchtower/wrapper/__init__.py", "watchtower/wrapper/telling.py"}


def reads(module: ast.Module) -> list[tuple[int, str]]:
    """Each (line, what) that reads the time: also by `from time import monotonic` and by a name passed on uncalled."""
    return sorted({use for use in uses(module) if use[1] in READS_TIME})


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time as t\nt.monotonic_ns()",
        "from time import monotonic",
        "from time import perf_counter as now\nnow()",
        "from datetime import datetime, UTC\ndatetime.now(UTC)",
        "import datetime\ndatetime.datetime.utcnow()",
        "import datetime as dt\ndt.date.today()",
        "from dataclasses import field\nfrom datetime import datetime\nfield(default_factory=datetime.now)",
        "import time\ndef f(clock=time.time): ...",
    ],
)
def test_the_lint_sees_every_way_to_read_the_time(source: str) -> None:
    assert reads(ast.parse(source))


def test_the_lint_sees_nothing_in_code_that_gets_the_time() -> None:
    source = """
        from datetime import UTC, datetime, timedelta
        from threading import Event
        def f(now: datetime, time, clock):
            Event().wait(1)
            return now - timedelta(1), time.time(), clock.now(), datetime(2026, 1, 1, tzinfo=UTC)
        """
    assert not reads(ast.parse(textwrap.dedent(source)))


def test_nothing_but_the_clock_reads_the_time() -> None:
    found = [
        f"{file}:{line}: {what}" for file in sources() if str(file) not in ALLOWED for line, what in reads(parse(file))
    ]
    assert not found, "get `now` as an argument, or a Clock from watchtower.ports:\n" + "\n".join(found)


def test_allowed_files_exist_and_need_it() -> None:
    for name in ALLOWED:
        assert reads(parse(ROOT / name)), f"{name} reads no time: take it off the list"


def test_the_lint_looks_at_the_whole_tree() -> None:
    assert {file.parts[0] for file in sources()} == {"watchtower", "collectors", "rules", "alerting", "dashboards"}
    assert len(sources()) < len(files())
