"""What `/metrics` says of pipelines, alerts and deliveries: read from the store at a scrape, a few seconds old at most.

A scrape never waits longer for the store than it was given: it then answers with Watchtower's own metrics alone and
`watchtower_state_scrape_ok 0`, which is what tells of a store that is slow or away.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from watchtower.errors import StoreError
from watchtower.model.sender import Sender, longest_silence_s, sender_id
from watchtower.model.source import Source
from watchtower.model.spending import BudgetState
from watchtower.ports import Clock
from watchtower.server.slo_standings import SloStandings
from watchtower.store import senders, sources
from watchtower.store.database import Connection, Database
from watchtower.store.reading import fleet, money
from watchtower.store.reading.fleet import Fleet, NewestRun, PipelineState
from watchtower.store.reading.money import MoneyState
from watchtower.store.run_counts import Count, counts_of
from watchtower.store.sources import Heard
from watchtower.telemetry import metrics
from watchtower.telemetry.exposition import Samples
from watchtower.telemetry.instruments import Metric
from watchtower.telemetry.metrics import RUN_STATE_CODES

log = logging.getLogger(__name__)

CACHE_S = 5.0  # two Prometheus servers that scrape the same Watchtower cost one reading
MAX_WAIT_S = 5.0  # half of Prometheus' default scrape timeout
MONEY_CACHE_S = 60.0  # bills come a few times a day
# Counters that exist before the first run of the kind, so that `increase` sees the first one.
_FROM_ZERO = ("succeeded", "failed")


@dataclass(frozen=True, slots=True)
class _Reading:
    """samples: None where the store could not be read. at: boot time."""

    samples: Samples | None
    at: float


class StateMetrics:
    """Thread-safe. One thread reads at a time, however many scrapes wait for it."""

    def __init__(
        self, database: Database, clock: Clock, pipelines: Callable[[], int], *, max_wait_s: float = MAX_WAIT_S
    ) -> None:
        """pipelines: how many may have series of their own, and as many datasets; asked at each scrape."""
        self._database = database
        self._clock = clock
        self._pipelines = pipelines
        self._max_wait_s = max_wait_s
        self._guard = threading.Lock()
        self._last: _Reading | None = None
        self._under_way: threading.Event | None = None
        self._money: tuple[datetime | None, float, MoneyState] | None = None
        self._slos = SloStandings()

    def samples(self, *, timeout_s: float | None = None) -> Samples:
        """timeout_s: what the scraper has left."""
        done = self._refreshed()
        if done is not None:
            done.wait(min(self._max_wait_s, timeout_s if timeout_s is not None else self._max_wait_s))
        with self._guard:
            reading = self._last
        if reading is None or reading.samples is None or not self._is_fresh(reading):
            absent = Samples()
            absent.add(metrics.STATE_OK, 0)
            return absent
        return reading.samples

    def _refreshed(self) -> threading.Event | None:
        """None while the last reading is fresh; else what is set when the one under way is there."""
        with self._guard:
            if self._last is not None and self._is_fresh(self._last):
                return None
            if self._under_way is None:
                self._under_way = threading.Event()
                threading.Thread(target=self._read, args=(self._under_way,), name="state-metrics", daemon=True).start()
            return self._under_way

    def _is_fresh(self, reading: _Reading) -> bool:
        return self._clock.boottime() - reading.at <= CACHE_S

    def _read(self, done: threading.Event) -> None:
        """In a thread of its own."""
        began = self._clock.boottime()
        samples: Samples | None = None
        try:
            with self._database.read() as connection:
                limit, now = self._pipelines(), self._clock.now()
                found = fleet.read(connection, now, pipelines=limit, of_datasets=limit)
                spent = self._money_state(connection, now)
                asked = sources.by_name(connection)
                heard = sources.heard(connection, now)
                told = senders.by_id(connection)
                objectives = self._slos.read(connection, now)
            samples = _samples(found, counts_of(self._database.writing).all(), now)
            _add_money(samples, spent, now)
            samples.extend(objectives)
            _add_sources(samples, asked.values(), now)
            _add_senders(samples, told.values(), heard, asked.values(), limit)
            samples.add(metrics.STATE_OK, 1)
            samples.add(metrics.STATE_SECONDS, self._clock.boottime() - began)
        except StoreError as error:
            log.warning("the store does not answer a scrape", extra={"why": str(error)})
        except Exception:  # the edge of this thread: the scrape goes on without
            log.exception("a scrape could not read the store")
        finally:
            with self._guard:
                self._last = _Reading(samples, self._clock.boottime())
                self._under_way = None
            done.set()

    def _money_state(self, connection: Connection, now: datetime) -> MoneyState:
        """Read anew after a bill came, and once a minute, since a bill may be late by now."""
        newest, at = money.newest_import(connection), self._clock.boottime()
        if self._money is None or self._money[0] != newest or at - self._money[1] > MONEY_CACHE_S:
            self._money = (newest, at, money.read(connection, now))
        return self._money[2]


def _add_money(samples: Samples, found: MoneyState, now: datetime) -> None:
    for each in found.days:
        samples.add(metrics.COST_DAY, float(each.amount), each.day, each.source, each.service, each.currency)
    for bill in found.bills:
        samples.add(metrics.BILL_COVERED, bill.covered_until.timestamp(), bill.source)
        samples.add(metrics.BILL_LOADED, bill.loaded_at.timestamp(), bill.source)
    for status in found.budgets:
        budget, team = status.budget, found.teams.get(status.budget.name, "")
        labels = (budget.name, team, budget.period.value, budget.limit.currency)
        samples.add(metrics.BUDGET_LIMIT, float(budget.limit.amount), *labels)
        if status.state not in (BudgetState.UNKNOWN, BudgetState.WAITING):
            samples.add(metrics.BUDGET_SPENT, float(status.shown.amount), *labels)
            samples.add(metrics.BUDGET_SHARE, float(status.share), *labels)
        if status.bill.covered_until is not None:
            samples.add(metrics.BUDGET_COVERED, status.bill.covered_until.timestamp(), budget.name, team)
        late_s = (now - status.late_since).total_seconds() if status.late_since else 0.0
        samples.add(metrics.BUDGET_LATE, max(0.0, late_s), budget.name, team)


def _add_sources(samples: Samples, found: Iterable[Source], now: datetime) -> None:
    for source in found:
        labels = (source.name, source.kind, source.team or "")
        lag_s = source.lag_s(now)
        if lag_s is not None and source.last_success is not None:
            samples.add(metrics.SOURCE_LAG, lag_s, *labels)
            samples.add(metrics.SOURCE_SUCCESS, source.last_success.timestamp(), *labels)
        if source.last_event is not None:
            samples.add(metrics.SOURCE_EVENT, source.last_event.timestamp(), *labels)
        samples.add(metrics.SOURCE_FAILURES, source.failures, *labels)
        samples.add(metrics.SOURCE_PROBLEMS, len(source.problems), *labels)


def _add_senders(
    samples: Samples, told: Iterable[Sender], heard: Iterable[Heard], asked: Iterable[Source], limit: int
) -> None:
    """Of those that nobody asks, as many as may have series: the ones that told something last."""
    pipelines = {sender_id(each.source, each.namespace): each for each in heard}
    namespaces = {source.namespace for source in asked}
    sending = [each for each in told if each.namespace not in namespaces and each.id in pipelines]
    for sender in sorted(sending, key=lambda each: each.last_event, reverse=True)[:limit]:
        labels = (sender.source, sender.namespace, sender.team or "")
        samples.add(metrics.SENDER_EVENT, sender.last_event.timestamp(), *labels)
        samples.add(metrics.SENDER_LAG, sender.lag_s, *labels)
        samples.add(metrics.SENDER_SILENCE, longest_silence_s(sender.days), *labels)
        samples.add(metrics.SENDER_PIPELINES, pipelines[sender.id].pipelines, *labels, "known")
        samples.add(metrics.SENDER_PIPELINES, pipelines[sender.id].of_late, *labels, "heard_7d")


def _samples(found: Fleet, counts: Mapping[tuple[str, str], Count], now: datetime) -> Samples:
    samples = Samples()
    add = samples.add
    for state in found.pipelines:
        _add_pipeline(samples, state, counts)
    for team, count in found.pipelines_by_team.items():
        add(metrics.PIPELINES, count, team)
    for dataset in found.datasets:
        labels = (dataset.namespace, dataset.name, dataset.team)
        add(metrics.DATASET_UPDATED, dataset.updated_at.timestamp(), *labels)
    left_out = max(0, sum(found.pipelines_by_team.values()) - len(found.pipelines))
    add(metrics.STATE_LEFT_OUT, left_out, "pipelines")
    add(metrics.STATE_LEFT_OUT, found.datasets_left_out, "datasets")
    for metric, counted in (
        (metrics.ALERTS, found.alerts),
        (metrics.INCIDENTS, found.incidents),
        (metrics.OBLIGATIONS, found.obligations),
    ):
        for item in counted:
            add(metric, item.count, *item.values)
    for metric, moments in (
        (metrics.ALERTS_OLDEST, found.oldest_alerts),
        (metrics.OBLIGATION_OLDEST, found.oldest_obligations),
    ):
        for label, at in moments.items():
            add(metric, at.timestamp(), label)
    for lane in fleet.LANES:
        at = found.overdue.get(lane)
        add(metrics.DUE_OVERDUE, (now - at).total_seconds() if at else 0.0, lane)
    add(metrics.SILENCES, found.silences)
    add(metrics.QUARANTINED, found.quarantined)
    return samples


def _add_pipeline(samples: Samples, state: PipelineState, counts: Mapping[tuple[str, str], Count]) -> None:
    labels = (state.source, state.namespace, state.pipeline, state.team)

    def add(metric: Metric, value: float | None) -> None:
        if value is not None:
            samples.add(metric, value, *labels)

    add(metrics.PIPELINE_STATE, _code(state.newest))
    add(metrics.PIPELINE_END_STATE, _code(state.ended))
    add(metrics.PIPELINE_START, _timestamp(state.newest.started_at if state.newest else None))
    add(metrics.PIPELINE_SUCCESS, _timestamp(state.succeeded.ended_at if state.succeeded else None))
    add(metrics.PIPELINE_DURATION, state.ended.duration_s if state.ended else None)
    add(metrics.PIPELINE_OPEN, state.open_runs)
    for severity, count in state.alerts.items():
        samples.add(metrics.PIPELINE_ALERTS, count, *labels, severity)
    for code in RUN_STATE_CODES:
        count = counts.get((state.job_id, code.value))
        if count is not None or code.value in _FROM_ZERO:
            count = count or Count(0, 0.0)
            samples.add(metrics.PIPELINE_RUNS, count.runs, *labels, code.value)
            samples.add(metrics.PIPELINE_RUN_SECONDS, count.seconds, *labels, code.value)


def _code(run: NewestRun | None) -> float | None:
    return RUN_STATE_CODES[run.state] if run else None


def _timestamp(at: datetime | None) -> float | None:
    return at.timestamp() if at else None
