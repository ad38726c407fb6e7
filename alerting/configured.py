"""The alerting pipeline that a configuration describes: its routes, inhibitions and time intervals as decisions."""

from alerting.inhibition import Inhibition
from alerting.intervals import TimeInterval
from alerting.maintenance import Recurring, Window
from alerting.pipeline import Pipeline
from alerting.routing import Destination, Node, Router, in_order, local_router, route_key
from watchtower.config.alerting import Route, TimeRange
from watchtower.config.maintenance import Maintenance
from watchtower.config.model import Config


def pipeline_of(config: Config) -> Pipeline:
    """Without a route of its own, a configuration has the built-in one, to `local`."""
    return Pipeline(
        router=router_of(config),
        inhibitions=tuple(Inhibition(rule.source, rule.target, rule.equal) for rule in config.inhibit_rules),
        intervals={name: tuple(map(_interval, made.ranges)) for name, made in config.time_intervals.items()},
        maintenance=tuple(_window(made, config) for made in config.maintenance),
        flapping=config.flapping,
    )


def router_of(config: Config) -> Router:
    if not config.has_file_route:
        return local_router()
    destinations = {
        name: tuple(
            Destination(item.name, item.send_resolved, item.call, bool(getattr(item.options, "shows_acks", False)))
            for item in receiver.destinations
        )
        for name, receiver in config.receivers.items()
    }
    return Router(_node(config.route, None), destinations)


def _node(route: Route, parent: str | None) -> Node:
    matchers = in_order(route.matchers)
    key = route_key(parent, matchers)
    return Node(
        key=key,
        matchers=matchers,
        receiver=route.receiver,
        group_by=route.group_by,
        group_wait_s=route.group_wait_s,
        group_interval_s=route.group_interval_s,
        repeat_interval_s=route.repeat_interval_s,
        goes_on=route.continue_,
        mute_time_intervals=route.mute_time_intervals,
        active_time_intervals=route.active_time_intervals,
        children=tuple(_node(child, key) for child in route.routes),
    )


def _window(made: Maintenance, config: Config) -> Window:
    return Window(
        name=made.name,
        matchers=made.matchers,
        reason=made.reason,
        author=made.author,
        once=made.once,
        intervals=tuple(_interval(each) for name in made.intervals for each in config.time_intervals[name].ranges),
        recurring=Recurring(made.cron, made.duration_s, made.zone) if made.cron is not None else None,
    )


def _interval(made: TimeRange) -> TimeInterval:
    return TimeInterval(
        minutes=made.minutes,
        weekdays=made.weekdays,
        days_of_month=made.days_of_month,
        months=made.months,
        years=made.years,
        zone=made.zone,
    )
