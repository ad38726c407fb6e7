"""Small pure decisions, as tables: deduplication, silences, acknowledgements, backoff, the breaker, keys of groups."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from alerting import grouping, incidents, silences
from alerting.breaker import Breaker
from alerting.dedup import needs_notification
from alerting.grouping import group_key, group_labels
from alerting.in_hand import InHand
from alerting.inhibition import Inhibition, inhibited_by
from alerting.maintenance import Recurring
from alerting.outbox import backoff_s
from alerting.routing import local_router
from alerting.silences import SilenceState, Wanted
from tests.alerting.builders import firing_alert, resolved_alert
from tests.alerting.routes import node, pipeline
from watchtower.errors import BadInput, Permanent, Reason, Transient
from watchtower.model.alert import Incident, IncidentStatus, NoticeReason, Severity, Silence, TransitionKind
from watchtower.model.delivery import (
    Content,
    Conversation,
    Ending,
    Owed,
    Source,
    Superseded,
    Suppression,
    Told,
    next_tick,
)
from watchtower.model.labels import parse_matchers
from watchtower.store.conversations import told_by

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def told(firing: str, resolved: str = "", seconds_ago: float = 60) -> Told:
    return Told(frozenset(firing), frozenset(resolved), ago(seconds_ago))


# The cases of TestDedupStageNeedsUpdate in Alertmanager's notify_test.go, in our words. Letters are alerts.
NEEDS = [
    ("nothing told, nothing fires", None, "", "", True, None),
    ("nothing told, only resolved", None, "", "a", True, None),
    ("nothing told, something fires", None, "ab", "", True, "first"),
    ("the same fires", told("ab"), "ab", "", True, None),
    ("fewer fire, the rest is not shown", told("abc"), "ab", "", True, None),
    ("more fire", told("ab"), "abc", "", True, "new_alerts"),
    ("others fire", told("ab"), "ac", "b", True, "new_alerts"),
    ("one of two resolved", told("ab"), "a", "b", True, "resolved_alerts"),
    ("one of two resolved, not wanted", told("ab"), "a", "b", False, None),
    ("told already that it resolved", told("a", "b"), "a", "b", True, None),
    ("all resolved", told("ab"), "", "ab", True, "all_resolved"),
    ("all resolved, not wanted", told("ab"), "", "ab", False, None),
    ("all resolved, told already", told("", "ab"), "", "ab", True, None),
    ("fires after all was told resolved", told("", "ab"), "c", "ab", True, "first"),
    ("the repeat interval is over", told("a", seconds_ago=3600), "a", "", True, "repeat"),
    ("the repeat interval is over by a hair", told("a", seconds_ago=3599), "a", "", True, None),
    ("repeated without resolved", told("a", seconds_ago=3600), "a", "", False, "repeat"),
    ("nothing fires, nothing to repeat", told("", "a", seconds_ago=9999), "", "", True, None),
]


@pytest.mark.parametrize(
    ("known", "firing", "resolved", "send_resolved", "reason"), [case[1:] for case in NEEDS], ids=[c[0] for c in NEEDS]
)
def test_a_notice_is_needed(
    known: Told | None, firing: str, resolved: str, send_resolved: bool, reason: str | None
) -> None:
    found = needs_notification(
        known,
        firing=set(firing),
        resolved=set(resolved),
        send_resolved=send_resolved,
        repeat_after=timedelta(hours=1),
        now=NOW,
    )
    assert (found.value if found else None) == reason


# -- silences -------------------------------------------------------------------------------------------------------


def wanted(matchers: str = "a=b", starts: float = 0, ends: float = 3600, ident: str | None = None) -> Wanted:
    return Wanted(parse_matchers(matchers), ago(-starts), ago(-ends), "data-lead", "known", ident)


def silence(starts: float, ends: float) -> Silence:
    made = silences.put(None, wanted(starts=max(starts, 0), ends=max(ends, 1)), NOW, "s1")[-1]
    return replace(made, starts_at=ago(-starts), ends_at=ago(-ends))


PENDING, ACTIVE, EXPIRED = silence(60, 3600), silence(-60, 3600), silence(-120, -60)


def test_a_silence_is_pending_then_active_then_expired() -> None:
    assert [silences.state_of(item, NOW) for item in (PENDING, ACTIVE, EXPIRED)] == list(SilenceState)
    assert silences.state_of(ACTIVE, ACTIVE.ends_at) is SilenceState.EXPIRED
    assert silences.state_of(PENDING, PENDING.starts_at) is SilenceState.ACTIVE


CHANGES = [
    ("the end of an active one is moved", ACTIVE, wanted(starts=-60, ends=7200), ["s1"]),
    ("the start of an active one is history", ACTIVE, wanted(starts=-30, ends=7200), ["s1", "s2"]),
    ("other matchers are another silence", ACTIVE, wanted("a=c", starts=-60), ["s1", "s2"]),
    ("an active one may end at this very moment", ACTIVE, wanted(starts=-60, ends=0), ["s1"]),
    ("a pending one may begin at this very moment", PENDING, wanted(starts=0), ["s1"]),
    ("a pending one is moved", PENDING, wanted(starts=120), ["s1"]),
    ("a pending one cannot have begun", PENDING, wanted(starts=-1), ["s1", "s2"]),
    ("an expired one begins anew", EXPIRED, wanted(starts=-120), ["s2"]),
]


@pytest.mark.parametrize(("before", "want", "ids"), [case[1:] for case in CHANGES], ids=[c[0] for c in CHANGES])
def test_changing_a_silence_keeps_its_history_true(before: Silence, want: Wanted, ids: list[str]) -> None:
    written = silences.put(before, replace(want, id="s1"), NOW, "s2")
    assert [item.id for item in written] == ids
    assert written[-1].ends_at == want.ends_at
    assert all(item.starts_at >= NOW for item in written if item.id == "s2")
    if len(written) == 2:
        assert silences.state_of(written[0], NOW) is SilenceState.EXPIRED


@pytest.mark.parametrize(
    ("want", "message"),
    [
        (replace(wanted(), matchers=()), "at least one matcher"),
        (wanted("a=~.*"), "hides all"),
        (wanted(starts=60, ends=60), "must end"),
        (wanted(starts=-60, ends=-30), "in the past"),
        (wanted(ident="s9"), "no such silence"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(want: Wanted, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        silences.put(None, want, NOW, "s1")


def test_expiring_a_silence_ends_it_once() -> None:
    later = NOW + timedelta(seconds=5)
    (ended,), (never,) = silences.expire(ACTIVE, later), silences.expire(PENDING, later)
    assert (ended.starts_at, ended.ends_at, ended.updated_at) == (ACTIVE.starts_at, later, later)
    assert (never.starts_at, never.ends_at, never.updated_at) == (later, later, later)
    assert silences.expire(EXPIRED, later) == []
    with pytest.raises(BadInput, match=r"^there is no such silence; see `watchtower silence`$"):
        silences.expire(None, later)


# -- inhibition: what Alertmanager's documentation says in words ------------------------------------------------------


@pytest.mark.parametrize(
    ("equal", "source", "target", "quiet"),
    [
        (("env",), {"k": "s", "env": "prod"}, {"k": "t", "env": "prod"}, True),
        (("env",), {"k": "s", "env": "prod"}, {"k": "t", "env": "dev"}, False),
        (("env",), {"k": "s"}, {"k": "t"}, True),
        (("env",), {"k": "s", "env": ""}, {"k": "t"}, True),
        ((), {"k": "s", "env": "prod"}, {"k": "t"}, True),
    ],
    ids=["equal", "not equal", "missing in both", "missing equals empty", "nothing must be equal"],
)
def test_a_source_inhibits_a_target(
    equal: tuple[str, ...], source: dict[str, str], target: dict[str, str], *, quiet: bool
) -> None:
    rule = Inhibition(parse_matchers("k=s"), parse_matchers("k=t"), equal)
    assert (inhibited_by(target, [rule], lambda: [Source("1", source)]) is not None) is quiet


def test_no_alert_inhibits_itself_or_its_like() -> None:
    rule = Inhibition(parse_matchers("k=~s|both"), parse_matchers("k=~t|both"))
    both, source = {"k": "both"}, {"k": "s"}
    assert inhibited_by(both, [rule], lambda: [Source("1", both), Source("2", both)]) is None
    assert inhibited_by(both, [rule], lambda: [Source("1", both), Source("3", source)]) == "3"


# -- acknowledgements -----------------------------------------------------------------------------------------------

OPEN = Incident("i1", IncidentStatus.TRIGGERED, Severity.PAGE, "t", "s", {}, ago(60), None, None, None)


def test_an_acknowledgement_holds_for_four_hours_and_then_runs_out() -> None:
    held, event = incidents.acknowledge(OPEN, "primary", NOW)
    assert (held.status, held.acknowledged_by, event.actor) == (IncidentStatus.ACKNOWLEDGED, "primary", "primary")
    assert incidents.run_out(held, NOW + timedelta(hours=4, seconds=-1)) == (held, None)
    loose, event = incidents.run_out(held, NOW + timedelta(hours=4))
    assert (loose.status, loose.ack_until) == (IncidentStatus.TRIGGERED, None)
    assert event is not None and event.kind == "ack_expired"


def test_an_acknowledgement_can_be_renewed_and_taken_back() -> None:
    held, _ = incidents.acknowledge(OPEN, "primary", NOW)
    renewed, _ = incidents.acknowledge(held, "secondary", NOW + timedelta(hours=1))
    assert renewed.ack_until == NOW + timedelta(hours=5)
    loose, event = incidents.unacknowledge(renewed, "secondary", NOW)
    assert loose.status is IncidentStatus.TRIGGERED and event is not None
    assert incidents.unacknowledge(loose, "secondary", NOW) == (loose, None)


def test_a_resolved_incident_cannot_be_acknowledged() -> None:
    with pytest.raises(BadInput, match="is resolved"):
        incidents.acknowledge(replace(OPEN, status=IncidentStatus.RESOLVED, resolved_at=NOW), "primary", NOW)


# -- times and names ------------------------------------------------------------------------------------------------


def test_the_backoff_grows_to_five_minutes_with_full_jitter() -> None:
    delays = [[backoff_s(f"key-{n}", attempt) for n in range(500)] for attempt in range(1, 30)]
    assert [max(some) <= min(300, 2.0**index) for index, some in enumerate(delays)] == [True] * 29
    assert 130 < sum(delays[-1]) / 500 < 170
    assert backoff_s("key-1", 3) == backoff_s("key-1", 3)


def test_the_breaker_opens_after_three_failures_of_the_provider_and_closes_with_one_success() -> None:
    breaker = Breaker()
    away = Transient(Reason.CONNECT, "refused")
    for _ in range(2):
        breaker.failed(away, 100)
    assert breaker.until <= 100
    breaker.failed(away, 100)
    assert breaker.until == 101
    for _ in range(20):
        breaker.failed(away, 100)
    assert breaker.until == 160
    breaker.succeeded()
    breaker.failed(Permanent(Reason.REJECTED, "no"), 100)
    breaker.failed(Transient(Reason.RATE_LIMITED, "slow down", retry_after_s=30), 100)
    assert breaker.until == 130


@pytest.mark.parametrize(("after", "tick"), [(0, 300), (1, 300), (300, 300), (301, 600), (899, 900)])
def test_a_group_ticks_at_multiples_of_its_interval(after: float, tick: float) -> None:
    assert next_tick(NOW, 300, NOW + timedelta(seconds=after)) == NOW + timedelta(seconds=tick)


def test_a_group_key_is_written_as_alertmanager_writes_it() -> None:
    child = node("team", matchers='team="data",env=~"p.*"', parent_key="{}", group_by=["pipeline", "task"])
    router = pipeline(node("team", child)).router
    (planned,) = router.plan({"team": "data", "env": "prod", "pipeline": 'or"ders'})
    assert planned.group_key == r'{}/{env=~"p.*",team="data"}:{pipeline="or\"ders"}'
    assert group_labels({"a": "1", "b": "2"}, ["..."]) == {"a": "1", "b": "2"}
    assert group_key("{}", {}) == "{}:{}"


def test_routes_with_one_key_and_receiver_tell_it_once() -> None:
    twin = node("team", matchers="team=data", parent_key="{}", goes_on=True)
    router = pipeline(node("team", twin, twin)).router
    assert len(router.plan({"team": "data", "pipeline": "orders"})) == 1
    assert router.explain({"team": "data"}).receivers == ("team", "team")


def test_an_explanation_shows_every_route_and_where_the_alert_ends() -> None:
    first = node("one", matchers="team=data", parent_key="{}")
    second = node("two", matchers="team=~.*", parent_key="{}")
    steps = pipeline(node("root", first, second)).router.explain({"team": "data"}).steps
    assert [(step.depth, step.receiver, step.matched, step.takes) for step in steps] == [
        (0, "root", True, False),
        (1, "one", True, True),
        (1, "two", False, False),
    ]


def test_an_explanation_goes_on_behind_a_route_that_lets_alerts_go_on() -> None:
    first = node("one", matchers="team=data", parent_key="{}", goes_on=True)
    second = node("two", matchers="team=data", parent_key="{}")
    third = node("three", matchers="team=~.*", parent_key="{}")
    found = pipeline(node("root", first, second, third)).router.explain({"team": "data"})
    assert [(step.receiver, step.takes) for step in found.steps] == [
        ("root", False),
        ("one", True),
        ("two", True),
        ("three", False),
    ]
    assert found.receivers == ("one", "two")


def test_without_a_file_only_pages_are_immediate() -> None:
    router = local_router()
    labels = {"pipeline": "orders", "namespace": "prod"}
    assert [router.plan({**labels, "severity": item.value})[0].immediate for item in Severity] == [True, False, False]


def test_without_a_file_waits_are_alertmanagers_own() -> None:
    (planned,) = local_router().plan({"pipeline": "orders", "severity": "ticket"})
    assert (planned.group_wait_s, planned.group_interval_s, planned.repeat_interval_s) == (30, 300, 4 * 3600)


def test_a_destination_knows_what_it_was_told_until_it_is_told_otherwise() -> None:
    one, two = (firing_alert(NOW, pipeline=name) for name in ("orders", "billing"))
    before = Told(frozenset({one.id}), frozenset({"gone"}), NOW, caused=frozenset({one.id}))
    later = told_by(Content(NoticeReason.NEW_ALERTS, (two,)), before, NOW)
    assert (later.firing, later.resolved, later.caused) == ({one.id, two.id}, {"gone"}, {one.id})
    over = told_by(Content(NoticeReason.RESOLVED_ALERTS, (two, resolved_alert(one, NOW))), later, NOW)
    assert (over.firing, over.resolved) == ({two.id}, {"gone", one.id})


def test_windows_that_recur_are_over_where_no_start_is_near() -> None:
    nightly = Recurring("0 2 * * *", 3600)
    assert nightly.last_start(NOW.replace(hour=2, minute=30)) == NOW.replace(hour=2, minute=0)
    assert nightly.last_start(NOW) is None


def test_a_cron_without_any_further_start_has_the_last_one_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    start = NOW - timedelta(minutes=5)

    def once(cron: str, after: datetime) -> Iterator[datetime]:
        return iter([start])

    monkeypatch.setattr("alerting.maintenance.CronSim", once)
    assert Recurring("0 2 29 2 *", 3600).last_start(NOW) == start


def test_what_waits_in_hand_for_one_destination_is_taken_in_its_order() -> None:
    hand = InHand()
    first, second = (SimpleNamespace(notice=SimpleNamespace(destination="chat")) for _ in range(2))
    hand.put([first, second], 5.0)  # pyright: ignore[reportArgumentType] - only where they go is looked at
    assert hand.take("chat") == (first, 5.0)
    assert hand.destinations == ["chat"]
    assert hand.take("chat") == (second, 5.0)
    assert hand.take("chat") is None
    assert hand.destinations == []


@pytest.mark.parametrize(
    ("value", "quoted"),
    [("a\tb", '"a\\tb"'), ("\x01", '"\\x01"'), ("\u2028", '"\\u2028"'), ("\U000e0001", '"\\U000e0001"')],
    ids=["an escape of its own", "a control character", "a separator", "beyond the first plane"],
)
def test_values_of_a_group_key_are_quoted_as_go_does(value: str, quoted: str) -> None:
    assert quoted in group_key("{}", {"pipeline": value})


def test_what_is_owed_of_an_alert_that_left_its_group_ends_and_what_fires_again_stays_owed() -> None:
    (planned,), firing = pipeline().plan({}), firing_alert(NOW)
    owed = (Owed("o1", "gone", TransitionKind.FIRING), Owed("o2", firing.id, TransitionKind.RESOLVED))
    talk = Conversation("g1", "{}", planned, (firing,), owed, None, None, None, False, False, None, None)
    assert grouping.settled(talk, None, {}, frozenset()) == [Ending("o1", Suppression(Superseded.ALREADY_TOLD, ""))]
