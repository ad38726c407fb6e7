"""OnCalendar expressions mean what systemd says they mean, also where the clock changes."""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.schedules.declared import CronSchedule, parse_schedule, timetable
from rules.schedules.oncalendar import OnCalendar, looks_like
from watchtower.errors import BadInput

SYSTEMD = shutil.which("systemd-analyze") or ""
SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)
LEAP = datetime(2027, 2, 27, 23, 59, 59, tzinfo=UTC)
EXPRESSIONS = [
    *("minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly"),
    "Mon..Fri *-*-* 06:00 Europe/Berlin",
    "*-*-* 02:30:00 Europe/Berlin",
    "*:00/30 Europe/Berlin",
    "hourly Europe/Berlin",
    "Sun 10-* 02:30 Europe/Berlin",
    "*-*-* *:15:00 Africa/Casablanca",
    "Fri *-*-13 00:00 Australia/Lord_Howe",
    "Mon,Wed..Fri 05:40 America/New_York",
    "Mon *-05~07/1 12:00",
    "*-02~03",
    "*-*~1",
    "*-*~1..3 08:00",
    "*-02-29 03:00",
    "*-*-1..7 18:00",
    "*-1,6-15",
    "Sat,Sun 12:30",
    "*:0/15",
    "*-*-* 00/6:30",
    "12:05:00/20",
    "2026-12-31 23:59",
]
# What systemd 252 answers: the next three times in UTC.
ANSWERS = [
    ("*-*-* 02:30:00 Europe/Berlin", SPRING, ["2026-03-30 00:30", "2026-03-31 00:30", "2026-04-01 00:30"]),
    ("*-*-* 02:30:00 Europe/Berlin", AUTUMN, ["2026-10-25 00:30", "2026-10-26 01:30", "2026-10-27 01:30"]),
    ("*-*-* 02:00/30:00 Europe/Berlin", AUTUMN, ["2026-10-25 00:00", "2026-10-25 00:30", "2026-10-26 01:00"]),
    ("Mon *-05~07/1 12:00", SPRING, ["2026-05-25 12:00", "2027-05-31 12:00", "2028-05-29 12:00"]),
    ("*-02~03", SPRING, ["2027-02-26 00:00", "2028-02-27 00:00", "2029-02-26 00:00"]),
    ("*-*~1", AUTUMN, ["2026-10-31 00:00", "2026-11-30 00:00", "2026-12-31 00:00"]),
]


def following(expression: str, start: datetime, count: int) -> list[datetime]:
    schedule, found = OnCalendar(expression), [start]
    while len(found) <= count and (tick := schedule.after(found[-1])) is not None:
        found.append(tick)
    return found[1:]


@pytest.mark.parametrize(("expression", "start", "answer"), ANSWERS)
def test_recorded_answers(expression: str, start: datetime, answer: list[str]) -> None:
    assert [f"{tick:%Y-%m-%d %H:%M}" for tick in following(expression, start, 3)] == answer


def _systemd(*arguments: str) -> str:
    command = [SYSTEMD, *arguments]
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout


def _version() -> int:
    found = re.match(r"systemd (\d+)", _systemd("--version")) if SYSTEMD else None
    return int(found[1]) if found else 0


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_systemd_itself_gives_the_same_times(expression: str) -> None:
    """What a change of the clock does to them is its version's own: it was recorded of 252."""
    version = _version()
    if version < 250:
        pytest.skip("no systemd-analyze that can be asked; the recorded answers stand in")
    for start in (LEAP, SPRING, AUTUMN) if version == 252 else (LEAP,):
        base = f"--base-time={start:%Y-%m-%d %H:%M:%S} UTC"
        count = 12 if version == 252 else 3
        told = _systemd("calendar", f"--iterations={count}", base, expression)
        lines = [line for line in told.splitlines() if "Next elapse: " in line or "Iter. #" in line]
        theirs = [" ".join(line.split(": ", 1)[1].split()[1:3]) for line in lines if not line.endswith("never")]
        assert [f"{tick:%Y-%m-%d %H:%M:%S}" for tick in following(expression, start, count)] == theirs


@given(st.sampled_from(EXPRESSIONS), st.integers(0, 300 * 86_400_000))
@settings(max_examples=80, deadline=None)
def test_before_and_after_enclose_every_moment(expression: str, milliseconds: int) -> None:
    schedule, moment = OnCalendar(expression), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    before, after = schedule.before(moment), schedule.after(moment)
    if before is not None:
        assert before <= moment
        assert schedule.after(before) == after
    if after is not None:
        assert after > moment
        assert schedule.before(after) == after


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("Mon..Fri 25:00", "is not within 0 to 23"),
        ("Fri..Mon 06:00", "no range of weekdays"),
        ("*-13-01", "is not within 1 to 12"),
        ("*-02-30", "never comes"),
        ("06:00:00.5", "no number, range or step"),
        ("06:00 12:00", "one date and one time"),
        ("06:00 Europe/Nowhere", "is unknown"),
        ("*:*:*", "more than 5,000 times a day"),
        ("*:0/0", "is not within"),
    ],
)
def test_what_is_no_calendar_event_is_refused_with_the_reason(expression: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        OnCalendar(expression)


def test_it_is_told_from_cron_by_its_form() -> None:
    assert isinstance(timetable("Mon..Fri 06:00"), OnCalendar)
    assert isinstance(timetable("0 6 * * 1-5"), CronSchedule)
    assert isinstance(timetable("@daily"), CronSchedule)
    assert not looks_like("*/15 * * * *")
    assert not looks_like("0-30/5 6,18 * * mon-fri")
    said = parse_schedule("Mon..Fri 06:00", "Europe/Berlin")
    assert said is not None
    assert said.describe() == "Mon..Fri 06:00 Europe/Berlin"
