"""The order of a poll that lists runs, whatever the source: definitions, runs, those that had not ended, the mark."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from collectors.polled import polled_fact
from collectors.source import ListedSource, PollerOf, Seen, SourceOf
from tests.app.polls import context
from watchtower.clock import ManualClock
from watchtower.config.polled import PolledConfig
from watchtower.config.types import Section, WebAddress
from watchtower.errors import ConfigError, Reason, Transient
from watchtower.model.run import JobRef, RunPatch
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, Received

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
THEIRS = NOW - timedelta(hours=5)  # by their clock


class ShipConfig(PolledConfig):
    base_url: WebAddress | None = None


class ShipsConfig(Section):
    sources: tuple[ShipConfig, ...] = ()


class Run(SourceOf[ShipConfig]):
    """Each record is a run."""

    kind = "ships"

    def read(self, window: Window) -> Iterator[Page]:
        yield Page((b"{}",))

    def decode(self, record: bytes, received: Received) -> Decoded:
        job = JobRef("ships", "ships", "orders")
        environment = "qa" if b"qa" in record else None
        run = RunPatch(("a",), job, "START", environment=environment)
        return Decoded((polled_fact(record, NOW, received, source="ships", kind="ships", run=run),))


@pytest.mark.parametrize(
    ("configured", "record", "environment"), [(None, b"{}", None), ("prod", b"{}", "prod"), ("prod", b'"qa"', "qa")]
)
def test_runs_that_name_no_environment_are_of_the_one_that_the_configuration_says(
    configured: str | None, record: bytes, environment: str | None
) -> None:
    class Runs(PollerOf):
        kind, Config, polled, addresses = "ships", ShipsConfig, Run, ()

    (source,) = Runs(ShipsConfig(sources=(ShipConfig(name="prod", environment=configured),))).sources(
        context(ManualClock(NOW))
    )
    (fact,) = source.decode(record, Received(NOW)).facts
    assert fact.run
    assert (fact.run.environment, source.name, source.every_s) == (environment, "prod", 60.0)


class Ships(ListedSource[ShipConfig]):
    """answers: of the list, one after the other; what is asked for moves their clock on. known: what can be asked for
    by itself."""

    kind = "ships"

    def __init__(self, config: ShipConfig, answers: Sequence[Sequence[Seen]], known: Sequence[Seen] = ()) -> None:
        super().__init__(config, context(ManualClock(NOW)))
        self.answers = answers
        self.known = {seen.reference: seen for seen in known}
        self.asked: list[str] = []
        self.answered = 0
        self.breaks = False

    @property
    def clock_at(self) -> datetime | None:
        return THEIRS + timedelta(seconds=self.answered) if self.answered else None

    def definitions(self, window: Window) -> Iterator[Page]:
        if window.deep:
            yield Page((b"definition",))

    def listed(self, window: Window) -> Iterator[Sequence[Seen]]:
        for answer in self.answers:
            self.answered += 1
            yield answer
        if self.breaks:
            raise Transient(Reason.SERVER_ERROR, "ships: HTTP 503")

    def again(self, reference: str) -> Seen | None:
        self.asked.append(reference)
        self.answered += 1
        return self.known.get(reference)

    def decode(self, record: bytes, received: Received) -> Decoded:
        return Decoded(())


class ShipPoller(PollerOf):
    kind = "ships"
    Config = ShipsConfig
    polled = Ships


def seen(reference: str, *, is_open: bool = False) -> Seen:
    return Seen(reference, f"{reference} {'open' if is_open else 'ended'}".encode(), is_open)


def window(cursor: str | None = None, *, deep: bool = False) -> Window:
    return Window(NOW - timedelta(hours=1), NOW, cursor=cursor, deep=deep)


def ships(answers: Sequence[Sequence[Seen]], known: Sequence[Seen] = ()) -> Ships:
    return Ships(ShipConfig(name="prod"), answers, known)


def records(pages: Sequence[Page]) -> list[bytes]:
    return [record for page in pages for record in page.records]


def test_what_had_not_ended_is_remembered_and_asked_for_until_it_has() -> None:
    first = list(ships([[seen("a", is_open=True), seen("b")]]).read(window(deep=True)))
    assert records(first) == [b"definition", b"a open", b"b ended"]
    assert first[-1].cursor == '["a"]'
    source = ships([], [seen("a")])
    second = list(source.read(window('["a","gone"]')))
    assert (records(second), second[-1].cursor, source.asked) == ([b"a ended"], "[]", ["a", "gone"])


def test_a_run_that_pages_show_twice_as_they_shift_is_asked_for_no_more() -> None:
    source = ships([[seen("a", is_open=True)], [seen("a"), seen("c", is_open=True)]])
    pages = list(source.read(window('["a","c"]')))
    assert (source.asked, records(pages)) == ([], [b"a open", b"a ended", b"c open"])
    assert pages[-1].cursor == '["c"]'


def test_the_mark_is_their_time_at_the_first_answer_of_the_list_however_far_their_clock_is_off() -> None:
    source = ships([[seen("a")], [seen("b")]], [seen("c")])
    assert list(source.read(window('["c"]')))[-1].mark == THEIRS + timedelta(seconds=1)
    assert list(ships([]).read(window()))[-1].mark == NOW  # they said none


def test_a_poll_that_breaks_off_sets_no_mark() -> None:
    source = ships([[seen("a", is_open=True)]])
    source.breaks = True
    pages: list[Page] = []
    with pytest.raises(Transient):
        pages.extend(source.read(window()))
    assert records(pages) == [b"a open"]
    assert all(page.mark is None and page.cursor is None for page in pages)


def test_every_address_that_the_guard_refuses_is_named_with_its_place() -> None:
    given = [
        {"name": "a"},
        {"name": "b", "base_url": "http://169.254.169.254"},
        {"name": "c", "base_url": "http://10.0.0.1"},
    ]
    with pytest.raises(ConfigError) as raised:
        ShipPoller(ShipsConfig.model_validate({"sources": given})).sources(context(ManualClock(NOW)))
    assert [fault.path for fault in raised.value.faults] == [
        "collectors.ships.sources[1].base_url",
        "collectors.ships.sources[2].base_url",
    ]
