"""What comes between the steps of an escalation: silences, reloads, crashes, clocks, and a timer that is lost."""

from sqlalchemy import select

from tests.alerting.builders import fires
from tests.alerting.escalations.steps import (
    CALL,
    SECOND,
    TEXT,
    THIRD,
    Make,
    acknowledge,
    fates,
    page,
    policy,
    step,
    take_back,
)
from tests.simulators.provider import Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.store import due
from watchtower.store.schema.alerting import groups as group_rows

# -- silences, reloads, crashes, clocks -------------------------------------------------------------------------------


def test_after_a_silence_the_escalation_begins_with_its_first_step(make: Make) -> None:
    line = make()
    line.do(0, lambda: line.silence("pipeline=orders", 3600))
    line.push(10, fires(line.pipeline, page(line, 10)))
    line.play(3600 + 400)
    line.want(between(3600, 3600), TEXT, firing=1)
    line.want(between(3720, 3720), CALL, firing=1)
    line.want(between(3900, 3900), SECOND, firing=1)
    line.want_nothing_else()


def test_a_silence_in_between_stops_the_steps_and_its_end_gives_them_their_whole_wait(make: Make) -> None:
    line = make()
    line.push(0, fires(line.pipeline, page(line, 0)))
    line.do(60, lambda: line.silence("pipeline=orders", 3600))
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


# -- the auditor ------------------------------------------------------------------------------------------------------


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
