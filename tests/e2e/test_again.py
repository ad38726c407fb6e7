"""Promise S2 on PostgreSQL: the recorded day, played again from what the store kept of it."""

from pathlib import Path

import pytest

from tests.rehearsal.test_again import play_the_recorded_day


@pytest.mark.parametrize("engine", ["postgresql"])
def test_the_recorded_day_gives_the_same_alerts_again(tmp_path: Path, database_url: str) -> None:
    play_the_recorded_day(tmp_path, database_url)
