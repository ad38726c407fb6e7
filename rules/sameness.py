"""Two of a kind, date by date: what each told of a date, and in what the two differ. Pure.

Of datasets it is the newest writing of a date, of jobs the newest run that was meant for it, with what that run and its
tasks wrote.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from rules.words import length_words
from watchtower.model.companion import Wrote
from watchtower.model.past import PastRun
from watchtower.model.run import DatasetUpdate, RunState, Trigger

What = Literal["rows", "bytes", "files", "checksum", "outcome", "finish"]
WRITTEN: tuple[What, ...] = ("rows", "bytes", "files", "checksum")

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHOWN = 16  # characters of a checksum


@dataclass(frozen=True, slots=True)
class Terms:
    """mine, theirs: what the two are called; of: what is compared; tolerance: the share by which counts may differ;
    finish_within: how far apart they may be done; settle: how long after one the other may come; pairs: names of
    datasets that runs write, what the one calls them → what the other does, with a `*` for the same part in both;
    empty: equal names, or the only ones."""

    mine: str
    theirs: str
    of: tuple[What, ...]
    tolerance: Decimal
    finish_within: timedelta
    settle: timedelta
    place: ZoneInfo
    pairs: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def of_content(self) -> tuple[What, ...]:
        return tuple(what for what in self.of if what in WRITTEN)


@dataclass(frozen=True, slots=True)
class Content:
    """counts: rows, bytes and files; None: not told."""

    counts: Mapping[What, int | None]
    checksum: str | None = None

    def tells(self, what: What) -> bool:
        return what not in WRITTEN or (self.checksum if what == "checksum" else self.counts[what]) is not None


@dataclass(frozen=True, slots=True)
class Told:
    """A writing or a run. at: when it was done; contents: what was written, by the name of the dataset ("" of a
    writing); outcome: of a run."""

    at: datetime
    historical: bool
    contents: Mapping[str, Content]
    outcome: str | None = None

    def tells(self, compared: Iterable[What]) -> bool:
        return all(content.tells(what) for what in compared for content in self.contents.values())


@dataclass(frozen=True, slots=True)
class Compared:
    """One date. problems: in what the two differ; agreed: in what they do not; is_alone: only one of them came, and the
    other one may until settles_at."""

    date: str
    problems: tuple[str, ...]
    agreed: tuple[str, ...]
    is_alone: bool
    settles_at: datetime
    historical: bool

    @property
    def words(self) -> str:
        return f"{self.date}: {'; '.join(self.problems)}" if self.problems else f"{self.date} agrees"


def by_date(terms: Terms, mine: Mapping[str, Told], theirs: Mapping[str, Told], most: int) -> list[Compared]:
    """The newest dates that are known of either, newest first."""
    known = sorted(mine.keys() | theirs.keys(), reverse=True)[:most]
    return [_compared(terms, date, mine.get(date), theirs.get(date)) for date in known]


def writings(terms: Terms, updates: Sequence[DatasetUpdate]) -> Mapping[str, Told]:
    """The newest writing of each date that tells what is compared, else the newest: a task that writes and a probe that
    looks tell of the same date, and not the same things. The date is the one that the partition names, else its day."""
    found: dict[str, Told] = {}
    for update in updates:
        named = _DATE.search(update.partition or "")
        date = named[0] if named else _date(terms, update.at)
        told = Told(update.at, update.historical, {"": _content([update])})
        if date not in found or (not found[date].tells(terms.of) and told.tells(terms.of)):
            found[date] = told
    return found


def runs(terms: Terms, past: Sequence[PastRun], wrote: Mapping[str, Sequence[Wrote]]) -> Mapping[str, Told]:
    """The newest run of each date that has ended: the date of the moment that it was meant for. wrote: by run."""
    found: dict[str, Told] = {}
    for run in past:
        if run.ended_at is None or not RunState(run.state).is_terminal or run.trigger == Trigger.BACKFILL:
            continue
        date = _date(terms, run.position)
        if date not in found:
            found[date] = Told(run.ended_at, run.historical, _by_dataset(wrote.get(run.id, ())), run.state)
    return found


def _date(terms: Terms, moment: datetime) -> str:
    return f"{moment.astimezone(terms.place):%Y-%m-%d}"


def _by_dataset(wrote: Sequence[Wrote]) -> Mapping[str, Content]:
    """What a run wrote to a dataset in parts counts together."""
    parts: dict[str, list[DatasetUpdate]] = {}
    for each in wrote:
        parts.setdefault(each.dataset, []).append(each.update)
    return {name: _content(some) for name, some in sorted(parts.items())}


def _content(parts: Sequence[DatasetUpdate]) -> Content:
    counts: dict[What, int | None] = {
        "rows": _sum(each.row_count for each in parts),
        "bytes": _sum(each.size_bytes for each in parts),
        "files": _sum(each.file_count for each in parts),
    }
    sums = [each.checksum for each in sorted(parts, key=lambda each: each.partition or "") if each.checksum is not None]
    return Content(counts, "+".join(sums) if len(sums) == len(parts) else None)


def _sum(counts: Iterable[int | None]) -> int | None:
    """None: of some part it was not told."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _compared(terms: Terms, date: str, mine: Told | None, theirs: Told | None) -> Compared:
    came = [each for each in (mine, theirs) if each is not None]
    settles_at = max(each.at for each in came) + terms.settle
    historical = all(each.historical for each in came)
    if mine is None or theirs is None:
        missing = terms.mine if mine is None else terms.theirs
        did_not = "was not written" if came[0].outcome is None else "has no run that ended"
        return Compared(date, (f"{missing} {did_not}",), (), True, settles_at, historical)
    found = list(_findings(terms, mine, theirs))
    problems = tuple(said for said, is_same in found if not is_same)
    agreed = tuple(said for said, is_same in found if is_same)
    return Compared(date, problems, agreed, False, settles_at, historical)


