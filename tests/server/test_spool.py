"""The spool keeps what it confirmed: whatever is cut, spoilt or full."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchtower.errors import UsageError
from watchtower.spool import MAGIC, Spool, Spooled, SpoolFull, frame_of, read_segment, segment_paths

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def record(number: int, size: int = 20) -> Spooled:
    return Spooled("openlineage", NOW + timedelta(microseconds=number), f"{number}:".encode().ljust(size, b"x"))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool")
    yield opened
    opened.close()


def waiting(spool: Spool) -> list[Spooled]:
    return [item for path in spool.segments() for item in read_segment(path).records]


def test_what_was_confirmed_is_read_back_in_order_with_its_time(spool: Spool) -> None:
    records = [record(number) for number in range(50)]
    for future in [spool.append(item) for item in records]:
        future.result(5)
    assert waiting(spool) == records


def test_a_segment_goes_when_its_records_are_elsewhere_and_new_ones_come_into_another(spool: Spool) -> None:
    spool.append(record(1)).result(5)
    first = spool.segments()
    spool.append(record(2)).result(5)
    for path in first:
        spool.remove(path)
    assert waiting(spool) == [record(2)]
    for path in spool.segments():
        spool.remove(path)
    assert (spool.size_bytes, spool.segments(), segment_paths(spool.folder)) == (0, [], [])


def test_segments_are_rotated_by_size(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=100)
    for number in range(6):
        spool.append(record(number)).result(5)
    assert len(spool.segments()) > 2
    assert waiting(spool) == [record(number) for number in range(6)]
    assert spool.size_bytes == sum(path.stat().st_size for path in spool.segments())
    spool.close()


def test_the_bound_is_kept_and_said(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1_000)
    futures: list[Future[None]] = []
    with pytest.raises(SpoolFull, match="holds its 1000 bytes"):
        futures.extend(spool.append(record(number, 100)) for number in range(20))
    spool.segments()
    assert spool.size_bytes <= 1_000 + len(MAGIC)
    for path in spool.segments():
        spool.remove(path)
    spool.append(record(99)).result(5)
    assert waiting(spool) == [record(99)]
    spool.close()


def test_a_later_process_finds_what_an_earlier_one_left(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.append(record(1)).result(5)
    first.close()
    second = Spool(tmp_path)
    second.append(record(2)).result(5)
    assert waiting(second) == [record(1), record(2)]
    second.close()


def test_two_processes_never_share_a_folder(spool: Spool) -> None:
    with pytest.raises(UsageError, match="in use by another process"):
        Spool(spool.folder)


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.close()
    with pytest.raises(SpoolFull):
        spool.append(record(1))


def test_cut_at_every_byte_it_gives_back_exactly_the_whole_records(tmp_path: Path) -> None:
    records = [record(number, 5 + number) for number in range(4)]
    frames = [frame_of(item) for item in records]
    whole = MAGIC + b"".join(frames)
    ends = [len(MAGIC) + sum(map(len, frames[:count])) for count in range(len(frames) + 1)]
    path = tmp_path / "0000000000000001.spool"
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        segment = read_segment(path)
        count = sum(end <= length for end in ends) - 1
        assert segment.records == tuple(records[: max(0, count)])
        assert not segment.damaged, f"cut at {length} is a torn end, no damage"


@pytest.mark.parametrize(
    "tail", [b"\0" * 4096, b"\0", frame_of(record(9))[:-3] + b"\0\0\0"], ids=["page", "byte", "end"]
)
def test_pages_that_were_never_filled_are_a_torn_end(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "1.spool"
    path.write_bytes(MAGIC + frame_of(record(1)) + tail)
    segment = read_segment(path)
    assert (segment.records, segment.unread, segment.damaged) == ((record(1),), len(tail), False)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_spoilt_byte_never_makes_a_record_that_was_not_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    records = [record(number) for number in range(3)]
    whole = bytearray(MAGIC + b"".join(map(frame_of, records)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "spoilt.spool"
    path.write_bytes(whole)
    segment = read_segment(path)
    assert segment.records == tuple(records[: len(segment.records)])
    assert len(segment.records) < 3


def test_a_damaged_segment_is_set_aside(spool: Spool) -> None:
    spool.append(record(1)).result(5)
    (path,) = spool.segments()
    kept = spool.set_aside(path)
    assert read_segment(kept).records == (record(1),)
    assert (spool.segments(), spool.size_bytes) == ([], 0)


def test_a_full_disk_is_told_to_the_sender_and_later_records_are_kept(tmp_path: Path) -> None:
    """A limit on the file size stands in for the full disk: the write fails half way through a record."""
    script = """
import resource, signal, sys
from pathlib import Path
from tests.server.test_spool import record
from watchtower.spool import Spool, SpoolFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]))
spool.append(record(1)).result(5)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
try:
    spool.append(record(2, 1000)).result(5)
except SpoolFull as error:
    print("told:", error)
spool.append(record(3)).result(5)
spool.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert "told: the spool" in done.stdout
    segments = [read_segment(path) for path in segment_paths(tmp_path)]
    assert [item for segment in segments for item in segment.records] == [record(1), record(3)]
    assert not any(segment.damaged for segment in segments)


def test_what_was_confirmed_survives_kill_9(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from tests.server.test_spool import record
from watchtower.spool import Spool
spool = Spool(Path(sys.argv[1]), segment_bytes=2000)
for number in range(1_000_000):
    spool.append(record(number)).result(5)
    print(number, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    seen = [int(process.stdout.readline()) for _ in range(300)]
    process.kill()
    confirmed = [*seen, *map(int, process.stdout.read().split())][-1]
    process.wait()
    process.stdout.close()
    kept = [item for path in segment_paths(tmp_path) for item in read_segment(path).records]
    assert kept[: confirmed + 1] == [record(number) for number in range(confirmed + 1)]


def test_many_senders_lose_and_mix_nothing(spool: Spool) -> None:
    def send(first: int) -> None:
        for number in range(first, first + 100):
            spool.append(record(number)).result(5)

    threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 800, 100)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        spool.segments()
    for thread in threads:
        thread.join()
    assert sorted(waiting(spool), key=lambda item: item.received_at) == [record(number) for number in range(800)]
    assert spool.size_bytes == sum(path.stat().st_size for path in spool.segments())


def test_the_folder_is_nobody_elses(spool: Spool) -> None:
    assert os.stat(spool.folder).st_mode & 0o077 == 0  # noqa: PTH116 - the mode itself is meant
