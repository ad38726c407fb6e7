"""A run takes unusually long, seen while it still runs, or ended too soon.

Declared limits (`max`, `min`), a quantile of its own past with a margin (`over`), or without any of them the default
of `Baseline.usual_limit`. The baseline leaves out the runs that are being judged, failed runs and backfills, and is
that of the season where there are seasons (rules.seasons): each run has the limits of its own time. A slow run stays an
alert until the next one is within its limits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from rules.baseline import Baseline
from rules.cause import cause_of_delay
from rules.changes import ChangeOptions
from rules.day_seasons import day_factors, day_season
from rules.history import History, history_of, position
from rules.options import Calendar, Options, Seconds
from rules.schedules.learned import learning_progress
from rules.schedules.zones import zone
from rules.seasons import Season, Seasons, Usual
from rules.streaks import LOOKED_AT, MOST_TO_RECOVER, streak
from rules.troubles import troubles_within, with_troubles
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.past import PastRun
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import Run, Trigger


def _fraction(value: Any) -> Any:
    """`200%` or 2.0: how much more."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError as error:
            raise ValueError(f"{value!r} is no percentage; write e.g. 50%") from error
    return value


class Over(Options):
    """More than `by` above a quantile of the past: {quantile: 0.95, by: 200%} is more than 3 × p95. Without by: more
    than the quantile itself."""

    quantile: float = Field(gt=0, le=1)
    by: Annotated[float, BeforeValidator(_fraction), Field(ge=0, le=100)] = 0.0


