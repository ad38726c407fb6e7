"""Calls that are made again, rounds, and how often one person may be told: in virtual time against a real store."""

from dataclasses import replace
from itertools import pairwise

from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.escalations.steps import CALL, CHAT, MINUTE, SECOND, TEXT, Make, acknowledge, page, policy, step
from tests.simulators.provider import Fault
from tests.timeline import Timeline, between

# -- redial, rounds ---------------------------------------------------------------------------------------------------


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


# -- caps -------------------------------------------------------------------------------------------------------------


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
