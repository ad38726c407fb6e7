"""Storms: whoever is on call is told of all of it within their budget, and each obligation ends with its proof."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from alerting import storms
from alerting.pipeline import Pipeline
from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.app.house import until
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert, AlertState, Call, Notice
from watchtower.model.delivery import Sent, Terms, Work
from watchtower.store import alerts, driver, ledger, outbox
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database
from watchtower.store.schema.alerting import groups, notices

CHAT, SMS, VOICE = "team/webhook[0]", "team/oncall[0]/1/primary/sms", "team/oncall[0]/1/primary/voice"
WITHIN_S = 300.0
Make = Callable[..., Timeline]


def _policy() -> Pipeline:
    text = Call("primary", severities=("page",), daily_cap=200, burst=3)
    call = Call("primary", 120, 300, 5, severities=("page",), daily_cap=200, last_resort=True, burst=1)
    receivers = {
        "team": [
            Destination(CHAT),
            Destination(SMS, send_resolved=False, call=text),
            Destination(VOICE, send_resolved=False, call=call),
        ]
    }
    return pipeline(node("team"), receivers=receivers)


class Telephone(Provider):
    """Remembers what each message stood for."""

    rings = True

    def deliver(self, notice: Notice):  # type: ignore[no-untyped-def]
        receipt = super().deliver(notice)
        self.others = [*getattr(self, "others", []), notice.others]
        return receipt


@pytest.fixture
def line(database: Database, clock: ManualClock) -> Timeline:
    made = {CHAT: Provider.like(clock), SMS: Telephone(clock), VOICE: Telephone(clock)}
    return Timeline(database, clock, _policy(), made)


def _storm(line: Timeline, *, groups: int, alerts: int, seconds: int = 60) -> None:
    """Pages in so many groups, evenly over the seconds."""
    for number in range(groups * alerts):
        at = seconds * number / (groups * alerts)
        alert = firing_alert(line.at(at), pipeline=f"p{number % groups}", task=f"t{number // groups}", severity="page")
        line.push(at, fires(line.pipeline, alert))


def _most_within(provider: Provider, seconds: float) -> int:
    times = [effect.at.timestamp() for effect in provider.effects]
    return max((sum(first <= at < first + seconds for at in times) for first in times), default=0)


def _ends(line: Timeline, destination: str) -> Counter[tuple[str, str | None]]:
    with line.database.read() as connection:
        entries = ledger.ledger(connection, ledger.Filter(destination=destination), limit=10_000)
    proofs = {f"id-{effect.key}" for effect in line.providers[destination].effects}
    assert all(entry.provider_id in proofs for entry in entries if entry.state == "delivered")
    return Counter((entry.state.value, entry.reason) for entry in entries)


@pytest.mark.parametrize(
    ("sent_ago_s", "waits_s"),
    [
        ((), None),
        ((0,), None),
        ((10, 11), 10),
        ((19, 30), 1),
        ((20, 30), None),
        ((1, 2, 3), 297),
        ((1, 2, 3, 4), 297),
        ((25, 30, 299), 1),
        ((25, 30, 300), None),
        ((-5, 30), None),
    ],
)
def test_after_two_texts_the_last_one_gathers_and_after_it_the_window_has_to_pass(
    clock: ManualClock, sent_ago_s: tuple[int, ...], waits_s: int | None
) -> None:
    planned = next(item for item in _policy().plan({"severity": "page"}) if item.destination == SMS)
    sent = Sent(len(sent_ago_s), lately=tuple(clock.now() - timedelta(seconds=ago) for ago in sent_ago_s))
    until = storms.waits_until(planned, lambda: sent, clock.now())
    assert until == (None if waits_s is None else clock.now() + timedelta(seconds=waits_s))
    assert storms.is_last(planned, lambda: sent) is (len(sent_ago_s) >= 2)
    chat = next(item for item in _policy().plan({"severity": "page"}) if item.destination == CHAT)
    assert storms.waits_until(chat, lambda: sent, clock.now()) is None
    assert not storms.is_last(chat, lambda: sent)


def test_a_storm_is_three_texts_and_one_call_in_five_minutes_and_nothing_is_dropped(line: Timeline) -> None:
    _storm(line, groups=12, alerts=3)
    line.play(290)
    texts, calls, chat = line.providers[SMS], line.providers[VOICE], line.providers[CHAT]
    assert (len(texts.effects), len(calls.effects)) == (3, 1)
    line.play(1_000)
    assert len(chat.effects) <= 2 * 12
    assert _most_within(texts, WITHIN_S) <= 3
    assert _most_within(calls, WITHIN_S) <= 1
    for destination in (CHAT, SMS, VOICE):
        assert _ends(line, destination) == Counter({("delivered", None): 36}), destination
    assert line.store.overdue(line.clock.now()) == []


def test_the_last_text_of_the_budget_stands_for_all_that_waits(line: Timeline) -> None:
    _storm(line, groups=20, alerts=1, seconds=0)
    line.play(100)
    texts = line.providers[SMS]
    assert [(effect.at - line.beginning).total_seconds() for effect in texts.effects] == [30, 30, 50]
    assert getattr(texts, "others", None) == [(0, 0), (0, 0), (17, 17)]
    assert _ends(line, SMS) == Counter({("delivered", None): 20})


def test_what_comes_after_the_last_text_waits_for_the_next_one_and_is_told_by_it(line: Timeline) -> None:
    _storm(line, groups=5, alerts=1, seconds=0)
    late = firing_alert(line.at(60), pipeline="late", severity="page")
    line.push(60, fires(line.pipeline, late))
    line.play(400)
    texts = line.providers[SMS].effects
    assert [(effect.at - line.beginning).total_seconds() for effect in texts] == [30, 30, 50, 330]
    assert texts[-1].firing == (late.id,)


def test_a_message_that_fails_stands_for_the_same_when_it_is_tried_again(line: Timeline) -> None:
    line.do(40, lambda: line.providers[SMS].faults.extend([Fault.REFUSE, Fault.UNAVAILABLE]))
    _storm(line, groups=10, alerts=1, seconds=0)
    line.play(1_000)
    assert _ends(line, SMS) == Counter({("delivered", None): 10})
    assert _most_within(line.providers[SMS], WITHIN_S) <= 3


def test_what_ended_or_was_silenced_before_the_message_arrived_is_not_told_by_it(line: Timeline) -> None:
    """Nobody can be told from second 40 on; before they can, the first of those that wait is over and the second one
    silenced."""
    held = [firing_alert(line.at(0), pipeline=f"p{number}", severity="page") for number in range(6)]
    line.push(0, fires(line.pipeline, *held))
    line.do(40, lambda: setattr(line.providers[SMS], "always", Fault.UNAVAILABLE))
    line.do(60, lambda: _end_one_that_waits(line, held))
    line.do(70, lambda: _silence_one_that_waits(line, held))
    line.do(100, lambda: setattr(line.providers[SMS], "always", None))
    line.play(1_000)
    assert _ends(line, SMS) == Counter(
        {
            ("delivered", None): 4,
            ("superseded", "resolved_before_notice"): 1,
            ("superseded", "never_told"): 1,
            ("superseded", "silenced"): 1,
        }
    )
    assert getattr(line.providers[SMS], "others", [])[-1] == (2, 2), "what is silenced is found out at its own turn"
    assert line.store.overdue(line.clock.now()) == []


def _waiting(line: Timeline, held: list[Alert]) -> list[Alert]:
    """Those that no text has told, and that ride with the one that is tried again and again."""
    with line.database.read() as connection:
        query = select(groups.c.labels).join(notices, notices.c.group_id == groups.c.id)
        riding = {row["pipeline"] for row in connection.execute(query.where(notices.c.rides.is_not(None))).scalars()}
    return [alert for alert in held if alert.labels["pipeline"] in riding and alert.id not in _over(line)]


def _over(line: Timeline) -> set[str]:
    with line.database.read() as connection:
        listed = alerts.list_alerts(connection, states=[AlertState.RESOLVED])
    return {item.alert.id for item in listed}


def _end_one_that_waits(line: Timeline, held: list[Alert]) -> None:
    over = _waiting(line, held)[0]
    line.commit(resolves(line.pipeline, resolved_alert(over, line.clock.now())))


def _silence_one_that_waits(line: Timeline, held: list[Alert]) -> None:
    name = _waiting(line, held)[0].labels["pipeline"]
    line.silence(f'pipeline="{name}"', 9_000)


def test_a_retry_of_a_message_that_stands_for_others_does_not_read_their_alerts(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Call("primary", severities=("page",), daily_cap=200, burst=1)
    policy = pipeline(node("team"), receivers={"team": [Destination(SMS, send_resolved=False, call=person)]})
    line = Timeline(database, clock, policy, {SMS: Telephone(clock)})
    telephone = line.providers[SMS]
    telephone.always = Fault.UNAVAILABLE
    line.push(0, fires(policy, firing_alert(line.at(0), pipeline="first", severity="page")))
    names = [(f"p{number % 5}", f"t{number}") for number in range(500)]
    many = [firing_alert(line.at(1), pipeline=name, task=task, severity="page") for name, task in names]
    line.push(1, fires(policy, *many))
    line.play(600)
    read = _count_rows(monkeypatch)
    before = telephone.requests
    line.play(7_200)
    retries = telephone.requests - before
    assert retries > 20
    assert len(read) / retries < 100
    monkeypatch.undo()
    telephone.always = None
    line.play(9_000)
    assert (getattr(telephone, "others", None), _ends(line, SMS)) == ([(500, 5)], Counter({("delivered", None): 501}))


def _count_rows(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """As long as the number of rows that statements have read since."""
    read: list[None] = []
    rows = driver.rows

    def counted(*asked: Any) -> list[Any]:
        found = rows(*asked)
        read.extend([None] * len(found))
        return found

    monkeypatch.setattr(driver, "rows", counted)
    return read


def test_what_stood_for_others_and_was_taken_without_an_answer_is_found_with_all_of_them(line: Timeline) -> None:
    line.do(40, lambda: line.providers[SMS].faults.append(Fault.TAKEN_THEN_TIMEOUT))
    _storm(line, groups=10, alerts=1, seconds=0)
    line.play(1_000)
    texts = line.providers[SMS].effects
    assert [(effect.at - line.beginning).total_seconds() for effect in texts] == [30, 30, 50]
    assert _ends(line, SMS) == Counter({("delivered", None): 10})


def test_a_given_up_message_lets_the_others_be_told_by_themselves(line: Timeline) -> None:
    line.do(40, lambda: line.providers[SMS].faults.append(Fault.PERMANENT))
    _storm(line, groups=10, alerts=1, seconds=0)
    line.play(1_000)
    assert _ends(line, SMS) == Counter({("delivered", None): 10, ("dead_letter", "rejected"): 1})


class Died(BaseException):
    """The process is gone: nothing may catch it."""


def test_a_sender_that_dies_with_a_message_that_stands_for_others_costs_nothing(line: Timeline) -> None:
    def die(notice: Notice) -> None:
        if notice.others != (0, 0):
            line.providers[SMS].before_answer = None
            raise Died

    line.providers[SMS].before_answer = die
    _storm(line, groups=10, alerts=1, seconds=0)
    with pytest.raises(Died):
        line.play(1_000)
    line.restart()
    line.play(1_000)
    assert len(line.providers[SMS].effects) == 3
    assert _ends(line, SMS) == Counter({("delivered", None): 10})


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_two_replicas_that_claim_for_one_person_at_once_keep_to_the_cap(
    database: Database, database_url: str, clock: ManualClock
) -> None:
    person = Call("primary", severities=("page",), daily_cap=1)
    policy = pipeline(node("team", wait=0), receivers={"team": [Destination(SMS, send_resolved=False, call=person)]})
    store, now = SqlAlertingStore(database), clock.now()
    two = [firing_alert(now, pipeline=name, severity="page") for name in ("p0", "p1")]
    database.write(lambda connection: alerts.write_outcome(connection, fires(policy, *two), now))
    store.flush(now, "first", policy.flush)
    terms, decide = Terms("rival", 30.0, 10.0), partial(policy.decide, rings=True)
    claimed, go_on = Event(), Event()

    def slowly(connection: Connection) -> Work | None:
        found = outbox.claim(connection, SMS, now, terms, decide)[1]
        claimed.set()
        go_on.wait(120)
        return found

    rival = Database(database_url)
    try:
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(rival.write, slowly)
            assert claimed.wait(60)
            second = pool.submit(store.claim, SMS, now, terms, decide)
            until(lambda: _waiting_locks(database), "the second one waits for its turn")
            go_on.set()
            assert first.result(60) is not None
            assert second.result(60)[1] is None
    finally:
        go_on.set()
        rival.close()


def _waiting_locks(database: Database) -> int:
    with database.read() as connection:
        query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return int(connection.execute(query).scalar_one())


def test_a_page_passes_by_the_tickets_that_wait_and_a_ticket_the_rest(line: Timeline) -> None:
    for number, severity in enumerate(["info"] * 60 + ["ticket"] * 60 + ["page"]):
        alert = firing_alert(line.at(0), pipeline=f"p{number:03}", severity=severity)
        line.push(0, fires(line.pipeline, alert))
    line.do(29, lambda: line.providers[CHAT].faults.extend([Fault.REFUSE] * 3))  # all of it has to wait
    line.play(40)
    told = [effect.labels[0] for effect in line.providers[CHAT].effects]
    assert told[0] == "RunFailed:p120"
    assert all(name >= "RunFailed:p060" for name in told[1:61])


def test_the_groups_that_hold_pages_are_looked_at_first(line: Timeline) -> None:
    """Of more groups than one transaction takes."""
    for number, severity in enumerate(["ticket"] * 60 + ["page"]):
        line.commit(fires(line.pipeline, firing_alert(line.at(0), pipeline=f"p{number:03}", severity=severity)))
    line.store.flush(line.at(30), "first", line.pipeline.flush)
    with line.database.read() as connection:
        waiting = select(groups.c.labels).join(notices, notices.c.group_id == groups.c.id)
        told = {row["pipeline"] for row in connection.execute(waiting).scalars()}
    assert "p060" in told
    assert len(told) == 50
