"""What a receiver can name, made into channels: a channel as it is, a ticket system behind the common desk table."""

from functools import cache
from typing import Any

from alerting.tickets.desk import desk_channel
from watchtower.config.alerting import Destination
from watchtower.ports import Channel, ChannelContext
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
