"""Two datasets, or two jobs, that should be the same: do the old way and the new way agree, date by date? Is it safe to
cut over?

For each of the last dates on which either was written (or ran), the newest writing (or ended run) of both is compared:
rows, bytes, files and a checksum of the content, of jobs those of all that the run wrote, the outcome, and when it was
done. A date that only one of them has disagrees once `settle` has passed. The alert stands while one of these dates
disagrees; `watchtower compare`, `watchtower evaluate` and the pages say which agree.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from rules.changes import ChangeOptions
from rules.options import Seconds, Share, Zone
from rules.others import Other, look_again
from rules.sameness import WRITTEN, Compared, Terms, What, by_date, runs, writings
from rules.schedules.zones import zone
from rules.words import iso, subject_words
from watchtower.model.companion import ITSELF, Beside, Companion
from watchtower.model.rule import DatasetSnapshot, Evaluation, JobSnapshot, Rule, Snapshot, Violation


class CompareConfig(ChangeOptions):
    against: Other = Field(description="what should be the same: {dataset: …}, or a pipeline or task")
    of: tuple[What, ...] | None = Field(
        default=None,
        min_length=1,
        description="rows, bytes, files, checksum, finish, of jobs also outcome; else rows, of jobs outcome",
    )
    pairs: dict[str, str] = Field(
        default={}, description="of jobs, what one calls a dataset and what the other does, a * for the same part"
    )
    dates: int = Field(default=7, ge=1, le=60, description="how many of the last dates")
    tolerance: Share = Field(default=Decimal(0), ge=0, lt=1, description="share by which counts may differ, e.g. 1%")
    finish_within: Seconds = Field(default=1_800.0, description="by how much the times may differ, with finish")
    settle: Seconds = Field(default=21_600.0, description="how long after one the other may come")
    timezone: Zone | None = Field(default=None, description="IANA zone of dates that no partition names; default: UTC")

    @model_validator(mode="after")
    def _fits(self) -> "CompareConfig":
        if self.subject == "dataset" and "outcome" in self.compared:
            raise ValueError("datasets tell rows, bytes, files, checksum and finish, and no outcome")
        if self.pairs and not self.looks_at_writings:
            raise ValueError(
                "pairs are of what jobs write; write of: [rows] or another of rows, bytes, files, checksum"
            )
        for names in self.pairs.items():
            if max(name.count("*") for name in names) > 1 or len({name.count("*") for name in names}) > 1:
                raise ValueError(f"the pair {names[0]}: {names[1]} needs one * on both sides, or none")
        return self

    @property
    def subject(self) -> Literal["job", "dataset"]:
        return "dataset" if self.against.dataset is not None else "job"

    @property
    def compared(self) -> tuple[What, ...]:
        return self.of or (("rows",) if self.subject == "dataset" else ("outcome",))

    @property
    def looks_at_writings(self) -> bool:
        """Of what runs wrote, which is looked for only where it is asked for."""
        return self.subject == "job" and any(what in WRITTEN for what in self.compared)

    @property
    def other(self) -> Companion:
        return self.against.companion.writing if self.looks_at_writings else self.against.companion

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (self.other, ITSELF.writing) if self.looks_at_writings else (self.other,)


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
        problem = snapshot.beside.get(options.other, Beside()).problem
        if problem:
            return Evaluation(unknown=problem)
        dates = compared_dates(options, snapshot)
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
            return Evaluation(next_at=next_at, resolution={"agreed": agreed, "verdict": verdict(dates, options)})
        return Evaluation((_violation(apart, dates, options, snapshot),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: CompareConfig = rule.options
        said = f"{subject_words(snapshot)}: {', '.join(options.compared)} must agree with {options.other}"
        said += f" on each of the last {options.dates} dates."
        if not isinstance(snapshot, DatasetSnapshot | JobSnapshot):
            return said
        problem = snapshot.beside.get(options.other, Beside()).problem
        if problem:
            return f"{said} {problem[:1].upper()}{problem[1:]}: not safe to cut over."
        dates = compared_dates(options, snapshot)
        return " ".join([said, *(f"{each.words}." for each in dates), verdict(dates, options)])


def compared_dates(options: CompareConfig, snapshot: DatasetSnapshot | JobSnapshot) -> list[Compared]:
    """Newest first."""
    other = snapshot.beside.get(options.other, Beside())
    terms = _terms(options, snapshot)
    if isinstance(snapshot, DatasetSnapshot):
        mine, theirs = writings(terms, snapshot.updates), writings(terms, other.updates)
    else:
        own = snapshot.beside.get(ITSELF.writing, Beside())
        mine, theirs = runs(terms, snapshot.past, own.wrote), runs(terms, other.past, other.wrote)
    return by_date(terms, mine, theirs, options.dates)


def is_safe(dates: Sequence[Compared], options: CompareConfig) -> bool:
    return len(dates) >= options.dates and not any(each.problems for each in dates)


def verdict(dates: Sequence[Compared], options: CompareConfig) -> str:
    if is_safe(dates, options):
        return f"All {len(dates)} agree: safe to cut over."
    agree = sum(not each.problems for each in dates)
    wanted = f", {options.dates} are wanted" if len(dates) < options.dates else ""
    return f"{agree} of {len(dates)} agree{wanted}: not safe to cut over yet."


def _terms(options: CompareConfig, snapshot: DatasetSnapshot | JobSnapshot) -> Terms:
    return Terms(
        mine=_name(snapshot),
        theirs=str(options.other),
        of=options.compared,
        tolerance=options.tolerance,
        finish_within=timedelta(seconds=options.finish_within),
        settle=timedelta(seconds=options.settle),
        place=zone(options.timezone or "UTC"),
        pairs=options.pairs,
    )


def _name(snapshot: DatasetSnapshot | JobSnapshot) -> str:
    return snapshot.job.ref.name if isinstance(snapshot, JobSnapshot) else snapshot.dataset.ref.name


def _violation(
    apart: Sequence[Compared],
    dates: Sequence[Compared],
    options: CompareConfig,
    snapshot: DatasetSnapshot | JobSnapshot,
) -> Violation:
    name, other = _name(snapshot), str(options.other)
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
