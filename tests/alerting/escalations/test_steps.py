"""When each step of an escalation is told, and what stops it: in virtual time against a real store, on both engines."""

from datetime import datetime, timedelta

import pytest

from alerting import escalation
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.escalations.steps import (
    CALL,
    CHAT,
    MINUTE,
    SECOND,
    TEXT,
    THIRD,
    Make,
    acknowledge,
    fates,
    only_incident,
    page,
    policy,
    step,
    take_back,
)
from tests.simulators.provider import Fault
from tests.timeline import Timeline, between
from watchtower.store import conversations

# -- the waits --------------------------------------------------------------------------------------------------------


def test_each_step_is_told_at_its_time_while_nobody_answers(make: Make) -> None:
    line = make()
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.play(60 * MINUTE)
    line.want(between(0, 0), TEXT, firing=1, reason="first")
    line.want(between(120, 120), CALL, firing=1, reason="first")
    line.want(between(300, 300), SECOND, firing=1)
    line.want(between(900, 900), THIRD, firing=1)
    line.want_nothing_else()


def test_every_step_is_owed_from_the_start(make: Make) -> None:
    line = make()
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.play(10)
    assert fates(line) == {TEXT: ("delivered", None), **dict.fromkeys((CALL, SECOND, THIRD), ("due", None))}
    line.play(14 * MINUTE)
    assert line.store.overdue(line.clock.now()) == []


def test_the_waits_count_from_the_first_telling_and_not_from_the_firing(make: Make) -> None:
    line = make(policy(wait=30))
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.play(6 * MINUTE)
    line.want(between(30, 30), TEXT)
    line.want(between(150, 150), CALL)
    line.want(between(330, 330), SECOND)
    line.want_nothing_else()


@pytest.mark.parametrize("severity", ["ticket", "info"])
def test_what_is_no_page_reaches_nobody_on_call(make: Make, severity: str) -> None:
    line = make(policy(chat=True))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), severity=severity, pipeline="orders")))
    line.play(60 * MINUTE)
    line.want(between(0, 0), CHAT, firing=1)
    line.want_nothing_else()
    assert {name for name, *_ in line.obligations()} == {CHAT}


def test_a_page_that_joins_a_group_of_tickets_begins_its_own_escalation(make: Make) -> None:
    line = make(policy(chat=True))
    ticket = firing_alert(line.at(0), name="Slow", severity="ticket", pipeline="orders")
    urgent = page(line, 3600)
    line.push(0, fires(line.pipeline, ticket))
    line.push(3600, fires(line.pipeline, urgent))
    line.push(3800, resolves(line.pipeline, resolved_alert(urgent, line.at(3800))))
    line.play(3 * 3600)
    line.want(between(0, 0), CHAT, firing=1)
    line.want(between(3600, 3600), CHAT, firing=2)
    assert line.want(between(3600, 3600), TEXT, firing=1).labels == ("RunFailed:orders",)
    line.want(between(3720, 3720), CALL, firing=1)
    line.want(between(3900, 3900), CHAT, firing=1, resolved=1)
    line.want_nothing_else()


# -- what stops it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "reached"), [(1, [TEXT]), (119, [TEXT]), (121, [TEXT, CALL]), (301, [TEXT, CALL, SECOND])]
)
def test_an_acknowledgement_stops_whatever_was_still_to_come(make: Make, second: float, reached: list[str]) -> None:
    line = make()
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(second, lambda: acknowledge(line))
    line.play(3 * 3600)
    for name in reached:
        line.want(between(0, second), name)
    line.want_nothing_else()
    assert fates(line) == {
        name: ("delivered", None) if name in reached else ("superseded", "acknowledged")
        for name in (TEXT, CALL, SECOND, THIRD)
    }


def test_an_acknowledgement_before_the_first_telling_stops_everything(make: Make) -> None:
    line = make(policy(wait=30, chat=True))
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(10, lambda: acknowledge(line))
    line.play(3 * 3600)
    line.want(between(30, 30), CHAT, firing=1)
    line.want_nothing_else()
    assert {fate for name, fate in fates(line).items() if name != CHAT} == {("superseded", "acknowledged")}


def test_an_acknowledgement_stops_a_text_that_waits_for_its_provider(make: Make) -> None:
    line = make()
    line.providers[TEXT].always = Fault.RATE_LIMITED
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(30, lambda: acknowledge(line))
    line.do(40, lambda: setattr(line.providers[TEXT], "always", None))
    line.play(3600)
    line.want_nothing_else()
    assert fates(line)[TEXT] == ("superseded", "acknowledged")


