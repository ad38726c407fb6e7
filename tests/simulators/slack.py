"""Slack's Web API and incoming webhooks, as far as Watchtower uses them, with what hurts: errors come as HTTP 200, one
message a second a channel, a repeated post is a second message, history needs a channel id and shows metadata only when
asked."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from tests.simulators.http import HttpSimulator, Recorded, Reply

TOKEN = "xoxb-simulator"
CHANNELS = {"C0000000001": "alerts", "C0000000002": "quiet", "C0000000003": "old"}
SCOPES = frozenset({"chat:write", "channels:history", "groups:history", "channels:read"})


@dataclass(slots=True)
class Message:
    """One message that people see. edits: how often it was changed since."""

    channel: str
    ts: str
    content: Mapping[str, Any]
    thread_ts: str | None = None
    edits: int = 0
    history: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    @property
    def key(self) -> str:
        metadata: Any = self.content.get("metadata") or {}
        return str(metadata.get("event_payload", {}).get("key", ""))


class SlackSimulator(HttpSimulator):
    """ledger: the messages, in order. refuse_with: a Slack error code for the next call of a method."""

    ledger: list[Message]

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.scopes = set(SCOPES)
        self.members = {"C0000000001", "C0000000003"}
        self.archived = {"C0000000003"}
        self.rate_limit_s = 0.0
        self._refusals: dict[str, list[str]] = {}
        self._last_post: dict[str, datetime] = {}
        self._count = 0

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    @property
    def webhook_url(self) -> str:
        return f"{self.url}/services/T000/B000/secret"

    def refuse_with(self, method: str, *codes: str) -> None:
        self._refusals.setdefault(method, []).extend(codes)

    def delete(self, ts: str) -> None:
        """A person deletes a message."""
        self.ledger[:] = [message for message in self.ledger if message.ts != ts]

    def changes_something(self, request: Recorded) -> bool:
        return "conversations." not in request.path

    def answer(self, request: Recorded) -> Reply:
        if request.path.startswith("/services/"):
            return self._incoming(request)
        method = request.path.removeprefix("/api/")
        handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "conversations.list": self._list,
        }
        if method not in handlers:
            return Reply.of_json({"ok": False, "error": "unknown_method"})
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply.of_json({"ok": False, "error": "invalid_auth"})
        if self._refusals.get(method):
            return Reply.of_json({"ok": False, "error": self._refusals[method].pop(0)})
        is_json = "json" in request.headers.get("content-type", "")
        return Reply.of_json(handlers[method](request.json if is_json else request.form))

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(body.get("channel", ""))
        if channel is None:
            return {"ok": False, "error": "channel_not_found"}
        if channel in self.archived:
            return {"ok": False, "error": "is_archived"}
        if channel not in self.members:
            return {"ok": False, "error": "not_in_channel"}
        last = self._last_post.get(channel)
        if self.rate_limit_s and last and self.now - last < timedelta(seconds=self.rate_limit_s):
            return {"ok": False, "error": "ratelimited"}
        self._last_post[channel] = self.now
        message = Message(channel, self._next_ts(), body, body.get("thread_ts"))
        self.ledger.append(message)
        return {"ok": True, "channel": channel, "ts": message.ts, "message": dict(body)}

    def _update(self, body: dict[str, Any]) -> dict[str, Any]:
        for message in self.ledger:
            if message.channel == body.get("channel") and message.ts == body.get("ts"):
                message.history.append(message.content)
                message.content = {**message.content, **body}
                message.edits += 1
                return {"ok": True, "channel": message.channel, "ts": message.ts, "text": body.get("text", "")}
        return {"ok": False, "error": "message_not_found"}

    def _history(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._page(asked, [message for message in self.ledger if not message.thread_ts])

    def _replies(self, asked: dict[str, Any]) -> dict[str, Any]:
        root = str(asked.get("ts", ""))
        if not any(message.ts == root for message in self.ledger):
            return {"ok": False, "error": "thread_not_found"}
        return self._page(asked, [message for message in self.ledger if root in (message.ts, message.thread_ts)])

    def _page(self, asked: dict[str, Any], messages: list[Message]) -> dict[str, Any]:
        if "channels:history" not in self.scopes:
            return {"ok": False, "error": "missing_scope", "needed": "channels:history", "provided": "chat:write"}
        channel = str(asked.get("channel", ""))
        if channel not in CHANNELS:
            return {"ok": False, "error": "channel_not_found"}  # also for names: history knows ids only
        oldest, limit, start = (
            float(asked.get("oldest") or 0),
            int(asked.get("limit") or 100),
            int(asked.get("cursor") or 0),
        )
        found = [one for one in reversed(messages) if one.channel == channel and float(one.ts) >= oldest]
        shown = [self._shown(one, asked) for one in found[start : start + limit]]
        more = str(start + limit) if len(found) > start + limit else ""
        return {"ok": True, "messages": shown, "has_more": bool(more), "response_metadata": {"next_cursor": more}}

    def _shown(self, message: Message, asked: dict[str, Any]) -> dict[str, Any]:
        shown = {"type": "message", "ts": message.ts, "text": message.content.get("text", "")}
        if message.thread_ts:
            shown["thread_ts"] = message.thread_ts
        if str(asked.get("include_all_metadata")) in ("1", "true", "True"):
            shown["metadata"] = message.content.get("metadata", {})
        return shown

    def _list(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "channels:read" not in self.scopes:
            return {"ok": False, "error": "missing_scope", "needed": "channels:read", "provided": "chat:write"}
        channels = [{"id": ident, "name": name} for ident, name in CHANNELS.items()]
        return {"ok": True, "channels": channels, "response_metadata": {"next_cursor": ""}}

    def _incoming(self, request: Recorded) -> Reply:
        try:
            body: Any = json.loads(request.body)
        except ValueError:
            return Reply(400, b"invalid_payload")
        if not body.get("text"):
            return Reply(400, b"no_text")
        self.ledger.append(Message("C0000000001", self._next_ts(), body))
        return Reply(200, b"ok", {"Content-Type": "text/html"})

    def _channel(self, name: str) -> str | None:
        by_name = {name: ident for ident, name in CHANNELS.items()}
        return name if name in CHANNELS else by_name.get(name.lstrip("#"))

    def _next_ts(self) -> str:
        self._count += 1
        return f"{int(self.now.timestamp())}.{self._count:06d}"


def button_of(message: Message) -> Mapping[str, Any] | None:
    """The button that message shows as it stands; None: it has none."""
    elements = [
        element
        for block in message.content.get("blocks", ())
        if block["type"] == "actions"
        for element in block["elements"]
    ]
    return elements[0] if elements else None


def press(message: Message, member: str, now: datetime) -> bytes:
    """What Slack posts when a member presses the button of message (its page on `block_actions` payloads)."""
    button = button_of(message)
    assert button is not None, "there is no button to press"
    payload = {
        "type": "block_actions",
        "user": {"id": member, "username": "somebody", "team_id": "T0000000001"},
        "api_app_id": "A0000000001",
        "team": {"id": "T0000000001", "domain": "example"},
        "channel": {"id": message.channel, "name": CHANNELS[message.channel]},
        "container": {"type": "message", "message_ts": message.ts, "channel_id": message.channel},
        "trigger_id": "1234567890.1234567890.abcdef",
        "response_url": "https://hooks.slack.com/actions/T0000000001/1/x",
        "message": dict(message.content),
        "actions": [
            {
                "type": "button",
                "action_id": button["action_id"],
                "block_id": "=qXel",
                "value": button["value"],
                "action_ts": f"{now.timestamp():.6f}",
            }
        ],
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


def signed(body: bytes, secret: str, now: datetime) -> dict[str, str]:
    """The headers with which Slack signs body ("Verifying requests from Slack")."""
    stamp = str(int(now.timestamp()))
    mac = hmac.digest(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hex()
    return {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={mac}",
    }
