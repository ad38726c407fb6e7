"""Types of rule options: durations, times of day, zones, weekdays, shares. A fault names the value and the remedy.

Every kind's `Config` derives from Options: unknown keys are errors, values are frozen.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from rules.schedules.declared import timetable
from rules.schedules.zones import zone
from watchtower.errors import BadInput
from watchtower.model.business import BusinessCalendar
from watchtower.model.companion import Companion
from watchtower.model.duration import parse_duration
from watchtower.model.labels import Matcher
from watchtower.model.series import NAME
from watchtower.model.spending import parse_share

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """Which subjects the options themselves mean, besides `match`."""
        return ()

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Between which values a thing must be, by its name. `check` finds rules that contradict one another."""
        return {}

    @property
    def companions(self) -> tuple[Companion, ...]:
        """What the rule looks at beside its subject."""
        return ()


def _duration(value: Any) -> Any:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError("write a duration such as 5m or 1h30m, or seconds as a number")
    return _said(parse_duration, value)


def _clock(value: Any) -> Any:
    found = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if isinstance(value, time):
        return value
    if not found:
        # Unquoted, YAML 1.1 reads 07:00 as the number 420.
        raise ValueError(f'{value!r} is no time of day; write it in quotes, e.g. "07:00"')
    return time(int(found[1]), int(found[2]), int(found[3] or 0))


def _zone(value: Any) -> Any:
    return _said(zone, value).key if isinstance(value, str) else value


def _timetable(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    schedule = _said(timetable, value)
    if schedule.after(_SOME_TIME) is None:
        raise ValueError(f"schedule {value!r} never comes; no date is like that, or all of them are over")
    return schedule.expression


def _weekdays(value: Any) -> Any:
    """Names (`mon`, `Monday`) and ranges (`mon-fri`, `fri-mon`) become weekday numbers, Monday 0."""
    names: list[Any] = [value] if isinstance(value, str) else list(value)
    days: set[int] = set()
    for name in names:
        first, _, last = str(name).lower().partition("-")
        try:
            begin, end = (WEEKDAYS.index(part.strip()[:3]) for part in (first, last or first))
        except ValueError as error:
            raise ValueError(f"{name!r} is no weekday; write e.g. mon-fri or [sat, sun]") from error
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)


def _share(value: Any) -> Any:
    return _said(parse_share, value)


def _said(make: Any, value: Any) -> Any:
    try:
        return make(value)
    except BadInput as error:
        raise ValueError(str(error)) from error


def _calendar(value: Any, info: ValidationInfo) -> Any:
    """By its name, among those of the file."""
    if isinstance(value, BusinessCalendar) or value is None:
        return value
    context: dict[str, Any] = info.context or {}
    known: Mapping[str, BusinessCalendar] = context.get("calendars", {})
    if value not in known:
        raise ValueError(f"unknown calendar {value!r}; known: {', '.join(known) or 'none: add one under calendars'}")
    return known[value]


Seconds = Annotated[float, BeforeValidator(_duration), Field(gt=0)]
SecondsOrZero = Annotated[float, BeforeValidator(_duration), Field(ge=0)]
Share = Annotated[Decimal, BeforeValidator(_share)]
Clock = Annotated[time, BeforeValidator(_clock)]
Zone = Annotated[str, BeforeValidator(_zone)]
Timetable = Annotated[str, BeforeValidator(_timetable)]
Weekdays = Annotated[frozenset[int], BeforeValidator(_weekdays), Field(min_length=1)]
_NAME_OR_NONE = {"anyOf": [{"type": "string"}, {"type": "null"}]}
Calendar = Annotated[BusinessCalendar | None, PlainValidator(_calendar), WithJsonSchema(_NAME_OR_NONE)]


class SeriesOptions(Options):
    """Of kinds that watch one series by its name."""

    series: str = Field(min_length=1, description="name of the series, as it is told; or of a derived one")
    where: dict[str, str] = Field(default={}, description="labels that the series must have, besides those of its job")

    @field_validator("series")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a series; letters, digits and _ . : / - make one")
        return name

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        said = {"series": self.series, **self.where}
        return tuple(Matcher(name, "=", value) for name, value in said.items())
