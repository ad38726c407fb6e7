"""`calendars`: the days on which business is done, by name: of a country or an exchange, from listed days and from
iCalendar files.

Of a file (RFC 5545) all-day events are read, single ones and such as come each year; every other recurrence is refused,
since a holiday that is missed is a false alarm.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path as FilePath
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field, field_validator, model_validator

from watchtower.config.document import Path
from watchtower.config.faults import Faults
from watchtower.config.public_holidays import Known, of_country, of_market
from watchtower.config.types import Section
from watchtower.errors import BadInput
from watchtower.model.business import BusinessCalendar

MOST_BYTES = 1_000_000  # of one file
_LONGEST = timedelta(days=60)  # of one event
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_YEARLY = re.compile(r"(\d{2})-(\d{2})")
_EVENT = re.compile(r"BEGIN:VEVENT\r?\n(.*?)END:VEVENT", re.DOTALL)
_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})")
_EVERY_YEAR = re.compile(r"FREQ=YEARLY(?:;INTERVAL=1)?(?:;WKST=\w\w)?")

Days = tuple[set[date], set[tuple[int, int]]]


def _day(value: Any) -> Any:
    """2026-12-25, or 12-25 for each year."""
    if isinstance(value, date):
        return value
    text = str(value)
    yearly = _YEARLY.fullmatch(text)
    try:
        if yearly:
            date(2024, int(yearly[1]), int(yearly[2]))  # a leap year
            return int(yearly[1]), int(yearly[2])
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f'{value!r} is no day; write 2026-12-25, or "12-25" for each year') from error


class CalendarDocument(Section):
    name: str = Field(min_length=1, description="by which rules and jobs name it")
    country: str | None = Field(default=None, description="whose public holidays are none of business: DE, US, …")
    subdivision: str | None = Field(default=None, description="with country: of which part, e.g. BY")
    categories: tuple[str, ...] = Field(
        default=(), description="with country: which of its kinds of holidays, e.g. [public, bank]; default: public"
    )
    market: str | None = Field(default=None, description="instead: an exchange that is closed, e.g. XNYS, XETR, ECB")
    weekdays: str | None = Field(
        default=None, description="days of the week on which business is done; default: as the country has it, mon-fri"
    )
    holidays: tuple[Annotated[Any, BeforeValidator(_day)], ...] = Field(
        default=(), description='days without business: 2026-12-25, or "12-25" for each year'
    )
    files: tuple[str, ...] = Field(default=(), description="iCalendar files with such days, beside this file")

    @field_validator("weekdays")
    @classmethod
    def _are_weekdays(cls, text: str | None) -> str | None:
        if text is not None:
            _weekdays(text)
        return text

    @model_validator(mode="after")
    def _of_one_place(self) -> "CalendarDocument":
        if self.country and self.market:
            raise ValueError("country and market exclude each other; write two calendars")
        if self.country is None and (self.subdivision or self.categories):
            raise ValueError("subdivision and categories are those of a country; add country: DE or the like")
        return self


def calendars(data: dict[str, Any], base_dir: FilePath, faults: Faults) -> Mapping[str, BusinessCalendar]:
    found: dict[str, BusinessCalendar] = {}
    for path, item in _entries(data.get("calendars"), faults):
        document = faults.validated(CalendarDocument, item, path)
        if document is None:
            continue
        if document.name in found:
            faults.add((*path, "name"), f"the calendar {document.name!r} is defined twice", "give each its own name")
        single = {day for day in document.holidays if isinstance(day, date)}
        yearly = {day for day in document.holidays if not isinstance(day, date)}
        public = _public(document, path, faults)
        for place, name in enumerate(document.files):
            try:
                days, each_year = read_ical((base_dir / name).read_bytes()[: MOST_BYTES + 1])
                single, yearly = single | days, yearly | each_year
            except OSError as error:
                faults.add((*path, "files", place), f"{name} cannot be read: {error.strerror or error}")
            except BadInput as error:
                faults.add((*path, "files", place), f"{name}: {error}", "list the days under holidays instead")
        weekdays = _weekdays(document.weekdays) if document.weekdays else frozenset(range(7)) - public.weekend
        found[document.name] = BusinessCalendar(
            document.name, weekdays, public.days | single, frozenset(yearly), public.worked - single
        )
    return found


def _entries(given: Any, faults: Faults) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A list of entries, or a mapping whose keys are their names."""
    if isinstance(given, dict):
        for name, value in cast("dict[str, Any]", given).items():
            yield ("calendars", name), {"name": name, **faults.mapping(value, ("calendars", name))}
        return
    for index, item in enumerate(faults.listed(given, ("calendars",))):
        yield ("calendars", index), faults.mapping(item, ("calendars", index))


def _public(document: CalendarDocument, path: Path, faults: Faults) -> Known:
    if document.country is None and document.market is None:
        return Known()
    try:
        if document.market:
            return of_market(document.market)
        return of_country(document.country or "", document.subdivision, document.categories)
    except BadInput as error:
        faults.add((*path, "market" if document.market else "country"), str(error), "or list the days under holidays")
        return Known()


def _weekdays(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        try:
            begin, end = (_WEEKDAYS.index(name.strip()[:3]) for name in (first, last or first))
        except ValueError as error:
            raise ValueError(f"{part!r} is no weekday; write e.g. mon-fri or mon,wed") from error
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)


def read_ical(raw: bytes) -> Days:
    """The days of all-day events: single ones, and those of each year. Raises BadInput for what is not read."""
    if len(raw) > MOST_BYTES:
        raise BadInput(f"it has more than {MOST_BYTES:,} bytes")
    text = re.sub(r"\r?\n[ \t]", "", raw.decode("utf-8", "replace"))
    if "BEGIN:VCALENDAR" not in text:
        raise BadInput("it is no iCalendar file (BEGIN:VCALENDAR is missing)")
    single: set[date] = set()
    yearly: set[tuple[int, int]] = set()
    for event in _EVENT.findall(text):
        lines = dict(_lines(event))
        days = _days(lines)
        rule = lines.get("RRULE", "")
        if rule and not _EVERY_YEAR.fullmatch(rule):
            raise BadInput(f"the recurrence {rule} of {lines.get('SUMMARY', 'an event')!r} is not read")
        if rule:
            yearly.update((day.month, day.day) for day in days)
        else:
            single.update(days)
    return single, yearly


def _lines(event: str) -> Iterator[tuple[str, str]]:
    for line in event.splitlines():
        head, colon, value = line.partition(":")
        if colon:
            yield head.partition(";")[0].upper(), value.strip()


def _days(lines: Mapping[str, str]) -> list[date]:
    """From DTSTART to DTEND, which is the first day after it. An event with a time of day closes no day."""
    start, end = lines.get("DTSTART", ""), lines.get("DTEND", "")
    begin, last = _DAY.fullmatch(start), _DAY.fullmatch(end)
    if begin is None:
        return []
    try:
        first = date(int(begin[1]), int(begin[2]), int(begin[3]))
        after = date(int(last[1]), int(last[2]), int(last[3])) if last else first + timedelta(days=1)
    except ValueError as error:
        raise BadInput(f"{start} to {end} are no days") from error
    if after - first > _LONGEST:
        raise BadInput(f"{lines.get('SUMMARY', 'an event')!r} lasts longer than {_LONGEST.days} days")
    return [first + timedelta(days=step) for step in range(max(1, (after - first).days))]
