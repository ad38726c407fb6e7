"""What hangs is told at its source or feed, in `/readyz` and `/metrics`, until it goes on; all else goes on."""

import json
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alerting import meta
from tests.app.house import HTTP, House, running, until
from tests.app.polls import FakeSource, ask, polling, state_of
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.app.bills import Bills
from watchtower.app.own_alerts import OwnAlerts
from watchtower.app.stuck import Stuck
from watchtower.app.watch import Pace
from watchtower.clock import ManualClock
from watchtower.errors import StoreError
from watchtower.model.source import Page
from watchtower.pulse import Pulse, beat
from watchtower.store import alerts
from watchtower.store.database import Database
from watchtower.telemetry import metrics

QUICK = Pace(first_s=0.02, every_s=0.15, follow_s=60.0, fresh_s=0.5, audit_s=0.1)
LONG_S = 180.0


def test_a_poll_that_hangs_is_a_failure_of_its_source_until_it_ends(database: Database, clock: ManualClock) -> None:
    frame, pulse = polling(database, clock), Pulse(clock)
    source = FakeSource([[Page(mark=clock.now())], [Page(mark=clock.now())]])
    assert ask(frame, source)
    stuck = Stuck(pulse, {"poll": frame.tell_stuck}, 120)
    with pulse.of("poll:prod"):
        clock.advance(121)
        for _ in range(3):
            stuck.look(clock.now())
        known = state_of(database, "prod")
        assert (known.failures, known.recent, stuck.kinds) == (1, ".x", ("poll",))
        assert known.error is not None
        assert known.error.startswith("fake source 'prod': the poll hangs: it has not gone on for 120 s")
        assert metrics.WORK_STUCK.labels("poll:prod")._value.get() == 1  # pyright: ignore
        assert ask(frame, source), "it goes on after all"
    stuck.look(clock.now())
    known = state_of(database, "prod")
    assert (known.failures, known.error, stuck.kinds) == (0, None, ())
    assert metrics.WORK_STUCK.labels("poll:prod")._value.get() == 0  # pyright: ignore


def test_a_poll_that_takes_long_and_goes_on_is_not_told(database: Database, clock: ManualClock) -> None:
    frame, pulse = polling(database, clock), Pulse(clock)
    stuck = Stuck(pulse, {"poll": frame.tell_stuck}, 120)
    with pulse.of("poll:prod"):
        for _ in range(60):
            clock.advance(119)
            stuck.look(clock.now())
            beat()
    assert stuck.kinds == ()


def test_a_look_at_bills_that_hangs_is_an_alert_about_the_feed(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    bills = Bills(database, tmp_path, clock, "wt-test", OwnAlerts(database, clock, lambda labels: ()))
    pulse = Pulse(clock)
    stuck = Stuck(pulse, {"bill": bills.tell_stuck}, 120)
    with pulse.of("bill:aws"), pulse.of("backup"):
        clock.advance(121)
        stuck.look(clock.now())
    with database.read() as connection:
        (told,) = alerts.open_by_rule(connection, meta.BILL_MISSED)
    bills.close()
    assert told.labels["feed"] == "aws"
    assert told.annotations["summary"].startswith("feed aws: the look for bills hangs: it has not gone on for 120 s")
    assert stuck.kinds == ("backup", "bill")


def test_what_cannot_be_told_is_told_by_the_next_look(clock: ManualClock) -> None:
    pulse, told = Pulse(clock), list[str]()

    def tell(name: str, why: str, now: datetime) -> None:
        told.append(name)
        if len(told) == 1:
            raise StoreError("the store is away")

    stuck = Stuck(pulse, {"poll": tell}, 120)
    with pulse.of("poll:prod"):
        clock.advance(121)
        with pytest.raises(StoreError):
            stuck.look(clock.now())
        stuck.look(clock.now())
        stuck.look(clock.now())
    assert told == ["prod", "prod"]


# -- a running Watchtower -------------------------------------------------------------------------------------------


class Server(HttpSimulator):
    """A Prefect in which nothing ran."""

    def answer(self, request: Recorded) -> Reply:
        return Reply.of_json([])


def _ready(house: House) -> dict[str, Any]:
    return json.loads(HTTP.request("GET", f"{house.instance.url}/readyz").data)


def test_a_source_that_hangs_shows_and_a_new_configuration_is_loaded_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(datetime.now(UTC)) as server:
        one = {"name": "hangs", "base_url": server.url, "every": "5s"}
        config: dict[str, Any] = {
            "outbound": {"allow": ["127.0.0.0/8"]},
            "collectors": {"prefect": {"sources": [one]}},
        }
        gate = threading.Event()
        monkeypatch.setattr("watchtower.schedule.periodic.HANGS_S", 1.0)
        with running(tmp_path, json.dumps(config), pace=QUICK) as house:
            frame = house.instance.polling
            poll = frame.poll

            def hangs(polled: Any, now: datetime) -> bool:
                if polled.name == "hangs":
                    gate.wait()
                return poll(polled, now)

            monkeypatch.setattr(frame, "poll", hangs)
            try:
                until(lambda: "poll" in _ready(house)["stuck"], "it is told", LONG_S)
                assert _ready(house)["ready"]
                (shown,) = house.items("/api/v1/sources")
                assert "the poll hangs" in shown["error"]
                config["collectors"]["prefect"]["sources"] = [one, {**one, "name": "well"}]
                house.rewrite(json.dumps(config))
                house.instance.reload()
                until(lambda: _polled(house, "well"), "the other one is asked", LONG_S)
            finally:
                gate.set()
            until(lambda: _ready(house)["stuck"] == [], "it goes on", LONG_S)


def _polled(house: House, name: str) -> bool:
    return any(each["name"] == name and each["last_poll"] for each in house.items("/api/v1/sources"))


SERVED = """
import sys, threading
from pathlib import Path
import watchtower.schedule.periodic
from watchtower.app.polling import Polling
from watchtower.cli.main import main

def poll(self, polled, now):
    Path("hangs").touch()
    threading.Event().wait()

Polling.poll = poll
watchtower.schedule.periodic.HANGS_S = 0.2
sys.argv = ["watchtower", "serve", "--config", "w.yaml", "--state", "state", "--listen", "127.0.0.1:0"]
main()
"""


def test_a_process_ends_although_something_in_it_hangs(tmp_path: Path) -> None:
    text = 'collectors: {dagster: {sources: [{name: assets, base_url: "https://dagster.example.com", every: 5s}]}}'
    (tmp_path / "w.yaml").write_text(text)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-c", SERVED], cwd=tmp_path, stdout=log, stderr=log)
    try:
        until(lambda: (tmp_path / "hangs").exists() or process.poll() is not None, "it is asked", LONG_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG_S) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
    assert "left behind" in (tmp_path / "log").read_text()
