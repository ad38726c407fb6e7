"""The periodic work of a running Watchtower: retention, sketches, caps, the auditor."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from alerting.meta import PERSON_CAPPED
from watchtower.config.maintenance import corrections_of
from watchtower.config.model import Config
from watchtower.model.sketch import Sketch
from watchtower.ports import Clock
from watchtower.schedule import Task
from watchtower.store import retention, slos, trace_retention
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database
from watchtower.store.retention import Retention
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)

HOUR_S = 3600.0
SKETCHES_AT_ONCE = 2_000
BACKUP_LOOKS_S = 300.0  # one that failed, or was due while nothing ran, is made up for within five minutes


@dataclass(slots=True)
class Progress:
    """When each stage last went round, by boot time. A stage that stands still is a dead part."""

    clock: Clock
    stages: dict[str, float]

    def advance(self, stage: str) -> None:
        self.stages[stage] = self.clock.boottime()
        metrics.STAGE_LAST.labels(stage).set(self.clock.now().timestamp())

    def stalled(self, after_s: float) -> list[str]:
        """Stages that have not gone round for so long."""
        now = self.clock.boottime()
        return [stage for stage, at in self.stages.copy().items() if now - at > after_s]


def tasks(
    config: Callable[[], Config],
    database: Database,
    alerting: SqlAlertingStore,
    back_up: Callable[[datetime], object],
    audit_s: float,
) -> list[Task]:
    """config: the one in force, asked each time. back_up: done as often as the configuration of the start says."""
    made = [
        Task("retention", HOUR_S, lambda now: _let_go(config(), database, now)),
        Task("corrections", HOUR_S, lambda now: _plan_corrections(config(), database, now)),
        Task("sketches", HOUR_S, lambda now: _sketch(database, now)),
        Task("caps", 60.0, lambda now: _relieve(config(), alerting, now)),
        Task("auditor", audit_s, lambda now: _audit(alerting, now), shared=False),
    ]
    backup = config().backup
    if backup is not None:
        made.append(Task("backup", backup.every, back_up, looks_s=min(backup.every, BACKUP_LOOKS_S), beats=True))
    return made


def _let_go(config: Config, database: Database, now: datetime) -> None:
    kept = config.retention
    gone = retention.delete_old(
        database,
        Retention(*(kept.days(name) for name in ("facts", "runs", "alerts", "quarantine", "series"))),
        now,
    )
    gone |= trace_retention.let_go(database, now, traces_days=kept.days("traces"), hours_days=kept.days("runs"))
    if any(gone.values()):
        log.info("old rows were let go", extra={"rows": gone})


def _plan_corrections(config: Config, database: Database, now: datetime) -> None:
    """Windows that come again are known two days ahead."""
    wanted = corrections_of(config.maintenance, config.slos, now)
    if database.write(lambda connection: slos.plan(connection, wanted, now)):
        log.info("windows were planned that do not count", extra={"count": len(wanted)})


def _sketch(database: Database, now: datetime) -> None:
    """Durations of closed days become sketches, which outlive their runs."""
    rows: list[tuple[str, str, int, int, bytes]] = []
    for day in retention.unsketched_days(database, now, SKETCHES_AT_ONCE):
        body = Sketch.of(day.durations_s).encode()
        rows.append((day.subject, "duration_s", day.day, len(day.durations_s), body))
    if rows:
        retention.write_sketches(database, rows)


def _relieve(config: Config, alerting: SqlAlertingStore, now: datetime) -> None:
    """Whoever was woken too often is not any more, once the day that counts is over."""
    people = config.oncall
    alerting.relieve(PERSON_CAPPED, lambda key: people.per_person_per_day if key in people.people else None, now)


def _audit(alerting: SqlAlertingStore, now: datetime) -> None:
    """Every open obligation must have a next step."""
    for stuck in alerting.overdue(now):
        log.error(
            "an obligation is overdue",
            extra={"obligation": stuck.obligation_id, "destination": stuck.destination, "why": stuck.why},
        )
