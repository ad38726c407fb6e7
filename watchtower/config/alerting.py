"""What the file says about routing: routes with their inheritance worked out, receivers, inhibition, time intervals.

Alertmanager's own keys with Alertmanager's meaning and defaults. These are plain values; `alerting` turns them into
its router, inhibitions and intervals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from watchtower.model.alert import Call
from watchtower.model.labels import Matcher

GROUP_WAIT_S = 30.0
GROUP_INTERVAL_S = 300.0
REPEAT_INTERVAL_S = 4 * 3600.0
RESOLVE_TIMEOUT_S = 300.0
GROUP_BY_ALL = "..."

LOCAL = "local"  # the built-in receiver and its only destination
LOCAL_GROUP_BY = ("namespace", "pipeline", "dataset", "budget", "slo")

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Route:
    """One node of the tree, everything inherited from its parent filled in (intervals are not inherited). matchers:
    its own, those of `match` and `match_re` included, in the order of the file. group_by may hold `...` (all labels).
    path: where it stands in the file, e.g. `route.routes[0]`. page_at_once: the built-in route only."""

    receiver: str
    matchers: tuple[Matcher, ...] = ()
    continue_: bool = False
    group_by: tuple[str, ...] = ()
    group_wait_s: float = GROUP_WAIT_S
    group_interval_s: float = GROUP_INTERVAL_S
    repeat_interval_s: float = REPEAT_INTERVAL_S
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    routes: tuple["Route", ...] = ()
    path: str = "route"
    page_at_once: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """One item of a receiver's `<kind>_configs`. name: `team/webhook[0]`, stable within the file; kind: of the channel
    or ticket system; options: its validated Config, the defaults of `global` filled in; path and line: in the file;
    call: where it reaches one person, as a step of an escalation."""

    name: str
    kind: str
    options: Any
    send_resolved: bool = True
    path: str = ""
    line: int | None = None
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class Receiver:
    name: str
    destinations: tuple[Destination, ...] = ()


@dataclass(frozen=True, slots=True)
class InhibitRule:
    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeRange:
    """All given parts must hold; an empty one does not restrict. minutes: of the day, end exclusive (1440 is
    midnight); weekdays: Sunday is 0; days_of_month: 1 … 31, or -31 … -1 from the end; months: 1 … 12; zone: IANA."""

    minutes: tuple[Range, ...] = ()
    weekdays: tuple[Range, ...] = ()
    days_of_month: tuple[Range, ...] = ()
    months: tuple[Range, ...] = ()
    years: tuple[Range, ...] = ()
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class TimeInterval:
    """Holds while any of its ranges does."""

    name: str
    ranges: tuple[TimeRange, ...] = ()


@dataclass(frozen=True, slots=True)
class Global:
    """`global`: defaults for receivers by Alertmanager's key (`smtp_smarthost` …), as they stand in the file.
    resolve_timeout_s: when an alert pushed without an end time counts as resolved."""

    resolve_timeout_s: float = RESOLVE_TIMEOUT_S
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
