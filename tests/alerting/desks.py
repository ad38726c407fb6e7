"""Channels on their simulators: one bench per registered channel, for the contract and for single tests."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from alerting.destinations import channel_type
from tests.alerting.notices import NOW
from tests.simulators import twilio, zendesk
from tests.simulators.faults import Fault
from tests.simulators.http import HttpSimulator
from tests.simulators.jira import JiraSimulator
from tests.simulators.pagerduty import ROUTING_KEY, PagerDutySimulator
from tests.simulators.request_tracker import RequestTrackerSimulator
from tests.simulators.servicenow import ServiceNowSimulator
from tests.simulators.slack import TOKEN, SlackSimulator
from tests.simulators.twilio import TwilioSimulator
from tests.simulators.webhook import WebhookSimulator
from tests.simulators.zendesk import ZendeskSimulator
from watchtower.clock import ManualClock
from watchtower.outbound import Outbound, parse_network
from watchtower.ports import Channel, ChannelContext, Clock
from watchtower.secrets import SecretStore

PATIENCE_S = 5.0
SHORT_S = 0.4  # where the fault is that nothing comes
_SILENT = frozenset({Fault.CONNECT_TIMEOUT, Fault.BLACK_HOLE, Fault.ACCEPT_THEN_TIMEOUT, Fault.SLOW_DRIP})


def context(clock: Clock | None = None, environ: Mapping[str, str] | None = None) -> ChannelContext:
    """With the real guarded client, which the operator allows to speak to loopback."""
    clock = clock or ManualClock(NOW)
    http = Outbound(clock, allow=[parse_network("127.0.0.0/8")])
    secrets = SecretStore(clock, environ=environ or {})
    return ChannelContext(http, clock, "https://watchtower.example.com", secrets.resolve)


def channel(
    name: str, clock: Clock | None = None, environ: Mapping[str, str] | None = None, /, **config: Any
) -> Channel:
    kind = channel_type(name)
    secrets = SecretStore(clock or ManualClock(NOW), environ=environ or {})
    options = kind.Config.model_validate(config, context={"secrets": secrets})
    made: Channel = kind(options, context(clock, environ))
    return made


@dataclass(frozen=True, slots=True)
class Bench:
    """A channel beside its provider. effects: how many visible effects the provider's ledger holds."""

    channel: Channel
    provider: HttpSimulator
    effects: Callable[[], int]


@contextmanager
def webhook_bench(timeout: float = PATIENCE_S, clock: Clock | None = None) -> Generator[Bench]:
    with WebhookSimulator(NOW) as provider:
        made = channel("webhook", clock, url=f"{provider.url}/hook", timeout=timeout)
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def slack_bench(timeout: float = PATIENCE_S, clock: Clock | None = None) -> Generator[Bench]:
    with SlackSimulator(NOW) as provider:
        made = channel(
            "slack", clock, app_token=TOKEN, base_url=provider.api_url, channel="C0000000001", timeout=timeout
        )
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def slack_webhook_bench(timeout: float = PATIENCE_S, clock: Clock | None = None) -> Generator[Bench]:
    with SlackSimulator(NOW) as provider:
        made = channel("slack", clock, api_url=provider.webhook_url, timeout=timeout)
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def request_tracker_bench(timeout: float = PATIENCE_S, clock: Clock | None = None) -> Generator[Bench]:
    with RequestTrackerSimulator(NOW) as provider:
        login = {"username": "fixer", "password": "fixer-password", "queue": "General"}
        made = channel("request_tracker", clock, base_url=provider.url, timeout=timeout, **login)
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def jira_bench(timeout: float = PATIENCE_S, clock: Clock | None = None) -> Generator[Bench]:
    with JiraSimulator(NOW) as provider:
        login = {"basic_auth": {"username": "bot@example.com", "password": "api-token"}}
        made = channel(
            "jira",
            clock,
            api_url=provider.url,
            api_type="cloud",
            project="OPS",
            issue_type="Task",
            http_config=login,
            timeout=timeout,
        )
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def servicenow_bench(timeout: float = PATIENCE_S, clock: Clock | None = None) -> Generator[Bench]:
    with ServiceNowSimulator(NOW) as provider:
        login = {"username": "watchtower", "password": "itil-password"}
        made = channel("servicenow", clock, base_url=provider.url, timeout=timeout, **login)
        yield Bench(made, provider, lambda: len(provider.ledger))


TWILIO = {"account_sid": twilio.ACCOUNT, "auth_token": twilio.TOKEN, "from": twilio.FROM, "to": twilio.TO}


@contextmanager
def sms_bench(timeout: float = PATIENCE_S, clock: Clock | None = None) -> Generator[Bench]:
    with TwilioSimulator(NOW) as provider:
        made = channel("sms", clock, base_url=provider.url, timeout=timeout, **TWILIO)
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def voice_bench(timeout: float = PATIENCE_S, clock: Clock | None = None) -> Generator[Bench]:
    with TwilioSimulator(NOW) as provider:
        made = channel("voice", clock, base_url=provider.url, timeout=timeout, **TWILIO)
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def pagerduty_bench(timeout: float = PATIENCE_S, clock: Clock | None = None) -> Generator[Bench]:
    with PagerDutySimulator(NOW) as provider:
        made = channel("pagerduty", clock, routing_key=ROUTING_KEY, url=provider.events_url, timeout=timeout)
        yield Bench(made, provider, lambda: len(provider.ledger))


@contextmanager
def zendesk_bench(timeout: float = PATIENCE_S, clock: Clock | None = None) -> Generator[Bench]:
    with ZendeskSimulator(NOW) as provider:
        login = {"email": zendesk.EMAIL, "api_token": zendesk.API_TOKEN}
        made = channel("zendesk", clock, base_url=provider.url, timeout=timeout, **login)
        yield Bench(made, provider, lambda: len(provider.ledger))


HTTP_BENCHES = {
    "jira": jira_bench,
    "servicenow": servicenow_bench,
    "pagerduty": pagerduty_bench,
    "request_tracker": request_tracker_bench,
    "slack": slack_bench,
    "slack incoming webhook": slack_webhook_bench,
    "sms": sms_bench,
    "voice": voice_bench,
    "webhook": webhook_bench,
    "zendesk": zendesk_bench,
}


def patience(fault: Fault) -> float:
    return SHORT_S if fault in _SILENT else PATIENCE_S


# A receiver that answers 2xx has the message, whatever else it says.
SAYS_ENOUGH = {"webhook": frozenset({Fault.INVALID_JSON, Fault.WRONG_TYPE, Fault.EMPTY_200})}
