"""What a backtest said, as it is shown, kept and handed on: numbers, words and moments, and nothing to work on.

All datetimes are aware UTC.
"""

from datetime import date, datetime

import msgspec
from msgspec.structs import replace

MOST_KEPT = 1_000  # of each list of a report that is kept


class Week(msgspec.Struct, frozen=True):
    """begins: its Monday (UTC). alerts: that began to fire; messages: to each receiver once, of them pages."""

    begins: date
    alerts: int
    messages: int
    pages: int


class OfRule(msgspec.Struct, frozen=True):
    """fired: alerts; subjects: of how many different ones; pages: messages that tell of one, and are pages; firing_s:
    how long they fired altogether."""

    rule: str
    severity: str
    fired: int
    subjects: int
    pages: int
    firing_s: float


class FiredAlert(msgspec.Struct, frozen=True, kw_only=True):
    """ends_at: null for one that fires still. told: the receivers that would have been told of it."""

    starts_at: datetime
    ends_at: datetime | None
    state: str
    severity: str
    rule: str
    fingerprint: str
    labels: dict[str, str]
    value: float | None
    summary: str
    told: list[str] = msgspec.field(default_factory=list[str])

    @property
    def subject(self) -> str:
        """What people call it."""
        names = ("pipeline", "task", "dataset", "series", "slo", "source")
        return " · ".join(self.labels[name] for name in names if self.labels.get(name)) or self.rule


class MovedAlert(FiredAlert, frozen=True, kw_only=True):
    """As it fired under the other rules, later (or, negative, earlier) by so much."""

    begins_later_s: float
    ends_later_s: float | None


class Message(msgspec.Struct, frozen=True):
    """page: it tells of something grave that is wrong now; rings: it would have woken somebody."""

    at: datetime
    receiver: str
    destination: str
    reason: str
    page: bool
    rings: bool
    fingerprints: list[str]


class Score(msgspec.Struct, frozen=True):
    """alerts: that fired, of them true ones; incidents: in that time, of them caught ones. precision, recall: between 0
    and 1, null where there is nothing to divide by. delay_s: from the beginning of an incident to its first alert, the
    median."""

    alerts: int
    true: int
    incidents: int
    caught: int
    delay_s: float | None
    precision: float | None
    recall: float | None


class KnownIncident(msgspec.Struct, frozen=True, rename={"begins": "from", "ends": "to"}):
    """What somebody wrote down that was wrong."""

    name: str
    labels: dict[str, str]
    begins: datetime
    ends: datetime


class Judged(msgspec.Struct, frozen=True):
    """Against known incidents. pages: as if only alerts of severity page counted; false: alerts that tell of none."""

    all: Score
    pages: Score
    missed: list[KnownIncident]
    false: list[FiredAlert]


class Compared(msgspec.Struct, frozen=True):
    """Against other rules. same: how many fired at the same moments under both."""

    same: int
    only_here: list[FiredAlert]
    only_there: list[FiredAlert]
    moved: list[MovedAlert]


class Unread(msgspec.Struct, frozen=True):
    """Events that were left out, since nothing in the configuration reads them."""

    source: str
    kind: str
    events: int


class BacktestReport(msgspec.Struct, frozen=True, kw_only=True, rename={"begins": "from", "ends": "to"}):
    """from, to: which time counts. earlier_runs: that were known from before the oldest event. judged, against: null
    where nobody asked for it."""

    begins: datetime
    ends: datetime
    events: int
    unread: list[Unread]
    weeks: list[Week]
    rules: list[OfRule]
    alerts: list[FiredAlert]
    messages: list[Message]
    judged: Judged | None = None
    against: Compared | None = None
    earlier_runs: int = 0

    @property
    def pages(self) -> int:
        return sum(week.pages for week in self.weeks)

    @property
    def pages_a_week(self) -> float:
        """Of a time that is shorter than a week: all of them."""
        return self.pages / max(1.0, (self.ends - self.begins).total_seconds() / 604_800)


class Summary(msgspec.Struct, frozen=True, rename={"begins": "from", "ends": "to"}):
    """A report in numbers. pages_a_week: of a time shorter than a week all of them. precision, recall: of alerts, null
    where nothing was judged; same to moved: null where nothing was compared."""

    begins: datetime
    ends: datetime
    events: int
    alerts: int
    pages: int
    pages_a_week: float
    precision: float | None
    recall: float | None
    same: int | None
    only_here: int | None
    only_there: int | None
    moved: int | None


class Kept(msgspec.Struct, frozen=True):
    """A backtest that was kept. rules, against: names of the files, null for the configuration in force, or none."""

    id: str
    made_at: datetime
    made_by: str
    rules: str | None
    against: str | None
    summary: Summary


def summary_of(report: BacktestReport) -> Summary:
    judged, against = report.judged, report.against
    return Summary(
        begins=report.begins,
        ends=report.ends,
        events=report.events,
        alerts=sum(rule.fired for rule in report.rules),
        pages=report.pages,
        pages_a_week=round(report.pages_a_week, 2),
        precision=judged.all.precision if judged else None,
        recall=judged.all.recall if judged else None,
        same=against.same if against else None,
        only_here=len(against.only_here) if against else None,
        only_there=len(against.only_there) if against else None,
        moved=len(against.moved) if against else None,
    )


def shortened(report: BacktestReport, most: int = MOST_KEPT) -> BacktestReport:
    """With the first of each list alone."""
    judged, against = report.judged, report.against
    return replace(
        report,
        alerts=report.alerts[:most],
        messages=report.messages[:most],
        judged=replace(judged, missed=judged.missed[:most], false=judged.false[:most]) if judged else None,
        against=replace(
            against,
            only_here=against.only_here[:most],
            only_there=against.only_there[:most],
            moved=against.moved[:most],
        )
        if against
        else None,
    )
