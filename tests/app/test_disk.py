"""Room on the disk of the store: events are refused in time, and what is owed has a reserve."""

from pathlib import Path

import pytest

from watchtower.app.disk import RESERVE, Disk, Judgement, Room, judge, low_water, room_of
from watchtower.config import load_text
from watchtower.config.loading import examine
from watchtower.config.sections import StorageConfig

MIB = 1 << 20
LARGE = 1_000 << 30
STORAGE = StorageConfig()


@pytest.mark.parametrize(("total", "mark"), [(LARGE, 512 * MIB), (64 * MIB, 64 * MIB // 20)])
def test_the_mark_is_a_share_of_a_small_disk_and_a_size_of_a_large_one(total: int, mark: int) -> None:
    assert low_water(STORAGE, total) == mark


def test_a_small_disk_is_not_all_reserve() -> None:
    assert judge(STORAGE, Room(60 * MIB, 64 * MIB), held=False) == Judgement(refuse=False, hold=True)


@pytest.mark.parametrize(
    ("free", "held", "expected"),
    [
        pytest.param(600 * MIB, True, Judgement(refuse=False, hold=True), id="room"),
        pytest.param(511 * MIB, True, Judgement(refuse=True, hold=True), id="below the mark the reserve stays"),
        pytest.param(15 * MIB, True, Judgement(refuse=True, hold=False), id="full: it is given up"),
        pytest.param(79 * MIB, False, Judgement(refuse=True, hold=False), id="given up: its room is not for events"),
        pytest.param(575 * MIB, False, Judgement(refuse=True, hold=False), id="not room for both yet"),
        pytest.param(576 * MIB, False, Judgement(refuse=False, hold=True), id="room for both again"),
    ],
)
def test_events_are_refused_and_the_reserve_is_given_up_in_this_order(
    free: int, held: bool, expected: Judgement
) -> None:
    assert judge(STORAGE, Room(free, LARGE), held=held) == expected


def test_the_reserve_takes_its_room_from_the_disk(tmp_path: Path) -> None:
    before = room_of(tmp_path).free
    disk = Disk(tmp_path, StorageConfig(reserve=8 * MIB, low_water=MIB))
    disk.look()
    file = tmp_path / RESERVE
    assert (file.stat().st_blocks * 512 >= 8 * MIB, disk.refusal) == (True, None)
    assert before - room_of(tmp_path).free < 1 << 30
    assert file.stat().st_mode & 0o077 == 0


def test_sizes_are_read_from_the_file() -> None:
    config = load_text("storage: {reserve: 8MiB, low_water: 1GiB, low_water_share: 0.02}")
    assert (config.storage.reserve, config.storage.low_water) == (8 * MIB, 1 << 30)
    checked = examine("storage: {reserve: plenty}")
    assert "write e.g. 64MiB" in str(checked.faults[0])
