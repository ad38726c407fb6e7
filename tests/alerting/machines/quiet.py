"""Silences, maintenance and inhibition, judged when a notice leaves: in thirty lines, who is told of what, and when.

Each alert is a group of its own that does not wait. While the provider answers, it is told in the first moment in which
it fires and nothing keeps it quiet; its end is told if its beginning was. While the provider is away nothing can be
said of the moment, but for this: what keeps an alert quiet when its notice leaves at last holds for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from alerting import silences
from alerting.inhibition import Inhibition
from alerting.maintenance import Recurring, Window
from tests.alerting.builders import firing_alert
from tests.alerting.machines.frame import Machine, Traits
from tests.alerting.routes import node, pipeline
from tests.conftest import START
from tests.simulators.provider import Fault
from watchtower.model.alert import Alert, Silence
from watchtower.model.labels import parse_matchers
from watchtower.store.database import Database

CHAT = "team/webhook[0]"
PIPELINES = ("orders", "billing")
CAUSE, SYMPTOM = "RunFailed", "Stale"
ALERTS = [(where, name) for where in PIPELINES for name in (CAUSE, SYMPTOM)]
ONCE = (1_000.0, 2_500.0)  # of orders: the warehouse is upgraded
EVERY, LASTS = 1_800.0, 300.0  # of what is stale: vacuum, at each half hour (the beginning is a full hour)
SOON = 900.0  # within which all is caught up when the provider is back


@dataclass
class Told:
    """An alert as the reference has it. told_at: of its beginning; vague: the provider was away."""

    alert: Alert
    began: float
    ended: float | None = None
    told_at: float | None = None
    vague: bool = False


@dataclass(frozen=True)
class Quiet:
    """A silence: of a pipeline, or of a name."""

    label: str
    value: str
    first: float
    last: float


class QuietMachine(Machine):
    policy = replace(
        pipeline(
            node("team", wait=0, repeat=10**8, group_by=["..."]),
            inhibitions=[
                Inhibition(parse_matchers(f"alertname={CAUSE}"), parse_matchers(f"alertname={SYMPTOM}"), ("pipeline",))
            ],
        ),
        maintenance=(
            Window(
                "upgrade",
                parse_matchers("pipeline=orders"),
                once=(START + timedelta(seconds=ONCE[0]), START + timedelta(seconds=ONCE[1])),
            ),
            Window(
                "vacuum",
                parse_matchers(f"alertname={SYMPTOM}"),
                recurring=Recurring("*/30 * * * *", LASTS, "Europe/Berlin"),
            ),
        ),
    )
    traits: ClassVar[Traits] = {CHAT: {}}

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.all: list[Told] = []
        self.silences: dict[str, Quiet] = {}
        self.away = False

    # -- what happens ---------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 60, 299, 301, 500, 900, 1_500]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)
        self._tell(self.second - seconds)

    @rule(which=st.sets(st.sampled_from(ALERTS), min_size=1))
    def begins(self, which: set[tuple[str, str]]) -> None:
        """In one transaction, where they do not fire yet."""
        self.time_passes(1)
        firing = {(one.alert.labels["pipeline"], one.alert.rule) for one in self._open()}
        made = [firing_alert(self.clock.now(), name=name, pipeline=where) for where, name in sorted(which - firing)]
        self.all += [Told(alert, self.second, vague=self.away) for alert in made]
        self._act(lambda: self.begin(*made))

    @precondition(lambda self: bool(self._open()))
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        self.time_passes(1)
        one = data.draw(st.sampled_from(self._open()), label="which")
        one.ended = self.second
        self._act(lambda: self.end(one.alert))

    @precondition(lambda self: sum(one.last > self.second for one in self.silences.values()) < 2)
    @rule(
        what=st.sampled_from([*(("pipeline", one) for one in PIPELINES), ("alertname", CAUSE), ("alertname", SYMPTOM)]),
        begins_in=st.sampled_from([0.0, 0.0, 200.0]),
        lasts=st.sampled_from([100.0, 600.0, 3_000.0]),
    )
    def silence(self, what: tuple[str, str], begins_in: float, lasts: float) -> None:
        self.time_passes(1)
        ident, first = f"s{len(self.silences)}", self.second + begins_in
        made = Quiet(*what, first, first + lasts)
        self._put(ident, None, made)

    @rule(what=st.sampled_from(ALERTS), lasts=st.sampled_from([100.0, 600.0]))
    def begins_in_a_silence(self, what: tuple[str, str], lasts: float) -> None:
        self.silence(("pipeline", what[0]), 0.0, lasts)
        self.begins({what})

    @precondition(lambda self: bool(self.silences))
    @rule(data=st.data(), by=st.sampled_from([-(10.0**9), -50.0, 700.0]))
    def silence_is_ended_or_lengthened(self, data: st.DataObject, by: float) -> None:
        """By hand: it holds until now, or until later."""
        self.time_passes(1)
        ident = data.draw(st.sampled_from(sorted(self.silences)), label="which")
        old = self.silences[ident]
        if self.second < old.first or self.second >= old.last:
            return
        new = replace(old, last=max(self.second, old.last + by))
        if new.last > self.second:
            self._put(ident, ident, new)
        else:
            self.silences[ident] = new
            self._act(lambda: self.do(lambda: self._revise(ident, silences.expire)))

    @precondition(lambda self: not self.away)
    @rule(really=st.integers(0, 3).map(lambda drawn: drawn == 0))
    def provider_is_away(self, really: bool) -> None:
        if really:
            self.away = True
            self.line.providers[CHAT].always = Fault.REFUSE

    @precondition(lambda self: self.away)
    @rule()
    def provider_is_back(self) -> None:
        self.line.providers[CHAT].always = None
        self.time_passes(SOON)
        self.away = False
        for one in self.all:
            if one.vague and one.ended is None and not self._is_quiet(one.alert, self.second):
                assert self._first_told(one) is not None, f"not caught up with {one.alert.rule}\n{self.line.told()}"

    # -- what must be told ----------------------------------------------------------------------------------------

    @invariant()
    def each_is_told_in_its_moment(self) -> None:
        for one in self.all:
            found = self._first_told(one)
            if one.vague:
                assert found is None or not self._is_quiet(one.alert, found), "told though it is quiet"
            else:
                assert found == one.told_at, f"{one}, told at {found}\n{self.line.told()}"

    @invariant()
    def each_end_is_told_of_what_was_told_and_nothing_twice(self) -> None:
        for one in self.all:
            began = [effect for effect in self.told(CHAT) if one.alert.id in effect.firing]
            ended = [effect for effect in self.told(CHAT) if one.alert.id in effect.resolved]
            assert len(began) <= 1 and len(ended) <= 1, f"told twice\n{self.line.told()}"
            if not one.vague:
                wanted = [] if one.told_at is None or one.ended is None else [one.ended]
                assert [self.second_of(effect) for effect in ended] == wanted

    def teardown(self) -> None:
        self.provider_is_back()
        while some := self._open():
            some[0].ended = self.second
            self._act(partial(self.end, some[0].alert))
            self.time_passes(SOON)
        self.each_is_told_in_its_moment()
        self.each_end_is_told_of_what_was_told_and_nothing_twice()
        self.all_has_ended()

    # -- the reference --------------------------------------------------------------------------------------------

    def _tell(self, after: float) -> None:
        """What became due since `after`: the moments at which anything that keeps quiet ends, and now."""
        ends = {silence.last for silence in self.silences.values()}
        ends |= {ONCE[1], *(EVERY * n + LASTS for n in range(int(self.second // EVERY) + 1)), self.second}
        for moment in sorted(end for end in ends if after <= end <= self.second):
            for one in self._open():
                if one.told_at is None and not self._is_quiet(one.alert, moment):
                    one.told_at = moment
        for one in self._open():
            one.vague |= self.away

    def _is_quiet(self, alert: Alert, at: float) -> bool:
        labels = alert.labels
        where, name = labels["pipeline"], labels["alertname"]
        if any(one.first <= at < one.last and labels[one.label] == one.value for one in self.silences.values()):
            return True
        if where == "orders" and ONCE[0] <= at < ONCE[1]:
            return True
        if name != SYMPTOM:
            return False
        causes = [one for one in self.all if (one.alert.labels["pipeline"], one.alert.rule) == (where, CAUSE)]
        return at % EVERY < LASTS or any(one.began <= at and (one.ended is None or at < one.ended) for one in causes)

    # -- parts ----------------------------------------------------------------------------------------------------

    def _open(self) -> list[Told]:
        return [one for one in self.all if one.ended is None]

    def _first_told(self, one: Told) -> float | None:
        """When people were told that it fires, if they were."""
        return next((self.second_of(effect) for effect in self.told(CHAT) if one.alert.id in effect.firing), None)

    def _act(self, action: Callable[[], None]) -> None:
        action()
        self._tell(self.second)

    def _put(self, ident: str, before: str | None, silence: Quiet) -> None:
        wanted = silences.Wanted(
            parse_matchers(f"{silence.label}={silence.value}"),
            self.line.at(silence.first),
            self.line.at(silence.last),
            "data-lead",
            "known",
            before,
        )
        self.silences[ident] = silence
        self._act(lambda: self.do(lambda: self._revise(before, partial(silences.put, wanted=wanted, new_id=ident))))

    def _revise(self, ident: str | None, change: Callable[..., list[Silence]]) -> None:
        now = self.clock.now()
        self.line.store.revise_silence(ident, lambda old: change(old, now=now))
