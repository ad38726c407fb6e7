"""Escalations: who is told after whom while nobody has it, and that nobody is once somebody does, in thirty lines.

Waits count only while the alert fires and nobody has it. What is kept from a provider that is away may be late, but it
never rings for what somebody has by then, or for what is over.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from alerting import incidents as deeds
from alerting.routing import Destination
from tests.alerting.builders import firing_alert
from tests.alerting.machines.frame import Machine, Traits
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Fault
from watchtower.model.alert import Alert, Call
from watchtower.model.incident import IncidentEdit
from watchtower.store import incidents
from watchtower.store.database import Database

TEXT, CALL, LEAD = (f"team/oncall[0]/{step}" for step in ("1/primary/sms", "1/primary/voice", "2/data-lead/voice"))
AFTER = {TEXT: 0, CALL: 120, LEAD: 300}  # seconds in which nobody has it
REDIAL, REDIALS = 200, {TEXT: 0, CALL: 2, LEAD: 1}
ACK_FOR = 1_000
NEVER = float("inf")


def _step(name: str) -> Destination:
    call = Call(
        person=name.split("/")[2],
        after_s=AFTER[name],
        redial_s=REDIAL if REDIALS[name] else None,
        redials=REDIALS[name],
        severities=("page",),
        daily_cap=10_000,
    )
    return Destination(name, send_resolved=False, call=call)


@dataclass
class Page:
    """A page as the reference has it. waited: how long it fired with nobody having it; told, redialed: by step, when
    last and how often it was called again; acked_until: while somebody has it; held: from, to of that. loose: steps
    whose provider was away."""

    alert: Alert
    began: float
    waited: float = 0.0
    ended: float | None = None
    acked_until: float | None = None
    told: dict[str, float] = field(default_factory=dict[str, float])
    redialed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(AFTER, 0))
    calls: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    held: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    loose: set[str] = field(default_factory=set[str])

    def pass_time(self, now: float, until: float) -> None:
        """All that happens to it by itself, moment by moment."""
        while self.ended is None and (moment := min(self._moments(now))) <= until:
            if self.acked_until is None:
                self.waited += moment - now
            now = moment
            if self.acked_until is not None:
                self.given_back(now)
            self._tell(now)
        if self.ended is None and self.acked_until is None:
            self.waited += until - now

    def taken(self, now: float) -> None:
        if self.acked_until is not None:
            self.held.append((self.held.pop()[0], now))
        self.acked_until = now + ACK_FOR
        self.held.append((now, NEVER))

    def given_back(self, now: float) -> None:
        """Whoever was told is told again at once, and then the others go on from where they stood."""
        self.acked_until = None
        self.held.append((self.held.pop()[0], now))
        for name in self.told:
            self._call(now, name, "repeat")

    def _moments(self, now: float) -> list[float]:
        if self.acked_until is not None:
            return [self.acked_until]
        firsts = [now + AFTER[name] - self.waited for name in AFTER if name not in self.told]
        again = [at + REDIAL for name, at in self.told.items() if self.redialed[name] < REDIALS[name]]
        return [*firsts, *again, NEVER]

    def _tell(self, now: float) -> None:
        for name, after in AFTER.items():
            if name not in self.told:
                if self.waited >= after:
                    self._call(now, name, "first")
            elif self.redialed[name] < REDIALS[name] and now >= self.told[name] + REDIAL:
                self._call(now, name, "redial")

    def _call(self, now: float, name: str, why: str) -> None:
        self.calls.append((now, name, why))
        self.told[name] = now
        self.redialed[name] = self.redialed[name] + 1 if why == "redial" else 0


class EscalationMachine(Machine):
    """Two pipelines, each with at most one page at a time."""

    policy = pipeline(node("team", wait=0, repeat=10**8), receivers={"team": [_step(name) for name in AFTER]})
    traits: ClassVar[Traits] = {TEXT: {"rings": True}, CALL: {"rings": True}, LEAD: {"rings": True}}

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.pages: list[Page] = []
        self.away: set[str] = set()

    @rule(seconds=st.sampled_from([1, 40, 60, 119, 120, 121, 200, 300, 1_000]))
    def time_passes(self, seconds: float) -> None:
        before = self.second
        self.pass_time(seconds)
        for page in self._open():
            page.pass_time(before, self.second)
            page.loose |= self.away

    @rule(where=st.sampled_from(["orders", "billing"]))
    def begins(self, where: str) -> None:
        self.time_passes(1)
        if any(page.alert.labels["pipeline"] == where for page in self._open()):
            return
        page = Page(firing_alert(self.clock.now(), severity="page", pipeline=where), self.second)
        self.pages.append(page)
        self.begin(page.alert)
        page.pass_time(self.second, self.second)
        page.loose |= self.away

    @precondition(lambda self: bool(self._open()))
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        self.time_passes(1)
        page = self._drawn(data)
        page.ended = self.second
        self.end(page.alert)

    @precondition(lambda self: bool(self._open()))
    @rule(data=st.data(), by=st.sampled_from(["person:primary", "slack:U1", "person:data-lead"]))
    def somebody_takes_it(self, data: st.DataObject, by: str) -> None:
        """From wherever: a key, a reply, a button, the API and the command line end in the same deed."""
        self.time_passes(1)
        self._take(self._drawn(data), by)

    @precondition(lambda self: any(page.acked_until for page in self._open()))
    @rule(data=st.data())
    def it_is_given_back(self, data: st.DataObject) -> None:
        self.time_passes(1)
        self._give_back(self._drawn(data))

    @precondition(lambda self: any(page.acked_until is None for page in self._open()))
    @rule(seconds=st.sampled_from([30, 100, 400]))
    def somebody_has_the_newest_for_a_while(self, seconds: float) -> None:
        page = [page for page in self._open() if page.acked_until is None][-1]
        self._take(page, "person:primary")
        self.time_passes(seconds)
        self._give_back(page)

    @rule(name=st.sampled_from(list(AFTER)), really=st.integers(0, 3).map(lambda drawn: drawn == 0))
    def a_provider_is_away(self, name: str, really: bool) -> None:
        if really:
            self.away.add(name)
            self.line.providers[name].always = Fault.REFUSE

    @precondition(lambda self: bool(self.away))
    @rule()
    def providers_are_back(self) -> None:
        for name in sorted(self.away):
            self.line.providers[name].always = None
        self.time_passes(900)
        self.away.clear()
        for page in self._open():
            for name in page.told.keys() - {one for _, one in self._seen(page)}:
                assert page.acked_until is not None, f"{name} was not caught up with\n{self.line.told()}"

    @invariant()
    def each_is_told_in_its_moment(self) -> None:
        for page in self.pages:
            for name in AFTER.keys() - page.loose:
                wanted = [(at, why) for at, where, why in page.calls if where == name]
                assert self._told_of(page, name) == wanted, f"{name}\n{page}\n{self.line.told()}"

    @invariant()
    def nothing_rings_for_what_somebody_has_or_what_is_over(self) -> None:
        for page in self.pages:
            for at, name in self._seen(page):
                assert page.ended is None or at <= page.ended, f"{name} rang for what is over"
                assert not any(first < at < last for first, last in page.held), f"{name} rang though somebody had it"

    def teardown(self) -> None:
        self.providers_are_back()
        while some := self._open():
            self.time_passes(1)
            some[0].ended = self.second
            self.end(some[0].alert)
        self.time_passes(900)
        self.each_is_told_in_its_moment()
        self.nothing_rings_for_what_somebody_has_or_what_is_over()
        self.all_has_ended()

    # -- parts ----------------------------------------------------------------------------------------------------

    def _open(self) -> list[Page]:
        return [page for page in self.pages if page.ended is None]

    def _drawn(self, data: st.DataObject) -> Page:
        return data.draw(st.sampled_from(self._open()), label="which")

    def _told_of(self, page: Page, name: str) -> list[tuple[float, str]]:
        return [(self.second_of(one), one.reason) for one in self.told(name) if page.alert.id in one.firing]

    def _seen(self, page: Page) -> list[tuple[float, str]]:
        return [(at, name) for name in AFTER for at, _ in self._told_of(page, name)]

    def _take(self, page: Page, by: str) -> None:
        take = partial(deeds.acknowledge, by=by, now=self.clock.now(), ack_for=timedelta(seconds=ACK_FOR))
        self._edit(page, take)
        page.taken(self.second)

    def _give_back(self, page: Page) -> None:
        self._edit(page, partial(deeds.unacknowledge, by="person:primary", now=self.clock.now()))
        if page.acked_until is not None:
            page.given_back(self.second)
            page.pass_time(self.second, self.second)

    def _edit(self, page: Page, change: IncidentEdit) -> None:
        with self.line.database.read() as connection:
            listed = incidents.list_incidents(connection)
        where = page.alert.labels["pipeline"]
        [ident] = [one.id for one in listed if one.resolved_at is None and one.labels["pipeline"] == where]
        self.do(lambda: self.line.store.edit_incident(ident, change))
