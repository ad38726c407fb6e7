"""A virtual year with every change of the clocks: pipelines in five zones are told when they should be, and only then.

What plays is Watchtower itself on a clock that is moved by hand (`watchtower.rehearsal.stage`), under a configuration
whose times all lie where clocks change: starts at a quarter past two, deadlines, a route that is mute at night, weekly
maintenance. What must be told comes from a table that knows of no cron and no interval: the year minute by minute, with
what a clock on the wall shows in each.
"""

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.builders import complete, start
from watchtower.config import Config, load_text
from watchtower.model.fact import Fact
from watchtower.model.run import JobRef
from watchtower.rehearsal.stage import Stage

DAYS = int(os.environ.get("DAYS", "365"))
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

STARTS, START_WITHIN = (2, 15), 10 * MINUTE
DUE = (2, 45)
MUTE = ((2, 0), (4, 0))  # on Sundays
WINDOW, WINDOW_LASTS = (1, 30), 180 * MINUTE  # on Saturdays

# Clocks change by an hour, by half of one (Lord Howe), backwards for Ramadan (Casablanca), not at all (Kathmandu).
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu")
BEGINS = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Wall:
    """A year of a zone, minute by minute."""

    def __init__(self, zone: str) -> None:
        self.zone, info = zone, ZoneInfo(zone)
        self.moments = [BEGINS + n * MINUTE for n in range(DAYS * 24 * 60)]
        self.shows = [moment.astimezone(info).replace(tzinfo=None) for moment in self.moments]

    @cached_property
    def days(self) -> dict[date, list[int]]:
        """The minutes of each day of the wall, in the order of time."""
        found: dict[date, list[int]] = {}
        for n, shown in enumerate(self.shows):
            found.setdefault(shown.date(), []).append(n)
        return found

    def reaches(self, day: date, clock: tuple[int, int]) -> datetime:
        """The first moment of the day at which the wall shows this time or a later one."""
        return self.moments[next(n for n in self.days[day] if (self.shows[n].hour, self.shows[n].minute) >= clock)]

    def first_loud(self, moment: datetime) -> datetime:
        """The first minute from moment on in which nothing keeps it quiet."""
        n = bisect_left(self.moments, moment)
        while self._is_quiet(n):
            n += 1
        return self.moments[n]

    def _is_quiet(self, n: int) -> bool:
        shown = self.shows[n]
        if shown.isoweekday() == 7 and MUTE[0] <= (shown.hour, shown.minute) < MUTE[1]:
            return True
        return any(begins <= self.moments[n] < begins + WINDOW_LASTS for begins in self._windows)

    def limit(self, day: date, clock: tuple[int, int]) -> datetime:
        """The same; but a time that the wall never shows is as long after midnight as ever."""
        found = self.reaches(day, clock)
        shown = self.shows[bisect_left(self.moments, found)]
        if (shown.hour, shown.minute) == clock:
            return found
        return self.moments[self.days[day][0]] + timedelta(hours=clock[0], minutes=clock[1])

    @cached_property
    def _windows(self) -> list[datetime]:
        return [self.reaches(day, WINDOW) for day in sorted(self.days)[1:-1] if day.isoweekday() == 6]


@dataclass(frozen=True, order=True)
class Message:
    at: datetime
    about: str
    pipeline: str
    firing: bool


