"""The hooks that channels name, each with one destination, and how its provider signs what it sends."""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from alerting.callbacks import Purpose, link
from alerting.channels.twilio_hook import bound
from alerting.destinations import channel_type
from tests.alerting.desks import TWILIO, context
from tests.simulators.twilio import ACCOUNT, TO, TOKEN, sign
from watchtower.model.hook import HookRequest
from watchtower.ports import Callbacks, Hook
from watchtower.registry import Registries

EXTERNAL = "https://watchtower.example.com"
CALLBACKS = Callbacks(f"{EXTERNAL}/hooks", b"k" * 32)
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
_CONFIGS: Mapping[str, dict[str, Any]] = {
    "slack": {"app_token": "xoxb-1", "channel": "C0000000001", "signing_secret": SIGNING_SECRET},
    "sms": {**TWILIO, "replies": True},
    "voice": TWILIO,
}


def hooks() -> dict[str, Hook]:
    """By name, as the composition root makes them."""
    destinations: dict[str, dict[str, Any]] = {}
    kinds: dict[str, type[Hook]] = {}
    for name in Registries().destinations:
        channel = channel_type(name)
        kind: type[Hook] | None = getattr(channel, "Hook", None)
        if kind is not None:
            kinds[kind.name] = kind
            options = channel.Config.model_validate(_CONFIGS[name])
            destinations.setdefault(kind.name, {})[f"team/{name}[0]"] = options
    given = replace(context(), callbacks=CALLBACKS)
    return {name: kind(destinations[name], given) for name, kind in kinds.items()}


def _slack(body: bytes, now: datetime) -> Iterator[HookRequest]:
    """As it is, and as the payload of a form."""
    for raw in (body, urlencode({"payload": body}).encode()):
        stamp = str(int(now.timestamp()))
        signature = hmac.new(SIGNING_SECRET.encode(), b"v0:" + stamp.encode() + b":" + raw, hashlib.sha256).hexdigest()
        headers = {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={signature}"}
        yield HookRequest(f"{EXTERNAL}/hooks/slack", "", headers, raw)


def _twilio(body: bytes, now: datetime) -> Iterator[HookRequest]:
    """As a form of its own, and as the text of a message, for each of the three links."""
    text = body.decode("utf-8", "replace")[:2_000]
    mine = {"AccountSid": ACCOUNT, "From": TO, "To": TO, "MessageSid": "SM" + "1" * 32, "CallSid": "CA" + "1" * 32}
    forms = [
        {**mine, "Body": text},
        {**mine, "Digits": text, "CallStatus": text[:40]},
        {**mine, "MessageStatus": text[:40], "ErrorCode": text, "SequenceNumber": text, "CallDuration": text},
        {**dict(parse_qsl(text)), **mine},
    ]
    for action in ("sms", "voice", "status"):
        made = link(CALLBACKS, Purpose("twilio", action, bound(ACCOUNT, TO)), "notice-1", now)
        path = "sms" if action == "sms" else made.removeprefix(f"{CALLBACKS.url}/twilio/")
        url = f"{EXTERNAL}/hooks/twilio/{path}"
        for form in forms:
            yield HookRequest(url, path, {"x-twilio-signature": sign(url, form, TOKEN)}, urlencode(form).encode())


SIGNERS: Mapping[str, Callable[[bytes, datetime], Iterator[HookRequest]]] = {"slack": _slack, "twilio": _twilio}
