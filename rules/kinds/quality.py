"""A data test failed: the newest result of a check is worse than it may be, until the next run of that test passes.

The level is the test's own: one whose severity is a warning never fails (dbt, Deequ, Great Expectations), so that two
shipped rules, one of each level, give alerts the severity that the test's author meant.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from rules.changes import ChangeOptions
from rules.streaks import streak
from rules.words import iso
from watchtower.model.labels import Matcher
from watchtower.model.quality import QUALITY, Verdict
from watchtower.model.rule import Evaluation, Rule, SeriesSnapshot, Snapshot, Violation
from watchtower.model.series import Sample

_LEVELS = {"fail": (Verdict.FAIL,), "warn": (Verdict.WARN,), "any": (Verdict.WARN, Verdict.FAIL)}


class QualityConfig(ChangeOptions):
    level: Literal["fail", "warn", "any"] = Field(default="fail", description="of which results: fail, warn, or any")
    fail_after: int = Field(default=1, ge=1, le=100, description="how many results in a row must be bad")
    recover_after: int = Field(default=1, ge=1, le=100, description="how many good ones in a row end it")
    where: dict[str, str] = Field(default={}, description="labels of the results: check, table, column, tool")

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        said = {"series": QUALITY, **self.where}
        return tuple(Matcher(name, "=", value) for name, value in said.items())


class Quality:
    kind: ClassVar[str] = "quality"
    subject: ClassVar[str] = "series"
    clears: ClassVar[str] = "the next run of that test passes"
    Config: ClassVar[type[QualityConfig]] = QualityConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        """A result whose moment is still to come counts from that moment on."""
        options: QualityConfig = rule.options
        if not isinstance(snapshot, SeriesSnapshot) or snapshot.series.ref.name != QUALITY:
            return Evaluation()
        told = [sample for sample in snapshot.samples if sample.at <= now]
        next_at = min((sample.at for sample in snapshot.samples if sample.at > now), default=None)
        wrong = [sample.value in _LEVELS[options.level] for sample in told]
        found = streak(wrong, options.fail_after, options.recover_after)
        if found is None:
            run = {"native_run_id": told[0].run} if told and told[0].run else {}
            return Evaluation(next_at=next_at, resolution=run)
        bad = told[found.first : found.first + found.length]
        since = bad[-options.fail_after].at
        return Evaluation((_violation(snapshot, told[wrong.index(True)], bad, since),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: QualityConfig = rule.options
        what = {"fail": "fails", "warn": "warns", "any": "fails or warns"}[options.level]
        what += f" {options.fail_after} times in a row" if options.fail_after > 1 else ""
        until = (
            "its next run passes" if options.recover_after == 1 else f"it passes {options.recover_after} times in a row"
        )
        which = _check(snapshot) if isinstance(snapshot, SeriesSnapshot) else "a data test"
        return f"{which}: alert when it {what}, until {until}."


def _violation(snapshot: SeriesSnapshot, newest: Sample, bad: Sequence[Sample], since: datetime) -> Violation:
    """newest: of all that are bad; bad: those without a break that count."""
    labels = snapshot.series.ref.labels
    failures = (newest.stats or {}).get("failures")
    rows = f": {failures:,.0f} failing row{'' if failures == 1 else 's'}" if failures else ""
    times = f" [{len(bad)} times in a row]" if len(bad) > 1 else ""
    word = "failed" if newest.value >= Verdict.FAIL else "warns"
    evidence: dict[str, Any] = {
        "check": labels.get("check"),
        "table": labels.get("table"),
        "column": labels.get("column"),
        "tool": labels.get("tool"),
        "failures": failures,
        "rows": (newest.stats or {}).get("rows"),
        "native_run_id": newest.run,
        "last_sample": iso(newest.at),
        "since": iso(since),
        "results": len(bad),
    }
    return Violation(
        since=since,
        summary=f"{_check(snapshot)} {word}{rows}{times}",
        value=failures if failures is not None else newest.value,
        evidence={name: value for name, value in evidence.items() if value is not None},
        historical=all(sample.historical for sample in bad),
    )


def _check(snapshot: SeriesSnapshot) -> str:
    """`test not_null of shop.orders.id`."""
    labels = snapshot.series.ref.labels
    where = ".".join(part for part in (labels.get("table"), labels.get("column")) if part)
    job = snapshot.series.ref.job
    return f"test {labels.get('check', '?')}{f' of {where}' if where else ''}{f' ({job.name})' if job else ''}"