class DurationConfig(ChangeOptions):
    """None of max, min and over: learned from the last runs."""

    max: Seconds | None = Field(default=None, description="longest a run may take")
    min: Seconds | None = Field(default=None, description="shortest a successful run may take")
    over: Over | None = Field(default=None, description='{quantile: 0.95, by: "200%"}: above 3 × its p95')
    consecutive: int = Field(default=1, ge=1, le=50, description="how many runs in a row must be out of limits")
    recover_after: int = Field(
        default=1, ge=1, le=MOST_TO_RECOVER, description="how many in a row must be within them before it is over"
    )
    seasonality: Literal["auto", "none"] = Field(
        default="auto",
        description="learn the turn of a month, weekdays and hours apart where they differ: auto or none",
    )
    calendar: Calendar = Field(
        default=None, description="whose days without business are learned apart; default: the job's"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "DurationConfig":
        if self.max is not None and self.min is not None and self.min >= self.max:
            raise ValueError(f"min ({self.min:g} s) must be less than max ({self.max:g} s)")
        return self

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        return {"the seconds of a run": (self.min or 0.0, math.inf if self.max is None else self.max)}

    @property
    def is_learned(self) -> bool:
        return self.over is not None or (self.max is None and self.min is None)


class Duration:
    kind: ClassVar[str] = "duration"
    subject: ClassVar[str] = "job"
    clears: ClassVar[str] = "the next run keeps within the limit"
    reads_days: ClassVar[bool] = True
    Config: ClassVar[type[DurationConfig]] = DurationConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        options: DurationConfig = rule.options
        history = history_of(snapshot)
        judged = _judged(history, options)
        expected = _Expected(options, snapshot, judged)
        if expected.is_unknown:
            return Evaluation(learning=learning_progress(len(expected.past)))
        running = [run for run in judged.running if run.started_at is not None]
        late = [run for run in running if expected.of(run).exceeded_at(run, now)]
        next_at = min((at for run in running if (at := expected.of(run).crosses(run)) and at > now), default=None)
        # A finished run within the limits ends the series; a running one is not judged before its time.
        wrong = [*(True for _ in late), *(expected.of(run).broken_by(run) for run in _looked_at(history, options))]
        found = streak(wrong, options.consecutive, options.recover_after)
        if found is None:
            return Evaluation(next_at=next_at, resolution=_resolution(history, judged) if snapshot.alerts else {})
        newest = wrong.index(True)
        out = late[0] if late else history.whole[judged.finished[newest].id]
        return Evaluation(violations=(_violation(out, expected.of(out), found.length, snapshot),), next_at=next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: DurationConfig = rule.options
        who = subject_words(snapshot)
        row = f" {options.consecutive} times in a row" if options.consecutive > 1 else ""
        if isinstance(snapshot, JobSnapshot):
            expected = _Expected(options, snapshot, _judged(history_of(snapshot), options))
            if expected.is_unknown:
                seen = learning_progress(len(expected.past))
                return f"{who}: the usual duration is being learned ({seen})."
            return f"{who}: a run must take {expected.words()}{row}.{_over_when(options)}"
        said = [f"at most {_both(options.max)}"] if options.max else []
        said += [f"at least {_both(options.min)}"] if options.min else []
        if options.over:
            said.append(f"at most {1 + options.over.by:g} × the {options.over.quantile:.0%} quantile of its past")
        return f"{who}: a run must take {' and '.join(said) or 'about as long as usual'}{row}.{_over_when(options)}"


def _over_when(options: DurationConfig) -> str:
    if options.recover_after == 1:
        return ""
    return f" Over after {options.recover_after} in a row within limits."


@dataclass(frozen=True, slots=True)
class Judged:
    """running: newest first. finished: those that are judged by their duration, newest first, as many as it takes to
    open an alert and to end it."""

    running: tuple[Run, ...]
    finished: tuple[PastRun, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one run, in seconds. usual: what the past says, where it was asked."""

    longest_s: float | None
    shortest_s: float | None
    usual: Usual | None

    def crosses(self, run: Run) -> datetime | None:
        """When a running one becomes too long."""
        if self.longest_s is None or run.started_at is None:
            return None
        return run.started_at + timedelta(seconds=self.longest_s)

    def exceeded_at(self, run: Run, now: datetime) -> bool:
        crosses = self.crosses(run)
        return crosses is not None and crosses <= now

    def broken_by(self, run: PastRun) -> bool:
        duration = run.duration_s
        if duration is None:
            return False
        if self.longest_s is not None and duration > self.longest_s:
            return True
        return self.shortest_s is not None and duration < self.shortest_s and run.has_succeeded

    def words(self) -> str:
        said = [f"at most {_both(self.longest_s)}"] if self.longest_s is not None else []
        said += [f"at least {_both(self.shortest_s)}"] if self.shortest_s is not None else []
        if self.usual is None:
            return " and ".join(said)
        values = self.usual.values
        usual = f"(usually {length_words(values.median)}, from {values.count} runs)"
        return f"{' and '.join(said)}{self.usual.when} {usual}"


class _Expected:
    """What each run of a job is held against, by the moment it was meant for."""

    def __init__(self, options: DurationConfig, snapshot: JobSnapshot, judged: Judged) -> None:
        self._options = options
        self._history = history_of(snapshot)
        self._place = zone(self._history.timezone)
        under = {run.id for run in judged.finished}
        self.past = [(run, took) for run, took in self._history.completed if run.id not in under]
        self._calendar = options.calendar or snapshot.calendar
        self._days = snapshot.days

    @cached_property
    def seasons(self) -> Seasons[PastRun] | None:
        """None where nothing is to be learned, or too little is known."""
        if not self._options.is_learned or learning_progress(len(self.past)):
            return None
        runs, values = [run for run, _ in self.past], [took for _, took in self.past]
        if self._factors:
            values = [took / self._day(_meant_for(run, self._place))[1] for run, took in self.past]
        when = partial(_meant_for, place=self._place)  # not a method: a cycle would hold all these runs
        return Seasons(runs, values, when, self._calendar, seasonal=self._options.seasonality == "auto")

    @property
    def is_unknown(self) -> bool:
        return self.seasons is None and self._options.max is None and self._options.min is None

    def of(self, run: Run | PastRun) -> Limits:
        if self.seasons is None:
            return self._limits(None)
        at = _meant_for(run, self._place)
        return self._limits(_times(self.seasons.usual(at), *self._day(at)))

    def words(self) -> str:
        if self.seasons is None:
            return self._limits(None).words()
        said = [self.seasons.plain, *self.seasons.known.values()]
        said += [_times(self.seasons.plain, season, factor) for season, factor in self._factors.items()]
        return ", ".join(self._limits(usual).words() for usual in said)

    @cached_property
    def _factors(self) -> Mapping[Season, float]:
        """By the day, of a job whose last hundred runs are a few days."""
        if not self._options.is_learned or self._options.seasonality != "auto":
            return {}
        return day_factors(self._days, self._calendar)

    def _day(self, at: datetime) -> tuple[Season | None, float]:
        return day_season(at, self._factors, self._calendar) if self._factors else (None, 1.0)

    def _limits(self, usual: Usual | None) -> Limits:
        options = self._options
        if usual is None:
            return Limits(options.max, options.min, None)
        over, values = options.over, usual.values
        learned = values.quantile(over.quantile) * (1 + over.by) if over else values.usual_limit
        return Limits(learned if options.max is None else min(learned, options.max), options.min, usual)


def _times(usual: Usual, season: Season | None, factor: float) -> Usual:
    """On a day that usually takes so many times what others take."""
    if season is None:
        return usual
    return Usual(Baseline(tuple(value * factor for value in usual.values.values)), usual.season or season)


def _meant_for(run: Run | PastRun, place: ZoneInfo) -> datetime:
    """By the clock of its job."""
    return (run.position if isinstance(run, PastRun) else position(run)).astimezone(place)


def _judged(history: History, options: DurationConfig) -> Judged:
    """The running runs and the newest finished ones."""
    backfill = Trigger.BACKFILL
    running = (run for run in history.unsuccessful if run.trigger is not backfill and run.started_at is not None)
    return Judged(
        tuple(run for run in running if not run.state.is_terminal),
        tuple(_finished(history, options.consecutive + options.recover_after - 1)),
    )


def _looked_at(history: History, options: DurationConfig) -> list[PastRun]:
    """Where one good run ends it, no more than what is judged can matter."""
    return _finished(history, options.consecutive if options.recover_after == 1 else LOOKED_AT)


def _finished(history: History, count: int) -> list[PastRun]:
    """A failed run says how long it took only if that was too long, so it is judged with the others and passes when it
    was short; what never ran is not judged."""
    return list(islice((run for run in history.past if run.has_run), count))


def _violation(run: Run, limits: Limits, series: int, snapshot: JobSnapshot) -> Violation:
    began, duration = run.started_at, run.duration_s
    too_short = duration is not None and (limits.longest_s is None or duration <= limits.longest_s)
    limit = (limits.shortest_s if too_short else limits.longest_s) or 0.0
    since = run.ended_at if too_short else limits.crosses(run)
    evidence: dict[str, Any] = {
        "run_id": run.id,
        "native_run_id": run.native_run_id,
        "run_state": run.state.value,
        "started_at": iso(began),
        "ended_at": iso(run.ended_at),
        "duration_s": duration,
        "limit": limit,
        "in_a_row": series,
        "external_url": run.external_url,
        "since": iso(since),
    }
    if limits.usual:
        evidence |= {
            "usual_median_s": limits.usual.values.median,
            "usual_p95_s": limits.usual.values.quantile(0.95),
            "usual_runs": limits.usual.values.count,
            "season": limits.usual.season and limits.usual.season.words,
        }
    if not too_short:
        evidence |= cause_of_delay(snapshot, run)
        evidence = with_troubles(evidence, troubles_within(snapshot, began or run.last_event_at, run.ended_at))
    return Violation(
        since=since or run.last_event_at,
        summary=_summary(run, limit, too_short, limits, snapshot),
        value=duration if duration is not None else limit,
        evidence={name: value for name, value in evidence.items() if value is not None},
        historical=run.historical,
    )


def _summary(run: Run, limit: float, too_short: bool, limits: Limits, snapshot: JobSnapshot) -> str:
    usual = f" (usually {length_words(limits.usual.values.median)}{limits.usual.when})" if limits.usual else ""
    name = snapshot.job.ref.name
    if run.duration_s is None and run.started_at is not None:
        since = moment_words(run.started_at, history_of(snapshot).timezone)
        return f"{name} has been running since {since}, longer than {length_words(limit)}{usual}"
    took = length_words(run.duration_s or 0.0)
    if too_short:
        return f"{name} took only {took}, less than {length_words(limit)}{usual}"
    return f"{name} took {took}, longer than {length_words(limit)}{usual}"


def _resolution(history: History, judged: Judged) -> dict[str, Any]:
    if not judged.finished:
        return {}
    run = history.whole[judged.finished[0].id]
    return {"run_id": run.id, "native_run_id": run.native_run_id, "duration_s": run.duration_s}


def _both(seconds: float | None) -> str:
    return f"{length_words(seconds or 0.0)} ({seconds:.0f} s)"