@dataclass
class Story:
    """One pipeline's year: most days it runs, some it is late, some it does not run at all."""

    wall: Wall

    @property
    def name(self) -> str:
        return self.wall.zone.rpartition("/")[2].lower()

    @cached_property
    def days(self) -> list[date]:
        """Those that the wall shows whole, and the nights of which lie in the year."""
        return sorted(self.wall.days)[1:-1]

    def fate(self, day: date) -> str:
        """Around each change of the clocks, and on two days of nine else, it does not go well."""
        if day in self.days[:2]:
            return "well"  # what was never seen is not missed
        changes = [len(self.wall.days.get(day + n * DAY, ())) != 1440 for n in (-1, 0, 1)]
        if not any(changes):
            return {0: "late", 4: "missing"}.get(day.toordinal() % 9, "well")
        return ("late", "missing")[day.toordinal() % 2]

    def facts(self) -> Iterator[Fact]:
        job = JobRef("world", "world", self.name)
        for day in self.days:
            if self.fate(day) == "missing":
                continue
            began, ended = self.wall.reaches(day, STARTS), self._ends(day)
            run = f"{self.name}-{day}"
            yield start(run, began, job=job, nominal_start=began)
            yield complete(run, ended, job=job, nominal_start=began)

    def messages(self) -> Iterator[Message]:
        """What must be told: of each alert its beginning, as soon as nothing keeps it quiet, and its end if it was."""
        for about, fires, ends in self._alerts():
            told = self.wall.first_loud(fires)
            if told < ends:
                yield Message(told, about, self.name, firing=True)
                yield Message(self._told_end(ends), about, self.name, firing=False)

    def _told_end(self, ends: datetime) -> datetime:
        """The end of what was told is told through maintenance at once, and after what mutes its route."""
        shown = self.wall.shows[bisect_left(self.wall.moments, ends)]
        if shown.isoweekday() == 7 and MUTE[0] <= (shown.hour, shown.minute) < MUTE[1]:
            return self.wall.first_loud(ends)
        return ends

    def _alerts(self) -> Iterator[tuple[str, datetime, datetime]]:
        late: datetime | None = None
        missing: datetime | None = None
        for day in self.days:
            began, due = self.wall.reaches(day, STARTS), self.wall.limit(day, DUE)
            if self.fate(day) == "missing":
                missing, late = missing or began + START_WITHIN, late or due
                continue
            if missing:
                yield "Missing", missing, began
                missing = None
            if self.fate(day) == "late":
                late = late or due
            if late:
                yield "Late", late, self._ends(day)
                late = None

    def _ends(self, day: date) -> datetime:
        if self.fate(day) == "late":
            return self.wall.limit(day, DUE) + 100 * MINUTE
        return self.wall.reaches(day, STARTS) + 10 * MINUTE


def _config(zones: Sequence[str]) -> Config:
    """Zones have a rule of each kind, a night and a window of their own."""
    rules, routes, intervals, windows = "", "", "", ""
    for zone in zones:
        name = zone.rpartition("/")[2].lower()
        which = f"match: {{pipeline: {name}}}, timezone: {zone}, severity: page"
        rules += f'  - {{alert: Late_{name}, kind: deadline, finish_by: "{_clock(DUE)}", {which}}}\n'
        rules += (
            f'  - {{alert: Missing_{name}, kind: missing_run, schedule: "15 2 * * *", start_within: 10m, {which}}}\n'
        )
        ours = f'"alertname=~Late_{name}|Missing_{name}"'
        routes += f"    - {{receiver: team, matchers: [{ours}], mute_time_intervals: [{name}]}}\n"
        night = f'times: [{{start_time: "{_clock(MUTE[0])}", end_time: "{_clock(MUTE[1])}"}}], weekdays: [sunday]'
        intervals += f"  - {{name: {name}, time_intervals: [{{{night}, location: {zone}}}]}}\n"
        window = f"matchers: [pipeline={name}], cron: 30 1 * * 6, duration: 3h, timezone: {zone}"
        windows += f"  - {{name: {name}, {window}, reason: vacuum}}\n"
    return load_text(
        f"rules:\n{rules}"
        "route:\n  receiver: nobody\n  group_by: [alertname, pipeline]\n  group_wait: 0s\n  repeat_interval: 400d\n"
        f"  routes:\n{routes}"
        f"time_intervals:\n{intervals}maintenance:\n{windows}"
        'receivers: [{name: nobody}, {name: team, webhook_configs: [{url: "https://example.com"}]}]\n'
    )


def _clock(clock: tuple[int, int]) -> str:
    return f"{clock[0]:02}:{clock[1]:02}"


def test_everybody_is_told_at_the_right_minute_of_the_year_and_of_nothing_else(tmp_path: Path) -> None:
    stories = [Story(Wall(zone)) for zone in ZONES]
    facts = sorted((fact for story in stories for fact in story.facts()), key=lambda one: one.event_time)
    ends = min(max(fact.event_time for fact in story.facts()) for story in stories)
    stage = Stage(_config(ZONES), tmp_path / "state", BEGINS)
    try:
        for fact in facts:
            if fact.event_time <= ends:
                stage.run_until(fact.event_time)
                stage.hear([fact])
    finally:
        stage.close()
    told = sorted(
        Message(each.at, alert.rule.partition("_")[0], alert.labels["pipeline"], bool(each.notice.firing))
        for each in stage.told
        if each.receiver == "team"
        for alert in each.notice.alerts
    )
    wanted = sorted(one for story in stories for one in story.messages() if one.at <= ends)
    missing, extra = sorted(set(wanted) - set(told)), sorted(set(told) - set(wanted))
    assert (missing[:10], extra[:10]) == ([], [])
    assert told == wanted, "something was told twice"
    assert len(wanted) > DAYS
