"""Who watches Watchtower: its own event goes through the whole path, nobody sees it, and whatever stands still, the
heartbeat to outside falls silent."""

import json
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter
from sqlalchemy import Connection, func, select

from tests.app.house import HTTP, House, running, until
from tests.simulators.http import HttpSimulator, Recorded, Reply
from tests.simulators.webhook import WebhookSimulator
from watchtower.app import backups
from watchtower.app.tasks import Progress
from watchtower.app.walking import Walker
from watchtower.app.watch import PACE, Pace, process_id
from watchtower.clock import ManualClock, SteadyClock
from watchtower.model.round_trip import DESTINATION, KIND, Stage, Trip
from watchtower.server.receiving import Receiver
from watchtower.server.replaying import Replayer
from watchtower.spool import Spooled
from watchtower.store import due, round_trips
from watchtower.store.database import Database
from watchtower.store.schema import alerting, observed
from watchtower.telemetry import metrics

QUICK = Pace(first_s=0.02, every_s=0.15, follow_s=60.0, fresh_s=0.5, audit_s=0.1)
LONG_S = 180.0  # a machine that does much else may let a trip take longer than it may take while all is well
FAR = "2099-01-01T00:00:00Z"
SILENT_AFTER = 3  # heartbeats withheld in a row


class Outside(HttpSimulator):
    """A service that waits for heartbeats. ledger: one for each."""

    def answer(self, request: Recorded) -> Reply:
        self.ledger.append("beat")
        return Reply(200)


@contextmanager
def watched(
    folder: Path, store: str = "", pace: Pace = QUICK, beats_every: str = "50ms", **more: Any
) -> Generator[tuple[House, Outside]]:
    with Outside(datetime.now(UTC)) as outside:
        heartbeat = {"url": outside.url, "every": beats_every}
        config = {"outbound": {"allow": ["127.0.0.0/8"]}, "heartbeat": heartbeat, **more}
        if store:
            config["store"] = store
        with running(folder, json.dumps(config), pace=pace) as house:
            yield house, outside


def test_a_round_trip_goes_through_the_whole_path_and_is_shown_to_nobody(database_url: str, tmp_path: Path) -> None:
    with watched(tmp_path, database_url) as (house, outside):
        until(lambda: _age_s(house) is not None, "a trip is back", LONG_S)
        until(lambda: outside.ledger, "a heartbeat")
        assert house.items("/api/v1/alerts") == house.items("/api/v1/incidents") == house.items("/api/v1/jobs") == []
        ledger = house.get("/api/v1/ledger")
        assert (ledger["items"], set(ledger["totals"].values())) == ([], {0})
        assert house.items("/api/v1/deliveries") == []
        headers = {"Authorization": f"Bearer {house.reader}"}
        page = HTTP.request("GET", f"{house.instance.url}/metrics", headers=headers).data.decode()
        shown = [line for line in page.splitlines() if DESTINATION in line or f'kind="{KIND}"' in line]
        assert [line for line in shown if not line.startswith("watchtower_rule_evaluations_total")] == []
        assert "watchtower_round_trip_last_timestamp_seconds" in page
        until(lambda: _left(house.instance.database) <= 1, "what came back is let go")


def test_while_all_is_well_no_heartbeat_is_withheld(tmp_path: Path) -> None:
    """`TRIPS=120 FASTER=10` plays an hour in six minutes, at a tenth of each time of the usual pace."""
    trips, faster = int(os.environ.get("TRIPS", "10")), float(os.environ.get("FASTER", "0"))
    usual = Pace(*(seconds / faster for seconds in astuple(PACE))) if faster else replace(QUICK, fresh_s=LONG_S)
    back, withheld = metrics.ROUND_TRIPS.labels("delivered"), metrics.HEARTBEATS.labels("withheld")
    with watched(tmp_path, pace=usual, beats_every=f"{round(60_000 / faster)}ms" if faster else "50ms") as (_, outside):
        until(lambda: outside.ledger, "a heartbeat: the first trip is back", LONG_S)
        earlier, silent = _value(back), _value(withheld)
        until(lambda: _value(back) >= earlier + trips, "so many trips are back", LONG_S + trips * usual.every_s)
        assert (_value(withheld) - silent, len(outside.ledger) > 1) == (0, True)