Finding = tuple[str, bool]  # what was found, and whether the two agree in it


def _findings(terms: Terms, mine: Told, theirs: Told) -> Iterator[Finding]:
    if "outcome" in terms.of:
        is_same = mine.outcome == theirs.outcome
        yield f"{mine.outcome}" if is_same else f"{mine.outcome} and {theirs.outcome}", is_same
    if "finish" in terms.of:
        apart = abs(mine.at - theirs.at)
        yield f"done {length_words(apart.total_seconds())} apart", apart <= terms.finish_within
    if terms.of_content:
        yield from _contents(terms, mine.contents, theirs.contents)


def _contents(terms: Terms, mine: Mapping[str, Content], theirs: Mapping[str, Content]) -> Iterator[Finding]:
    found = list(_paired(terms, list(mine), list(theirs)))
    if not found:
        yield "neither told of anything that it wrote", False
    for one, other in found:
        if one is None or other is None:
            yield f"{one or other} was written by {terms.mine if other is None else terms.theirs} alone", False
            continue
        called = f"{one}: " if one == other else f"{one} and {other}: "
        for what in terms.of_content:
            said, is_same = _differs(terms, what, mine[one], theirs[other])
            yield f"{called if one else ''}{said}", is_same


def _paired(terms: Terms, mine: Sequence[str], theirs: Sequence[str]) -> Iterator[tuple[str | None, str | None]]:
    """None: the other one has no counterpart. With `pairs` only what they name is looked at."""
    if not terms.pairs and len(mine) == len(theirs) == 1:
        yield mine[0], theirs[0]
        return
    left = [name for name in theirs if not terms.pairs or _other_name(name, _turned(terms.pairs)) is not None]
    for name in mine:
        other = _other_name(name, terms.pairs) if terms.pairs else name
        if other in left:
            left.remove(other)
            yield name, other
        elif other is not None:
            yield name, None
    for name in left:
        yield None, name


def _turned(pairs: Mapping[str, str]) -> Mapping[str, str]:
    return {other: one for one, other in pairs.items()}


def _other_name(name: str, pairs: Mapping[str, str]) -> str | None:
    """What pairs call name on the other side; None: they do not name it."""
    if name in pairs:
        return pairs[name]
    for one, other in pairs.items():
        before, star, after = one.partition("*")
        if star and len(name) >= len(before + after) and name.startswith(before) and name.endswith(after):
            return other.replace("*", name[len(before) : len(name) - len(after)], 1)
    return None


def _differs(terms: Terms, what: What, mine: Content, theirs: Content) -> Finding:
    if not mine.tells(what) or not theirs.tells(what):
        return f"{what} {'was' if what == 'checksum' else 'were'} not told", False
    if what == "checksum":
        one, other = _short(mine.checksum or ""), _short(theirs.checksum or "")
        return (
            (f"checksum {one}", True) if mine.checksum == theirs.checksum else (f"checksums {one} and {other}", False)
        )
    one_count, other_count = mine.counts[what] or 0, theirs.counts[what] or 0
    if one_count == other_count:
        return f"{one_count:,} {what}", True
    apart = abs(one_count - other_count)
    return f"{one_count:,} and {other_count:,} {what}", apart <= terms.tolerance * max(one_count, other_count)


def _short(checksum: str) -> str:
    return checksum if len(checksum) <= _SHOWN else f"{checksum[:_SHOWN]}…"
