"""One running Watchtower: opens what it needs, starts its threads, takes over a new configuration, stops in order.

On start nothing is announced before it works: store, keys and ports are opened first, and each failure names a remedy.
On stop, senders end first and the store last, so that nothing that was begun is left unrecorded.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from alerting import meta
from alerting.outbox import Outbox
from alerting.runner import Runner
from collectors import scrub_own
from rules.engine import Engine
from watchtower.app.bills import Bills
from watchtower.app.counting import count_attempt
from watchtower.app.declaring import declare
from watchtower.app.disk import Disk
from watchtower.app.emergency import Emergency, channels_of
from watchtower.app.first_access import FirstAccess
from watchtower.app.listening import addresses, open_grpc
from watchtower.app.options import Options
from watchtower.app.own_alerts import OwnAlerts
from watchtower.app.parts import Parts, Surroundings, build, collectors_of, restart_needed
from watchtower.app.polling import Polling, known_runs_of
from watchtower.app.regular_backups import back_up
from watchtower.app.retaking import Retaking
from watchtower.app.state import ATTEMPTS, STORE, StateDir, StoreFile
from watchtower.app.store_time import StoreTime
from watchtower.app.stuck import Stuck
from watchtower.app.tasks import Progress, tasks
from watchtower.app.walking import Walker
from watchtower.app.watch import Pace, RoundTrips
from watchtower.app.watchmen import Watchmen
from watchtower.clock import SteadyClock
from watchtower.config.model import Config
from watchtower.config.places import store_url
from watchtower.errors import ConfigError, StoreDamaged, StoreError, UsageError, WatchtowerError
from watchtower.guard import check_names
from watchtower.lives import Lives
from watchtower.loop import Loop
from watchtower.model.alert import Planned
from watchtower.model.fact import Fact
from watchtower.model.labels import Labels
from watchtower.model.rule import Snapshot
from watchtower.ports import Callbacks, Clock
from watchtower.pulse import Pulse
from watchtower.schedule import Periodic, Task
from watchtower.server.application import create_app
from watchtower.server.runner import Server
from watchtower.server.services import Services, Settings
from watchtower.spool import Spool
from watchtower.store import (
    audit,
    claims,
    due,
    migrations,
    senders,
)
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.callbacks import SqlProofs
from watchtower.store.database import Database, file_of
from watchtower.store.facts import Appended, Intake, Quarantined, append
from watchtower.store.keys import bind_keys, load_keys
from watchtower.store.migrations import Standing
from watchtower.store.snapshots import loaders
from watchtower.store.span_batches import LANE, BatchRow
from watchtower.store.subjects import Subjects
from watchtower.store.touched import Touched
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)


class Instance:
    """Opens everything; raises UsageError, ConfigError or StoreError with a remedy. Then `start`, in the end `stop`."""

    def __init__(
        self, config: Config, options: Options, clock: Clock, *, load: Callable[[], Config] | None = None
    ) -> None:
        if not options.scratch:  # it takes 20 ms, and a rehearsal may have hundreds of these
            check_names()
        self._load = load
        self._live = options.live
        self._started = False
        self._reloading = threading.Lock()
        self._evaluating = threading.Lock()
        self.clock = clock
        self.holder = f"wt-{secrets.token_hex(4)}"
        with ExitStack() as opened:
            self._open(config, options, opened)
            self._opened = opened.pop_all()

    def _open(self, config: Config, options: Options, opened: ExitStack) -> None:
        """Everything that can fail, in the order in which it depends on one another. opened: what to close then."""
        self.state = StateDir(options.state_dir)
        opened.callback(self.state.close)
        self.keys = load_keys(self.state.keys)
        self._open_store(config, opened, scratch=options.scratch)
        self.spool = Spool(self.state.spool)
        opened.callback(self.spool.close)
        self.lives = Lives(self.state.path / ATTEMPTS)
        self._open_server(config, options, opened)
        self._put_together(config, opened)
        self._make_workers(config, options.pace)

    def _open_store(self, config: Config, opened: ExitStack, *, scratch: bool) -> None:
        url = store_url(config, self.state.path)
        opened.callback(StoreFile(file_of(url)).close)
        self.disk = Disk.beside(file_of(url), config.storage)
        self.database = Database(url, scratch=scratch)
        opened.callback(self.database.close)
        if not self.database.is_sqlite and isinstance(self.clock, SteadyClock):
            time = StoreTime(self.database.server_time, self.clock.boottime)
            self.clock.keep_to(time.wall)
            opened.callback(time.stop)
            time.start()
        if migrations.state(self.database).kind is Standing.EMPTY and self.state.knows_store(self.database.shown_url):
            raise StoreDamaged(
                f"store {self.database.shown_url} is empty, and it was not: it is gone, or another one stands in its "
                "place. Restore a backup (`watchtower restore`), or remove "
                f"{self.state.path / STORE} to begin with an empty one"
            )
        self.schema = migrations.check_startable(self.database, self.clock)
        self.state.remember_store(self.database.shown_url)
        self.database.write(lambda connection: bind_keys(connection, self.keys, self.state.keys))

    def _open_server(self, config: Config, options: Options, opened: ExitStack) -> None:
        """Ports are taken, and nothing is answered before `start`."""
        self.services = self._make_services(config, options)
        app = create_app(self.services)
        self.server = Server(app, addresses(config, options, self.state.socket))
        self.server.bind()
        opened.callback(self.server.stop)
        self.grpc = open_grpc(app, config, options, self.server.left_out)
        if self.grpc is not None:
            opened.callback(self.grpc.stop)
        self._say_what_is_left_out()
        otlp = self.server.address_of("otlp_http")
        self.services.otlp_port = otlp.port if otlp else None
        bound = config.server.url if options.local_only else self.server.url
        self.external_url = (config.server.external_url or bound).rstrip("/")
        self.services.settings = replace(self.services.settings, external_url=self.external_url)
        self.first_access = FirstAccess(self.database, self.keys, self.clock, self.external_url)

    def _put_together(self, config: Config, opened: ExitStack) -> None:
        """What the configuration asks for: rules, routes, channels, and whom to ask for runs and bills."""
        self.around = self._surroundings(config)
        self.parts = build(config, self.clock, self.around)
        self.services.hooks = self.parts.hooks
        self.services.oncall = config.oncall
        self.services.maintenance = self.parts.pipeline.maintenance
        self.services.owner_of = lambda labels: self.parts.config.owner_of(labels)[0]
        self.services.plan = _CurrentPlan(self).plan
        self.own_alerts = OwnAlerts(self.database, self.clock, self.services.plan)
        self.pulse = Pulse(self.clock)
        self.bills = self._make_bills(opened)
        self.services.bills = self.bills.desk
        self.polling = self._make_polling(opened)

    def _make_workers(self, config: Config, pace: Pace) -> None:
        """Who does what is due: rules, deliveries, spans, and what comes round by the clock."""
        self.alerting = SqlAlertingStore(self.database, self.keys.audit)
        self.progress = Progress(self.clock, {})
        self.subjects = self._make_subjects()
        self.engine = self._make_engine(self.subjects)
        self.services.explain = self._make_engine(self._make_subjects()).explain  # pages ask beside the rules' thread
        self.outbox = self._make_outbox()
        self._rules_loop = Loop(
            "rules", step=self._evaluate, next_at=self._next_rule, clock=self.clock, observe=self._rules_went_round
        )
        self.walker = Walker(self.database, advanced=lambda: self.progress.advance("spans"), lives=self.lives)
        self._spans_loop = Loop("spans", step=self.walker.step, next_at=self.walker.next_at, clock=self.clock)
        self._runner = Runner(self.outbox, self.clock, advanced=lambda: self.progress.advance("alerting"))
        self.stuck = self._make_stuck(pace)
        self.services.stuck = lambda: self.stuck.kinds
        self.periodic = self._make_periodic(pace)
        self.watchmen = self._make_watchmen(config, pace)
        self.services.round_trip_age_s = lambda: self.watchmen.trips.age_s
        self.services.advanced = self.progress.advance

    def _make_bills(self, opened: ExitStack) -> Bills:
        made = Bills(self.database, self.state.path, self.clock, self.holder, self.own_alerts, pulse=self.pulse)
        opened.callback(made.close)
        return made

    def _make_polling(self, opened: ExitStack) -> Polling:
        made = Polling(self.database, self.clock, self.holder, self._append, self._source_of, pulse=self.pulse)
        opened.callback(made.stop_watching)
        return made

    def _say_what_is_left_out(self) -> None:
        for why in self.server.left_out:
            log.warning("OTLP is not taken on its usual port", extra={"why": why})

    def _make_services(self, config: Config, options: Options) -> Services:
        self._scrub(config)
        return Services(
            database=self.database,
            clock=self.clock,
            keys=self.keys,
            spool=self.spool,
            collectors=collectors_of(config),
            append=self._append,
            settings=Settings(
                secure=(config.server.external_url or "").startswith("https:"),
                access=options.access,
                metrics_public=config.server.metrics_public,
                metrics_pipelines=config.server.metrics_pipelines,
                proxies=config.server.proxies,
            ),
            reload=self.reload if self._load else None,
            lives=self.lives,
            take_again=self._take_again,
            refusal=lambda: self.disk.refusal if self.disk is not None else None,
        )

    def _scrub(self, config: Config) -> None:
        scrub_own.use(config.scrub.keys, config.scrub.hash, config.scrub.patterns, self.keys.pepper)

    def _surroundings(self, config: Config) -> Surroundings:
        """Providers can call back only where the file says how Watchtower is reached from outside."""
        public = config.server.external_url
        callbacks = Callbacks(f"{self.external_url}/hooks", self.keys.hooks) if public else None
        return Surroundings(self.external_url, callbacks, SqlProofs(self.database), known_runs_of(self.database))

    def _make_subjects(self) -> Subjects:
        return Subjects(
            self.database,
            self.holder,
            owned=self._owned,
            loaders=loaders(lambda: self.parts.derived),
            at_once=self._tell_at_once,
        )

    def _tell_at_once(self, connection: Connection, touched: Touched) -> None:
        if touched:
            self.alerting.at_once(connection, touched, self.outbox.rush(), self.outbox.hand)

    def _make_engine(self, subjects: Subjects) -> Engine:
        return Engine(subjects, _CurrentPlan(self), self.clock, lambda: self.parts.rules, self.parts.kinds)

    def _make_outbox(self) -> Outbox:
        return Outbox(
            self.alerting,
            self.parts.channels,
            self.parts.pipeline,
            self.clock,
            holder=self.holder,
            external_url=self.external_url,
            observe=count_attempt,
            lives=self.lives,
        )

    def _make_stuck(self, pace: Pace) -> Stuck:
        tell = {"poll": self.polling.tell_stuck, "bill": self.bills.tell_stuck}
        return Stuck(self.pulse, tell, after_s=2 * pace.fresh_s)

    def _make_periodic(self, pace: Pace) -> Periodic:
        return Periodic(
            [
                *tasks(lambda: self.parts.config, self.database, self.alerting, self._back_up, pace.audit_s),
                Task("stuck", pace.audit_s, self.stuck.look, shared=False),
            ],
            database=self.database,
            clock=self.clock,
            holder=self.holder,
            observe=lambda name, ok: self.progress.advance("schedule"),
            pulse=self.pulse,
        )

    def _back_up(self, now: datetime) -> None:
        back_up(self.parts.config, self.state.path, self.clock, self.own_alerts, now)

    def _make_watchmen(self, config: Config, pace: Pace) -> Watchmen:
        return Watchmen(
            config,
            trips=RoundTrips(self.database, self.state.socket, self.clock, pace),
            emergency=Emergency.of(config, self.state.path, self.clock),
            disk=self.disk,
            database=self.database,
            alerting=self.alerting,
            outbox=self.outbox,
            progress=self.progress,
            pulse=self.pulse,
            own_alerts=self.own_alerts,
            clock=self.clock,
            pace=pace,
        )

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Serve. From here on everything that is due is done, unless the options leave that to `step`."""
        declare(self.database, self.parts, self.clock.now())
        self.database.write(lambda connection: senders.await_all(connection, self.clock.now()))
        self.server.start()
        if self.grpc is not None:
            self.grpc.start()
        if self._live:
            self.go_live()

    def go_live(self) -> None:
        """Start the threads that do what is due. What was owed under an earlier configuration is planned anew."""
        if self.database.is_sqlite:  # its lock is ours, so whoever held a lease is gone
            self.alerting.free_leases(self.clock.now())
            self.database.write(claims.free)
        self.outbox.reconfigure(self.parts.pipeline, self.parts.channels)
        self.own_alerts.end(meta.CONFIG_REFUSED_FINGERPRINT)
        metrics.CONFIG_OK.set(1)
        self.database.on_commit(self._rules_loop.wake, concerns=lambda lane: lane == due.RULES)
        self.database.on_commit(self._rules_loop.hurry, concerns=lambda lane: lane == due.URGENT)
        self.database.on_commit(self._spans_loop.wake, concerns=lambda lane: lane == LANE)
        self.database.on_commit(self._runner.wake, concerns=lambda lane: lane not in (due.RULES, due.URGENT, LANE))
        self._rules_loop.start()
        self._spans_loop.start()
        self._runner.start()
        self.periodic.start()
        self.bills.watch(self.parts.feeds)
        self.watchmen.start()
        self.polling.watch(self.parts.polled)
        self._started = True
        if self.schema.pending:
            migrations.migrate(self.database, self.clock)

    @property
    def left_behind(self) -> list[str]:
        """What `stop` could not wait for, since it hangs."""
        return self.pulse.still(0.0)

    def stop(self) -> None:
        """Stop taking requests, finish what is under way, close the store."""
        if self._started:
            self.watchmen.stop()
        if self.grpc is not None:
            self.grpc.stop()
        self.server.stop()
        if self._started:
            self.polling.stop_watching()
            self.bills.stop_watching()
            self.periodic.stop()
            self._rules_loop.stop()
            self._spans_loop.stop()
            self._runner.stop()
        self._opened.close()

    def step(self) -> int:
        """Do what is due at this moment, in the calling thread; how much was done."""
        now = self.clock.now()
        return self.walker.step(now) + self._evaluate(now) + self.outbox.step(now)

    def evaluate(self) -> int:
        """Of what is due, rules alone: a batch of subjects."""
        return self._evaluate(self.clock.now())

    def next_due(self) -> datetime | None:
        """The next moment at which anything is due."""
        moments = [moment for moment in (self._next_rule(), self.outbox.next_at()) if moment is not None]
        return min(moments, default=None)

    # -- reload ---------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read the configuration anew, build all its parts, and only then swap. Raises ConfigError, or StoreError;
        the configuration in force stays then, and an alert tells of its faults until one is accepted."""
        if self._load is None:
            raise UsageError("there is no configuration file to reload; start with --config")
        with self._reloading:
            try:
                self._take_over(build(self._load(), self.clock, self.around))
            except WatchtowerError as error:
                metrics.CONFIG_RELOADS.labels("refused").inc()
                metrics.CONFIG_OK.set(0)
                if isinstance(error, ConfigError):
                    self.own_alerts.tell(meta.config_refused(error.faults, self.clock.now()))
                raise
        metrics.CONFIG_RELOADS.labels("accepted").inc()
        metrics.CONFIG_OK.set(1)

    def reload_on_signal(self) -> None:
        """As reload, for SIGHUP: nobody waits for an answer, so the log and the audit chain have it."""
        refused = None
        try:
            self.reload()
            log.info("the configuration was reloaded")
        except WatchtowerError as error:
            refused = {"refused": str(error)[:2_000]}
            log.error("the configuration was refused; the one in force stays", extra={"faults": str(error)})
        entry = audit.Entry(self.clock.now(), "system", "config.reload", "config", after=refused)
        try:
            self.database.write(lambda connection: audit.append(connection, self.keys.audit, entry))
        except StoreError as error:
            log.warning("the reload could not be audited", extra={"why": str(error)})

    def _take_over(self, parts: Parts) -> None:
        before = self.parts.config
        emergency = channels_of(parts.config, self.clock)
        for section in restart_needed(before, parts.config):
            log.warning("a change of the configuration takes effect at the next start", extra={"section": section})
        # While nothing is evaluated: no transition may be planned by the old routes after the open ones were planned
        # by the new ones, and no alert of a removed budget may be written after it was ended.
        with self._evaluating:
            self.outbox.reconfigure(parts.pipeline, parts.channels)
            self.parts = parts
            declare(self.database, self.parts, self.clock.now())
        self._scrub(parts.config)
        self.services.collectors = collectors_of(parts.config)
        if self._started and (before.collectors, before.outbound) != (parts.config.collectors, parts.config.outbound):
            self.bills.watch(parts.feeds)
            self.polling.watch(parts.polled)
        self.services.hooks = parts.hooks
        self.services.oncall = parts.config.oncall
        self.services.maintenance = parts.pipeline.maintenance
        self.watchmen.follow(parts.config, emergency)
        self.subjects.mark_all(self.clock.now())
        self.own_alerts.end(meta.CONFIG_REFUSED_FINGERPRINT)

    # -- for people -----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    @property
    def otlp_url(self) -> str:
        """Where an exporter sends to over HTTP: by the address that people use where there is one, since only that is
        reached from other machines; else the port of OTLP, else the main one."""
        if self.parts.config.server.external_url:
            return self.external_url
        address = self.server.address_of("otlp_http")
        return f"http://{address}" if address else self.server.url

    # -- wiring ---------------------------------------------------------------------------------------------------

    def _take_again(self, ident: int, kept: Quarantined) -> bool:
        again = Retaking(self.services.collectors, self.polling, self._source_of, self._append, self.lives)
        return again.take(ident, kept)

    def _append(
        self,
        facts: Sequence[Fact],
        quarantined: Sequence[Quarantined] = (),
        batches: Sequence[BatchRow] = (),
        *,
        beside: Callable[[Connection], None] | None = None,
    ) -> "Future[Appended]":
        intake = Intake(
            facts,
            quarantined,
            watch_tasks=self.parts.watch_tasks,
            watch_series=self.parts.watch_series,
            naming=self.parts.naming,
            batches=batches,
            beside=beside,
        )
        return append(self.database, intake)

    def _source_of(self, namespace: str) -> str:
        return self.parts.config.source_of(namespace)

    def _owned(self, snapshot: Snapshot) -> Snapshot:
        return self.parts.owned(snapshot)

    def _evaluate(self, now: datetime) -> int:
        with self._evaluating:
            done = self.engine.step(now)
        if done and self.engine.in_haste:
            self._rules_loop.hurry()  # more of it may wait
        return done

    def _next_rule(self) -> datetime | None:
        with self.database.read() as connection:
            return due.next_at(connection, (due.RULES,))

    def _rules_went_round(self, ok: bool) -> None:
        if ok:
            self.progress.advance("rules")


class _CurrentPlan:
    """The plan of the configuration in force."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def plan(self, labels: Labels) -> tuple[Planned, ...]:
        return self._instance.parts.pipeline.plan(labels)
