"""The backtest: stored facts, heard again in the order in which they were recorded, by the engine under other rules.

Each fact is heard at the moment at which it came in, on a clock that is moved by hand, and everything that falls due in
between is done at its time. All facts of the store are played, so that what learns has learned by then; what fired and
what was told counts from the beginning of the window. Several configurations are played side by side in one pass.

Bills are heard in between, each version when it came in. What the store does not have in the order in which it came is
not played: spans, and how well sources answered.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from watchtower.config import Config
from watchtower.config.sections import ScrubConfig
from watchtower.model.alert import Alert, NoticeReason, Silence
from watchtower.model.cost import CostScope
from watchtower.model.fact import Fact
from watchtower.model.round_trip import KIND as ROUND_TRIP
from watchtower.rehearsal.recorded import Rereader
from watchtower.rehearsal.stage import Stage, Told
from watchtower.store import facts, silences
from watchtower.store.bill_history import Version, versions
from watchtower.store.carrying import Carried, carry, had_earlier
from watchtower.store.database import Database
from watchtower.store.facts import Kept
from watchtower.store.reading.acts import Acknowledged, acknowledgements
from watchtower.store.slo_counts import MARGIN

PAGE = 1_000  # facts that are read at once
_MOST_SILENCES = 100_000
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """From and to, both inclusive (aware UTC)."""

    begins: datetime
    ends: datetime

    def holds(self, moment: datetime) -> bool:
        return self.begins <= moment <= self.ends


@dataclass(frozen=True, slots=True)
class Fired:
    """What came of one configuration within the span. alerts: those that fired, by the time at which they did;
    told: messages, by time."""

    alerts: tuple[Alert, ...]
    told: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """span: what was asked for, as far as there are facts; kept: those of the store; carried: what was known before
    them; heard: how many were played; bills: how many versions of bills were; unread: how many nobody reads, by source
    and kind; fired: of each configuration, in their order."""

    span: Span
    kept: Kept
    carried: Carried
    heard: int
    bills: int
    unread: Mapping[tuple[str, str], int]
    fired: tuple[Fired, ...]


def backtest(
    database: Database,
    kept: Kept,
    configs: Sequence[Config],
    span: Span,
    progress: Callable[[int], object] = lambda _: None,
) -> Replayed:
    """database: whose facts are played, which is only read. progress: called with how many facts were passed. Raises
    ConfigError for a configuration that cannot be built."""
    with TemporaryDirectory(prefix="watchtower-backtest-") as folder:
        stages: list[Stage] = []
        try:
            past = _Past(database, kept, progress, _scopes(configs))
            earlier = _Earlier(database, kept, asks_bills=bool(past.scopes))
            for number, config in enumerate(configs):
                stages.append(earlier.stage(_alone(config), Path(folder) / f"state-{number}"))
            return _played(past, earlier.carried, stages, span)
        finally:
            for stage in stages:
                stage.close()


def _alone(config: Config) -> Config:
    """What is stored was scrubbed before it was."""
    return replace(config, scrub=ScrubConfig())


def _scopes(configs: Sequence[Config]) -> list[CostScope]:
    """All charges that any of them asks for."""
    found = [budget.scope for config in configs for budget in config.budgets]
    for config in configs:
        asked = [getattr(rule.options, "asked", None) for rule in config.declared_rules]
        asked += [each.indicator.asked for slo in config.slos for each in slo.objectives]
        found += [each.scope for each in asked if each is not None]
    return found


@dataclass(slots=True)
class _Earlier:
    """What was known before the first fact that is kept, where there were others before it."""

    database: Database
    kept: Kept
    asks_bills: bool
    carried: Carried = field(default_factory=Carried, init=False)

    def stage(self, config: Config, folder: Path) -> Stage:
        """One that knows of it. What is wrong at its beginning began before, and so counts nowhere: it begins with the
        last moment before the first fact."""
        if not had_earlier(self.database, self.kept):
            return Stage(config, folder, self.kept.oldest - (_MOMENT if self.asks_bills else timedelta()))

        def before(store: Database) -> None:
            self.carried = carry(self.database, store, self.kept.oldest, _counted_since(config, self.kept.oldest))

        return Stage(config, folder, self.kept.oldest - _MOMENT, before)


def _counted_since(config: Config, moment: datetime) -> datetime | None:
    """Since when SLOs count runs; None: they count none."""
    counting = [slo for slo in config.slos if any(each.indicator.sli.of_runs for each in slo.objectives)]
    longest = max((slo.period.seconds for slo in counting), default=None)
    return None if longest is None else moment - timedelta(seconds=longest) - 2 * MARGIN


@dataclass(slots=True)
class _Past:
    """What is on record. progress: as of `backtest`; scopes: charges that are asked for."""

    database: Database
    kept: Kept
    progress: Callable[[int], object]
    scopes: Collection[CostScope] = ()
    heard: int = field(default=0, init=False)
    billed: int = field(default=0, init=False)

    def facts(self, reader: Rereader, until: datetime) -> Iterator[tuple[datetime, list[Fact]]]:
        """Those that came in until then, in recorded commit order, each with its moment; what came in together is
        heard together. Time only goes forward: what waited in the spool is heard when it was stored."""
        now = self.kept.oldest
        for received_at, together in groupby(self._recorded(until), key=lambda stored: stored.received_at):
            read = [fact for stored in together if (fact := reader.read(stored)) is not None]
            now = max(now, received_at)
            self.heard += len(read)
            yield now, read

    def _recorded(self, until: datetime) -> Iterator[Fact]:
        after = self.kept.first_id - 1
        while after < self.kept.last_id:
            with self.database.read() as connection:
                page = facts.recorded(connection, after, PAGE)
            if not page:
                return
            for ident, stored in page:
                if ident <= self.kept.last_id and stored.kind != ROUND_TRIP and stored.received_at <= until:
                    yield stored
            self.progress(min(page[-1][0], self.kept.last_id) - after)
            after = page[-1][0]

    def bills(self, until: datetime) -> Iterator[tuple[datetime, Version]]:
        """Also those that were in force when the first fact came in: they are heard before it."""
        for version in versions(self.database, self.scopes, self.kept.oldest - _MOMENT, until):
            self.billed += 1
            yield max(version.at, self.kept.oldest - _MOMENT), version

    def acts(self, until: datetime) -> Iterable[tuple[datetime, Silence | Acknowledged]]:
        """What people did until then, by time. A silence counts as it was in the end."""
        first = self.kept.oldest
        with self.database.read() as connection:
            silenced = silences.list_silences(connection, ended_after=first, limit=_MOST_SILENCES)
            had = acknowledgements(connection)
        acts: list[tuple[datetime, Silence | Acknowledged]] = [(max(each.created_at, first), each) for each in silenced]
        acts += [(each.at, each) for each in had if each.at >= first]
        return sorted((act for act in acts if act[0] <= until), key=lambda act: act[0])


def _played(past: _Past, carried: Carried, stages: Sequence[Stage], span: Span) -> Replayed:
    reader = Rereader(stages[0].collectors, stages[0].polled)
    happened = merge(
        past.facts(reader, span.ends),
        past.bills(span.ends),
        past.acts(span.ends),
        key=lambda each: each[0],
    )
    for at, what in happened:
        for stage in stages:
            stage.run_until(at)
            _happen(stage, what)
    for stage in stages:
        stage.run_until(span.ends)
    fired = tuple(_fired(stage, past.kept.oldest, span) for stage in stages)
    return Replayed(span, past.kept, carried, past.heard, past.billed, dict(reader.unread), fired)


def _happen(stage: Stage, what: "list[Fact] | Version | Silence | Acknowledged") -> None:
    match what:
        case Version():
            stage.bill(what.bill, what.sums)
        case Silence():
            stage.silence(what)
        case Acknowledged():
            stage.acknowledge(what.fingerprints, what.by, what.until)
        case _:
            stage.hear(what)


def _fired(stage: Stage, oldest: datetime, span: Span) -> Fired:
    alerts = [
        alert
        for alert in stage.every_alert()
        if alert.starts_at is not None and span.holds(alert.starts_at) and not alert.historical
    ]
    told = [each for each in stage.told if span.holds(each.at) and not _was_told_before(each, oldest)]
    return Fired(
        tuple(sorted(alerts, key=lambda alert: (alert.starts_at or alert.active_since, alert.id))),
        tuple(sorted(told, key=lambda each: each.at)),
    )


def _was_told_before(told: Told, oldest: datetime) -> bool:
    """It is about nothing but what was wrong at the beginning, and says so for the first time."""
    began = [alert.starts_at for alert in told.notice.firing]
    return (
        told.notice.reason is NoticeReason.FIRST
        and bool(began)
        and all(moment is not None and moment < oldest for moment in began)
    )
