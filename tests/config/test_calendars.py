"""`calendars`: days on which business is done, listed or from iCalendar files."""

from datetime import date
from pathlib import Path

import pytest

from rules.kinds.deadline import DeadlineConfig
from rules.kinds.missing_run import MissingRunConfig
from watchtower.config import Config, examine, load_text
from watchtower.config.calendars import read_ical
from watchtower.errors import BadInput
from watchtower.model.business import BusinessCalendar

ICAL = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
SUMMARY:Good Friday, of which the exchange says at length
  that it is closed
DTSTART;VALUE=DATE:20270326
END:VEVENT
BEGIN:VEVENT
SUMMARY:Christmas
DTSTART;VALUE=DATE:20261225
DTEND;VALUE=DATE:20261227
RRULE:FREQ=YEARLY
END:VEVENT
BEGIN:VEVENT
SUMMARY:A meeting closes nothing
DTSTART:20260302T090000Z
DTEND:20260302T100000Z
END:VEVENT
END:VCALENDAR
"""


def test_days_of_a_file_are_single_or_come_each_year() -> None:
    assert read_ical(ICAL.encode()) == ({date(2027, 3, 26)}, {(12, 25), (12, 26)})
    assert read_ical(ICAL.replace("\n", "\r\n").encode()) == read_ical(ICAL.encode())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello", "is no iCalendar file"),
        (ICAL.replace("FREQ=YEARLY", "FREQ=YEARLY;BYDAY=4TH;BYMONTH=11"), "is not read"),
        (ICAL.replace("20261227", "20271227"), "lasts longer than 60 days"),
        (ICAL.replace("20270326", "20271399"), "are no days"),
        (ICAL + " " * 1_000_000, "more than 1,000,000 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_ical(text.encode())


def test_rules_and_jobs_take_a_calendar_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "days.ics").write_text(ICAL, encoding="utf-8")
    config: Config = load_text(
        'calendars:\n  - {name: office, weekdays: "mon-thu,fri", holidays: [2026-12-24, "01-01"], files: [days.ics]}\n'
        "rules:\n  - {alert: A, kind: deadline, match: {pipeline: a}, finish_by: '07:00', calendar: office}\n"
        "jobs:\n  b: {schedule: 0 6 * * *, calendar: office}\n",
        tmp_path,
    )
    [late, missing] = [rule.options for rule in config.declared_rules]
    assert isinstance(late, DeadlineConfig)
    assert isinstance(missing, MissingRunConfig)
    assert late.calendar is not None
    assert late.calendar == missing.calendar
    closed = ["2026-12-24", "2027-01-01", "2027-03-26", "2030-12-25", "2026-03-01"]
    assert [day for day in closed if late.calendar.is_open(date.fromisoformat(day))] == []
    assert late.calendar.is_open(date(2026, 3, 2))


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("rules:\n- {alert: A, kind: missing_run, calendar: office}", 2, "unknown calendar 'office'; known: none"),
        ("calendars:\n- {name: a, holidays: [soon]}", 2, "'soon' is no day"),
        ("calendars:\n- {name: a, weekdays: never}", 2, "'never' is no weekday"),
        ("calendars:\n- {name: a}\n- {name: a}", 3, "is defined twice"),
        ("calendars:\n- {name: a, files: [absent.ics]}", 2, "absent.ics cannot be read"),
        ("jobs:\n  b: {calendar: a}", 2, "unknown calendar 'a' (known: none: add one under calendars)"),
        ("jobs:\n  b: {calendar: a, schedule: '@daily'}", 2, "unknown calendar 'a'"),
        ("calendars:\n  a: {country: XX}", 2, "Country XX not available"),
        ("calendars:\n  a: {country: DE, subdivision: QQ}", 2, "does not have subdivision QQ"),
        ("calendars:\n  a: {country: DE, categories: [odd]}", 2, "odd"),
        ("calendars:\n  a: {market: MOON}", 2, "Financial market MOON not available; known: "),
        ("calendars:\n  a: {country: DE, market: XETR}", 2, "exclude each other"),
        ("calendars:\n  a: {subdivision: BY}", 2, "add country"),
    ],
)
def test_faults_are_told_at_their_line(text: str, line: int, told: str) -> None:
    [fault] = examine(text).faults
    assert fault.line == line
    assert told in str(fault)


def _calendar(text: str) -> BusinessCalendar:
    [job] = load_text(f"calendars:\n  a: {text}\njobs:\n  b: {{calendar: a}}\n").jobs
    assert job.calendar is not None
    return job.calendar


@pytest.mark.parametrize(
    ("text", "closed", "opened"),
    [
        ("{country: DE, subdivision: BY}", ["2027-01-06", "2027-03-26", "2026-11-01"], ["2026-03-02", "2026-06-05"]),
        ("{country: DE}", ["2026-05-01", "2026-12-25"], ["2027-01-06"]),
        ("{country: US, holidays: [2026-11-27]}", ["2026-11-26", "2026-11-27", "2026-07-03"], ["2026-11-25"]),
        ("{country: IL}", ["2026-03-06", "2026-03-07"], ["2026-03-08"]),
        ("{country: IL, weekdays: mon-fri}", ["2026-03-08"], ["2026-03-06"]),
        ("{country: CN}", ["2025-10-01"], ["2025-09-28"]),
        ("{market: XNYS}", ["2026-11-26", "2027-03-26"], ["2026-10-12"]),
    ],
    ids=[
        "Bavaria",
        "Germany",
        "with a day of one's own",
        "Friday and Saturday",
        "as the file says",
        "worked",
        "market",
    ],
)
def test_holidays_of_a_place_are_known(text: str, closed: list[str], opened: list[str]) -> None:
    calendar = _calendar(text)
    assert [day for day in closed if calendar.is_open(date.fromisoformat(day))] == []
    assert [day for day in opened if not calendar.is_open(date.fromisoformat(day))] == []


def test_a_job_has_the_calendar_of_the_first_entry_that_fits_and_says_one() -> None:
    config = load_text(
        "calendars:\n  a: {}\n  b: {weekdays: mon-sun}\n"
        "jobs:\n  - {pipeline: orders, owner: data}\n"
        "  - {match: {team: finance}, calendar: a}\n  - {match: {}, calendar: b}\n"
    )
    found = [
        config.calendar_of(labels) for labels in ({"pipeline": "orders", "team": "finance"}, {"pipeline": "orders"})
    ]
    assert [each and each.name for each in found] == ["a", "b"]
    assert Config().calendar_of({"pipeline": "orders"}) is None
