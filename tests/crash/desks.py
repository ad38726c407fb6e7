"""The providers of the crash tests: how each is configured, what its people have seen, and what is promised of it."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.simulators import twilio
from tests.simulators.request_tracker import RequestTrackerSimulator
from tests.simulators.slack import TOKEN, SlackSimulator
from tests.simulators.smtp import SmtpSimulator
from tests.simulators.twilio import TwilioSimulator
from tests.simulators.webhook import WebhookSimulator

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Desk:
    """config: of a receiver; seen: one text for each effect that people saw, the same text only for a repeat; at: tell
    the provider the time."""

    config: Config
    seen: Callable[[], list[str]]
    at: Callable[[datetime], None]
    simulator: Any


@dataclass(frozen=True, slots=True)
class Kind:
    """most_twice: how many effects may be seen twice for each crash (promises, table 2a)."""

    name: str
    open: Callable[[datetime], Any]  # → context manager of Desk
    most_twice: int = 0


@contextmanager
def _webhook(now: datetime) -> Generator[Desk]:
    with WebhookSimulator(now) as hook:
        config = {"webhook_configs": [{"url": hook.url, "send_resolved": True}]}
        yield Desk(config, lambda: list(hook.ledger), _clock_of(hook), hook)


@contextmanager
def _slack(now: datetime) -> Generator[Desk]:
    with SlackSimulator(now) as slack:
        one = {"app_token": TOKEN, "base_url": slack.api_url, "channel": "C0000000001", "send_resolved": True}
        yield Desk({"slack_configs": [one]}, lambda: [_slack_message(slack, m) for m in slack.ledger],
                   _clock_of(slack), slack)  # fmt: skip


def _slack_message(slack: SlackSimulator, message: Any) -> str:
    return f"{message.channel} {message.key}"


@contextmanager
def _slack_hook(now: datetime) -> Generator[Desk]:
    with SlackSimulator(now) as slack:
        config = {"slack_configs": [{"api_url": slack.webhook_url, "send_resolved": True}]}
        yield Desk(config, lambda: [str(m.content["text"]) for m in slack.ledger], _clock_of(slack), slack)


@contextmanager
def _email(now: datetime) -> Generator[Desk]:
    with SmtpSimulator(starttls=False) as smtp:
        one = {"to": "data-lead@example.com", "from": "watchtower@example.com", "smarthost": smtp.smarthost}
        config = {"email_configs": [{**one, "require_tls": False, "send_resolved": True}]}
        yield Desk(config, lambda: [str(mail.message["Message-ID"]) for mail in smtp.ledger], _ignore, smtp)


@contextmanager
def _request_tracker(now: datetime) -> Generator[Desk]:
    with RequestTrackerSimulator(now) as rt:
        one = {"base_url": rt.url, "username": "fixer", "password": "fixer-password", "queue": "General"}

        def seen() -> list[str]:
            opened = [f"opened {row.custom_fields['WatchtowerKey']}" for row in rt.tickets]
            said = [entry.data for row in rt.tickets for entry in row.history if entry.type == "Comment"]
            return [*opened, *said]

        yield Desk({"request_tracker_configs": [one]}, seen, _clock_of(rt), rt)


@contextmanager
def _sms(now: datetime) -> Generator[Desk]:
    with TwilioSimulator(now) as phones:
        config = {"sms_configs": [{"to": twilio.TO, "send_resolved": True, **_twilio(phones)}]}
        yield Desk(config, lambda: [item["body"] for item in phones.messages], _clock_of(phones), phones)


@contextmanager
def _voice(now: datetime) -> Generator[Desk]:
    with TwilioSimulator(now) as phones:
        config = {"voice_configs": [{"to": twilio.TO, "send_resolved": True, **_twilio(phones)}]}
        yield Desk(config, lambda: [item["form"]["Twiml"][0] for item in phones.calls], _clock_of(phones), phones)


def _twilio(phones: TwilioSimulator) -> Config:
    return {
        "account_sid": twilio.ACCOUNT,
        "auth_token": twilio.TOKEN,
        "from": twilio.FROM,
        "base_url": phones.url,
    }


KINDS = {
    kind.name: kind
    for kind in (
        Kind("webhook", _webhook),
        Kind("slack", _slack),
        Kind("slack incoming webhook", _slack_hook, most_twice=1),
        Kind("email", _email, most_twice=1),
        Kind("request_tracker", _request_tracker),
        Kind("sms", _sms),
        Kind("voice", _voice),
    )
}


def configured(desks: Config, store: str = "", external: str = "", heartbeat: str = "") -> str:
    """The text of a configuration that tells the one receiver of every failed run at once. JSON is YAML."""
    whole: Config = {
        "outbound": {"allow": ["127.0.0.0/8"]},
        "rules": [
            {"alert": "OrdersFailed", "kind": "run_failure", "match": {"pipeline": "~orders_.*"}, "severity": "page"}
        ],
        "route": {"receiver": "team", "group_by": ["pipeline"], "group_wait": "0s", "group_interval": "1s"},
        "receivers": [{"name": "team", **desks}],
    }
    if store:
        whole["store"] = store
    if external:
        whole["server"] = {"external_url": external}
    if heartbeat:
        whole["heartbeat"] = {"url": heartbeat, "every": "5s"}
    return json.dumps(whole)


def _clock_of(simulator: Any) -> Callable[[datetime], None]:
    def at(now: datetime) -> None:
        simulator.now = now

    return at


def _ignore(_: datetime) -> None:
    return None
