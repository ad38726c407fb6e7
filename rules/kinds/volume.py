"""A dataset was written with too little, or too much: rows, bytes or files of one writing.

Each writer of a dataset is measured against its own past, since a full load each night and an increment each hour have
nothing in common. The learned limit mirrors the one of `duration`: all of its terms must be broken, so that neither a
very steady nor a very noisy dataset cries wolf, and nothing at all counts where there was always something
(Elementary's `fail_on_zero`). Replays teach and never alert anybody; backfills do neither.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from rules.baseline import MAD_TO_SIGMA, Baseline
from rules.changes import ChangeOptions
from rules.schedules.learned import learning_progress
from rules.streaks import LOOKED_AT, streak
from rules.words import iso, subject_words
from watchtower.model.rule import DatasetSnapshot, Evaluation, Rule, Snapshot, Violation
from watchtower.model.run import DatasetUpdate

SAMPLES = 100  # writings of one writer that are looked at
_SIGMAS = 3.5
_SMALL_CHANGE = 0.8  # of the median: less of a drop than a fifth is never unusual


class VolumeConfig(ChangeOptions):
    """Neither limit: learned from the past of each writer."""

    of: Literal["rows", "bytes", "files"] = Field(default="rows", description="what is counted")
    min: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="less than this is wrong")
    max: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="more than this is wrong")
    fail_after: int = Field(default=1, ge=1, le=LOOKED_AT, description="how many writings in a row must be so")
    recover_after: int = Field(default=1, ge=1, le=LOOKED_AT, description="how many good ones in a row end it")
    spikes: bool = Field(default=False, description="while learned: unusually much is wrong, too")

    @model_validator(mode="after")
    def _fits(self) -> "VolumeConfig":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is more than max ({self.max:g}), so every volume is wrong")
        if self.spikes and not self.is_learned:
            raise ValueError("spikes is about what is learned; with min or max, say the most with max")
        return self

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        return {f"the {self.of} of a writing": (self.min or 0.0, math.inf if self.max is None else self.max)}

    @property
    def is_learned(self) -> bool:
        return self.min is None and self.max is None


class Volume:
    kind: ClassVar[str] = "volume"
    subject: ClassVar[str] = "dataset"
    clears: ClassVar[str] = "it has been written with as much as expected"
    Config: ClassVar[type[VolumeConfig]] = VolumeConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, DatasetSnapshot):
            return Evaluation()
        options: VolumeConfig = rule.options
        judged = [_judged_writer(options, written) for written in _by_writer(options, snapshot.updates, now)]
        ahead = [update.at for update in snapshot.updates if update.at > now]
        next_at = min(ahead, default=None)
        broken = [each for each in judged if each.breaks is not None]
        if broken:
            newest = max(broken, key=lambda each: each.update.at)
            return Evaluation((_violation(options, newest, snapshot),), next_at)
        learning = next((each.learning for each in judged if each.learning), None)
        if not judged:
            learning = f"its {options.of} were never told"
        return Evaluation(next_at=next_at, learning=learning, resolution=_resolution(options, judged))

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: VolumeConfig = rule.options
        who, unit = subject_words(snapshot), options.of
        if not options.is_learned:
            said = [f"at least {_number(options.min)}"] if options.min is not None else []
            said += [f"at most {_number(options.max)}"] if options.max is not None else []
            return f"{who}: each writing must bring {' and '.join(said)} {unit}."
        if isinstance(snapshot, DatasetSnapshot) and snapshot.updates:
            written = _by_writer(options, snapshot.updates, snapshot.updates[0].at)
            found = [_limits(options, each) for each in written]
            said = [_expected(each, unit) for each in found if isinstance(each, Limits)]
            if said:
                return f"{who}: a writing must bring {' or '.join(said)}."
            return f"{who}: what a writing usually brings is being learned."
        return f"{who}: a writing must not bring unusually few {unit}."


@dataclass(frozen=True, slots=True)
class Limits:
    """What one writing may bring. usual: None where the limits are the rule's own."""

    low: float | None
    high: float | None
    usual: Baseline | None


@dataclass(frozen=True, slots=True)
class Judged:
    """The newest writing of one writer. breaks: the limit that it breaks, None for neither."""

    update: DatasetUpdate
    volume: float
    limits: Limits | None
    learning: str | None = None

    @property
    def breaks(self) -> float | None:
        if self.limits is None:
            return None
        low, high = self.limits.low, self.limits.high
        if low is not None and self.volume < low:
            return low
        return high if high is not None and self.volume > high else None


