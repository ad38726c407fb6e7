"""Silences, inhibitions and time intervals: judged when the notice is about to leave."""

from alerting import silences
from alerting.inhibition import Inhibition
from alerting.intervals import TimeInterval
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.alerting.timelines.conftest import WEBHOOK, Make
from tests.simulators.provider import Fault
from tests.timeline import between
from watchtower.model.labels import parse_matchers


def test_a_silence_that_comes_while_a_notice_waits_for_its_provider_holds_for_it(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    provider = line.providers[WEBHOOK]
    provider.always = Fault.REFUSE
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.do(5, lambda: line.silence('pipeline="orders"', 3_600))
    line.do(6, lambda: setattr(provider, "always", None))
    line.play(4_000)
    line.want(between(3_600, 3_600), WEBHOOK, firing=1, reason="first")
    line.want_nothing_else()


def test_a_silence_keeps_quiet_and_its_end_tells_what_still_fires(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.do(0, lambda: line.silence('pipeline="orders"', 600))
    line.push(10, fires(line.pipeline, firing_alert(line.at(10), pipeline="orders")))
    line.play(2000)
    line.want(between(600, 600), WEBHOOK, firing=1, reason="first")
    line.want_nothing_else()
    assert line.obligations() == [
        (WEBHOOK, "firing", "superseded", "silenced"),
        (WEBHOOK, "firing", "delivered", None),
    ]


def test_what_is_over_when_its_silence_ends_is_never_told(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    alert = firing_alert(line.at(10), pipeline="orders")
    line.do(0, lambda: line.silence('pipeline="orders"', 600))
    line.push(10, fires(line.pipeline, alert))
    line.push(500, resolves(line.pipeline, resolved_alert(alert, line.at(500))))
    line.play(2000)
    line.want_nothing_else()


def test_ending_a_silence_by_hand_tells_at_once(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.do(0, lambda: line.silence('pipeline="orders"', 6000))
    line.push(10, fires(line.pipeline, firing_alert(line.at(10), pipeline="orders")))
    line.do(300, lambda: line.store.revise_silence("s1", lambda before: silences.expire(before, line.clock.now())))
    line.play(2000)
    line.want(between(300, 300), WEBHOOK, firing=1)
    line.want_nothing_else()


def test_the_end_of_what_was_told_is_told_through_a_silence(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.do(10, lambda: line.silence('pipeline="orders"', 600))
    line.push(60, resolves(line.pipeline, resolved_alert(alert, line.at(60))))
    line.play(2000)
    line.want(between(0, 0), WEBHOOK, firing=1)
    line.want(between(60, 60), WEBHOOK, resolved=1, reason="all_resolved")
    line.want_nothing_else()


def test_a_silenced_alert_is_not_repeated(make: Make) -> None:
    line = make(pipeline(node("team", wait=0, repeat=3600)))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.do(10, lambda: line.silence('pipeline="orders"', 5000))
    line.play(4500)
    line.want(between(0, 0), WEBHOOK)
    line.want_nothing_else()


def test_only_the_silenced_alert_of_a_group_stays_untold(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.do(0, lambda: line.silence("task=a", 600))
    quiet = firing_alert(line.at(10), pipeline="orders", task="a")
    line.push(10, fires(line.pipeline, quiet, firing_alert(line.at(10), pipeline="orders", task="b")))
    line.play(2000)
    line.want(between(10, 10), WEBHOOK, firing=1)
    assert quiet.id in line.want(between(600, 600), WEBHOOK, firing=2, reason="new_alerts").firing
    line.want_nothing_else()


def test_a_source_keeps_its_targets_quiet_until_it_resolves(make: Make) -> None:
    rule = Inhibition(parse_matchers("alertname=RunFailed"), parse_matchers("alertname=Stale"), ("team",))
    line = make(pipeline(node("team", wait=0), inhibitions=[rule]))
    source = firing_alert(line.at(0), pipeline="orders", team="data")
    line.push(0, fires(line.pipeline, source))
    line.push(5, fires(line.pipeline, firing_alert(line.at(5), name="Stale", pipeline="report", team="data")))
    line.push(6, fires(line.pipeline, firing_alert(line.at(6), name="Stale", pipeline="other", team="web")))
    line.push(900, resolves(line.pipeline, resolved_alert(source, line.at(900))))
    line.play(2000)
    assert line.want(between(0, 0), WEBHOOK).labels == ("RunFailed:orders",)
    assert line.want(between(6, 6), WEBHOOK).labels == ("Stale:other",)
    after = [line.want(between(900, 900), WEBHOOK).labels for _ in range(2)]
    assert sorted(after) == [(), ("Stale:report",)]
    line.want_nothing_else()
    assert (WEBHOOK, "firing", "superseded", "inhibited") in line.obligations()


def test_a_mute_time_interval_holds_back_and_its_end_tells(make: Make) -> None:
    lunch = TimeInterval(minutes=((9 * 60, 10 * 60),), zone="Europe/Berlin")  # 08:00 to 09:00 UTC in March
    line = make(pipeline(node("team", wait=0, mute=["lunch"]), intervals={"lunch": [lunch]}))
    line.push(60, fires(line.pipeline, firing_alert(line.at(60), pipeline="orders")))
    line.play(2 * 3600)
    line.want(between(3600, 3600), WEBHOOK, firing=1, reason="first")
    line.want_nothing_else()
    assert (WEBHOOK, "firing", "superseded", "muted") in line.obligations()


def test_an_end_inside_a_mute_time_interval_is_told_after_it(make: Make) -> None:
    night = TimeInterval(minutes=((8 * 60 + 30, 9 * 60),))
    line = make(pipeline(node("team", wait=0, mute=["night"]), intervals={"night": [night]}))
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(2000, resolves(line.pipeline, resolved_alert(alert, line.at(2000))))
    line.play(2 * 3600)
    line.want(between(0, 0), WEBHOOK, firing=1)
    line.want(between(3600, 3600), WEBHOOK, resolved=1)
    line.want_nothing_else()


def test_outside_its_active_time_interval_a_route_is_mute(make: Make) -> None:
    work = TimeInterval(minutes=((9 * 60, 17 * 60),), weekdays=((1, 5),))
    line = make(pipeline(node("team", wait=0, active=["work"]), intervals={"work": [work]}))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(2 * 3600)
    line.want(between(3600, 3600), WEBHOOK, firing=1)
    line.want_nothing_else()


def test_when_one_of_two_silences_ends_the_end_of_the_other_still_tells(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.do(0, lambda: line.silence("pipeline=orders", 200, "s1"))
    line.push(10, fires(line.pipeline, firing_alert(line.at(10), pipeline="orders")))
    line.do(100, lambda: line.silence("pipeline=orders", 300, "s2"))
    line.play(2000)
    line.want(between(300, 300), WEBHOOK, firing=1)
    line.want_nothing_else()
