"""Service level objectives: what share of events must be good, in which time, and what was counted of them.

Vocabulary and shape are OpenSLO's (v1). Events are counted by the whole minutes since the epoch (UTC) in which they
happened; a target is exact, as it is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from watchtower.model.alert import Severity
from watchtower.model.labels import Matcher
from watchtower.model.slo_days import Day
from watchtower.model.spent import Asked

MINUTE_S = 60
HOUR = 60  # minutes
_UNIT_S = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "M": 2_592_000, "Q": 7_776_000, "Y": 31_536_000}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}


class Budgeting(StrEnum):
    OCCURRENCES = "Occurrences"
    TIMESLICES = "Timeslices"
    RATIO_TIMESLICES = "RatioTimeslices"


class Sli(StrEnum):
    """What makes an event, and what makes it good."""

    SUCCESS = "success"  # a run that ended; it ended well
    LATENCY = "latency"  # a run that ended; well, and in time
    VOLUME = "volume"  # a writing of a dataset; as many rows as are wanted
    FRESHNESS = "freshness"  # a minute; the dataset is young enough
    SERIES = "series"  # a sample; on the right side of the limit
    COST = "cost"  # a day of a budget that its bill reaches; within the limit
    UNIT_COST = "unit_cost"  # a day on which something was moved, and its bill; as cheap as is wanted

    @property
    def of_runs(self) -> bool:
        return self in (Sli.SUCCESS, Sli.LATENCY)


@dataclass(frozen=True, slots=True)
class Indicator:
    """What is counted. op and value: the limit of a threshold metric (seconds of latency and freshness, rows of
    volume, money of unit_cost in the currency of the bill); finish_by: instead of value, the time of day (of zone) by
    which a run must have ended; asked: of unit_cost, which charges by what they are divided."""

    name: str
    sli: Sli
    matchers: tuple[Matcher, ...]
    op: str = ""
    value: float | None = None
    finish_by: str = ""
    zone: str = "UTC"
    asked: Asked | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """target: 0 or more, below 1. weight: of its burn rate within a composite. slice_minutes and slice_target: of the
    methods that count slices of time."""

    target: Decimal
    indicator: Indicator
    weight: Decimal = Decimal(1)
    name: str = ""
    slice_minutes: int = 0
    slice_target: Decimal = Decimal(1)

    @property
    def allowed(self) -> Decimal:
        """The share of events that may be bad."""
        return 1 - self.target


@dataclass(frozen=True, slots=True)
class Period:
    """`30d`, rolling; or by the calendar of zone: periods follow one another from starts on (its wall clock)."""

    count: int
    unit: str
    zone: str | None = None
    starts: datetime | None = None

    @property
    def is_rolling(self) -> bool:
        return self.zone is None

    @property
    def seconds(self) -> int:
        """Of a rolling period, and the nominal length of one of the calendar."""
        return self.count * _UNIT_S[self.unit]

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """The period that holds now: from, to (exclusive). A rolling one moves by whole hours and ends with now."""
        if self.zone is None or self.starts is None:
            edge = now - timedelta(seconds=self.seconds)
            return edge.replace(minute=0, second=0, microsecond=0), now
        at = self._nth(now)
        return self._start(at), self._start(at + 1)

    def _nth(self, now: datetime) -> int:
        """By a guess from the nominal length, put right: months and days of a change of clocks differ."""
        elapsed = (now - self._start(0)).total_seconds()
        at = int(elapsed // self.seconds)
        while self._start(at) > now:
            at -= 1
        while self._start(at + 1) <= now:
            at += 1
        return at

    def _start(self, at: int) -> datetime:
        assert self.starts is not None and self.zone is not None
        steps = at * self.count
        if self.unit in _MONTHS:
            local = _months_later(self.starts, steps * _MONTHS[self.unit])
        elif self.unit in ("d", "w"):
            local = self.starts + timedelta(days=steps * (7 if self.unit == "w" else 1))
        else:
            first = self.starts.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)
            return first + timedelta(seconds=steps * _UNIT_S[self.unit])
        return local.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


def _months_later(moment: datetime, months: int) -> datetime:
    """The same day of a later month, or its last one."""
    whole = moment.year * 12 + moment.month - 1 + months
    first = moment.replace(year=whole // 12, month=whole % 12 + 1, day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return first.replace(day=min(moment.day, (following - timedelta(days=1)).day))


@dataclass(frozen=True, slots=True)
class Condition:
    """An alert condition of the file. factor: the burn rate above which it alerts, over long_s and over short_s."""

    name: str
    severity: Severity
    factor: Decimal
    long_s: float
    short_s: float
    consequence: str = ""


@dataclass(frozen=True, slots=True)
class Slo:
    """conditions: None for the windows that Watchtower ships; empty: nobody is alerted."""

    name: str
    period: Period
    objectives: tuple[Objective, ...]
    budgeting: Budgeting = Budgeting.OCCURRENCES
    title: str = ""
    description: str = ""
    service: str = ""
    owner: str | None = None
    team: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    conditions: tuple[Condition, ...] | None = None

    @property
    def is_composite(self) -> bool:
        return len(self.objectives) > 1


@dataclass(frozen=True, slots=True)
class Correction:
    """A time that does not count, start to end (exclusive). is_planned: it stands in the configuration."""

    start: datetime
    end: datetime
    reason: str
    author: str
    id: int | None = None
    created_at: datetime | None = None
    is_planned: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """days: oldest first."""

    days: tuple[Day, ...] = ()


@dataclass(frozen=True, slots=True)
class Fresh:
    """When a dataset was made new, in minutes since the epoch, within a period and a few days before it. limit: how old
    its data may be; first, last: its updates, None for none; stale: times in which it was older, from, to (exclusive),
    until last."""

    limit: int
    first: int | None = None
    last: int | None = None
    stale: tuple[tuple[int, int], ...] = ()


def minute_of(moment: datetime) -> int:
    """The whole minute since the epoch that holds moment."""
    return int(moment.timestamp() // MINUTE_S)


def moment_of(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * MINUTE_S, UTC)
