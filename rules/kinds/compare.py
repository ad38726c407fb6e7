"""Two datasets that should be the same: do the old way and the new way agree, date by date? Is it safe to cut over?

For each of the last dates on which either was written, the newest writing of both is compared: rows, bytes, files, and
when it was done. A date on which only one was written disagrees once `settle` has passed. The alert stands while one of
these dates disagrees; `watchtower evaluate` and the pages say which of them agree.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from rules.options import Options, Seconds, Share, Zone
from rules.others import Other, look_again
from rules.schedules.zones import zone
from rules.words import iso, length_words, subject_words
from watchtower.model.companion import Beside, Companion
from watchtower.model.rule import DatasetSnapshot, Evaluation, Rule, Snapshot, Violation
from watchtower.model.run import DatasetUpdate

What = Literal["rows", "bytes", "files", "finish"]
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class CompareConfig(Options):
    against: Other = Field(description="the dataset that should be the same: {dataset: …}")
    of: tuple[What, ...] = Field(
        default=("rows",), min_length=1, description="what must agree: rows, bytes, files, finish"
    )
    dates: int = Field(default=7, ge=1, le=60, description="how many of the last dates")
    tolerance: Share = Field(default=Decimal(0), ge=0, lt=1, description="share by which counts may differ, e.g. 1%")
    finish_within: Seconds = Field(default=1_800.0, description="by how much the times may differ, with finish")
    settle: Seconds = Field(default=21_600.0, description="how long after one the other may be written")
    timezone: Zone | None = Field(default=None, description="IANA zone of dates that no partition names; default: UTC")

    @field_validator("against")
    @classmethod
    def _is_dataset(cls, other: Other) -> Other:
        if other.dataset is None:
            raise ValueError("name the other dataset: {dataset: …, namespace: …}")
        return other

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (self.against.companion,)


class Compare:
    kind: ClassVar[str] = "compare"
    subject: ClassVar[str] = "dataset"
    Config: ClassVar[type[CompareConfig]] = CompareConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, DatasetSnapshot):
            return Evaluation()
        options: CompareConfig = rule.options
        other = snapshot.beside.get(options.against.companion, Beside())
        if other.problem:
            return Evaluation(unknown=other.problem)
        dates = _dates(options, snapshot, other)
        if not dates:
            return Evaluation(learning="neither was written yet")
        settles = [each.settles_at for each in dates if each.is_alone]
        apart = [each for each in dates if each.problems and not (each.is_alone and each.settles_at > now)]
        moments = [at for at in settles if at > now]
        if apart or moments:
            again = look_again(max(each.settles_at for each in dates), now)
            moments += [again] if again is not None else []
        next_at = min(moments, default=None)
        if not apart:
            return Evaluation(next_at=next_at, resolution={"agreed": [each.date for each in dates]})
        return Evaluation((_violation(apart, dates, options, snapshot),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: CompareConfig = rule.options
        said = f"{subject_words(snapshot)}: {', '.join(options.of)} must agree with {options.against.companion}"
        said += f" on each of the last {options.dates} dates."
        if not isinstance(snapshot, DatasetSnapshot):
            return said
        dates = _dates(options, snapshot, snapshot.beside.get(options.against.companion, Beside()))
        return " ".join([said, *(f"{each.words}." for each in dates), _verdict(dates, options)])


@dataclass(frozen=True, slots=True)
class Compared:
    """One date. problems: in what the two differ; is_alone: only one of them was written."""

    date: str
    problems: tuple[str, ...]
    is_alone: bool
    settles_at: datetime
    historical: bool

    @property
    def words(self) -> str:
        return f"{self.date}: {'; '.join(self.problems)}" if self.problems else f"{self.date} agrees"


def _dates(options: CompareConfig, snapshot: DatasetSnapshot, other: Beside) -> list[Compared]:
    """Newest first."""
    mine, theirs = _by_date(options, snapshot.updates), _by_date(options, other.updates)
    known = sorted(mine.keys() | theirs.keys(), reverse=True)[: options.dates]
    return [_compared(options, date, mine.get(date), theirs.get(date), snapshot) for date in known]


def _by_date(options: CompareConfig, updates: Sequence[DatasetUpdate]) -> Mapping[str, DatasetUpdate]:
    """The newest writing of each date: the one that its partition names, else its day."""
    found: dict[str, DatasetUpdate] = {}
    place = zone(options.timezone or "UTC")
    for update in updates:
        named = _DATE.search(update.partition or "")
        found.setdefault(named[0] if named else f"{update.at.astimezone(place):%Y-%m-%d}", update)
    return found


def _compared(
    options: CompareConfig,
    date: str,
    mine: DatasetUpdate | None,
    theirs: DatasetUpdate | None,
    snapshot: DatasetSnapshot,
) -> Compared:
    settle = timedelta(seconds=options.settle)
    written = [each for each in (mine, theirs) if each is not None]
    settles_at = max(each.at for each in written) + settle
    historical = all(each.historical for each in written)
    if mine is None or theirs is None:
        missing = snapshot.dataset.ref.name if mine is None else str(options.against.companion)
        return Compared(date, (f"{missing} was not written",), True, settles_at, historical)
    problems = tuple(said for what in options.of if (said := _differs(options, what, mine, theirs)))
    return Compared(date, problems, False, settles_at, historical)


def _differs(options: CompareConfig, what: What, mine: DatasetUpdate, theirs: DatasetUpdate) -> str | None:
    if what == "finish":
        apart = abs((mine.at - theirs.at).total_seconds())
        return f"done {length_words(apart)} apart" if apart > options.finish_within else None
    mine_told, theirs_told = {"rows": (mine.row_count, theirs.row_count), "bytes": (mine.size_bytes, theirs.size_bytes),
            "files": (mine.file_count, theirs.file_count)}[what]  # fmt: skip
    if mine_told is None or theirs_told is None:
        return f"{what} were not told"
    most = max(mine_told, theirs_told)
    apart = abs(mine_told - theirs_told)
    return f"{mine_told:,} and {theirs_told:,} {what}" if apart > options.tolerance * most else None


def _verdict(dates: Sequence[Compared], options: CompareConfig) -> str:
    agree = sum(not each.problems for each in dates)
    if agree == len(dates) and len(dates) >= options.dates:
        return f"All {len(dates)} agree: safe to cut over."
    return f"{agree} of {len(dates)} agree" + (f", {options.dates} are wanted." if len(dates) < options.dates else ".")


def _violation(
    apart: Sequence[Compared], dates: Sequence[Compared], options: CompareConfig, snapshot: DatasetSnapshot
) -> Violation:
    name, other = snapshot.dataset.ref.name, str(options.against.companion)
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
