"""What pollers share beyond their questions: a source for each entry of the configuration, and the order of a poll.

A kind of orchestrator declares its `Config` and the class of its sources; such a class says what is listed. Most APIs
list runs by when they began and cannot say what changed: those that had not ended are remembered in the cursor, and
asked for one by one until they have.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import structs

from collectors.asking import check_address
from collectors.polled_ids import open_ids, to_cursor
from collectors.slices import Slice, slices
from watchtower.config.polled import PolledConfig
from watchtower.errors import ConfigError, Fault, Reason, Transient
from watchtower.model.fact import Fact
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, PollContext, PolledSource, Received

C = TypeVar("C", bound=PolledConfig)


class SourceOf(ABC, Generic[C]):
    """ports.PolledSource, made of its entry in the configuration."""

    kind: ClassVar[str]

    def __init__(self, config: C, context: PollContext) -> None:
        self.config = config
        self.context = context
        self.name = config.name
        self.namespace = config.of_jobs
        self.every_s = config.every
        self.lookback_s = config.lookback

    @property
    def what(self) -> str:
        """The source in messages."""
        return f"{self.kind} source {self.name!r}"

    @abstractmethod
    def read(self, window: Window) -> Iterator[Page]: ...

    @abstractmethod
    def decode(self, record: bytes, received: Received) -> Decoded: ...


class InEnvironment:
    """ports.PolledSource: another one, whose runs are of an environment unless they name their own."""

    def __init__(self, polled: PolledSource, environment: str) -> None:
        self._polled = polled
        self._environment = environment
        self.name, self.kind, self.namespace = polled.name, polled.kind, polled.namespace
        self.every_s, self.lookback_s = polled.every_s, polled.lookback_s

    def read(self, window: Window) -> Iterator[Page]:
        return self._polled.read(window)

    def decode(self, record: bytes, received: Received) -> Decoded:
        decoded = self._polled.decode(record, received)
        return replace(decoded, facts=tuple(map(self._placed, decoded.facts)))

    def _placed(self, fact: Fact) -> Fact:
        if fact.run is None or fact.run.environment is not None:
            return fact
        return structs.replace(fact, run=structs.replace(fact.run, environment=self._environment))


class PollerOf:
    """ports.Poller. polled: of its sources; addresses: the keys of a source that hold one."""

    kind: ClassVar[str]
    Config: ClassVar[type[Any]]
    polled: ClassVar[type[Any]]
    addresses: ClassVar[tuple[str, ...]] = ("base_url",)

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def sources(self, context: PollContext) -> Sequence[PolledSource]:
        """Raises ConfigError with all that is wrong."""
        self.check(context)
        return [self._source(source, context) for source in self.config.sources]

    def _source(self, config: PolledConfig, context: PollContext) -> PolledSource:
        polled: PolledSource = self.polled(config, context)
        return InEnvironment(polled, config.environment) if config.environment else polled

    def check(self, context: PollContext) -> None:
        faults: list[Fault] = []
        sources: Sequence[Any] = self.config.sources
        for key, (number, source) in product(self.addresses, enumerate(sources)):
            try:
                if address := getattr(source, key):
                    check_address(context.check, address, f"collectors.{self.kind}.sources[{number}].{key}")
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True, slots=True)
class Seen:
    """A run as its source shows it now. reference: by which it is asked for again; record: None if there is nothing to
    tell of it yet; is_open: it has not ended."""

    reference: str
    record: bytes | None
    is_open: bool


class ListedSource(SourceOf[C]):
    """One whose runs are listed by their beginning, or by their last change as far as the source knows it."""

    @property
    @abstractmethod
    def clock_at(self) -> datetime | None:
        """The source's own time at its last answer."""

    @abstractmethod
    def listed(self, window: Window) -> Iterator[Sequence[Seen]]:
        """Runs since the window's beginning, as many at once as the API gives in an answer."""

    @abstractmethod
    def again(self, reference: str) -> Seen | None:
        """What became of a run that had not ended; None if the source has forgotten it."""

    def pieces(self, window: Window) -> Iterator[tuple[Iterator[Sequence[Seen]], datetime | None]]:
        """What is listed, piece by piece, each with the mark that it reaches; None for the last, which reaches now."""
        yield self.listed(window), None

    def definitions(self, window: Window) -> Iterator[Page]:
        """What is read before the runs: jobs with their schedules, and what is wrong with the source."""
        return iter(())

    def beside(self) -> Iterator[Page]:
        """What else there is to read, after the runs."""
        return iter(())

    def read(self, window: Window) -> Iterator[Page]:
        yield from self.definitions(window)
        started: datetime | None = None
        still: dict[str, None] = {}
        unseen = dict.fromkeys(open_ids(window.cursor))
        for listing, reached in self.pieces(window):
            for found in listing:
                started = started or self.clock_at
                for each in found:
                    unseen.pop(each.reference, None)
                yield _page(found, still)
            if reached is not None:
                yield Page(mark=reached, cursor=to_cursor([*unseen, *still]))
        started = started or self.clock_at
        for reference in unseen:
            if one := self.again(reference):
                yield _page([self._same(one, reference)], still)
        yield from self.beside()
        yield Page(mark=started or window.until, cursor=to_cursor(list(still)))

    def _same(self, one: Seen, reference: str) -> Seen:
        """Raises Transient for an answer of something else: the run that was asked for would be forgotten."""
        if one.reference != reference:
            raise Transient(Reason.BAD_ANSWER, f"{self.what}: {reference} was asked for, and the answer is none of it")
        return one


class SlicedSource(ListedSource[C]):
    """One that can be asked for what lies between two moments, so that a history of any length is read in pieces."""

    @abstractmethod
    def between(self, since: datetime, until: datetime | None) -> Iterator[Sequence[Seen]]:
        """As `listed`. until: None for no end."""

    def listed(self, window: Window) -> Iterator[Sequence[Seen]]:
        return self.between(window.since, None)

    def pieces(self, window: Window) -> Iterator[tuple[Iterator[Sequence[Seen]], datetime | None]]:
        for since, until in self._slices(window):
            yield self.between(since, until), until

    def _slices(self, window: Window) -> Iterator[Slice]:
        """Only a deep window is long; before it, definitions were asked for, and told the time."""
        return slices(window, self.clock_at if window.deep else None)


def _page(found: Sequence[Seen], still: dict[str, None]) -> Page:
    for each in found:
        if each.is_open:
            still[each.reference] = None
        else:
            still.pop(each.reference, None)  # pages shift: an earlier one showed it before it ended
    return Page(tuple(each.record for each in found if each.record is not None))
