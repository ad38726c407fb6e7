"""Two datasets, or two jobs, that should be the same: do the old way and the new way agree, date by date? Is it safe to
cut over?

For each of the last dates on which either was written (or ran), the newest writing (or ended run) of both is compared:
rows, bytes, files and a checksum of the content, or the outcome, and when it was done. A date that only one of them has
disagrees once `settle` has passed. The alert stands while one of these dates disagrees; `watchtower evaluate` and the
pages say which agree.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from rules.changes import ChangeOptions
from rules.options import Seconds, Share, Zone
from rules.others import Other, look_again
from rules.schedules.zones import zone
from rules.words import iso, length_words, subject_words
from watchtower.model.companion import Beside, Companion
from watchtower.model.past import PastRun
from watchtower.model.rule import DatasetSnapshot, Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import DatasetUpdate, RunState, Trigger

What = Literal["rows", "bytes", "files", "checksum", "outcome", "finish"]
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHOWN = 16  # characters of a checksum


class CompareConfig(ChangeOptions):
    against: Other = Field(description="what should be the same: {dataset: …}, or a pipeline or task")
    of: tuple[What, ...] | None = Field(
        default=None,
        min_length=1,
        description="rows, bytes, files, checksum, finish; of runs outcome, finish; else rows, outcome",
    )
    dates: int = Field(default=7, ge=1, le=60, description="how many of the last dates")
    tolerance: Share = Field(default=Decimal(0), ge=0, lt=1, description="share by which counts may differ, e.g. 1%")
    finish_within: Seconds = Field(default=1_800.0, description="by how much the times may differ, with finish")
    settle: Seconds = Field(default=21_600.0, description="how long after one the other may come")
    timezone: Zone | None = Field(default=None, description="IANA zone of dates that no partition names; default: UTC")

    @model_validator(mode="after")
    def _fits(self) -> "CompareConfig":
        are_jobs = self.subject == "job"
        wrong = [what for what in self.compared if what != "finish" and (what == "outcome") != are_jobs]
        if wrong:
            tell = (
                "runs tell outcome and finish" if are_jobs else "datasets tell rows, bytes, files, checksum and finish"
            )
            raise ValueError(f"{tell}, and no {', '.join(wrong)}")
        return self

    @property
    def subject(self) -> Literal["job", "dataset"]:
        return "dataset" if self.against.dataset is not None else "job"

    @property
    def compared(self) -> tuple[What, ...]:
        return self.of or (("rows",) if self.subject == "dataset" else ("outcome",))

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (self.against.companion,)


class Compare:
    kind: ClassVar[str] = "compare"
    subject: ClassVar[str] = "dataset"
    Config: ClassVar[type[CompareConfig]] = CompareConfig
    clears: ClassVar[str] = (
        "both agree on each of the dates that are looked at; it is safe to cut over when those are as many as `dates`"
    )

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, DatasetSnapshot | JobSnapshot):
            return Evaluation()
        options: CompareConfig = rule.options
        other = snapshot.beside.get(options.against.companion, Beside())
        if other.problem:
            return Evaluation(unknown=other.problem)
        dates = _dates(options, snapshot, other)
        if not dates:
            return Evaluation(learning="neither has come yet")
        settles = [each.settles_at for each in dates if each.is_alone]
        apart = [each for each in dates if each.problems and not (each.is_alone and each.settles_at > now)]
        moments = [at for at in settles if at > now]
        if apart or moments:
            again = look_again(max(each.settles_at for each in dates), now)
            moments += [again] if again is not None else []
        next_at = min(moments, default=None)
        if not apart:
            agreed = [each.date for each in dates if not each.problems]
            return Evaluation(next_at=next_at, resolution={"agreed": agreed, "verdict": _verdict(dates, options)})
        return Evaluation((_violation(apart, dates, options, snapshot),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: CompareConfig = rule.options
        said = f"{subject_words(snapshot)}: {', '.join(options.compared)} must agree with {options.against.companion}"
        said += f" on each of the last {options.dates} dates."
        if not isinstance(snapshot, DatasetSnapshot | JobSnapshot):
            return said
        other = snapshot.beside.get(options.against.companion, Beside())
        if other.problem:
            return f"{said} {other.problem[:1].upper()}{other.problem[1:]}: not safe to cut over."
        dates = _dates(options, snapshot, other)
        return " ".join([said, *(f"{each.words}." for each in dates), _verdict(dates, options)])


@dataclass(frozen=True, slots=True)
class Told:
    """A writing or a run. at: when it was done, or was meant for if it is not. outcome: of a run that ended."""

    at: datetime
    historical: bool
    counts: Mapping[str, int | None]
    outcome: str | None = None
    checksum: str | None = None

    def tells(self, compared: Sequence[What]) -> bool:
        """Whether all that is compared is told."""
        return all(self.checksum if what == "checksum" else self.counts.get(what, 0) is not None for what in compared)


@dataclass(frozen=True, slots=True)
class Compared:
    """One date. problems: in what the two differ; is_alone: only one of them came."""

    date: str
    problems: tuple[str, ...]
    is_alone: bool
    settles_at: datetime
    historical: bool

    @property
    def words(self) -> str:
        return f"{self.date}: {'; '.join(self.problems)}" if self.problems else f"{self.date} agrees"


def _dates(options: CompareConfig, snapshot: DatasetSnapshot | JobSnapshot, other: Beside) -> list[Compared]:
    """Newest first."""
    if isinstance(snapshot, JobSnapshot):
        mine, theirs = _runs_by_date(options, snapshot.past), _runs_by_date(options, other.past)
    else:
        mine, theirs = _updates_by_date(options, snapshot.updates), _updates_by_date(options, other.updates)
    known = sorted(mine.keys() | theirs.keys(), reverse=True)[: options.dates]
    name = _name(snapshot)
    return [_compared(options, date, mine.get(date), theirs.get(date), name) for date in known]


def _updates_by_date(options: CompareConfig, updates: Sequence[DatasetUpdate]) -> Mapping[str, Told]:
    """The newest writing of each date that tells what is compared, else the newest: a task that writes and a probe that
    looks tell of the same date, and not the same things. The date is the one that the partition names, else its day."""
    found: dict[str, Told] = {}
    place = zone(options.timezone or "UTC")
    for update in updates:
        named = _DATE.search(update.partition or "")
        counts = {"rows": update.row_count, "bytes": update.size_bytes, "files": update.file_count}
        date = named[0] if named else f"{update.at.astimezone(place):%Y-%m-%d}"
        told = Told(update.at, update.historical, counts, checksum=update.checksum)
        if date not in found or (not found[date].tells(options.compared) and told.tells(options.compared)):
            found[date] = told
    return found


def _runs_by_date(options: CompareConfig, past: Sequence[PastRun]) -> Mapping[str, Told]:
    """The newest run of each date that has ended: the date of the moment that it was meant for."""
    found: dict[str, Told] = {}
    place = zone(options.timezone or "UTC")
    for run in past:
        if run.ended_at is None or not RunState(run.state).is_terminal or run.trigger == Trigger.BACKFILL:
            continue
        date = f"{run.position.astimezone(place):%Y-%m-%d}"
        found.setdefault(date, Told(run.ended_at, run.historical, {}, run.state))
    return found


def _compared(options: CompareConfig, date: str, mine: Told | None, theirs: Told | None, name: str) -> Compared:
    settle = timedelta(seconds=options.settle)
    came = [each for each in (mine, theirs) if each is not None]
    settles_at = max(each.at for each in came) + settle
    historical = all(each.historical for each in came)
    if mine is None or theirs is None:
        missing = name if mine is None else str(options.against.companion)
        did_not = "was not written" if options.subject == "dataset" else "has no run that ended"
        return Compared(date, (f"{missing} {did_not}",), True, settles_at, historical)
    problems = tuple(said for what in options.compared if (said := _differs(options, what, mine, theirs)))
    return Compared(date, problems, False, settles_at, historical)


def _differs(options: CompareConfig, what: What, mine: Told, theirs: Told) -> str | None:
    if what == "finish":
        apart = abs((mine.at - theirs.at).total_seconds())
        return f"done {length_words(apart)} apart" if apart > options.finish_within else None
    if what == "outcome":
        return f"{mine.outcome} and {theirs.outcome}" if mine.outcome != theirs.outcome else None
    if what == "checksum":
        return _checksums_differ(mine.checksum, theirs.checksum)
    mine_told, theirs_told = mine.counts[what], theirs.counts[what]
    if mine_told is None or theirs_told is None:
        return f"{what} were not told"
    most = max(mine_told, theirs_told)
    apart = abs(mine_told - theirs_told)
    return f"{mine_told:,} and {theirs_told:,} {what}" if apart > options.tolerance * most else None


def _checksums_differ(mine: str | None, theirs: str | None) -> str | None:
    if mine is None or theirs is None:
        return "checksum was not told"
    return f"checksums {_short(mine)} and {_short(theirs)}" if mine != theirs else None


def _short(checksum: str) -> str:
    return checksum if len(checksum) <= _SHOWN else f"{checksum[:_SHOWN]}…"


def _name(snapshot: DatasetSnapshot | JobSnapshot) -> str:
    return snapshot.job.ref.name if isinstance(snapshot, JobSnapshot) else snapshot.dataset.ref.name


def _verdict(dates: Sequence[Compared], options: CompareConfig) -> str:
    agree = sum(not each.problems for each in dates)
    if agree == len(dates) and len(dates) >= options.dates:
        return f"All {len(dates)} agree: safe to cut over."
    wanted = f", {options.dates} are wanted" if len(dates) < options.dates else ""
    return f"{agree} of {len(dates)} agree{wanted}: not safe to cut over yet."


def _violation(
    apart: Sequence[Compared],
    dates: Sequence[Compared],
    options: CompareConfig,
    snapshot: DatasetSnapshot | JobSnapshot,
) -> Violation:
    name, other = _name(snapshot), str(options.against.companion)
    since = min(each.settles_at for each in apart) - timedelta(seconds=options.settle)
    evidence: dict[str, Any] = {
        "against": other,
        "agree": [each.date for each in dates if not each.problems],
        "disagree": {each.date: list(each.problems) for each in apart},
        "since": iso(since),
    }
    more = f" (and {len(apart) - 1} more dates)" if len(apart) > 1 else ""
    return Violation(
        since=since,
        summary=f"{name} and {other} disagree on {apart[0].words}{more}",
        value=float(len(apart)),
        evidence=evidence,
        historical=all(each.historical for each in apart),
    )