def _by_writer(options: VolumeConfig, updates: Sequence[DatasetUpdate], now: datetime) -> list[list[DatasetUpdate]]:
    """The writings whose volume is known, of each writer newest first; whoever wrote last comes first."""
    found: dict[str | None, list[DatasetUpdate]] = {}
    for update in updates:
        if not update.backfill and update.at <= now and _volume(options, update) is not None:
            found.setdefault(update.job_id, []).append(update)
    return [written[: SAMPLES + 1] for written in found.values()]


def _volume(options: VolumeConfig, update: DatasetUpdate) -> float | None:
    return {"rows": update.row_count, "bytes": update.size_bytes, "files": update.file_count}[options.of]


def _judged_writer(options: VolumeConfig, written: Sequence[DatasetUpdate]) -> Judged:
    """The writing that stands for one writer: its newest, or the newest wrong one of those that are not over yet."""
    newest = _judged(options, written)
    if options.fail_after == 1 and (newest.breaks is not None or options.recover_after == 1):
        return newest
    looked_at = [_judged(options, written[place:]) for place in range(min(len(written), LOOKED_AT))]
    wrong = [each.breaks is not None for each in looked_at]
    if streak(wrong, options.fail_after, options.recover_after) is None:
        return replace(newest, limits=None)
    return looked_at[wrong.index(True)]


def _judged(options: VolumeConfig, written: Sequence[DatasetUpdate]) -> Judged:
    """The newest of written, newest first, against the others."""
    volume, limits = _volume(options, written[0]) or 0.0, _limits(options, written[1:])
    if isinstance(limits, str):
        return Judged(written[0], volume, None, limits)
    return Judged(written[0], volume, limits)


def _limits(options: VolumeConfig, written: Sequence[DatasetUpdate]) -> Limits | str:
    """What the next writing may bring after these, or why nothing can be said."""
    if not options.is_learned:
        return Limits(options.min, options.max, None)
    volumes = [volume for update in written if (volume := _volume(options, update)) is not None]
    usual = Baseline.of(volumes)
    if usual is None:
        return learning_progress(len(volumes), "writings") or "too few writings"
    return Limits(_low(usual), _high(usual) if options.spikes else None, usual)


def _low(usual: Baseline) -> float:
    """Below this is unusually little; at least one where there was always something."""
    middle = usual.median
    low = min(usual.quantile(0.05) / 1.5, middle - _SIGMAS * MAD_TO_SIGMA * usual.mad, middle * _SMALL_CHANGE)
    return max(low, 1.0 if usual.values[0] > 0 else 0.0)


def _high(usual: Baseline) -> float:
    middle = usual.median
    return max(usual.quantile(0.95) * 1.5, middle + _SIGMAS * MAD_TO_SIGMA * usual.mad, middle / _SMALL_CHANGE)


def _violation(options: VolumeConfig, found: Judged, snapshot: DatasetSnapshot) -> Violation:
    update, limit, unit = found.update, found.breaks, options.of
    usual = found.limits.usual if found.limits else None
    writer = next((job.ref.name for job in snapshot.writers if job.id == update.job_id), None)
    evidence: dict[str, Any] = {
        options.of: found.volume,
        "limit": limit,
        "usual_median": usual.median if usual else None,
        "usual_writings": usual.count if usual else None,
        "written_at": iso(update.at),
        "run_id": update.run_id,
        "partition": update.partition,
        "writer": writer,
    }
    much = "no" if found.volume == 0 else _number(found.volume)
    more = "fewer" if found.volume < (limit or 0.0) else "more"
    than = f", {more} than {_number(limit)}" if found.volume else f", at least {_number(limit)} must come"
    said = f" (usually {_number(usual.median)}, from {usual.count} writings)" if usual else ""
    return Violation(
        since=update.at,
        summary=f"{snapshot.dataset.ref.name} was written with {much} {unit}{than}{said}",
        value=found.volume,
        evidence={name: value for name, value in evidence.items() if value is not None},
        historical=update.historical,
    )


def _resolution(options: VolumeConfig, judged: Sequence[Judged]) -> dict[str, Any]:
    newest = max(judged, key=lambda each: each.update.at, default=None)
    if newest is None:
        return {}
    found = {"run_id": newest.update.run_id, "updated_at": iso(newest.update.at), options.of: newest.volume}
    return {name: value for name, value in found.items() if value is not None}


def _expected(limits: Limits, unit: str) -> str:
    most = f" and at most {_number(limits.high)}" if limits.high is not None else ""
    usual = f" (usually {_number(limits.usual.median)}, from {limits.usual.count} writings)" if limits.usual else ""
    return f"at least {_number(limits.low)}{most} {unit}{usual}"


def _number(value: float | None) -> str:
    """Whole numbers with separators; what is learned is rounded to whole ones."""
    return f"{round(value or 0.0):,}"