def test_what_is_over_before_its_step_is_never_told_there(make: Make) -> None:
    line = make()
    alert = page(line, 0)
    line.push(0, fires(line.pipeline, alert))
    line.push(200, resolves(line.pipeline, resolved_alert(alert, line.at(200))))
    line.play(3600)
    line.want(between(0, 0), TEXT)
    line.want(between(120, 120), CALL)
    line.want_nothing_else()
    assert fates(line)[SECOND] == ("superseded", "resolved_before_notice")


def test_a_step_goes_on_though_the_provider_of_the_one_before_is_away(make: Make) -> None:
    line = make()
    line.providers[TEXT].always = Fault.REFUSE
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.play(6 * MINUTE)
    line.want(between(120, 120), CALL)
    line.want(between(300, 300), SECOND)
    line.want_nothing_else()


# -- an acknowledgement that ends -------------------------------------------------------------------------------------


def test_an_acknowledgement_taken_back_lets_the_escalation_go_on_from_where_it_stood(make: Make) -> None:
    line = make()
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(180, lambda: acknowledge(line))
    line.do(1180, lambda: take_back(line))
    line.play(1180 + 600)
    line.want(between(0, 0), TEXT, reason="first")
    line.want(between(120, 120), CALL, reason="first")
    line.want(between(1180, 1180), TEXT, reason="repeat")
    line.want(between(1180, 1180), CALL, reason="repeat")
    line.want(between(1300, 1300), SECOND, reason="first")  # 2 of its 5 min were left
    line.want_nothing_else()


def test_an_acknowledgement_that_runs_out_lets_it_go_on_too(make: Make) -> None:
    line = make()
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(60, lambda: acknowledge(line, ack_for=timedelta(hours=1)))
    line.play(60 + 3600 + 200)
    line.want(between(0, 0), TEXT)
    line.want(between(3660, 3660), TEXT, reason="repeat")
    line.want(between(3720, 3720), CALL, reason="first")
    line.want_nothing_else()


def test_several_acknowledgements_are_all_time_that_does_not_count(make: Make) -> None:
    line = make(policy([step(TEXT), step(SECOND, 5 * MINUTE)]))
    line.push(0, fires(line.pipeline, page(line, 0)))
    for second in (60, 600, 1200):
        line.do(second, lambda: acknowledge(line))
        line.do(second + 400, lambda: take_back(line))
    line.play(3600)
    # 60 s, then 460…600, then 1000…1100: five minutes without the 1200 s in which somebody had it
    line.want(between(1100, 1100), SECOND, reason="first")
    assert len(line.providers[SECOND].effects) >= 1
    assert line.providers[SECOND].effects[0].at == line.at(1100)


def test_a_new_alert_of_an_acknowledged_group_is_told_and_escalates_by_itself(make: Make) -> None:
    line = make()
    old, new = page(line, 0, task="a"), page(line, 3600, task="b")
    line.push(0, fires(line.pipeline, old))
    line.do(60, lambda: acknowledge(line))
    line.push(3600, fires(line.pipeline, new))
    line.play(3600 + 10 * MINUTE)
    line.want(between(0, 0), TEXT, firing=1)
    start = (line.want(between(3600, 3900), TEXT, firing=2, reason="new_alerts").at - line.beginning).total_seconds()
    assert line.want(between(start + 120, start + 120), CALL, firing=1).firing == (new.id,)
    assert line.want(between(start + 300, start + 300), SECOND, firing=1).firing == (new.id,)
    line.want_nothing_else()


# -- what people are shown of it --------------------------------------------------------------------------------------


def shown(line: Timeline) -> list[tuple[str, float | None, float | None]]:
    """Of each step in order: method, when it was told, and when it is told (again) if nobody takes the incident."""
    with line.database.read() as connection:
        rungs = escalation.rungs(conversations.of_incident(connection, only_incident(line)), line.clock.now())

    def second(at: datetime | None) -> float | None:
        return None if at is None else (at - line.beginning).total_seconds()

    return [(rung.method, second(rung.told_at), second(rung.next_at)) for rung in rungs]


def test_people_see_who_was_told_and_who_is_next_until_somebody_has_it(make: Make) -> None:
    line = make(policy([step(SECOND, 600), step(CALL, 120, redials=1), step(TEXT)], chat=True))
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.play(130)
    assert shown(line) == [("sms", 0, None), ("voice", 120, 420), ("voice", None, 600)]
    line.play(500)
    assert shown(line) == [("sms", 0, None), ("voice", 420, None), ("voice", None, 600)]
    line.do(510, lambda: acknowledge(line))
    line.play(520)
    assert shown(line) == [("sms", 0, None), ("voice", 420, None), ("voice", None, None)]