def test_the_ingest_route_of_round_trips_is_for_its_own_process(tmp_path: Path) -> None:
    with running(tmp_path) as house:
        url, headers = f"{house.instance.url}/api/v1/round-trip", {"Authorization": f"Bearer {house.ingest}"}
        answer = HTTP.request("POST", url, body=b"someone/1", headers=headers)
    assert answer.status == 403


def test_a_silence_of_everything_does_not_keep_a_round_trip_quiet(tmp_path: Path) -> None:
    rules = [{"source_matchers": ["severity=~.+"], "target_matchers": ["severity=~.+"]}]
    with watched(tmp_path, inhibit_rules=rules) as (house, outside):
        headers = {"Authorization": f"Bearer {house.reader}", "Content-Type": "application/json"}
        body = {"matchers": [{"name": "alertname", "op": "=~", "value": ".+"}], "ends_at": FAR, "comment": "quiet"}
        url = f"{house.instance.url}/api/v1/silences"
        answer = HTTP.request("POST", url, body=json.dumps(body).encode(), headers=headers)
        assert answer.status == 200, answer.data
        quiet_since = house.instance.clock.boottime()
        until(lambda: _came_back_at(house) > quiet_since, "a trip since", LONG_S)
        seen = len(outside.ledger)
        until(lambda: len(outside.ledger) > seen + 5, "heartbeats go on", LONG_S)


def test_a_reload_moves_the_heartbeat_ends_it_and_begins_it(tmp_path: Path) -> None:
    with watched(tmp_path) as (house, before), Outside(datetime.now(UTC)) as after:
        until(lambda: before.ledger, "a heartbeat")
        config = json.loads(house.config.read_text())
        _reload(house, {**config, "heartbeat": {"url": after.url, "every": "50ms"}})
        earlier = len(before.ledger)
        until(lambda: after.ledger, "heartbeats where they are wanted now")
        assert len(before.ledger) == earlier
        _reload(house, {name: value for name, value in config.items() if name != "heartbeat"})
        later = len(after.ledger)
        _reload(house, config)
        until(lambda: len(before.ledger) > earlier, "heartbeats again")
        assert len(after.ledger) == later


def test_a_reload_that_changes_nothing_of_the_heartbeat_leaves_it_as_it_is(tmp_path: Path) -> None:
    with watched(tmp_path) as (house, _):
        heartbeat = house.instance.watchmen.heartbeat
        _reload(house, {**json.loads(house.config.read_text()), "storage": {"low_water": "1MiB"}})
        assert house.instance.watchmen.heartbeat is heartbeat
        assert house.instance.disk is not None
        assert house.instance.disk.storage.low_water == 1 << 20


def _reload(house: House, config: dict[str, Any]) -> None:
    house.config.write_text(json.dumps(config))
    house.instance.reload()


# -- each part stands still in turn ---------------------------------------------------------------------------------

Stop = Callable[[House, pytest.MonkeyPatch, threading.Event], None]


def _hang(patch: pytest.MonkeyPatch, owner: Any, name: str, gate: threading.Event) -> None:
    inner = getattr(owner, name)

    def waits(*args: Any, **kwargs: Any) -> Any:
        gate.wait()
        return inner(*args, **kwargs)

    patch.setattr(owner, name, waits)


def _raise(patch: pytest.MonkeyPatch, owner: Any, name: str, gate: threading.Event) -> None:
    inner = getattr(owner, name)

    def raises(*args: Any, **kwargs: Any) -> Any:
        if not gate.is_set():
            raise RuntimeError("seeded by a test")
        return inner(*args, **kwargs)

    patch.setattr(owner, name, raises)


def _stop_writer(house: House, _: pytest.MonkeyPatch, gate: threading.Event) -> None:
    house.instance.database.submit_unit(lambda connection: gate.wait())


def _stop_scheduler(house: House, _: pytest.MonkeyPatch, gate: threading.Event) -> None:
    scheduler = house.instance.periodic._scheduler  # pyright: ignore[reportPrivateUsage]
    scheduler.pause()

    def goes_on() -> None:
        gate.wait()
        scheduler.resume()

    threading.Thread(target=goes_on, daemon=True).start()


def _stop_another_sender(house: House, patch: pytest.MonkeyPatch, gate: threading.Event) -> None:
    name = next(name for name in house.instance.parts.channels if name != DESTINATION)
    _hang(patch, house.instance.parts.channels[name], "deliver", gate)
    house.fail("orders_daily")


