"""When Watchtower itself does not work, somebody is told by a way that needs no store, and not over and over."""

import json
import os
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import running, until
from tests.simulators.webhook import WebhookSimulator
from watchtower.app import Instance, Options
from watchtower.app.emergency import Alarm, Emergency
from watchtower.clock import ManualClock, SystemClock
from watchtower.config import load_text
from watchtower.config.loading import examine
from watchtower.errors import StoreDamaged

NOW = datetime.now(UTC)


@pytest.fixture
def hook() -> Generator[WebhookSimulator]:
    with WebhookSimulator(NOW) as simulator:
        yield simulator


def config_of(hook: WebhookSimulator, **more: Any) -> str:
    return json.dumps(
        {"outbound": {"allow": ["127.0.0.0/8"]}, "emergency": {"webhook_configs": [{"url": hook.url}]}, **more}
    )


def emergency(hook: WebhookSimulator, folder: Path, clock: ManualClock) -> Emergency:
    return Emergency.of(load_text(config_of(hook)), folder, clock)


def said(hook: WebhookSimulator) -> list[str]:
    return [request.json["alerts"][0]["annotations"]["summary"] for request in hook.requests]


def test_a_cause_is_told_once_an_hour_and_its_end_once(
    hook: WebhookSimulator, tmp_path: Path, clock: ManualClock
) -> None:
    channel = emergency(hook, tmp_path, clock)
    assert channel.tell("store", "the store is damaged")
    clock.advance(3_599)
    assert not channel.tell("store", "the store is damaged")
    clock.advance(1)
    assert channel.tell("store", "the store is damaged")
    assert [channel.over("store"), channel.over("store")] == [True, False]
    first, again, over = hook.requests
    assert "does not work: the store is damaged" in said(hook)[0]
    assert [request.json["status"] for request in (first, again, over)] == ["firing", "firing", "resolved"]
    assert len(hook.ledger) == 3, "each message has a key of its own"


def test_two_causes_are_not_told_within_five_minutes(
    hook: WebhookSimulator, tmp_path: Path, clock: ManualClock
) -> None:
    channel = emergency(hook, tmp_path, clock)
    assert channel.tell("start", "locked")
    assert not channel.tell("path", "rules stand still")
    clock.advance(300)
    assert channel.tell("path", "rules stand still")


def test_a_process_that_is_started_again_and_again_tells_once(
    hook: WebhookSimulator, tmp_path: Path, clock: ManualClock
) -> None:
    told = [emergency(hook, tmp_path, clock).tell("start", "the store is gone") for _ in range(20)]
    assert told == [True] + [False] * 19
    (tmp_path / "emergency.json").write_text("{ not json")
    assert emergency(hook, tmp_path, clock).tell("start", "the store is gone"), "a spoilt note costs a message"


def test_what_mends_itself_within_two_minutes_wakes_nobody(
    hook: WebhookSimulator, tmp_path: Path, clock: ManualClock
) -> None:
    faults: list[str] = ["the store does not answer"]
    alarm = Alarm(emergency(hook, tmp_path, clock), clock, lambda: faults, lambda: None)
    alarm.look()
    clock.advance(119)
    alarm.look()
    assert said(hook) == []
    clock.advance(1)
    alarm.look()
    assert "the store does not answer" in said(hook)[0]
    faults.clear()
    alarm.look()
    assert "works again" in said(hook)[1]


def test_a_destination_that_fails_keeps_no_other_from_being_told(
    hook: WebhookSimulator, tmp_path: Path, clock: ManualClock
) -> None:
    two = {"webhook_configs": [{"url": "http://127.0.0.1:9/nobody"}, {"url": hook.url}]}
    config = load_text(json.dumps({"outbound": {"allow": ["127.0.0.0/8"]}, "emergency": two}))
    assert Emergency.of(config, tmp_path, clock).tell("store", "the disk is gone")
    assert len(hook.ledger) == 1


def test_a_store_that_is_damaged_answers_nothing_and_is_told_of_at_once(hook: WebhookSimulator, tmp_path: Path) -> None:
    with running(tmp_path, config_of(hook)) as house:
        house.fail("orders_daily")
        until(lambda: house.items("/api/v1/runs"), "the run is there")
        database = house.instance.database
        database.condemn("the store is damaged: seeded by a test")
        with pytest.raises(StoreDamaged, match="seeded"), database.read():
            pass
        status, answer = house.post(house.event("START", "orders_daily", "later"))
        assert (status, answer["stored"]) == (202, "spool"), "what comes in is kept for the store that is restored"
        house.instance.watchmen.alarm.look()
        assert "seeded by a test" in said(hook)[0]


def test_damage_in_the_file_is_found_after_the_start(hook: WebhookSimulator, tmp_path: Path) -> None:
    with running(tmp_path, config_of(hook)) as house:
        for number in range(10):
            house.store(house.event("START", "filler", f"run-{number}", note=os.urandom(50_000).hex()))
    spoil(tmp_path / "state" / "watchtower.db")
    instance = Instance(load_text(config_of(hook)), Options(tmp_path / "state", ("127.0.0.1", 0)), SystemClock())
    try:
        instance.start()
        until(lambda: instance.database.damage, "the check of a start finds it")
        instance.watchmen.alarm.look()
        assert "damaged" in said(hook)[0]
    finally:
        instance.stop()


def spoil(file: Path) -> None:
    """The last pages: of the body of an event, which no start reads."""
    whole = bytearray(file.read_bytes())
    whole[-8 * 4096 :] = b"\x5a" * 8 * 4096
    file.write_bytes(whole)


def test_a_store_whose_file_is_taken_away_is_known_to_be_lost(hook: WebhookSimulator, tmp_path: Path) -> None:
    with running(tmp_path, config_of(hook)) as house:
        (tmp_path / "state" / "watchtower.db").unlink()
        house.instance.watchmen.alarm.look()
        assert "removed or replaced" in said(hook)[0]
        assert house.instance.database.damage


def test_after_a_reload_others_are_told(hook: WebhookSimulator, tmp_path: Path) -> None:
    with running(tmp_path, config_of(hook)) as house, WebhookSimulator(hook.now) as other:
        house.config.write_text(config_of(other))
        house.instance.reload()
        house.instance.watchmen.emergency.tell("store", "it is gone")
        assert (said(hook), len(said(other))) == ([], 1)


def test_nobody_is_asked_for_an_emergency_destination() -> None:
    assert load_text("").emergency == ()
    checked = examine('emergency: {webhook_configs: [{url: "https://example.com/x"}], slak_configs: []}')
    assert [fault.path for fault in checked.faults] == ["emergency.slak_configs"]
