"""Input that nothing can be made of is set aside after three tries, whatever dies of it, and the queue goes on."""

import json
import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3
from sqlalchemy import select

from alerting.channels.webhook import Webhook
from tests.app.house import HTTP, House, event, running, until
from tests.crash.desks import KINDS, configured
from tests.crash.lives import STATE, Died, Life, run_of, warm
from tests.otlp import body as body_of
from tests.otlp import span
from watchtower.clock import ManualClock
from watchtower.lives import POISON_AFTER, Lives, mark_of
from watchtower.server.receiving import Receiver
from watchtower.spool import Spool, Spooled
from watchtower.store.schema.alerting import notices

KILLED = 137


def test_a_piece_of_work_is_known_by_the_lives_that_died_of_it(tmp_path: Path) -> None:
    for died in range(3):
        lives = Lives(tmp_path)
        assert lives.died_of("spool 1") == died
        marked = lives.attempt("spool 1")
        marked.__enter__()  # and the process is gone
    with Lives(tmp_path).attempt("spool 1"):
        pass
    assert Lives(tmp_path).died_of("spool 1") == 0, "one that went well takes the mark away"


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: pytest.TempPathFactory) -> None:
    warm(tmp_path_factory.mktemp("poison") / "warm")


@pytest.mark.usefixtures("warmed")
def test_a_spooled_body_that_kills_its_process_three_times_is_set_aside_and_the_next_one_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = str(uuid.uuid4())
    (tmp_path / "watchtower.yaml").write_text("rules: []\n")
    with Life(tmp_path) as life:
        assert life.started().end() == 0
    spool = Spool(tmp_path / STATE / "spool")
    for body in (b"poison", json.dumps(run_of("orders_daily", good, datetime.now(UTC), "START")).encode()):
        spool.append(Spooled("openlineage", datetime.now(UTC), body)).result()
    spool.close()
    monkeypatch.setattr(Receiver, "decode", _deadly(Receiver.decode))
    deaths = 0
    while deaths <= 2 * POISON_AFTER:
        with Life(tmp_path) as life:
            try:
                life.started()
                until(lambda: life.is_dead() or _is_stored(life.url), "it dies, or goes on")
            except Died:
                pass
            if not life.is_dead():
                assert life.end() == 0
                break
            deaths += 1
    assert deaths == POISON_AFTER + 1, "once with its neighbours, then alone"
    with running(tmp_path) as house:
        (kept,) = house.items("/api/v1/quarantine")
        assert (kept["reason"], kept["head"]) == ("poison", "poison")


def _deadly(decode: Callable[..., Any]) -> Callable[..., Any]:
    def deadly(self: Receiver, record: Spooled) -> Any:
        if record.body == b"poison":
            os._exit(KILLED)
        return decode(self, record)

    return deadly


def _is_stored(url: str) -> bool:
    try:
        answer = HTTP.request("GET", f"{url}/api/v1/runs")
    except (urllib3.exceptions.HTTPError, OSError):
        return False
    return bool(answer.status == 200 and answer.json()["items"])


def test_a_notice_on_which_its_channel_fails_is_a_dead_letter_and_the_others_are_told(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = Webhook.deliver

    def fails(self: Webhook, notice: Any) -> Any:
        if notice.group_labels.get("pipeline") == "orders_poison":
            raise KeyError("a fault of the channel")
        return deliver(self, notice)

    monkeypatch.setattr(Webhook, "deliver", fails)
    with (
        KINDS["webhook"].open(clock.now()) as desk,
        running(tmp_path, configured(desk.config), clock=clock, live=False) as house,
    ):
        _fail(house, "orders_poison")
        _fail(house, "orders_well")
        for _ in range(20):
            while house.instance.step():
                pass
            clock.advance(11)
        found = {(item["state"], item["attempts"]) for item in house.items("/api/v1/ledger")}
        assert ("dead_letter", POISON_AFTER) in found
        assert ("delivered", 1) in found
        names = {alert["labels"]["alertname"] for alert in house.items("/api/v1/alerts")}
        assert "WatchtowerDeliveryFailed" in names


def test_what_processes_died_of_while_it_was_sent_is_not_tried_again(tmp_path: Path, clock: ManualClock) -> None:
    with (
        KINDS["webhook"].open(clock.now()) as desk,
        running(tmp_path, configured(desk.config), clock=clock, live=False) as house,
    ):
        _fail(house, "orders_poison")
        while house.instance.engine.step(clock.now()):
            pass
        house.instance.outbox.turn(clock.now())
        (item,) = house.items("/api/v1/ledger")
        house.instance.lives._died[_mark_of(house)] = POISON_AFTER  # pyright: ignore[reportPrivateUsage]
        while house.instance.step():
            pass
        assert house.get(f"/api/v1/deliveries/{item['id']}")["state"] == "dead_letter"
        assert desk.seen() == []


def _mark_of(house: House) -> str:
    with house.instance.database.read() as connection:
        return mark_of(f"notice {connection.execute(select(notices.c.id)).scalar_one()}")


def test_a_batch_of_spans_of_which_processes_died_is_set_aside(tmp_path: Path, clock: ManualClock) -> None:
    with running(tmp_path, clock=clock, live=False) as house:
        instance = house.instance
        body = body_of(span(1))
        instance.spool.append(Spooled("otlp_traces", clock.now(), body, "application/x-protobuf")).result()
        until(instance.walker.next_at, "the batch is stored")
        instance.lives._died[mark_of("spans 1")] = POISON_AFTER  # pyright: ignore[reportPrivateUsage]
        instance.walker.step(clock.now())
        (kept,) = house.items("/api/v1/quarantine")
        assert (kept["collector"], kept["reason"]) == ("otlp_traces", "poison")
        assert instance.walker.next_at() is None


def test_what_is_in_quarantine_is_tried_again_while_the_server_runs_and_a_repeat_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> Any:
        raise RuntimeError("a fault of the collector")

    with running(tmp_path) as house:
        collector = type(house.instance.services.collectors["openlineage"])
        with monkeypatch.context() as patch:
            patch.setattr(collector, "decode", refuses)
            house.store(event(datetime.now(UTC), "START", "orders_daily", str(uuid.uuid4())))
            first = house.send("/api/v1/quarantine/replay")
            assert (first["kept"], first["understood"]) == (1, 0)
        assert [item["attempts"] for item in house.items("/api/v1/quarantine")] == [1]
        again = house.send("/api/v1/quarantine/replay")
        assert (again["kept"], again["understood"]) == (1, 1)
        assert house.send("/api/v1/quarantine/replay")["kept"] == 0
        assert len(house.items("/api/v1/runs")) == 1


def _fail(house: House, pipeline: str) -> None:
    run, now = str(uuid.uuid4()), house.instance.clock.now()
    house.store(*[event(now, kind, pipeline, run) for kind in ("START", "FAIL")])
