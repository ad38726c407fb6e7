"""Where the layers meet: what collectors, rules, alerting, dashboards and the store ask of one another.

The peers never import each other; `watchtower.app` puts the real parts behind these protocols. The extension
contract for outsiders is the plug-in protocols: Collector, Poller, BillCollector, RuleKind, Channel, TicketSystem.
"""

from watchtower.ports.alerting import AlertingStore
from watchtower.ports.bills import BillCollector, BillContext, BillFormat, Export, FileFeed, PlacedFile, QueryFeed
from watchtower.ports.channels import (
    Callbacks,
    Channel,
    ChannelContext,
    Hook,
    NoPeople,
    NoProofs,
    People,
    Proofs,
    Ticket,
    TicketSystem,
)
from watchtower.ports.clock import Clock
from watchtower.ports.collectors import Collector, Decoded, Received, Refused, Reject, WithHooks
from watchtower.ports.http import HttpAnswer, HttpClient
from watchtower.ports.polls import KnownRuns, PollContext, PolledSource, Poller, no_connection
from watchtower.ports.rules import DueSubject, Outcome, Planner, RuleKind, RuleStore

__all__ = [
    "AlertingStore",
    "BillCollector",
    "BillContext",
    "BillFormat",
    "Callbacks",
    "Channel",
    "ChannelContext",
    "Clock",
    "Collector",
    "Decoded",
    "DueSubject",
    "Export",
    "FileFeed",
    "Hook",
    "HttpAnswer",
    "HttpClient",
    "KnownRuns",
    "NoPeople",
    "NoProofs",
    "Outcome",
    "People",
    "PlacedFile",
    "Planner",
    "PollContext",
    "PolledSource",
    "Poller",
    "Proofs",
    "QueryFeed",
    "Received",
    "Refused",
    "Reject",
    "RuleKind",
    "RuleStore",
    "Ticket",
    "TicketSystem",
    "WithHooks",
    "no_connection",
]
