"""What holds of every source that is asked over HTTP: whatever goes wrong, nothing is lost, and what to do is said.

A source that fails raises Transient or Permanent, and sets no mark; what was read until then counts, and the next poll
brings the rest. A kind that has no world in worlds.py fails these tests.
"""

import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.collectors.aws.worlds import AWS_WORLDS
from tests.collectors.folding import assert_orderless, folded
from tests.collectors.otherwise import OTHERWISE, WAYS
from tests.collectors.world import World
from tests.collectors.worlds import CLOUDS, WORLDS
from tests.simulators.faults import Fault
from tests.simulators.http import Reply
from watchtower.app.polling import window_of
from watchtower.errors import DeliveryError, Permanent, Reason, Transient
from watchtower.model.fact import Fact
from watchtower.model.source import Page, Source, Window
from watchtower.ports import PolledSource, Received
from watchtower.registry import POLLERS

LOG_INS = ("/token", "/signin")  # those that go wrong are tested where they are
MAY_SAY_NOTHING = ("databricks", "dataproc", "vertex_ai", *AWS_WORLDS)  # an empty list is left out of an answer
MOST_PLACES = 8  # of requests in a poll at which it is broken

FAULTS = {
    Fault.UNAUTHORIZED: Permanent,
    Fault.FORBIDDEN: Permanent,
    Fault.RATE_LIMITED_SECONDS: Transient,
    Fault.RATE_LIMITED_DATE: Transient,
    Fault.RATE_LIMITED: Transient,
    Fault.UNAVAILABLE: Transient,
    Fault.ERROR_500: Transient,
    Fault.BAD_GATEWAY: Transient,
    Fault.RESET_AFTER_BODY: Transient,
    Fault.REDIRECT: Permanent,
    Fault.INVALID_JSON: Transient,
    Fault.EMPTY_200: Transient,
    Fault.WRONG_TYPE: DeliveryError,
    Fault.HUGE_ANSWER: DeliveryError,
    Fault.GZIP_BOMB: DeliveryError,
}
WAITS_S = {Fault.RATE_LIMITED_SECONDS: 7, Fault.RATE_LIMITED_DATE: 90, Fault.RATE_LIMITED: None, Fault.UNAVAILABLE: 11}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[World]:
    with WORLDS[request.param](tmp_path) as made:
        made.server.changes_something = lambda request: not request.path.endswith(LOG_INS)
        yield made


@dataclass
class Poller:
    """The frame without its store: what was read counts from the moment at which the next page is asked for. marks:
    those that were set, in their order; largest: how many records a page held."""

    world: World
    source: PolledSource
    records: list[bytes] = field(default_factory=list[bytes])
    cursor: str | None = None
    marks: list[datetime] = field(default_factory=list[datetime])
    largest: int = 0

    @classmethod
    def of(cls, world: World) -> "Poller":
        return cls(world, world.source())

    def poll(self, pages: int | None = None, until: datetime | None = None) -> None:
        """pages: after so many the process dies; that last page was not stored; until: it dies once this mark is set.
        Raises what the source raises."""
        now = self.world.now
        known = Source("shop", self.world.kind, "shop", 60, now, mark=self.mark, cursor=self.cursor)
        window = window_of(known, now, deep=True, lookback_s=self.world.lookback.total_seconds())
        with closing(_generator(self.source.read(window))) as found:
            for number, page in enumerate(found):
                if number == pages:
                    return
                self.records += page.records
                self.cursor = page.cursor or self.cursor
                self.marks += [page.mark] if page.mark else []
                self.largest = max(self.largest, len(page.records))
                if until is not None and page.mark == until:
                    return

    @property
    def mark(self) -> datetime | None:
        return self.marks[-1] if self.marks else None

    def facts(self) -> list[Fact]:
        received = Received(self.world.now, "shop")
        decoded = [self.source.decode(record, received) for record in self.records]
        assert not any(each.rejects for each in decoded)
        return [fact for each in decoded for fact in each.facts]


def _generator(pages: Iterator[Page]) -> Generator[Page]:
    yield from pages


