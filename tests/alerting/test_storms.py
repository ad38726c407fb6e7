"""Storms: whoever is on call is told of all of it within their budget, and each obligation ends with its proof."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from alerting import storms
from alerting.pipeline import Pipeline
from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.model.alert import Call, Notice
from watchtower.model.delivery import Sent
from watchtower.store import ledger
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


def test_a_message_that_fails_lets_go_of_what_it_stood_for(line: Timeline) -> None:
    line.do(40, lambda: line.providers[SMS].faults.extend([Fault.REFUSE, Fault.UNAVAILABLE]))
    _storm(line, groups=10, alerts=1, seconds=0)
    line.play(1_000)
    assert _ends(line, SMS) == Counter({("delivered", None): 10})
    assert _most_within(line.providers[SMS], WITHIN_S) <= 3


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
