"""What Slack calls back: the button under a message that acknowledges it.

Sources: Slack's pages "Verifying requests from Slack" (v0 signatures over the raw body, none older than five minutes),
"Handling user interaction", and the payload of `block_actions`. A press counts once, however often it is sent; the
message itself is changed by the outbox, once the acknowledgement is stored, wherever it came from.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs

from alerting.channels.blocks import ACKNOWLEDGE
from watchtower.model.hook import (
    Acknowledge,
    Distrust,
    HookAct,
    HookAnswer,
    HookRefused,
    HookRequest,
    HookResult,
    Nothing,
    Outcome,
)
from watchtower.ports import ChannelContext

FRESH = timedelta(seconds=300)  # "Verifying requests from Slack"

_MEMBER = re.compile(r"[UW][A-Z0-9]{6,20}")
_NOTICE = re.compile(r"[A-Za-z0-9_-]{1,80}")
_TS = re.compile(r"[0-9]{1,12}\.[0-9]{1,9}")


class SlackHook:
    """`/hooks/slack`: the request URL under "Interactivity & Shortcuts" of the Slack app."""

    name: ClassVar[str] = "slack"

    def __init__(self, destinations: Mapping[str, Any], context: ChannelContext) -> None:
        self._destinations = [options for options in destinations.values() if options.has_buttons]
        self._context = context

    def read(self, request: HookRequest, now: datetime) -> HookAct:
        signers = (secret for options in self._destinations for secret in options.signers(self._context))
        _check(request, list(dict.fromkeys(signers)), now)
        payload = _payload(request.body)
        pressed = [action for action in _objects(payload.get("actions")) if action.get("action_id") == ACKNOWLEDGE]
        if payload.get("type") != "block_actions" or not pressed:
            return Nothing()
        return self._acknowledge(payload, pressed[0])

    def answer(self, request: HookRequest, act: HookAct, result: HookResult) -> HookAnswer:
        """What is not answered 200 is shown to whoever pressed as "did not work", so that nobody relies on it."""
        lost = result.outcome in (Outcome.UNAVAILABLE, Outcome.UNKNOWN)
        return HookAnswer(status=503 if lost else 200)

    def _acknowledge(self, payload: Mapping[str, Any], action: Mapping[str, Any]) -> HookAct:
        user = payload.get("user")
        member = str(cast("dict[str, Any]", user).get("id", "")) if isinstance(user, dict) else ""
        notice_id, moment = str(action.get("value", "")), str(action.get("action_ts", ""))
        if not (_MEMBER.fullmatch(member) and _NOTICE.fullmatch(notice_id) and _TS.fullmatch(moment)):
            raise HookRefused(Distrust.UNREADABLE, "the press names no user, notice or time")
        person = self._context.people.person_by_slack(member)
        by = f"person:{person}" if person else f"slack:{member}"
        return Acknowledge(f"slack:{notice_id}:{member}:{moment}/acknowledged", by, "in Slack", notice_id=notice_id)


def _check(request: HookRequest, secrets: Sequence[str], now: datetime) -> None:
    """Raises HookRefused: not signed, not by Slack, or not lately."""
    stamp = request.headers.get("x-slack-request-timestamp", "")
    given = request.headers.get("x-slack-signature", "")
    if not secrets or not given.startswith("v0=") or not re.fullmatch("[0-9]{1,12}", stamp):
        raise HookRefused(Distrust.UNSIGNED, "the request carries no signature of Slack")
    base = b"v0:" + stamp.encode() + b":" + request.body
    offered = given.encode("utf-8", "surrogatepass")
    wanted = [b"v0=" + hmac.digest(secret.encode(), base, hashlib.sha256).hex().encode() for secret in secrets]
    if not sum(hmac.compare_digest(each, offered) for each in wanted):
        raise HookRefused(Distrust.SIGNATURE, "the signature of Slack is wrong: check signing_secret")
    if abs(now - datetime.fromtimestamp(int(stamp), UTC)) > FRESH:
        raise HookRefused(Distrust.EXPIRED, "the request of Slack is older than five minutes, or a clock is wrong")


def _objects(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _payload(body: bytes) -> dict[str, Any]:
    try:
        form = parse_qs(body.decode("utf-8"), strict_parsing=True, max_num_fields=10)
        payload = json.loads(form["payload"][0])
    except (ValueError, KeyError, RecursionError) as error:
        raise HookRefused(
            Distrust.UNREADABLE, f"the body of Slack is not understood: {type(error).__name__}"
        ) from error
    if not isinstance(payload, dict):
        raise HookRefused(Distrust.UNREADABLE, "the payload of Slack is no object")
    return cast("dict[str, Any]", payload)
