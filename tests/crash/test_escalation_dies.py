"""As test_outbox_dies, with an escalation: the process dies in the midst of a step, and another one opens the store.

Each step is told once and at its time, whichever transaction the sender died in.
"""

import os
from pathlib import Path
from typing import Any, ClassVar

import pytest

from alerting.outbox import Outbox
from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert
from tests.alerting.routes import node, pipeline
from tests.conftest import START
from tests.crash.test_outbox_dies import DIED, MOST_POINTS, Counted, FileProvider, Point, commit, nothing
from watchtower.clock import ManualClock
from watchtower.model.alert import Call
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database

STEPS = {
    "team/oncall[0]/1/primary/sms": 0.0,
    "team/oncall[0]/1/primary/voice": 120.0,
    "team/oncall[0]/2/lead/voice": 300.0,
}
POLICY = pipeline(
    node("team", wait=0, repeat=10**8),
    receivers={
        "team": [
            Destination(name, send_resolved=False, call=Call(name.split("/")[3], after_s, daily_cap=10**6))
            for name, after_s in STEPS.items()
        ]
    },
)


class Ringing(FileProvider):
    rings: ClassVar[bool] = True


def _outbox(database: Database, clock: ManualClock, folder: Path, point: Point) -> Outbox:
    channels = {name: Ringing(folder / name.replace("/", "_"), point) for name in STEPS}
    store: Any = Counted(SqlAlertingStore(database), point)
    return Outbox(store, channels, POLICY, clock)


def _live(url: str, clock: ManualClock, folder: Path, die_at: int) -> int:
    """One life, in a process of its own: it dies at its die_at-th point. Its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            left = die_at

            def point() -> None:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(DIED)

            database = Database(url)
            _outbox(database, ManualClock(clock.now()), folder, point).step()
            database.close()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _finish(url: str, clock: ManualClock, folder: Path) -> None:
    """Another process goes on until leases and settle times are over."""
    database = Database(url)
    outbox = _outbox(database, clock, folder, nothing)
    for _ in range(6):
        outbox.step()
        clock.advance(11)
    database.close()


def _told(folder: Path) -> dict[str, int]:
    """How many different notices each step has seen; each of them once."""
    keys = {name: Ringing(folder / name.replace("/", "_"), nothing).keys() for name in STEPS}
    assert all(len(set(seen)) == len(seen) for seen in keys.values()), f"seen twice: {keys}"
    return {name: len(seen) for name, seen in keys.items()}


@pytest.mark.parametrize("dies_in", STEPS.values(), ids=lambda after_s: f"step at {after_s:g} s")
def test_a_step_is_told_once_wherever_its_sender_dies(database_url: str, tmp_path: Path, dies_in: float) -> None:
    clock = ManualClock(START)
    deaths = 0
    for die_at in range(MOST_POINTS):
        folder = tmp_path / str(die_at)
        folder.mkdir()
        begun, status = clock.now(), 0
        commit(database_url, clock, fires(POLICY, firing_alert(begun, severity="page", pipeline=f"orders{die_at}")))
        for after_s in STEPS.values():
            clock.advance(after_s - (clock.now() - begun).total_seconds())
            if after_s == dies_in:
                status = _live(database_url, clock, folder, die_at)
                assert status in (0, DIED)
            _finish(database_url, clock, folder)
            assert _told(folder) == {name: int(due <= after_s) for name, due in STEPS.items()}, f"died at {die_at}"
        if status == 0:
            break
        deaths += 1
    assert 5 < deaths < MOST_POINTS
