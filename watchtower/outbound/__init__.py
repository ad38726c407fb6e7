"""The guarded way out: `Outbound` is the only HTTP client, and every address passes its guard.

`addresses` says which are allowed, `targets` takes a URL apart, `client` speaks, `answers` says what a status means.
"""

from watchtower.outbound.addresses import Network, parse_network, parse_networks
from watchtower.outbound.answers import raise_for_status, retry_after_s
from watchtower.outbound.client import MAX_ANSWER_BYTES, Outbound
from watchtower.outbound.targets import Target, parse_target

__all__ = [
    "MAX_ANSWER_BYTES",
    "Network",
    "Outbound",
    "Target",
    "parse_network",
    "parse_networks",
    "parse_target",
    "raise_for_status",
    "retry_after_s",
]
