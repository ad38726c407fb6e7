"""Seasons of a job: they count where they differ and that is no chance, and what is no season is held to the rest."""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from rules.seasons import Season, Seen, of_seen
from watchtower.model.business import BusinessCalendar

MONDAY = datetime(2026, 3, 2, 6, tzinfo=UTC)
Takes = Callable[[datetime], float]


def _seen(takes: Takes, count: int = 100, step: timedelta = timedelta(days=1), start: datetime = MONDAY) -> list[Seen]:
    moments = (start + place * step for place in range(count))
    return [Seen(at, takes(at) + place % 3) for place, at in enumerate(moments)]


def _last_of_month(at: datetime) -> bool:
    return (at + timedelta(days=1)).month != at.month


def _long_if(is_long: Callable[[datetime], bool]) -> Takes:
    return lambda at: 3600 if is_long(at) else 1200


@pytest.mark.parametrize(
    ("seen", "season", "words"),
    [
        (_seen(_long_if(lambda at: at.weekday() == 0)), Season("weekday", 0), "on Mondays"),
        (_seen(_long_if(_last_of_month)), Season("month", -1), "on the last day of a month"),
        (_seen(_long_if(lambda at: at.day == 1)), Season("month", 1), "on the first day of a month"),
        (_seen(_long_if(lambda at: at.day == 5)), Season("month", 5), "on the fifth day of a month"),
        (
            _seen(_long_if(lambda at: at.hour == 2), step=timedelta(hours=1)),
            Season("hour", 2),
            "from 02:00 to 03:00",
        ),
    ],
    ids=["Monday", "month's end", "month's begin", "fifth day", "one hour of hourly runs"],
)
def test_what_is_longer_at_its_time_is_a_season_and_the_rest_is_without_it(
    seen: list[Seen], season: Season, words: str
) -> None:
    seasons = of_seen(seen)
    assert season in seasons.known
    assert season.words == words
    assert seasons.known[season].values.median > 3599
    assert seasons.plain.values.values[-1] < 1300


def test_of_two_runs_a_day_each_has_its_own_limits() -> None:
    seasons = of_seen(_seen(_long_if(lambda at: at.hour == 18), step=timedelta(hours=12)))
    assert seasons.usual(MONDAY).values.values[-1] < 1300
    assert seasons.usual(MONDAY.replace(hour=18)).values.values[0] >= 3600


def test_weekends_are_shorter_and_both_of_their_days_are_seasons() -> None:
    seasons = of_seen(_seen(lambda at: 300 if at.weekday() > 4 else 3600))
    assert seasons.known.keys() == {Season("weekday", 5), Season("weekday", 6)}
    assert seasons.usual(MONDAY).values.values[0] == 3600


def test_hours_of_the_night_are_seasons_together_where_none_alone_would_prove_it() -> None:
    """Four days of each hour are few, and a quarter of all runs is long."""
    seasons = of_seen(_seen(_long_if(lambda at: at.hour < 6), step=timedelta(hours=1)))
    assert seasons.known.keys() == {Season("hour", hour) for hour in range(6)}


@pytest.mark.parametrize("seed", range(40))
def test_what_is_long_by_chance_has_no_short_season(seed: int) -> None:
    """Runs that are now long, now short, whatever the time: no hour may make a narrow limit of its own."""
    chance = random.Random(seed)
    seen = _seen(lambda at: chance.choice([1200.0, 1200.0, 3600.0]), step=timedelta(hours=1))
    assert all(usual.values.median > 3000 for usual in of_seen(seen).known.values())
    assert of_seen(seen).plain.values.values[-1] >= 3600


def test_one_bad_day_is_no_season() -> None:
    """Of hourly runs 24 in a row are long, all on one Monday."""
    seen = _seen(_long_if(lambda at: at.date() == MONDAY.date()), step=timedelta(hours=1))
    assert not any(season.of == "weekday" for season in of_seen(seen).known)


def test_little_is_no_season() -> None:
    assert not of_seen(_seen(lambda at: 1300 if at.weekday() == 0 else 1200)).known
    assert not of_seen(_seen(_long_if(lambda at: at.weekday() == 0), count=12)).known
    assert not of_seen(_seen(_long_if(lambda at: at.weekday() == 0)), seasonal=False).known


def test_days_without_business_and_the_last_of_business_are_those_of_the_calendar() -> None:
    """The 31st of May 2026 is a Sunday: the last day of business is the 29th, and the 1st of May is a holiday."""
    office = BusinessCalendar("office", frozenset(range(5)), frozenset({date(2026, 5, 1), date(2026, 4, 3)}))
    last = {date(2026, 3, 31), date(2026, 4, 30), date(2026, 5, 29)}
    takes: Takes = lambda at: 7200 if at.date() in last else 1200 if office.is_open(at.date()) else 300  # noqa: E731
    seasons = of_seen(_seen(takes), office)
    assert seasons.usual(datetime(2026, 6, 30, 6, tzinfo=UTC)).season == Season("month", -1)
    assert seasons.usual(datetime(2026, 6, 28, 6, tzinfo=UTC)).season == Season("closed", 0)
    assert seasons.usual(datetime(2026, 6, 29, 6, tzinfo=UTC)).season is None


def test_the_fifth_day_of_business_is_known_where_a_calendar_is() -> None:
    """The books are closed on it: in April it is the 8th, since the 3rd is a holiday, and in July the 7th."""
    office = BusinessCalendar("office", frozenset(range(5)), frozenset({date(2026, 4, 3)}))
    closing = {date(2026, 3, 6), date(2026, 4, 8), date(2026, 5, 7), date(2026, 6, 5)}
    seasons = of_seen(_seen(lambda at: 7200 if at.date() in closing else 1200), office)
    assert seasons.usual(datetime(2026, 7, 7, 6, tzinfo=UTC)).season == Season("month", 5)
    assert seasons.usual(datetime(2026, 7, 6, 6, tzinfo=UTC)).season is None
