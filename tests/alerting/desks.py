"""Channels on their simulators: one bench per registered channel, for the contract and for single tests."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from alerting.destinations import destination_types
from tests.alerting.notices import NOW
from tests.simulators.faults import Fault
from tests.simulators.http import HttpSimulator
from tests.simulators.plain_client import PlainClient
from tests.simulators.request_tracker import RequestTrackerSimulator
from tests.simulators.slack import TOKEN, SlackSimulator
from tests.simulators.webhook import WebhookSimulator
from watchtower.clock import ManualClock
from watchtower.ports import Channel, ChannelContext

TIMEOUT_S = 0.4


def context(clock: ManualClock | None = None, secrets: Mapping[str, str] | None = None) -> ChannelContext:
    known = secrets or {}
    return ChannelContext(
        http=PlainClient(),
        clock=clock or ManualClock(NOW),
        external_url="https://watchtower.example.com",
        secret=lambda reference: known.get(reference, reference),
    )


def channel(name: str, made_in: ChannelContext | None = None, /, **config: Any) -> Channel:
    kind = destination_types()[name]
    return kind(kind.Config.model_validate(config), made_in or context())


@dataclass(frozen=True, slots=True)
class Bench:
    """A channel beside its provider. effects: how many visible effects the provider's ledger holds."""

    channel: Channel
    provider: HttpSimulator
    effects: Callable[[], int]


@contextmanager
def webhook_bench() -> Generator[Bench]:
    with WebhookSimulator(NOW) as provider:
        made = channel("webhook", url=f"{provider.url}/hook", timeout=TIMEOUT_S)
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def slack_bench() -> Generator[Bench]:
    with SlackSimulator(NOW) as provider:
        made = channel("slack", app_token=TOKEN, base_url=provider.api_url, channel="C0000000001", timeout=TIMEOUT_S)
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def slack_webhook_bench() -> Generator[Bench]:
    with SlackSimulator(NOW) as provider:
        made = channel("slack", api_url=provider.webhook_url, timeout=TIMEOUT_S)
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def request_tracker_bench() -> Generator[Bench]:
    with RequestTrackerSimulator(NOW) as provider:
        login = {"username": "fixer", "password": "fixer-password", "queue": "General"}
        made = channel("request_tracker", base_url=provider.url, timeout=TIMEOUT_S, **login)
        yield Bench(made, provider, lambda: len(provider.ledger))


HTTP_BENCHES = {
    "request_tracker": request_tracker_bench,
    "slack": slack_bench,
    "slack incoming webhook": slack_webhook_bench,
    "webhook": webhook_bench,
}

# A receiver that answers 2xx has the message, whatever else it says.
SAYS_ENOUGH = {"webhook": frozenset({Fault.INVALID_JSON, Fault.WRONG_TYPE, Fault.EMPTY_200})}
