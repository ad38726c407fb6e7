"""A command line whose surroundings say nothing: no variables, no watchtower.yaml, no usual state directory."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.app.house import House, running
from tests.cli.terminal import Watchtower, runner
from watchtower.cli import output


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WATCHTOWER_STATE", "WATCHTOWER_CONFIG", "WATCHTOWER_URL", "WATCHTOWER_TOKEN", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(output.out, "width", 120)  # it has that of its import, whichever test came first
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def watchtower(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Watchtower:
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Generator[House]:
    """A running Watchtower in which orders_daily failed; shared by the tests of a module."""
    config = "rules:\n  - {alert: OrdersFailed, kind: run_failure, match: {pipeline: orders_daily}, severity: page}\n"
    with running(tmp_path_factory.mktemp("house"), config) as found:
        found.fail("orders_daily")
        yield found
