"""A deadline will probably be missed: said while there is still time, by a forecast of when the run will end.

The due times are those of the kind `deadline`. Ten completed runs teach how long what is left usually takes
(`rules.forecast`); the chance of a miss is worked out anew with each event and, while it is no longer small, each
minute. Of a run that failed nothing is forecast: its failure is told, and the deadline is its due time.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import Field, model_validator

from rules.failures import failure_of
from rules.forecast import Forecast, Past, Standing, forecast
from rules.history import History, history_of
from rules.options import Share
from rules.schedules.due_times import Due, DueOptions, Plan, met_until, plan_of
from rules.schedules.learned import learning_progress
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.alert import Severity
from watchtower.model.past import PastRun
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import Run, RunState
from watchtower.model.timing import RUNS

STEP = timedelta(minutes=1)
_EARLY = timedelta(minutes=1)  # a run may begin so long before its time
_AHEAD = 5  # due times to come of which the first that is not met yet is forecast
_EASE = 0.1  # what was told is taken back only when the chance has fallen by this much below its limit
_LESS_SEVERE = {Severity.PAGE: Severity.TICKET, Severity.TICKET: Severity.INFO, Severity.INFO: Severity.INFO}


class DeadlineRiskConfig(DueOptions):
    """At most one of finish_by, cron and finish_within; none of them: learned, as for `deadline`."""

    warn_from: Share = Field(default=Decimal("0.5"), description="chance of a miss that is worth a warning, 0.5 or 50%")
    alert_from: Share = Field(
        default=Decimal("0.7"), description="chance of a miss from which the rule's severity counts"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "DeadlineRiskConfig":
        if not 0 < self.warn_from <= self.alert_from < 1:
            given = f"warn_from {self.warn_from}, alert_from {self.alert_from}"
            raise ValueError(f"{given}: chances lie between 0 and 1, and the warning comes first")
        return self


class DeadlineRisk:
    kind: ClassVar[str] = "deadline_risk"
    subject: ClassVar[str] = "job"
    clears: ClassVar[str] = "the run has ended, or the chance of a miss has fallen"
    Config: ClassVar[type[DeadlineRiskConfig]] = DeadlineRiskConfig
    reads_timings: ClassVar[bool] = True

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        options: DeadlineRiskConfig = rule.options
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        plan, history = plan_of(options, snapshot), history_of(snapshot)
        learning = plan if isinstance(plan, str) else learning_progress(len(history.completed))
        if isinstance(plan, str) or learning:
            return Evaluation(learning=learning)
        told = _told(rule, snapshot)
        missed = _missed(plan, history, now) if told else None
        if missed and _standing(snapshot, history, missed):
            violations = tuple(_missing(level, missed, plan, snapshot) for level in told)
            return Evaluation(violations, next_at=plan.due_after(now))
        return _looked_ahead(rule, plan, snapshot, now)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: DeadlineRiskConfig = rule.options
        chances = (
            f"warn when a miss of the deadline is {options.warn_from:.0%} likely, alert from {options.alert_from:.0%}"
        )
        who = subject_words(snapshot)
        if not isinstance(snapshot, JobSnapshot):
            return f"{who}: {chances}."
        plan = plan_of(options, snapshot)
        if isinstance(plan, str):
            return f"{who}: {chances} (being learned: {plan})."
        if plan.within_s is not None:
            return (
                f"{who}: {chances}; due {length_words(plan.within_s)} ({plan.within_s:.0f} s) after its expected start."
            )
        by = f"by {options.finish_by:%H:%M}" if options.finish_by else f"by cron {options.cron}"
        return f"{who}: {chances}; due {by} {plan.timezone}."


def _looked_ahead(rule: Rule, plan: Plan, snapshot: JobSnapshot, now: datetime) -> Evaluation:
    """The forecast is made for the last full minute, so that its numbers hold until next_at."""
    history, following = history_of(snapshot), plan.due_after(now)
    due = _next_due(plan, history, now)
    standing = _standing(snapshot, history, due) if due else None
    if due is None or standing is None:
        return Evaluation(next_at=following)
    minute = now.replace(second=0, microsecond=0)
    found = forecast(standing, _past(snapshot, history), minute.timestamp(), snapshot.timings.upstream)
    levels = _reached(rule, _told(rule, snapshot), found.chance_after(due.at.timestamp()))
    calm = minute + STEP if levels else _calm_until(found, due, minute)
    next_at = min(calm, following) if following else calm
    if not levels:
        return Evaluation(next_at=next_at)
    said = _foretold(found, due, plan, snapshot, minute)
    return Evaluation(tuple(replace(said, labels={"severity": level.value}) for level in levels), next_at)


def _told(rule: Rule, snapshot: JobSnapshot) -> list[Severity]:
    """The levels of this rule that are open."""
    open_now = {alert.labels.get("severity") for alert in snapshot.alerts if alert.rule == rule.name}
    return [severity for severity in Severity if severity.value in open_now]


def _missed(plan: Plan, history: History, now: datetime) -> Due | None:
    """The last due time, if nothing has met it."""
    due = plan.latest(now)
    return due if due and due.opens > met_until(plan, history) else None


def _next_due(plan: Plan, history: History, now: datetime) -> Due | None:
    """The first due time to come that nothing has met; None if all that is near is met."""
    done, at = met_until(plan, history), plan.due_after(now)
    for _ in range(_AHEAD):
        due = plan.latest(at) if at else None
        if due is None or due.opens > done:
            return due
        at = plan.due_after(due.at)
    return None


def _standing(snapshot: JobSnapshot, history: History, due: Due) -> Standing | None:
    """The run that is to meet due, as it stands or is expected. None: it failed, or nobody knows when it begins."""
    if own := _own_run(history, due):
        meant, run = own
        attempts = snapshot.attempts.get(run.id, ())
        if run.state.is_terminal or failure_of(run, attempts):
            return None
        began = run.started_at.timestamp() if run.started_at else None
        return Standing(meant.timestamp(), began, _tasks(attempts))
    expected = history.declared or history.learned
    return Standing(due.opens.timestamp(), None, {}) if expected else None


def _own_run(history: History, due: Due) -> tuple[datetime, Run] | None:
    """The run that was meant for due, with the moment it was meant for."""
    return history.newest if history.newest and history.newest[0] >= due.opens - _EARLY else None


def _tasks(attempts: Sequence[Run]) -> dict[str, tuple[float, float | None]]:
    """Retries and mapped instances of a task are one piece: from the first start until none of them is open, a task
    whose attempt failed being open since it is tried again."""
    found: dict[str, tuple[float, float | None]] = {}
    done = {
        (each.job.task, each.map_index) for each in attempts if each.state in (RunState.SUCCEEDED, RunState.SKIPPED)
    }
    for each in attempts:
        if each.job.task is None or each.started_at is None:
            continue
        began, ended = found.get(each.job.task, (each.started_at.timestamp(), 0.0))
        over = (each.job.task, each.map_index) in done
        own = each.ended_at.timestamp() if over and each.ended_at else None
        both = None if own is None or ended is None else max(own, ended)
        found[each.job.task] = (min(began, each.started_at.timestamp()), both)
    return found


def _past(snapshot: JobSnapshot, history: History) -> list[Past]:
    return [_one(run, snapshot) for run, _ in history.completed[:RUNS]]


def _one(run: PastRun, snapshot: JobSnapshot) -> Past:
    tasks = snapshot.timings.runs.get(run.id, {})
    began = run.position_us if run.started_us is None else run.started_us
    ended = began if run.ended_us is None else run.ended_us
    lay = {name: (begin / 1e6, max(begin, end) / 1e6) for name, (begin, end) in tasks.items()}
    return Past(run.position_us / 1e6, began / 1e6, ended / 1e6, lay)


def _reached(rule: Rule, told: Sequence[Severity], chance: float) -> list[Severity]:
    """Of the two levels those that are reached; the warning stays while the alert lasts, so that nothing is "resolved"
    by getting worse, and what was told holds until the chance has clearly fallen."""
    options: DeadlineRiskConfig = rule.options
    levels = [(_LESS_SEVERE[rule.severity], float(options.warn_from)), (rule.severity, float(options.alert_from))]
    reached = [severity for severity, limit in levels if chance >= limit - (_EASE if severity in told else 0.0)]
    return list(dict.fromkeys(reached))


def _calm_until(found: Forecast, due: Due, minute: datetime) -> datetime:
    """If no possible end lies behind the due time, then none can before as much time has passed as is left."""
    slack = due.at.timestamp() - found.ends[-1][0]
    calm_s = min(found.moves_from + slack, found.calm_until) - minute.timestamp() if slack > 0 else 0.0
    return minute + max(STEP, timedelta(minutes=int(calm_s // 60)))


def _missing(severity: Severity, due: Due, plan: Plan, snapshot: JobSnapshot) -> Violation:
    """What was forecast came true: it lasts until the run has ended well."""
    summary = f"{snapshot.job.ref.name} missed {moment_words(due.at, plan.timezone)}, as was forecast"
    evidence = {"chance": 1.0, "expected": iso(due.at), "timezone": plan.timezone, "left_s": 0.0}
    return Violation(due.at, summary, 1.0, {"severity": severity.value}, evidence, yields_to="deadline")


def _foretold(found: Forecast, due: Due, plan: Plan, snapshot: JobSnapshot, minute: datetime) -> Violation:
    """Of whatever level."""
    chance = found.chance_after(due.at.timestamp())
    low, middle, high = (datetime.fromtimestamp(found.quantile(share), UTC) for share in (0.05, 0.5, 0.95))
    run = _own_run(history_of(snapshot), due)
    evidence: dict[str, Any] = {
        "chance": round(chance, 2),
        "expected": iso(due.at),
        "timezone": plan.timezone,
        "forecast_end": iso(middle.replace(microsecond=0)),
        "forecast_earliest": iso(low.replace(microsecond=0)),
        "forecast_latest": iso(high.replace(microsecond=0)),
        "left_s": max(0.0, (due.at - minute).total_seconds()),
        "past_runs": len(found.ends),
        "waits_for": found.bottleneck,
        "overdue_s": round(found.overdue_s) if found.overdue_s >= 60 else None,
    }
    if run:
        evidence |= {"run_id": run[1].id, "native_run_id": run[1].native_run_id, "external_url": run[1].external_url}
    return Violation(
        since=minute,
        summary=_summary(chance, found, due, plan, snapshot),
        value=round(chance, 2),
        evidence={name: value for name, value in evidence.items() if value is not None},
    )


def _summary(chance: float, found: Forecast, due: Due, plan: Plan, snapshot: JobSnapshot) -> str:
    middle = datetime.fromtimestamp(found.quantile(0.5), UTC).replace(second=0, microsecond=0)
    apart = (middle - due.at).total_seconds()
    how = f"{length_words(apart)} late" if apart > 0 else "just in time"
    said = f"{snapshot.job.ref.name} is likely to miss {moment_words(due.at, plan.timezone)}: chance {chance:.0%}, "
    said += f"its end is expected at {moment_words(middle, plan.timezone)}, {how}"
    if found.bottleneck is None:
        return said
    longer = (
        f", which runs {length_words(found.overdue_s // 60 * 60)} longer than usual" if found.overdue_s >= 60 else ""
    )
    return f"{said}; it waits for {found.bottleneck}{longer}"
