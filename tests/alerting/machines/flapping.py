"""Flapping: what comes and goes is told to be doing so, and then not before it is stable; in forty lines."""

from dataclasses import replace
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from alerting.routing import Destination
from tests.alerting.builders import firing_alert
from tests.alerting.machines.frame import Machine, Traits
from tests.alerting.routes import node, pipeline
from watchtower.model.alert import Alert, Call
from watchtower.model.flapping import FlapLimits, FlapPolicy
from watchtower.store.database import Database

CHAT, PHONE = "team/webhook[0]", "team/oncall[0]/1/primary/sms"
CHANGES, WITHIN, STABLE, RETURNS = 4, 900, 450, 300


PERSON = Call("primary", severities=("page",), daily_cap=10**6)


class Reference:
    """Of one alert: what chat and telephone were told, as (second, firing), and what they believe."""

    def __init__(self) -> None:
        self.firing = False
        self.changes: list[float] = []  # those that count towards the next spell
        self.since: float | None = None  # it flaps
        self.ends = 0.0
        self.ended: float | None = None  # the last end that counts towards what comes next
        self.trouble: float | None = None  # it came back: when that began which came back
        self.began = self.rings_from = 0.0
        self.incidents = 0
        self.knows: dict[str, float] = {}  # when each was last told anything of it
        self.believes: dict[str, bool] = {CHAT: False, PHONE: False}
        self.told: dict[str, list[tuple[float, bool]]] = {CHAT: [], PHONE: []}

    def changed(self, now: float) -> None:
        self.firing = not self.firing
        if self.firing:
            self._begins(now)
        else:
            self.ended = now
        self.changes = [at for at in (*self.changes, now) if at > now - WITHIN]
        if self.since is None and len(self.changes) >= CHANGES:
            self.since = now
        if self.since is not None:
            self.ends = now + STABLE
        self._tell(now)

    def _begins(self, now: float) -> None:
        back = self.ended is not None and now - self.ended <= RETURNS and self.since is None
        self.incidents += not back and self.since is None
        self.trouble = (self.began if self.trouble is None else self.trouble) if back else None
        self.began, self.rings_from = now, now + min(RETURNS, STABLE) if back else 0.0

    def pass_time(self, until: float) -> None:
        if self.firing and self.rings_from <= until:
            self._tell(self.rings_from)
        if self.since is not None and self.ends <= until:
            self.since, self.changes = None, []
            self.ended = None
            self._tell(self.ends)

    def _tell(self, now: float) -> None:
        for name in (CHAT, PHONE):
            if self.firing == self.believes[name] or (self.firing and self._is_quiet(name, now)):
                continue
            self.believes[name] = self.firing
            if self.firing or name == CHAT:  # a telephone does not ring for an end
                self.told[name].append((now, self.firing))
                self.knows[name] = now

    def _is_quiet(self, name: str, now: float) -> bool:
        """Whoever was told of the spell needs no more; what rings need only have rung for what led to it."""
        if name not in self.knows:
            return False
        if self.since is None:
            waits = name == PHONE and self.trouble is not None and now < self.rings_from
            return waits and self.knows[name] >= (self.trouble or 0.0)
        return self.knows[name] >= (self.since - WITHIN if name == PHONE else self.since)


class FlappingMachine(Machine):
    policy = replace(
        pipeline(
            node("team", wait=0, repeat=10**8, group_by=["..."]),
            receivers={
                "team": [
                    Destination(CHAT),
                    Destination(PHONE, send_resolved=False, call=PERSON),
                ]
            },
        ),
        flapping=FlapPolicy(None, FlapLimits(CHANGES, WITHIN, STABLE, RETURNS)),
    )
    traits: ClassVar[Traits] = {CHAT: {}, PHONE: {"rings": True}}

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reference = {"queue": Reference(), "lag": Reference()}
        self.firing: dict[str, Alert] = {}

    @rule(seconds=st.sampled_from([1, 10, 100, 225, 290, 449, 450, 451, 899, 900, 901, 2_000]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)
        for reference in self.reference.values():
            reference.pass_time(self.second)

    @rule(
        series=st.sampled_from(["queue", "lag"]),
        every=st.lists(st.sampled_from([1, 60, 100, 220, 310]), min_size=1, max_size=5),
    )
    def changes(self, series: str, every: list[float]) -> None:
        """So often, with so many seconds between."""
        for seconds in every:
            self.time_passes(seconds)
            if (alert := self.firing.pop(series, None)) is not None:
                self.end(alert)
            else:
                self.firing[series] = firing_alert(self.clock.now(), name="Full", series=series, severity="page")
                self.begin(self.firing[series])
            self.reference[series].changed(self.second)

    @invariant()
    def each_change_is_told_as_the_reference_tells_it(self) -> None:
        for name in (CHAT, PHONE):
            told = sorted((self.second_of(one), bool(one.firing)) for one in self.told(name))
            wanted = sorted(one for reference in self.reference.values() for one in reference.told[name])
            assert told == wanted, f"{name}\n{self.line.told()}"

    @invariant()
    def what_comes_and_goes_is_one_incident(self) -> None:
        assert len(self.line.incidents()) == sum(reference.incidents for reference in self.reference.values())

    def teardown(self) -> None:
        for series in sorted(self.firing):
            self.changes(series, [1])
        self.time_passes(2_000)
        self.each_change_is_told_as_the_reference_tells_it()
        self.all_has_ended()
