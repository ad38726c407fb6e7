"""Small route trees for tests."""

from collections.abc import Mapping, Sequence

from alerting.inhibition import Inhibition
from alerting.intervals import TimeInterval
from alerting.pipeline import Pipeline
from alerting.routing import Destination, Node, Router, in_order, route_key
from watchtower.model.labels import parse_matchers


def node(
    receiver: str,
    *children: Node,
    matchers: str = "",
    group_by: Sequence[str] = ("pipeline",),
    wait: float = 30,
    interval: float = 300,
    repeat: float = 4 * 3600,
    goes_on: bool = False,
    mute: Sequence[str] = (),
    active: Sequence[str] = (),
    parent_key: str | None = None,
) -> Node:
    """A route with everything said. parent_key: of a child, the key of its parent."""
    parsed = in_order(parse_matchers(matchers))
    return Node(
        key=route_key(parent_key, parsed),
        matchers=parsed,
        receiver=receiver,
        group_by=tuple(group_by),
        group_wait_s=wait,
        group_interval_s=interval,
        repeat_interval_s=repeat,
        goes_on=goes_on,
        mute_time_intervals=tuple(mute),
        active_time_intervals=tuple(active),
        children=children,
    )


def pipeline(
    root: Node | None = None,
    *,
    receivers: Mapping[str, Sequence[Destination]] | None = None,
    inhibitions: Sequence[Inhibition] = (),
    intervals: Mapping[str, Sequence[TimeInterval]] | None = None,
) -> Pipeline:
    """By default: all to the receiver `team`, which has one destination, `team/webhook[0]`."""
    found = receivers if receivers is not None else {"team": [Destination("team/webhook[0]")]}
    return Pipeline(Router(root or node("team"), found), tuple(inhibitions), dict(intervals or {}))
