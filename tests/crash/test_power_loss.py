"""The power is lost at any moment: whatever the disk shows afterwards, what was answered 2xx is there.

One process is traced from its first start to its end: it stores events, tells of failures, takes events into the spool
while its store is locked, and replays them. From its system calls the disk is rebuilt as it may look after a loss of
power at moments all along (IMAGES=…; `tests/crash/disk.py` says what may be there). SQLite opens each; every
acknowledged run is in the store or in the spool, and of whatever was sent to the provider the intent is on record. On
some of them a Watchtower is started, which has to end all that is owed.
"""

import json
import os
import re
import sqlite3
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select

from tests.app.house import until
from tests.crash.conftest import Record
from tests.crash.desks import KINDS, Desk, configured
from tests.crash.disk import OPTIONS, Call, Disk, calls_of
from tests.crash.lives import STATE, Life, run_of
from tests.crash.tracing import need_strace, traced
from tests.crash.verdict import Figures, integrity_of, kept_in, missing, twice
from watchtower.spool import read_segment, segment_paths
from watchtower.store.database import Database
from watchtower.store.schema.alerting import notices

IMAGES = int(os.environ.get("IMAGES", "120"))
LIVES = int(os.environ.get("LIVES", "4"))  # of so many images
STORIES, SPOOLED = 12, 6
PLENTY_S = 120.0
_KEY = re.compile(rb"(?i)^webhook-id: *(\S+)", re.MULTILINE)

pytestmark = pytest.mark.usefixtures("warmed")


@dataclass
class Known:
    """What the outside had seen by a moment: runs that were answered 2xx, keys of notices that were sent."""

    answered: list[str] = field(default_factory=list[str])
    sent: set[str] = field(default_factory=set[str])


def test_what_was_answered_is_there_whatever_the_disk_shows_after_a_loss_of_power(
    tmp_path: Path, seed: int, record: Record
) -> None:
    need_strace()
    random, figures = Random(f"{seed} power"), Figures()
    with KINDS["webhook"].open(datetime.now(UTC)) as desk:
        house = tmp_path / "house"
        house.mkdir()
        (house / "watchtower.yaml").write_text(configured(desk.config))
        posted = _told(house, desk, tmp_path / "calls")
        figures.events = 3 * len(posted)
        moments = _moments(list(calls_of(tmp_path / "calls")), house, posted, random)
        for number, (disk, known) in enumerate(moments):
            image = tmp_path / f"image{number}"
            _write(disk.after_power_loss(random), house, image)
            _judge(image, known, figures)
            if number % max(1, IMAGES // LIVES) == 0:
                _live_on(image, known, desk)
            figures.kills += 1
        figures.duplicates = len(twice(desk.seen()))
    record(figures)
    assert figures.kills >= IMAGES * 0.9, "the story was too short"
    assert (figures.lost, figures.duplicates) == (0, 0)


def _told(house: Path, desk: Desk, log: Path) -> list[str]:
    """The story; its runs in the order in which they were answered."""
    posted: list[str] = []

    def post(life: Life, pipeline: str, *kinds: str) -> None:
        posted.append(str(uuid.uuid4()))
        assert life.post(*run_of(pipeline, posted[-1], datetime.now(UTC), *kinds)) in (200, 202)

    with Life(house, held=True) as life, traced(life.pid, *OPTIONS, "-o", str(log), ends_s=60):
        life.go()
        life.started()
        for number in range(STORIES):
            post(life, f"orders_{number}", "START", "FAIL")
        until(lambda: len(desk.seen()) == STORIES, "each failure is told", PLENTY_S)
        with _locked(house / STATE / "watchtower.db"):
            for number in range(SPOOLED):
                post(life, f"orders_{number}", "START", "COMPLETE")
        until(lambda: len(desk.seen()) == STORIES + SPOOLED, "all is told", PLENTY_S)
        assert life.end() == 0
    return posted


@contextmanager
def _locked(store: Path) -> Generator[None]:
    other = sqlite3.connect(store, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def _moments(calls: list[Call], house: Path, posted: list[str], random: Random) -> Generator[tuple[Disk, Known]]:
    """The disk at moments of the story: half of them right after an answer or a message, when most is at stake."""
    said = [n for n, call in enumerate(calls) if _answers(call) or _KEY.search(call.sent)]
    chosen = {*random.sample(said, min(IMAGES // 2, len(said)))}
    chosen |= {*random.sample(range(len(calls)), min(IMAGES - len(chosen), len(calls)))}
    disk, known = Disk(house), Known()
    for number, call in enumerate(calls):
        disk.follow(call)
        if _answers(call):
            known.answered.append(posted[len(known.answered)])
        elif call.name == "sendto" and (key := _KEY.search(call.sent)):
            known.sent.add(key[1].decode())
        if number in chosen:
            yield disk, known
    assert known.answered == posted, "not every answer was seen"
    assert len(known.sent) == STORIES + SPOOLED, "not every message was seen"


def _answers(call: Call) -> bool:
    return call.name == "sendto" and call.sent.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202"))


def _write(files: dict[str, bytes], house: Path, image: Path) -> None:
    image.mkdir()  # before the first sync there is nothing in it
    for path, data in files.items():
        place = image / Path(path).relative_to(house)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o600)  # as it was made
    for folder in image.rglob("*/"):
        folder.chmod(0o700)


def _judge(image: Path, known: Known, figures: Figures) -> None:
    store = image / STATE / "watchtower.db"
    runs: frozenset[str] = frozenset()
    intents: frozenset[str] = frozenset()
    if store.exists() and store.stat().st_size:
        url = f"sqlite:///{store}"
        assert integrity_of(url) == "ok", f"the store of {image.name} is damaged"
        runs, intents = _stored(url) if known.answered or known.sent else (runs, intents)
    lost = missing(known.answered, runs | _spooled(image / STATE / "spool"))
    figures.lost += len(lost)
    assert not lost, f"{image.name}: answered, and neither in the store nor in the spool: {lost}"
    assert known.sent <= intents, f"{image.name}: sent without an intent on record: {known.sent - intents}"


def _stored(url: str) -> tuple[frozenset[str], frozenset[str]]:
    """Runs, and keys of notices that were at least about to be sent."""
    runs = kept_in(url).runs
    database = Database(url)
    try:
        with database.read() as connection:
            keys = connection.execute(select(notices.c.key).where(notices.c.attempts > 0)).scalars()
            return runs, frozenset(keys)
    finally:
        database.close()


def _spooled(folder: Path) -> frozenset[str]:
    bodies = [json.loads(one.body) for path in segment_paths(folder) for one in read_segment(path).records]
    return frozenset(event["run"]["runId"] for body in bodies for event in body)


def _live_on(image: Path, known: Known, desk: Desk) -> None:
    """A start on what is left ends all that is owed."""
    (image / "watchtower.yaml").write_text(configured(desk.config))
    store = f"sqlite:///{image / STATE / 'watchtower.db'}"
    with Life(image) as life:
        life.started()

        def settled() -> bool:
            kept = kept_in(store)
            return not missing(known.answered, kept.runs) and not kept.unfinished

        until(settled, f"{image.name}: all that was answered is stored, and all that is owed has ended", PLENTY_S)
        assert life.end() == 0
