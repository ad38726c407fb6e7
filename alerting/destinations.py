"""What a receiver can name, made into channels and hooks: a ticket system behind the common desk table."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from alerting.tickets.desk import desk_channel
from watchtower.config.alerting import Destination
from watchtower.ports import Channel, ChannelContext, Hook
from watchtower.registry import Registries


@cache
def channel_type(name: str, registries: Registries | None = None) -> type[Any]:
    """The class of the channel behind `<name>_configs`; call it with its Config and the context. Raises ConfigError
    for an unknown name."""
    known = registries or Registries()
    kind = known.destination(name)
    return desk_channel(kind) if name in known.ticket_systems and name not in known.channels else kind


def make_channel(destination: Destination, context: ChannelContext) -> Channel:
    """The channel of one configured destination."""
    made: Channel = channel_type(destination.kind)(destination.options, context)
    return made


def make_hooks(destinations: Iterable[Destination], context: ChannelContext) -> dict[str, Hook]:
    """The hooks that the channels of destinations name, by their own names; one of each for all its destinations."""
    kinds: dict[str, type[Any]] = {}
    options: dict[str, dict[str, Any]] = {}
    for destination in destinations:
        kind = getattr(channel_type(destination.kind), "Hook", None)
        if kind is not None:
            kinds[kind.name] = kind
            options.setdefault(kind.name, {})[destination.name] = destination.options
    return {name: kind(options[name], context) for name, kind in kinds.items()}
