"""`time_intervals` and `mute_time_intervals`: Alertmanager's grammar, read as strictly as Alertmanager reads it.

Source: `timeinterval/timeinterval.go` of Alertmanager (UnmarshalYAML of each range).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from watchtower.config.alerting import Range, TimeInterval, TimeRange
from watchtower.config.document import Path
from watchtower.config.faults import Faults, close_to
from watchtower.config.types import Section, Zone
from watchtower.errors import BadInput

WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_SHORTEST_MONTH = 28


class TimesDocument(Section):
    start_time: str
    end_time: str


class RangeDocument(Section):
    """One item of `time_intervals[].time_intervals`."""

    times: tuple[Any, ...] = Field(default=(), description="[{start_time: '09:00', end_time: '17:00'}], end exclusive")
    weekdays: tuple[Any, ...] = Field(default=(), description="['monday:friday', saturday]")
    days_of_month: tuple[Any, ...] = Field(default=(), description="['1:5', '-3:-1']; negative from the month's end")
    months: tuple[Any, ...] = Field(default=(), description="['may:august', december] or ['5:8', '12']")
    years: tuple[Any, ...] = Field(default=(), description="['2026:2028', 2030]")
    location: Zone = Field(default="UTC", description="IANA zone in which the other parts are meant")


class IntervalDocument(Section):
    name: str
    time_intervals: tuple[Any, ...] = ()


def time_intervals(data: dict[str, Any], faults: Faults) -> dict[str, TimeInterval]:
    """By name. The older key `mute_time_intervals` holds the same."""
    found: dict[str, TimeInterval] = {}
    for key in ("mute_time_intervals", "time_intervals"):
        for index, item in enumerate(faults.listed(data.get(key), (key,))):
            path: Path = (key, index)
            document = faults.salvaged(IntervalDocument, item, path, {"name": "?"})
            if document is None:
                continue
            if not document.name or document.name in found:
                problem = f"the time interval {document.name!r} is defined twice" if document.name else "is empty"
                faults.add((*path, "name"), problem, "give each its own name")
            ranges = [
                _range(each, (*path, "time_intervals", position), faults)
                for position, each in enumerate(document.time_intervals)
            ]
            found[document.name] = TimeInterval(document.name, tuple(each for each in ranges if each is not None))
    return found


def _range(item: Any, path: Path, faults: Faults) -> TimeRange | None:
    document = faults.salvaged(RangeDocument, item, path)
    if document is None:
        return None
    return TimeRange(
        minutes=_minutes(document.times, (*path, "times"), faults),
        weekdays=_ranges(document.weekdays, (*path, "weekdays"), faults, lambda text: named_range(text, WEEKDAYS, 0)),
        days_of_month=_ranges(document.days_of_month, (*path, "days_of_month"), faults, day_range),
        months=_ranges(document.months, (*path, "months"), faults, lambda text: named_range(text, MONTHS, 1)),
        years=_ranges(document.years, (*path, "years"), faults, year_range),
        zone=document.location,
    )


def _minutes(items: Sequence[Any], path: Path, faults: Faults) -> tuple[Range, ...]:
    found: list[Range] = []
    for index, item in enumerate(items):
        document = faults.validated(TimesDocument, item, (*path, index))
        if document is None:
            continue
        try:
            start, end = minute_of(document.start_time), minute_of(document.end_time)
            if start >= end:
                raise BadInput("start_time must be before end_time; write two ranges to cross midnight")
        except BadInput as error:
            faults.add((*path, index), str(error))
        else:
            found.append((start, end))
    return tuple(found)


def _ranges(items: Sequence[Any], path: Path, faults: Faults, parse: Callable[[str], Range]) -> tuple[Range, ...]:
    found: list[Range] = []
    for index, item in enumerate(items):
        try:
            if isinstance(item, bool) or not isinstance(item, str | int):
                raise BadInput(f"{item!r} is not a text such as 'monday:friday' or '1:5'")
            found.append(parse(str(item)))
        except BadInput as error:
            faults.add((*path, index), str(error))
    return tuple(found)


def minute_of(text: str) -> int:
    """`09:30` → 570; `24:00` → 1440."""
    if not _TIME.fullmatch(text):
        raise BadInput(f'{text!r} is no time of day; write e.g. "09:30", at most "24:00"')
    return int(text[:2]) * 60 + int(text[3:])


def named_range(text: str, names: Sequence[str], first: int) -> Range:
    """`monday:friday`, `may`, `1:3`. first: the number of the first name; weekdays have names only in Alertmanager."""
    begin, end = (_named(part, names, first) for part in _ends(text))
    if begin > end:
        raise BadInput(f"{text!r} ends before it begins; write two ranges")
    return begin, end


def _named(text: str, names: Sequence[str], first: int) -> int:
    lower = text.lower()
    if lower in names:
        return names.index(lower) + first
    if first and re.fullmatch(r"[0-9]{1,2}", text) and first <= int(text) < len(names) + first:
        return int(text)
    raise BadInput(f"{text!r} is not known; {close_to(lower, names)}")


def day_range(text: str) -> Range:
    """`1:5`, `-3:-1`, `15`; negative days count from the end of the month."""
    begin, end = (_number(part, text) for part in _ends(text))
    for day in (begin, end):
        if day == 0 or not -31 <= day <= 31:
            raise BadInput(f"{day} is no day of the month; write 1 to 31, or -1 to -31 from its end")
    if begin < 0 < end:
        raise BadInput(f"{text!r}: the end must be negative if the start is")
    first, last = (day + _SHORTEST_MONTH if day < 0 else day for day in (begin, end))
    if first > last:
        raise BadInput(f"{text!r}: the end is always before the start")
    return begin, end


def year_range(text: str) -> Range:
    begin, end = (_number(part, text) for part in _ends(text))
    if begin > end:
        raise BadInput(f"{text!r} ends before it begins")
    return begin, end


def _ends(text: str) -> tuple[str, str]:
    parts = [part.strip() for part in text.split(":")]
    if len(parts) > 2 or not all(parts):
        raise BadInput(f"{text!r} is not of the form begin:end")
    return parts[0], parts[-1]


def _number(part: str, text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]{1,6}", part):
        raise BadInput(f"{text!r} is not of the form 1 or 1:5")
    return int(part)
