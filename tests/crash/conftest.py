"""`make crash`: one seed for all random choices, and one line of figures at the end."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.lives import warm
from tests.crash.verdict import Figures
from watchtower.clock import ManualClock

SEED = "SEED"
FIGURES = "crash figures"

Record = Callable[[Figures], None]


@dataclass(frozen=True, slots=True)
class Ground:
    """What outlives the processes of one test. record: add to the line at the end."""

    store: str
    folder: Path
    clock: ManualClock
    seed: int
    record: Record


def pytest_configure(config: pytest.Config) -> None:
    """Before any worker is started, so that all of them have the same."""
    os.environ.setdefault(SEED, str(secrets.randbelow(1_000_000)))


def pytest_report_header() -> str:
    return f"crash: SEED={os.environ[SEED]} make crash repeats this run's choices"


@pytest.fixture
def seed() -> int:
    return int(os.environ[SEED])


@pytest.fixture(scope="session")
def warmed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Everything is imported in the process that forks."""
    warm(tmp_path_factory.mktemp("crash") / "warm")


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Record:
    """Add to the line at the end."""
    return lambda figures: record_property(FIGURES, figures.as_dict())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    total = Figures()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == FIGURES and getattr(report, "when", "") == "call":
                    total.add(Figures(**value))
    if total.kills:
        blind = "n/a" if total.blind is None else f"{total.blind:.1f}"
        beyond = "n/a" if total.pages_beyond is None else total.pages_beyond
        terminalreporter.write_line(
            f"crash: kills {total.kills}, events acknowledged {total.events}, obligations {total.obligations}, "
            f"lost {total.lost}, duplicates {total.duplicates}, pages beyond budget {beyond}, "
            f"blind minutes {blind}, seed {os.environ[SEED]}"
        )


@pytest.fixture
def ground(database_url: str, tmp_path: Path, clock: ManualClock, seed: int, record: Record) -> Ground:
    """On each engine."""
    return Ground(database_url, tmp_path / "ground", clock, seed, record)
