"""The route tree: where an alert goes, under which group, with which waits. Pure.

Source: `dispatch/route.go` of Alertmanager: depth first, left to right; the first matching child ends the search among
its siblings unless it says `continue`; a node none of whose children match takes the alert itself; options are
inherited from the parent, time intervals are not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from alerting.grouping import group_key, group_labels
from watchtower.model.alert import Call, Planned, Severity
from watchtower.model.labels import Labels, Matcher, all_match

GROUP_WAIT_S = 30.0
GROUP_INTERVAL_S = 300.0
REPEAT_INTERVAL_S = 4 * 3600.0

LOCAL = "local"  # the built-in receiver and its only destination
LOCAL_GROUP_BY = ("namespace", "pipeline", "dataset", "budget", "slo")

_OPERATORS = ("=", "!=", "=~", "!~")  # in the order in which Alertmanager sorts them
_NO_CALL = Call()


@dataclass(frozen=True, slots=True)
class Destination:
    """One configured channel of a receiver. name: `receiver/kind[index]`, stable within the configuration. call: where
    it is a step of an escalation. shows_acks: what was told can be changed to say who has it."""

    name: str
    send_resolved: bool = True
    call: Call | None = None
    shows_acks: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A route with everything inherited. key: its matchers and those of its parents; matchers: sorted."""

    key: str
    matchers: tuple[Matcher, ...]
    receiver: str
    group_by: tuple[str, ...]
    group_wait_s: float
    group_interval_s: float
    repeat_interval_s: float
    goes_on: bool
    mute_time_intervals: tuple[str, ...]
    active_time_intervals: tuple[str, ...]
    children: tuple["Node", ...]

    def match(self, labels: Labels) -> tuple["Node", ...]:
        """The nodes that take an alert with labels; none if this one does not match."""
        if not all_match(self.matchers, labels):
            return ()
        found: list[Node] = []
        for child in self.children:
            matched = child.match(labels)
            found += matched
            if matched and not child.goes_on:
                break
        return tuple(found) or (self,)


@dataclass(frozen=True, slots=True)
class Step:
    """One node on the way of an alert, for people. depth: 0 is the root; matched: its own matchers hold and it was
    asked; takes: the alert ends here."""

    depth: int
    matchers: str
    receiver: str
    matched: bool
    takes: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an alert goes where it goes. receivers: in order, as `amtool config routes test` prints them."""

    receivers: tuple[str, ...]
    planned: tuple[Planned, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Router:
    """A Planner. destinations: of each receiver, by its name. immediate_pages: the first notice of a group that gets
    its first alert of severity page does not wait (the built-in route only: a file's timing is its author's)."""

    root: Node
    destinations: Mapping[str, Sequence[Destination]]
    immediate_pages: bool = False

    def plan(self, labels: Labels) -> tuple[Planned, ...]:
        """One entry for each destination. Two routes with the same key and receiver tell it once."""
        planned: dict[tuple[str, str], Planned] = {}
        for node in self.root.match(labels):
            for item in self._planned(node, labels):
                planned.setdefault((item.group_key, item.destination), item)
        return tuple(planned.values())

    def explain(self, labels: Labels) -> Explanation:
        taking = self.root.match(labels)
        steps = tuple(_steps(self.root, labels, {id(node) for node in taking}, 0))
        return Explanation(tuple(node.receiver for node in taking), self.plan(labels), steps)

    def _planned(self, node: Node, labels: Labels) -> Iterator[Planned]:
        grouped = group_labels(labels, node.group_by)
        for destination in self.destinations.get(node.receiver, ()):
            call = destination.call or _NO_CALL
            planned = Planned(
                receiver=node.receiver,
                destination=destination.name,
                group_key=group_key(node.key, grouped),
                group_labels=grouped,
                group_wait_s=node.group_wait_s,
                group_interval_s=node.group_interval_s,
                repeat_interval_s=node.repeat_interval_s,
                send_resolved=destination.send_resolved,
                mute_time_intervals=node.mute_time_intervals,
                active_time_intervals=node.active_time_intervals,
                immediate=self.immediate_pages and labels.get("severity") == Severity.PAGE,
                after_s=call.after_s,
                redial_s=call.redial_s,
                redials=call.redials,
                person=call.person,
                round_s=call.round_s,
                rounds=call.rounds,
                severities=call.severities,
                daily_cap=call.daily_cap,
                last_resort=call.last_resort,
                burst=call.burst,
                burst_s=call.burst_s,
                shows_acks=destination.shows_acks,
            )
            if planned.concerns(labels):
                yield planned


def local_router() -> Router:
    """Where alerts go while nothing is configured: to the built-in `local` destination, a group for each pipeline or
    dataset."""
    root = Node(
        key=route_key(None, ()),
        matchers=(),
        receiver=LOCAL,
        group_by=LOCAL_GROUP_BY,
        group_wait_s=GROUP_WAIT_S,
        group_interval_s=GROUP_INTERVAL_S,
        repeat_interval_s=REPEAT_INTERVAL_S,
        goes_on=False,
        mute_time_intervals=(),
        active_time_intervals=(),
        children=(),
    )
    return Router(root, {LOCAL: (Destination(LOCAL),)}, immediate_pages=True)


def route_key(parent: str | None, matchers: Sequence[Matcher]) -> str:
    own = "{" + ",".join(map(str, matchers)) + "}"
    return own if parent is None else f"{parent}/{own}"


def in_order(matchers: Sequence[Matcher]) -> tuple[Matcher, ...]:
    return tuple(sorted(matchers, key=lambda item: (item.name, item.value, _OPERATORS.index(item.op))))


def _steps(node: Node, labels: Labels, taking: set[int], depth: int) -> Iterator[Step]:
    matched = all_match(node.matchers, labels)
    own = "{" + ",".join(map(str, node.matchers)) + "}"
    yield Step(depth, own, node.receiver, matched, id(node) in taking)
    going = matched
    for child in node.children:
        if going:
            yield from _steps(child, labels, taking, depth + 1)
            going = child.goes_on or not all_match(child.matchers, labels)
        else:
            own = "{" + ",".join(map(str, child.matchers)) + "}"
            yield Step(depth + 1, own, child.receiver, matched=False, takes=False)
