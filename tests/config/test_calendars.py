"""`calendars`: days on which business is done, listed or from iCalendar files."""

from datetime import date
from pathlib import Path

import pytest

from rules.kinds.deadline import DeadlineConfig
from rules.kinds.missing_run import MissingRunConfig
from watchtower.config import Config, examine, load_text
from watchtower.config.calendars import read_ical
from watchtower.errors import BadInput

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
        ("calendars:\n- {name: a}\njobs:\n  b: {calendar: a}", 4, "says nothing where nothing is expected"),
    ],
)
def test_faults_are_told_at_their_line(text: str, line: int, told: str) -> None:
    [fault] = examine(text).faults
    assert fault.line == line
    assert told in str(fault)
