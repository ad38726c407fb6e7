"""When a job must have ended well: by a time of day, by a cron expression, or within a time after its start.

`finish_by` is a wall-clock time in an IANA zone; `finish_within` counts from
the expected start. Without either, the limit is learned: 1.5 × the 95th percentile of how long after its expected start
the job ended.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from pydantic import Field, model_validator

from rules.baseline import Baseline
from rules.history import History, history_of
from rules.options import Calendar, Clock, Options, Seconds, Timetable, Weekdays, Zone
from rules.schedules.business import check_comes, on_days
from rules.schedules.declared import Schedule, timetable
from rules.schedules.learned import TimesOfDay, learning_progress
from watchtower.model.instants import from_micros
from watchtower.model.rule import JobSnapshot

LEARNED_FACTOR = 1.5


class DueOptions(Options):
    """At most one of finish_by, cron and finish_within; none of them: learned."""

    finish_by: Clock | None = Field(default=None, description='time of day in quotes, e.g. "07:00"')
    days: Weekdays | None = Field(default=None, description="with finish_by: due on these days, e.g. mon-fri")
    cron: Timetable | None = Field(default=None, description="instead of finish_by: due times as cron or OnCalendar")
    timezone: Zone | None = Field(default=None, description="IANA zone; default: the job's, else UTC")
    finish_within: Seconds | None = Field(default=None, description="time allowed from the expected start")
    calendar: Calendar = Field(default=None, description="only on days of this calendar; default: the job's")

    @model_validator(mode="after")
    def _one_of(self) -> "DueOptions":
        given = [name for name in ("finish_by", "cron", "finish_within") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; write two rules to have both")
        if self.days is not None and self.finish_by is None:
            raise ValueError("days needs finish_by; with cron, name the days in the expression")
        if self.finish_by or self.cron:
            check_comes(_due_times(self, self.timezone or "UTC"), self.calendar, self.timezone or "UTC")
        return self


@dataclass(frozen=True, slots=True)
class Due:
    """at: when it must be done. opens: a run meant for this moment or later does it."""

    at: datetime
    opens: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """The due times of one job. within_s: time from the expected start, if the due times are made so."""

    latest: Callable[[datetime], Due | None]  # the last one at or before a moment
    due_after: Callable[[datetime], datetime | None]
    timezone: str
    within_s: float | None = None
    learned: bool = False


def plan_of(options: DueOptions, snapshot: JobSnapshot) -> Plan | str:
    """How due times follow from the options and the job's history, or why there are none yet."""
    history = history_of(snapshot)
    timezone, calendar = options.timezone or history.timezone, options.calendar or snapshot.calendar
    starts = history.declared or history.learned_in(
        timezone, calendar
    )  # where a rule names a zone, its job keeps to that clock
    if options.finish_by or options.cron:
        return _by_clock(on_days(_due_times(options, timezone), calendar, timezone), starts, timezone)
    within_s = options.finish_within
    if within_s is None:
        usual = Baseline.of(_times_to_finish(history))
        if usual is None:
            return learning_progress(len(history.completed)) or "too few completed runs"
        within_s = usual.quantile(0.95) * LEARNED_FACTOR
    learned = options.finish_within is None
    if starts:
        return _from_schedule(on_days(starts, calendar, timezone), within_s, timezone, learned)
    return _from_runs(history, within_s, timezone, learned)


def _due_times(options: DueOptions, timezone: str) -> Schedule:
    if options.cron:
        return timetable(options.cron, timezone)
    by = options.finish_by or time()
    seconds = by.hour * 3600 + by.minute * 60 + by.second
    return TimesOfDay((seconds,), options.days or frozenset(range(7)), timezone, are_limits=True)


def _by_clock(due_times: Schedule, starts: Schedule | None, timezone: str) -> Plan:
    """A due time belongs to the last expected start before it, if the schedule is known; else to any run since the
    due time before."""

    def latest(moment: datetime) -> Due | None:
        at = due_times.before(moment)
        if at is None:
            return None
        opens = starts.before(at - timedelta(seconds=1)) if starts else None
        previous = due_times.before(at - timedelta(microseconds=1))
        return Due(at, opens or previous or datetime.min.replace(tzinfo=UTC))

    return Plan(latest, due_times.after, timezone)


def _from_schedule(starts: Schedule, within_s: float, timezone: str, learned: bool) -> Plan:
    within = timedelta(seconds=within_s)

    def latest(moment: datetime) -> Due | None:
        opens = starts.before(moment - within)
        return Due(opens + within, opens) if opens else None

    def due_after(moment: datetime) -> datetime | None:
        following = starts.after(moment - within)
        return following + within if following else None

    return Plan(latest, due_after, timezone, within_s, learned)


def _from_runs(history: History, within_s: float, timezone: str, learned: bool) -> Plan:
    """No schedule is known: each run that came is due within its time."""
    within = timedelta(seconds=within_s)
    meant = [from_micros(at) for at, _ in history.started]  # newest first

    def latest(moment: datetime) -> Due | None:
        return next((Due(at + within, at) for at in meant if at + within <= moment), None)

    def due_after(moment: datetime) -> datetime | None:
        return next((at + within for at in reversed(meant) if at + within > moment), None)

    return Plan(latest, due_after, timezone, within_s, learned)


def _times_to_finish(history: History) -> list[float]:
    """Seconds from when a run was meant to start until it ended well."""
    return [max(0, (run.ended_us or 0) - run.position_us) / 1e6 for run, _ in history.completed]


def met_until(plan: Plan, history: History) -> datetime:
    """The newest moment that a successful (or deliberately skipped) run was meant for, a little lenient to starts
    before their time."""
    newest = history.newest_done
    if newest is None:
        return datetime.min.replace(tzinfo=UTC)
    schedule = history.declared or history.learned
    return newest + timedelta(seconds=history.early_s(schedule) if schedule else 0)
