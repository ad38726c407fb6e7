"""A process is suspended between its claim and its send for longer than its lease; a replica takes over, and when the
first one goes on it sends nothing (promise P10)."""

import os
import shutil
import signal
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alerting import outbox
from tests.app.house import HTTP, until
from tests.crash.conftest import Ground
from tests.crash.desks import KINDS, Desk, configured
from tests.crash.lives import STATE, Life, run_of
from tests.crash.points import COMMITTED, of
from tests.crash.verdict import Figures, kept_in, missing, twice
from watchtower.app.watch import RoundTrips

pytestmark = pytest.mark.usefixtures("warmed")

CASES = int(os.environ.get("SUSPENSIONS", "2"))
LEASE_S = 3.0  # a tenth, as all that follows from it
SEND_TIMEOUT_S = 1.0
PLENTY_S = 240.0  # on a machine that does much else
# The claim is committed; what comes next is the look at the clock, and then the send.
CLAIMED = next(point for point in of("sender") if point.when == COMMITTED)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("kind", "ahead_s"), [("webhook", 120.0), ("slack", None)])
def test_a_sender_that_stood_still_beyond_its_lease_sends_nothing(
    kind: str, ahead_s: float | None, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ahead_s: of the clock of its machine. By that, its lease would hold for two minutes more."""
    monkeypatch.setattr(outbox, "LEASE_S", LEASE_S)
    monkeypatch.setattr(outbox, "SEND_TIMEOUT_S", SEND_TIMEOUT_S)
    # A round trip of its own is claimed, too, and could be what it stops at, before it has answered.
    monkeypatch.setattr(RoundTrips, "_run", _makes_none)
    figures = Figures()
    acknowledged: set[str] = set()
    with KINDS[kind].open(datetime.now(UTC)) as desk:
        folders = [ground.folder / "a", ground.folder / "b"]
        for folder in folders:
            folder.mkdir(parents=True)
            (folder / "watchtower.yaml").write_text(configured(desk.config, ground.store))
        for number in range(CASES):
            seen = len(desk.seen())
            with Life(folders[0], point=CLAIMED, stops=True, ahead_s=ahead_s) as sleeper:
                sleeper.started()
                if not (folders[1] / STATE).exists():
                    shutil.copytree(folders[0] / STATE / "keys", folders[1] / STATE / "keys")
                run = str(uuid.uuid4())
                assert sleeper.post(*run_of(f"orders_{number}", run, datetime.now(UTC), "START", "FAIL")) in (200, 202)
                acknowledged.add(run)
                until(lambda: _is_stopped(sleeper.pid), "it stands still")
                assert len(desk.seen()) == seen
                with Life(folders[1]) as rival:
                    rival.started()
                    until(lambda: _tell_time(desk) and len(desk.seen()) > seen, "the other one sends", PLENTY_S)  # noqa: B023
                    until(lambda: _is_on_record(rival.url), "and that is on record", PLENTY_S)
                    told = len(desk.simulator.requests)
                    os.kill(sleeper.pid, signal.SIGCONT)
                    assert sleeper.end() == 0
                    figures.kills += 1
                    assert rival.end() == 0
                later = [request.path for request in desk.simulator.requests[told:]]
                assert not [path for path in later if kind == "webhook" or path.endswith("postMessage")], later
        kept = kept_in(ground.store)
        figures.events, figures.obligations = 2 * len(acknowledged), kept.obligations
        figures.duplicates = len(twice(desk.seen()))
    figures.lost = len(missing(acknowledged, kept.runs)) + len(kept.unfinished)
    ground.record(figures)
    assert (missing(acknowledged, kept.runs), kept.unfinished, twice(desk.seen())) == ([], (), [])


def _makes_none(_: RoundTrips) -> None:
    return None


def _is_on_record(url: str) -> bool:
    """Nothing is owed any more: whatever is sent from now on is sent for nothing."""
    answer = HTTP.request("GET", f"{url}/api/v1/ledger?limit=100")
    return {item["state"] for item in answer.json()["items"]} == {"delivered"}


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _tell_time(desk: Desk) -> bool:
    desk.at(datetime.now(UTC))
    return True
