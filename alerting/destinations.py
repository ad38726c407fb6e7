"""Everything a receiver can name: the channels, and each ticket system as a channel.

`slack_configs` in a receiver is a list of `destination_types()["slack"].Config`; so it is for every name.
"""

from typing import Any, Protocol

from alerting.channels import CHANNELS
from alerting.tickets import TICKET_SYSTEMS
from alerting.tickets.desk import desk_channel
from watchtower.ports import Channel, ChannelContext


class DestinationType(Protocol):
    """The class of a channel, as the composition root sees it: call it with its Config and the context."""

    name: str
    Config: type[Any]
    settle_s: float
    can_look_up: bool
    keyed: bool
    rings: bool

    def __call__(self, config: Any, context: ChannelContext) -> Channel: ...


def destination_types() -> dict[str, Any]:
    """Name → class, by name."""
    return dict(sorted({**CHANNELS, **{name: desk_channel(system) for name, system in TICKET_SYSTEMS.items()}}.items()))