def _stop_poll(house: House, patch: pytest.MonkeyPatch, gate: threading.Event) -> None:
    """The next one: it comes within five seconds."""
    _hang(patch, house.instance.polling, "poll", gate)


def _stop_backup(house: House, patch: pytest.MonkeyPatch, gate: threading.Event) -> None:
    _hang(patch, backups, "make", gate)
    _begin(house.instance.periodic, "backup")


def _stop_bills(house: House, patch: pytest.MonkeyPatch, gate: threading.Event) -> None:
    """The next one: it comes within a second."""
    _hang(patch, house.instance.bills, "look", gate)


def _begin(periodic: Any, name: str) -> None:
    """Now, though it may not be its turn: on a machine that does much else the first one may be over already."""
    task = replace(periodic._scheduler.get_job(name).args[0], shared=False)
    threading.Thread(target=periodic.run, args=[task], daemon=True).start()


STOPS: dict[str, Stop] = {
    "ingest hangs": lambda house, patch, gate: _hang(patch, Receiver, "decode", gate),
    "ingest raises": lambda house, patch, gate: _raise(patch, Receiver, "decode", gate),
    "the store's writer hangs": _stop_writer,
    "rules hang": lambda house, patch, gate: _hang(patch, house.instance.engine, "step", gate),
    "rules raise": lambda house, patch, gate: _raise(patch, house.instance.engine, "step", gate),
    "the router hangs": lambda house, patch, gate: _hang(patch, house.instance.outbox, "turn", gate),
    "the sender hangs": lambda house, patch, gate: _hang(patch, house.instance.outbox, "drain", gate),
    "the sender raises": lambda house, patch, gate: _raise(patch, house.instance.outbox, "drain", gate),
    "another sender hangs": _stop_another_sender,
    "the walker of spans hangs": lambda house, patch, gate: _hang(patch, Walker, "_walk", gate),
    "the scheduler hangs": _stop_scheduler,
    "a poll hangs": _stop_poll,
    "the backup hangs": _stop_backup,
    "a look for bills hangs": _stop_bills,
    "the replayer of the spool raises": lambda house, patch, gate: _raise(patch, Replayer, "drain", gate),
}


