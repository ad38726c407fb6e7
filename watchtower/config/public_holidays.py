"""Holidays of countries and exchanges as the library `holidays` (vacanza) knows them, for `calendars`.

The days of sixty years are worked out once, when the file is loaded: a calendar is a plain value afterwards. Holidays
that are only announced some months before (of the moon, of a royal house) are as exact as the installed version is. The
library is loaded only where a calendar names a place.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from watchtower.errors import BadInput

if TYPE_CHECKING:
    from holidays import HolidayBase

YEARS = range(2000, 2061)


@dataclass(frozen=True, slots=True)
class Known:
    """weekend: weekdays, Monday is 0; worked: days of a weekend that are worked, as China moves them."""

    days: frozenset[date] = frozenset()
    weekend: frozenset[int] = frozenset({5, 6})
    worked: frozenset[date] = frozenset()


def of_country(country: str, subdivision: str | None, categories: tuple[str, ...]) -> Known:
    """Raises BadInput for what the library does not know."""
    import holidays

    try:
        found = holidays.country_holidays(
            country, subdiv=subdivision, years=YEARS, categories=categories or None, language="en_US"
        )
    except (NotImplementedError, ValueError) as error:
        raise BadInput(f"{error}; known are codes of ISO 3166 such as DE, with its subdivisions such as BY") from error
    return _known(found)


def of_market(market: str) -> Known:
    """Raises BadInput for what the library does not know."""
    import holidays

    try:
        found = holidays.financial_holidays(market, years=YEARS)
    except NotImplementedError as error:
        known = ", ".join(sorted(holidays.list_supported_financial()))
        raise BadInput(f"{error}; known: {known}") from error
    return _known(found)


def _known(found: "HolidayBase") -> Known:
    worked = frozenset(day for day in found.weekend_workdays if day.year in YEARS)
    return Known(frozenset(found) - worked, frozenset(found.weekend), worked)
