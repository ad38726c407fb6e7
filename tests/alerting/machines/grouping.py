"""Grouping: group_wait, group_interval and repeat_interval against Alertmanager's rules in thirty lines."""

from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from alerting.routing import Destination
from tests.alerting.builders import firing_alert
from tests.alerting.machines.frame import Machine, Traits
from tests.alerting.routes import node, pipeline
from watchtower.model.alert import Alert
from watchtower.store.database import Database

BOTH, BEGINNINGS = "team/webhook[0]", "team/webhook[1]"  # the second one hears of no ends
WAIT, INTERVAL, REPEAT = 30, 300, 1500
WAITS = [1, 10, 29, 30, 31, 270, 299, 300, 301, 900, 1199, 1500, 1501, 4000]


class Message(NamedTuple):
    second: float
    reason: str
    firing: frozenset[str]
    resolved: frozenset[str]


@dataclass
class Talk:
    """What one destination was told of a group: when last, what it was told to fire, and what ended since."""

    at: float | None = None
    firing: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()


@dataclass
class Group:
    """due: its next flush. flushed: its last one."""

    due: float
    flushed: float | None = None
    firing: frozenset[str] = frozenset()
    talks: dict[str, Talk] = field(default_factory=lambda: {BOTH: Talk(), BEGINNINGS: Talk()})


class Reference:
    """told: by destination, in order."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self.told: dict[str, list[Message]] = {BOTH: [], BEGINNINGS: []}

    def begins(self, now: float, key: str, alert: str) -> None:
        group = self.groups.setdefault(key, Group(now + WAIT))
        group.firing |= {alert}
        self._hurry(group, now)

    def ends(self, now: float, key: str, alert: str) -> None:
        group = self.groups[key]
        group.firing -= {alert}
        for talk in group.talks.values():
            talk.ended |= {alert}
        if group.firing:
            self._hurry(group, now)
        else:
            self._flush(self.groups.pop(key), now)  # what is all clear is told at once, and is another group then

    def pass_time(self, until: float) -> None:
        while due := [group for group in self.groups.values() if group.due <= until]:
            group = min(due, key=lambda one: one.due)
            self._flush(group, group.due)

    def _hurry(self, group: Group, now: float) -> None:
        if group.flushed is not None:
            ticks = max(1, ceil((now - group.flushed) / INTERVAL))
            group.due = min(group.due, group.flushed + ticks * INTERVAL)

    def _flush(self, group: Group, now: float) -> None:
        group.flushed, group.due = now, float("inf")
        for name, talk in group.talks.items():
            reason = self._reason(group, talk, now, hears_ends=name == BOTH)
            if reason:
                resolved = talk.ended if name == BOTH else frozenset[str]()
                self.told[name].append(Message(now, reason, group.firing, resolved))
                talk.at, talk.firing, talk.ended = now, group.firing, frozenset()
            if group.firing and talk.at is not None:
                group.due = min(group.due, talk.at + REPEAT)

    def _reason(self, group: Group, talk: Talk, now: float, *, hears_ends: bool) -> str:
        if talk.at is None:
            return "first" if group.firing else ""
        if group.firing - talk.firing:
            return "new_alerts"
        if hears_ends and talk.ended:
            return "resolved_alerts" if group.firing else "all_resolved"
        return "repeat" if group.firing and now >= talk.at + REPEAT else ""


class GroupingMachine(Machine):
    """Up to six alerts in two groups."""

    policy = pipeline(
        node("team", wait=WAIT, interval=INTERVAL, repeat=REPEAT - 50),  # which is rounded up
        receivers={"team": [Destination(BOTH), Destination(BEGINNINGS, send_resolved=False)]},
    )
    traits: ClassVar[Traits] = {BOTH: {}, BEGINNINGS: {"keyed": True, "can_look_up": False}}

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reference = Reference()
        self.firing: dict[tuple[str, str], Alert] = {}

    @rule(seconds=st.sampled_from(WAITS))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)
        self.reference.pass_time(self.second)

    @rule(group=st.sampled_from(["orders", "billing"]), tasks=st.sets(st.sampled_from("abc"), min_size=1))
    def begins(self, group: str, tasks: set[str]) -> None:
        """In one transaction, where they do not fire yet."""
        self.time_passes(0.5)
        made = {
            (group, task): firing_alert(self.clock.now(), pipeline=group, task=task)
            for task in sorted(tasks)
            if (group, task) not in self.firing
        }
        self.firing |= made
        self.begin(*made.values())
        for alert in made.values():
            self.reference.begins(self.second, group, alert.id)
        self.time_passes(0)

    @precondition(lambda self: bool(self.firing))
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        self.time_passes(0.5)
        group, task = data.draw(st.sampled_from(sorted(self.firing)), label="which")
        alert = self.firing.pop((group, task))
        self.end(alert)
        self.reference.ends(self.second, group, alert.id)
        self.time_passes(0)

    @invariant()
    def what_was_told_is_what_the_reference_tells(self) -> None:
        for name in self.traits:
            told = [
                Message(self.second_of(one), one.reason, frozenset(one.firing), frozenset(one.resolved))
                for one in self.told(name)
            ]
            assert sorted(told) == sorted(self.reference.told[name]), f"{name}\n{self.line.told()}"

    def teardown(self) -> None:
        while self.firing:
            (group, _), alert = self.firing.popitem()
            self.end(alert)
            self.reference.ends(self.second, group, alert.id)
        self.what_was_told_is_what_the_reference_tells()
        self.all_has_ended()