def test_whatever_stands_still_the_heartbeat_falls_silent_until_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a hundredth of the usual pace; docs/operations.md has the times at the usual one."""
    withheld = metrics.HEARTBEATS.labels("withheld")
    with WebhookSimulator(datetime.now(UTC)) as hook:
        receivers = [{"name": "team", "webhook_configs": [{"url": hook.url}]}]
        route = {"receiver": "team", "group_wait": "0s"}
        rules = [{"alert": "Failed", "kind": "run_failure", "match": {"pipeline": "~.*"}, "severity": "page"}]
        collectors: dict[str, Any] = {
            "prefect": {"sources": [{"name": "prefect", "base_url": hook.url, "every": "5s"}]}
        }
        collectors |= bills_of(tmp_path)
        parts: dict[str, Any] = {"collectors": collectors, "backup": {"to": "backups", "every": "1h"}}
        with watched(tmp_path, receivers=receivers, route=route, rules=rules, **parts) as (house, outside):
            for what, stop in STOPS.items():
                seen = len(outside.ledger)
                until(lambda: len(outside.ledger) > seen + 1, f"it beats before {what}", LONG_S)  # noqa: B023
                gate = threading.Event()
                with monkeypatch.context() as patch:
                    stop(house, patch, gate)
                    try:
                        _wait_for_silence(outside, lambda: _value(withheld), what)
                    finally:
                        gate.set()


@pytest.mark.parametrize(
    ("stop", "name"), [(_stop_poll, "poll:prefect"), (_stop_backup, "backup"), (_stop_bills, "bill:aws")]
)
def test_work_that_hangs_is_named_until_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Stop, name: str
) -> None:
    with Outside(datetime.now(UTC)) as prefect:
        collectors: dict[str, Any] = {
            "prefect": {"sources": [{"name": "prefect", "base_url": prefect.url, "every": "5s"}]},
            **bills_of(tmp_path),
        }
        parts: dict[str, Any] = {"collectors": collectors, "backup": {"to": "backups", "every": "1h"}}
        with watched(tmp_path, **parts) as (house, _):
            gate = threading.Event()

            def named() -> bool:
                return any(repr(name) in fault for fault in house.instance.watchmen.faults())

            stop(house, monkeypatch, gate)
            try:
                until(named, f"{name} is named", LONG_S)
            finally:
                gate.set()
            until(lambda: not named(), f"{name} goes on", LONG_S)


def bills_of(folder: Path) -> dict[str, Any]:
    """A feed that is looked at each second, and has nothing."""
    (folder / "exports").mkdir()
    return {"focus": {"sources": [{"name": "aws", "path": "exports", "every": "1s"}]}}


def _wait_for_silence(outside: Outside, withheld: Callable[[], float], what: str) -> None:
    state = {"beats": len(outside.ledger), "since": withheld()}

    def silent() -> bool:
        if len(outside.ledger) != state["beats"]:
            state.update(beats=len(outside.ledger), since=withheld())
        return withheld() >= state["since"] + SILENT_AFTER

    until(silent, f"silence after {what}", LONG_S)


def test_a_stage_that_has_not_gone_round_is_named(clock: ManualClock) -> None:
    progress = Progress(clock, {})
    progress.advance("schedule")
    clock.advance(61)
    progress.advance("rules")
    assert progress.stalled(60) == ["schedule"]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_replica_whose_clock_is_off_says_so_and_its_heartbeat_is_withheld(database_url: str, tmp_path: Path) -> None:
    with watched(tmp_path, database_url) as (house, _):
        assert not [fault for fault in house.instance.watchmen.faults() if "apart" in fault]
    off = ManualClock(datetime.now(UTC) + timedelta(hours=1))
    with running(tmp_path, json.dumps({"store": database_url}), clock=off, live=False) as house:
        assert any("s apart" in fault for fault in house.instance.watchmen.faults())


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_replica_on_a_machine_whose_clock_is_off_keeps_to_the_stores(database_url: str, tmp_path: Path) -> None:
    off = SteadyClock(lambda: datetime.now(UTC).timestamp() - 3_600)
    with running(tmp_path, json.dumps({"store": database_url}), clock=off, live=False) as house:
        assert house.instance.database.clock_apart_s(off.now) < 1
        assert not [fault for fault in house.instance.watchmen.faults() if "apart" in fault]


# -- in the store ---------------------------------------------------------------------------------------------------


def test_a_spooled_round_trip_is_one_all_the_same(tmp_path: Path) -> None:
    with running(tmp_path) as house:
        instance = house.instance
        trip = Trip(process_id(instance.state.path), 1_760_000_000_000_000)
        instance.spool.append(Spooled(KIND, instance.clock.now(), str(trip).encode())).result()

        def stage() -> bool:
            with instance.database.read() as connection:
                return round_trips.stage_of(connection, trip) is Stage.DELIVERED

        until(stage, "it came through the spool")


def test_what_nobody_lets_go_is_let_go_by_the_next_one_an_hour_later(tmp_path: Path, clock: ManualClock) -> None:
    with running(tmp_path, clock=clock, live=False) as house:
        instance = house.instance
        trip = Trip("another", 1_760_000_000_000_000)
        instance.spool.append(Spooled(KIND, clock.now(), str(trip).encode())).result()
        until(lambda: _count(instance.database, observed.facts) or None, "it is in the store")
        while instance.step():
            pass
        assert _left(instance.database) == 1

        def forget(connection: Connection) -> int:
            return round_trips.forget(connection, "me", clock.now())

        assert instance.database.write(forget) == 0
        clock.advance(timedelta(hours=1, seconds=1).total_seconds())
        assert instance.database.write(forget) == 1
        for table in (
            *(alerting.alerts, alerting.transitions, alerting.groups, alerting.group_alerts, alerting.conversations),
            *(alerting.obligations, alerting.notices, alerting.incidents, observed.facts),
        ):
            assert _count(instance.database, table) == 0, table
        with instance.database.read() as connection:
            assert due.next_at(connection) is None


def _value(counter: Counter) -> float:
    return float(counter._value.get())  # pyright: ignore


def _age_s(house: House) -> float | None:
    """Of the newest trip, as anybody is told, also while a machine that does much else is not ready."""
    return json.loads(HTTP.request("GET", f"{house.instance.url}/readyz").data)["round_trip_age_s"]


def _came_back_at(house: House) -> float:
    """Boot time of the newest completed trip, to a millisecond; 0: none is back yet."""
    age_s = house.instance.watchmen.trips.age_s
    return 0.0 if age_s is None else house.instance.clock.boottime() - age_s - 0.001


def _left(database: Database) -> int:
    return _count(database, alerting.alerts)


def _count(database: Database, table: Any) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()
