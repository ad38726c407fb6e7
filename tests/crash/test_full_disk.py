"""A disk that is full, and a process that is killed while it is: what was answered is there, what is owed is told.

The state directory lies on a small tmpfs that the test fills to its last byte, and frees again.
"""

import contextlib
import os
import subprocess
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.app.house import HTTP, until
from tests.crash.conftest import Record
from tests.crash.desks import KINDS, configured
from tests.crash.lives import STATE, Died, Life, run_of
from tests.crash.verdict import Figures, integrity_of, kept_in, missing, twice
from tests.simulators.faults import Fault
from watchtower.app.disk import RESERVE

pytestmark = pytest.mark.usefixtures("warmed")

SIZE = "8m"
ROOM = 2 << 20
MOST_POSTS = 500
AFTER_SPACE_S = 30.0  # promise P21
AFTER_LEASE_S = 90.0  # how an attempt ended may not have been written: it is found by its lease


@contextmanager
def small_disk(folder: Path) -> Generator[Path]:
    folder.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
    if done is None or done.returncode:
        pytest.skip(f"only root outside of a locked container can mount a small disk: {done and done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("frees_first", [True, False], ids=["freed before the restart", "freed after the restart"])
def test_a_kill_on_a_full_disk_costs_nothing_that_was_answered(
    *, frees_first: bool, tmp_path: Path, record: Record
) -> None:
    figures = Figures(kills=1)
    with KINDS["webhook"].open(datetime.now(UTC)) as desk, small_disk(tmp_path / STATE) as disk:
        (tmp_path / "watchtower.yaml").write_text(configured(desk.config))
        ballast = disk / "ballast"
        with Life(tmp_path) as life:
            life.started()
            acknowledged = _fail(life, "orders_before", 1)
            until(lambda: len(desk.seen()) == 1, "somebody is told")
            _fill(ballast)
            acknowledged |= _fail(life, "orders_filling", MOST_POSTS)
            assert 1 < len(acknowledged) < MOST_POSTS, "the disk was full too soon, or never"
            life.kill()
        if frees_first:
            ballast.unlink()
        with Life(tmp_path) as life:
            began = _started(life)
            assert began or not frees_first, "it does not start on a disk with space"
            if not frees_first:
                ballast.unlink()
            with contextlib.nullcontext(life) if began else Life(tmp_path) as again:
                if not began:
                    again.started()
                until(lambda: bool(_fail(again, "orders_after", 1)), "events are taken again", AFTER_SPACE_S)
                until(lambda: len(set(desk.seen())) >= len(acknowledged), "everything is told", AFTER_SPACE_S)
                until(lambda: owes_nothing(again), "nothing is owed any more", AFTER_LEASE_S)
                assert again.end() == 0
        store = f"sqlite:///{disk}/watchtower.db"
        kept = kept_in(store)
        assert integrity_of(store) == "ok"
    figures.events, figures.obligations = 2 * len(acknowledged), kept.obligations
    figures.lost = len(missing(acknowledged, kept.runs)) + len(kept.unfinished)
    figures.duplicates = len(twice(desk.seen()))
    record(figures)
    assert (missing(acknowledged, kept.runs), kept.unfinished, twice(desk.seen())) == ([], (), [])


def test_on_a_full_disk_what_is_owed_is_told_and_events_are_taken_again_by_themselves(
    tmp_path: Path, record: Record
) -> None:
    """The reserve is an eighth of this disk. The first attempt fails, then the disk is full to its last byte."""
    figures = Figures()
    with KINDS["webhook"].open(datetime.now(UTC)) as desk, small_disk(tmp_path / STATE) as disk:
        (tmp_path / "watchtower.yaml").write_text(configured(desk.config))
        ballast = disk / "ballast"
        with Life(tmp_path) as life:
            life.started()
            until((disk / RESERVE).exists, "the reserve is made")
            desk.simulator.fail_next(Fault.UNAVAILABLE)
            acknowledged = _fail(life, "orders_before", 1)
            until(lambda: len(desk.simulator.requests) == 1, "the first attempt failed")
            _fill(ballast, room=0)
            until(lambda: not (disk / RESERVE).exists(), "the reserve is given up")
            until(lambda: len(set(desk.seen())) >= len(acknowledged), "what is owed is told", AFTER_LEASE_S)
            assert _fail(life, "orders_full", 1) == set(), "what the reserve gave back is not for events"
            ballast.unlink()
            acknowledged |= until(lambda: _fail(life, "orders_after", 1), "events are taken again", AFTER_SPACE_S)
            until((disk / RESERVE).exists, "the reserve is made again")
            until(lambda: len(set(desk.seen())) >= len(acknowledged), "everything is told", AFTER_SPACE_S)
            until(lambda: owes_nothing(life), "nothing is owed any more", AFTER_LEASE_S)
            assert life.end() == 0
        store = f"sqlite:///{disk}/watchtower.db"
        kept = kept_in(store)
        assert integrity_of(store) == "ok"
    figures.events, figures.obligations = 2 * len(acknowledged), kept.obligations
    figures.lost = len(missing(acknowledged, kept.runs)) + len(kept.unfinished)
    record(figures)
    assert (missing(acknowledged, kept.runs), kept.unfinished, twice(desk.seen())) == ([], (), [])


def owes_nothing(life: Life) -> bool:
    """Whose turn is next is nobody's to say: what was told last need not be what came last."""
    answer = HTTP.request("GET", f"{life.url}/api/v1/ledger?limit=1")
    totals = answer.json()["totals"]
    return bool(answer.status == 200 and totals["due"] + totals["sending"] == 0)


def _fail(life: Life, pipeline: str, most: int) -> set[str]:
    """Failing runs of as many pipelines, until one is refused; those that were answered 2xx."""
    acknowledged: set[str] = set()
    for number in range(most):
        run = str(uuid.uuid4())
        events = run_of(f"{pipeline}_{number}", run, datetime.now(UTC), "START", "FAIL")
        events[0]["run"]["facets"] = {"filler": {"_producer": "x", "_schemaURL": "x", "text": os.urandom(10_000).hex()}}
        status = life.post(*events)
        assert status in (200, 202, 503), status
        if status == 503:
            return acknowledged
        acknowledged.add(run)
    return acknowledged


def _started(life: Life) -> bool:
    try:
        life.started()
    except (Died, AssertionError) as error:
        assert isinstance(error, Died) or "no space left on the device" in str(error), error
        return False
    return True


def _fill(file: Path, *, room: int = ROOM) -> None:
    """To the last byte, then room for a few events: the last of it is taken by the product itself."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, b"\0" * 4096)
    os.ftruncate(descriptor, os.fstat(descriptor).st_size - room)
    os.close(descriptor)
