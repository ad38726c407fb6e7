"""Who is told after whom, and what stops it: escalations in virtual time against a real store, on both engines."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise

import pytest
from sqlalchemy import select

from alerting import incidents as deeds
from alerting import silences
from alerting.pipeline import Pipeline
from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert, Call, Incident
from watchtower.model.labels import parse_matchers
from watchtower.store import due, incidents
from watchtower.store.database import Database
from watchtower.store.schema.alerting import groups as group_rows

TEXT = "team/oncall[0]/1/primary/sms"
CALL = "team/oncall[0]/1/primary/voice"
SECOND = "team/oncall[0]/2/data-lead/voice"
THIRD = "team/oncall[0]/3/head/voice"
CHAT = "team/slack[0]"
MINUTE = 60.0

Make = Callable[..., Timeline]


def step(name: str, after_s: float = 0, *, redials: int = 0, rounds: int = 0, cap: int = 200) -> Destination:
    """A step of an escalation, as the configuration makes it."""
    return Destination(
        name,
        send_resolved=False,
        call=Call(
            person=name.split("/")[3],
            after_s=after_s,
            redial_s=300.0 if redials else None,
            redials=redials,
            round_s=10 * MINUTE if rounds else 0.0,
            rounds=rounds,
            severities=("page",),
            daily_cap=cap,
        ),
    )


STEPS = (step(TEXT), step(CALL, 2 * MINUTE), step(SECOND, 5 * MINUTE), step(THIRD, 15 * MINUTE))


def policy(steps: Sequence[Destination] = STEPS, *, wait: float = 0, chat: bool = False) -> Pipeline:
    extra = [Destination(CHAT)] if chat else []
    return pipeline(node("team", wait=wait), receivers={"team": [*extra, *steps]})


@pytest.fixture
def make(database: Database, clock: ManualClock) -> Make:
    def made(using: Pipeline | None = None) -> Timeline:
        using = using or policy()
        names = {item.name for items in using.router.destinations.values() for item in items}
        providers = {name: Provider.like(clock, rings="oncall" in name) for name in sorted(names)}
        return Timeline(database, clock, using, providers)

    return made


def page(line: Timeline, second: float, **labels: str) -> Alert:
    return firing_alert(line.at(second), severity="page", pipeline="orders", **labels)


def acknowledge(line: Timeline, **how: timedelta) -> Incident:
    ident = only_incident(line)
    return line.store.edit_incident(ident, partial(deeds.acknowledge, by="person:primary", now=line.clock.now(), **how))


def take_back(line: Timeline) -> Incident:
    return line.store.edit_incident(
        only_incident(line), partial(deeds.unacknowledge, by="person:primary", now=line.clock.now())
    )


def only_incident(line: Timeline) -> str:
    with line.database.read() as connection:
        return incidents.list_incidents(connection)[0].id


def fates(line: Timeline) -> dict[str, tuple[str, str | None]]:
    """By destination: state and reason of the newest entry of the ledger about a firing."""
    return {name: (state, reason) for name, kind, state, reason in line.obligations() if kind == "firing"}


# -- the waits ------------------------------------------------------------------------------------------------------


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


# -- what stops it --------------------------------------------------------------------------------------------------


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


# -- an acknowledgement that ends -----------------------------------------------------------------------------------


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


# -- redial, rounds -------------------------------------------------------------------------------------------------


def test_a_call_is_made_again_until_somebody_answers(make: Make) -> None:
    line = make(policy([step(CALL, redials=5)]))
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(800, lambda: acknowledge(line))
    line.play(3600)
    line.want(between(0, 0), CALL, reason="first")
    line.want(between(300, 300), CALL, reason="redial")
    line.want(between(600, 600), CALL, reason="redial")
    line.want_nothing_else()
    assert len(line.obligations()) == 1


def test_a_call_is_made_again_only_so_often(make: Make) -> None:
    line = make(policy([step(CALL, redials=2)]))
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.play(3 * 3600)
    for second, reason in ((0, "first"), (300, "redial"), (600, "redial")):
        line.want(between(second, second), CALL, reason=reason)
    line.want_nothing_else()


def test_calls_are_counted_though_they_cannot_be_made(make: Make) -> None:
    line = make(policy([step(CALL, redials=2)]))
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(100, lambda: setattr(line.providers[CALL], "always", Fault.PERMANENT))
    line.play(3 * 3600)
    line.want(between(0, 0), CALL, reason="first")
    line.want_nothing_else()
    assert line.providers[CALL].requests == 3


def test_who_rings_no_more_is_not_called_again_for_what_is_over(make: Make) -> None:
    line = make(policy([step(CALL, redials=5)]))
    alert = page(line, 0)
    line.push(0, fires(line.pipeline, alert))
    line.push(100, resolves(line.pipeline, resolved_alert(alert, line.at(100))))
    line.play(3600)
    line.want(between(0, 0), CALL)
    line.want_nothing_else()


def test_the_next_step_goes_on_while_the_first_is_called_again(make: Make) -> None:
    line = make(policy([step(CALL, redials=3), step(SECOND, 400, redials=1)]))
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.play(3600)
    for second, reason in ((0, "first"), (300, "redial"), (600, "redial"), (900, "redial")):
        line.want(between(second, second), CALL, reason=reason)
    line.want(between(400, 400), SECOND, reason="first")
    line.want(between(700, 700), SECOND, reason="redial")
    line.want_nothing_else()


def test_an_escalation_begins_again_if_nobody_answered(make: Make) -> None:
    line = make(policy([step(TEXT, rounds=2), step(SECOND, 300, rounds=2)]))
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(1499, lambda: acknowledge(line))
    line.play(3 * 3600)
    for second in (0, 600, 1200):
        line.want(between(second, second), TEXT, reason="repeat" if second else "first")
    for second in (300, 900):
        line.want(between(second, second), SECOND)
    line.want_nothing_else()


# -- silences, reloads, crashes, clocks -----------------------------------------------------------------------------


def _silence(line: Timeline, first: float, last: float) -> None:
    wanted = silences.Wanted(parse_matchers("pipeline=orders"), line.at(first), line.at(last), "data-lead", "known")
    now = line.clock.now()
    line.store.revise_silence(None, lambda before: silences.put(before, wanted, now, "s1"))


def test_after_a_silence_the_escalation_begins_with_its_first_step(make: Make) -> None:
    line = make()
    line.do(0, lambda: _silence(line, 0, 3600))
    line.push(10, fires(line.pipeline, page(line, 10)))
    line.play(3600 + 400)
    line.want(between(3600, 3600), TEXT, firing=1)
    line.want(between(3720, 3720), CALL, firing=1)
    line.want(between(3900, 3900), SECOND, firing=1)
    line.want_nothing_else()


def test_a_silence_in_between_stops_the_steps_and_its_end_gives_them_their_whole_wait(make: Make) -> None:
    line = make()
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(60, lambda: _silence(line, 60, 3600))
    line.play(3600 + 400)
    line.want(between(0, 0), TEXT, firing=1)
    line.want(between(3600, 3720), CALL, firing=1)
    line.want(between(3600 + 180, 3900), SECOND, firing=1)
    line.want_nothing_else()


def test_a_person_who_leaves_the_file_is_not_called_and_who_comes_in_is(make: Make, clock: ManualClock) -> None:
    line = make()
    line.push(0, fires(line.pipeline, page(line, 0)))
    other = "team/oncall[0]/2/new-lead/voice"

    def reload() -> None:
        line.pipeline = policy([step(TEXT), step(CALL, 120), step(other, 300)])
        line.providers[other] = Provider.like(clock, rings=True)
        known = {name: line.providers[name] for name in (TEXT, CALL, other)}
        line.outbox.reconfigure(line.pipeline, known)

    line.do(60, reload)
    line.play(3600)
    line.want(between(0, 0), TEXT)
    line.want(between(120, 120), CALL)
    line.want(between(300, 300), other)
    line.want_nothing_else()
    assert fates(line)[SECOND] == ("superseded", "receiver_removed")


def test_a_process_that_dies_between_two_steps_loses_and_doubles_nothing(make: Make) -> None:
    line = make(policy([step(TEXT), step(CALL, 120, redials=2), step(SECOND, 300)]))
    line.push(0, fires(line.pipeline, page(line, 0)))
    for second in (1, 119, 121, 299, 301, 419, 421):
        line.do(second, line.restart)
    line.play(3600)
    line.want(between(0, 0), TEXT)
    for second, reason in ((120, "first"), (420, "redial"), (720, "redial")):
        line.want(between(second, second), CALL, reason=reason)
    line.want(between(300, 300), SECOND)
    line.want_nothing_else()


def test_steps_missed_in_an_outage_follow_one_a_minute_and_in_order(make: Make) -> None:
    line = make()
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.play(30)
    line.clock.set(line.at(3600))  # nothing ran for an hour, or the clock jumped
    line.play(2 * 3600)
    line.want(between(0, 0), TEXT)
    line.want(between(3600, 3600), CALL, reason="first")
    line.want(between(3660, 3660), SECOND, reason="first")
    line.want(between(3720, 3720), THIRD, reason="first")
    line.want_nothing_else()


def test_two_replicas_tell_each_step_once(make: Make) -> None:
    line = make(policy([step(TEXT), step(CALL, 120, redials=1), step(SECOND, 300)]))
    twin = Timeline(line.database, line.clock, line.pipeline, line.providers)
    line.push(0, fires(line.pipeline, page(line, 0)))
    for second in range(0, 600, 20):
        line.do(second, twin.outbox.step)
    line.play(3600)
    line.want(between(0, 0), TEXT)
    line.want(between(120, 120), CALL)
    line.want(between(420, 420), CALL, reason="redial")
    line.want(between(300, 300), SECOND)
    line.want_nothing_else()


# -- caps -----------------------------------------------------------------------------------------------------------


def storm(line: Timeline, count: int, every_s: float, first: int = 0) -> None:
    """Pages of different pipelines, so each is a group and an incident of its own."""
    for number in range(first, first + count):
        second = number * every_s
        alert = firing_alert(line.at(second), severity="page", pipeline=f"p{number}")
        line.push(second, fires(line.pipeline, alert))


def last(destination: Destination) -> Destination:
    assert destination.call is not None
    return replace(destination, call=replace(destination.call, last_resort=True))


def test_a_person_is_sent_only_so_much_a_day_and_the_others_are_told_of_it(make: Make) -> None:
    line = make(policy([step(TEXT, cap=3), step(SECOND, 5 * MINUTE, cap=200)], chat=True))
    storm(line, 6, 1)
    line.play(60)
    assert len(line.providers[TEXT].effects) == 3
    told = [label for effect in line.providers[CHAT].effects for label in effect.labels]
    assert told.count("WatchtowerPersonCapped:") == 1
    assert sorted(state for name, _, state, reason in line.obligations() if (name, reason) == (TEXT, "capped")) == (
        ["superseded"] * 3
    )
    line.play(6 * MINUTE)
    assert len(line.providers[SECOND].effects) == 7, "the next person is called for each, and for the cap"
    assert line.store.overdue(line.clock.now()) == []


def test_the_last_way_to_a_person_is_never_shut_for_longer_than_a_quarter_of_an_hour(make: Make) -> None:
    line = make(policy([last(step(CALL, cap=2))]))
    storm(line, 6, 10)
    line.play(80 * MINUTE)
    seconds = [round((effect.at - line.beginning).total_seconds()) for effect in line.providers[CALL].effects]
    assert seconds[:2] == [0, 10]
    assert [after - before for before, after in pairwise(seconds[1:])] == [900] * 4, "all of them ring in the end"


def test_ten_times_as_many_triggers_ring_no_more(make: Make) -> None:
    line = make(policy([last(step(CALL, cap=5, redials=5))]))
    storm(line, 50, 6)
    line.play(3600)
    assert len(line.providers[CALL].effects) == 5 + 3


def test_calls_made_again_count_and_stop_at_the_cap(make: Make) -> None:
    line = make(policy([last(step(CALL, cap=3, redials=5))], chat=True))
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.play(3600)
    assert [effect.reason for effect in line.providers[CALL].effects] == ["first", "redial", "redial"]


def test_the_day_after_the_cap_is_forgotten(make: Make) -> None:
    line = make(policy([step(TEXT, cap=2)], chat=True))
    alerts = [firing_alert(line.at(0), severity="page", pipeline=name) for name in "abc"]
    line.push(0, fires(line.pipeline, *alerts))
    line.push(60, resolves(line.pipeline, *(resolved_alert(alert, line.at(60)) for alert in alerts)))
    line.play(25 * 3600)
    caps = {"primary": 2}
    assert line.store.relieve("WatchtowerPersonCapped", caps.get, line.clock.now()) == 1
    line.outbox.step()
    sent = len(line.providers[TEXT].effects)
    late = firing_alert(line.at(25 * 3600), severity="page", pipeline="late")
    line.push(25 * 3600, fires(line.pipeline, late))
    line.play(25 * 3600 + 60)
    assert len(line.providers[TEXT].effects) == sent + 1


# -- the auditor ----------------------------------------------------------------------------------------------------


def test_an_escalation_that_lost_its_timer_is_found_by_the_auditor(make: Make) -> None:
    line = make()
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(60, lambda: acknowledge(line))
    line.do(600, lambda: take_back(line))
    line.play(610)
    assert line.store.overdue(line.clock.now()) == []
    with line.database.read() as connection:
        groups = list(connection.execute(select(group_rows.c.id)).scalars())
    line.database.write(lambda connection: due.forget(connection, due.GROUP, groups))
    line.clock.set(line.at(1200))
    found = {(stuck.destination, stuck.why) for stuck in line.store.overdue(line.clock.now())}
    assert found == {(name, "its escalation does not go on") for name in (CALL, SECOND, THIRD)}