def places(count: int) -> list[int]:
    """Of so many requests or pages, all or some that are spread over them."""
    return sorted({place * count // min(count, MOST_PLACES) for place in range(min(count, MOST_PLACES))})


def test_every_kind_that_is_asked_is_tested_here_or_where_it_is_said() -> None:
    """No source comes in without its row: each way to go wrong has a test, or is said not to be one."""
    assert sorted({*WORLDS, *OTHERWISE} - {*CLOUDS}) == sorted(POLLERS.names)
    for kind, row in OTHERWISE.items():
        assert tuple(row) == WAYS, kind
        for way, test in row.items():
            file, _, name = test.partition("::")
            is_there = name and f"def {name}(" in (Path(__file__).parent / file).read_text()
            assert is_there or test.startswith("none: "), (kind, way)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_answer_is_told_with_its_source_and_moves_no_mark(world: World, fault: Fault) -> None:
    poller = Poller.of(world)
    world.server.fail_next(*[fault] * 50)
    with pytest.raises(DeliveryError) as raised:
        poller.poll()
    assert isinstance(raised.value, FAULTS[fault])
    assert poller.mark is None
    assert is_named(world, raised.value)
    if fault in (Fault.UNAUTHORIZED, Fault.FORBIDDEN):
        assert raised.value.reason is Reason.AUTH
        assert "; " in str(raised.value)  # what to do follows
    if fault in WAITS_S:
        assert isinstance(raised.value, Transient)
        assert raised.value.retry_after_s == WAITS_S[fault]


def is_named(world: World, error: DeliveryError) -> bool:
    """The source, or its address: what failed is found by it."""
    return any(word in str(error) for word in ("source 'shop'", f"{world.kind} ", world.server.url.partition("//")[2]))


def test_a_source_that_does_not_answer_is_given_up_and_moves_no_mark(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [sys.modules[name] for name in sys.modules if name.startswith("collectors.")]:
        for name in ("TIMEOUT_S", "READ_TIMEOUT_S"):
            if isinstance(getattr(module, name, None), float):
                monkeypatch.setattr(module, name, 0.3)
    poller = Poller.of(world)
    world.server.fail_next(*[Fault.ACCEPT_THEN_TIMEOUT] * 50)
    with pytest.raises(Transient) as raised:
        poller.poll()
    assert raised.value.reason in (Reason.TIMEOUT, Reason.CONNECT)
    assert is_named(world, raised.value)
    assert poller.mark is None


@pytest.mark.parametrize(
    "fault", [Fault.UNAVAILABLE, Fault.WRONG_TYPE, Fault.UNAUTHORIZED], ids=lambda fault: fault.name
)
def test_whichever_request_fails_nothing_is_missing_after_the_next_poll(world: World, fault: Fault) -> None:
    if (world.kind, fault) == ("prefect", Fault.WRONG_TYPE):
        pytest.skip("its lists are lists")
    poller = Poller.of(world)
    poller.poll()
    expected, reached = folded(poller.facts()), poller.mark
    assert expected
    asked = [each for each in world.server.requests if not each.path.endswith(LOG_INS)]
    for place in places(len(asked)):
        poller = Poller.of(world)
        world.server.fail_next(*[None] * place, fault)
        try:
            poller.poll()
        except DeliveryError:
            assert poller.mark != reached, place
        world.server.recover()
        poller.poll()
        assert folded(poller.facts()) == expected, place


@pytest.mark.parametrize("said", [{}, {"value": None}, {"items": {}}], ids=["nothing", "null", "another type"])
def test_an_answer_that_lacks_what_is_always_there_is_none(world: World, said: object) -> None:
    """What counts as read would never be asked for again."""
    if world.kind in MAY_SAY_NOTHING:
        return
    answer = world.server.answer
    world.server.answer = lambda request: answer(request) if request.path.endswith(LOG_INS) else Reply.of_json(said)
    poller = Poller.of(world)
    with pytest.raises(DeliveryError):
        poller.poll()
    assert poller.mark is None


def test_what_was_read_and_never_stored_is_read_again(world: World) -> None:
    poller = Poller.of(world)
    poller.poll()
    expected = folded(poller.facts())
    window = Window(world.now - world.lookback, world.now, deep=True)
    for place in places(sum(1 for _ in world.source().read(window))):
        poller = Poller.of(world)
        poller.poll(place)
        poller.poll()
        assert folded(poller.facts()) == expected, place


def test_a_run_that_ends_between_two_polls_comes_to_the_same_in_any_order(world: World) -> None:
    """T8: permuted, repeated, early and late."""
    poller = Poller.of(world)
    poller.poll()
    before = folded(poller.facts())
    world.end()
    poller.poll()
    facts = poller.facts()
    assert assert_orderless(facts) != before


@pytest.mark.parametrize("hours", [-5, 5], ids=["slow", "fast"])
def test_the_mark_is_by_their_clock_however_far_it_is_off(world: World, hours: float) -> None:
    theirs = (world.now + timedelta(hours=hours)).replace(microsecond=0)
    world.server.told = format_datetime(theirs, usegmt=True)
    poller = Poller.of(world)
    poller.poll()
    assert poller.mark is not None
    assert poller.mark == theirs
    assert poller.marks == sorted(poller.marks)
