"""Slack: one message per group episode, edited in place, with the news in its thread.

Sources: Slack's Web API reference (chat.postMessage, chat.update, conversations.history and .replies, message
metadata), Alertmanager's `slack_config`. Slack has no idempotency key: each message carries the notice's key in its
metadata, by which it is looked up after an unknown outcome. An incoming webhook (`api_url`) offers neither.
With a signing secret, pages carry a button that acknowledges them (`slack_hook`).
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar, cast

from pydantic import model_validator

from alerting.channels import blocks
from alerting.channels.outward import accepted, json_object, login_headers, reveal
from alerting.channels.settings import Address, HttpConfig, Literally, Settings
from alerting.channels.slack_api import SlackApi, SlackRefusal
from alerting.channels.slack_hook import SlackHook
from alerting.rendering import render
from watchtower.config.types import Duration
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import Notice, NoticeReason, Receipt, Severity
from watchtower.ports import ChannelContext
from watchtower.secrets import Secret

log = logging.getLogger(__name__)

BASE_URL = "https://slack.com/api/"
TIMEOUT_S = 10.0
EVENT_TYPE = "watchtower_notice"
CLOCK_MARGIN = timedelta(minutes=10)  # our clock against Slack's; the key is unique, so a wide search does no harm
PAGE_SIZE = 200
MAX_PAGES = 20
MAY_REPEAT = "This may repeat an earlier message: the answer to it never came."

_CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{7,}")
# The message was deleted, or the workspace forbids late edits: the news still goes to the thread or a new message.
_NOT_EDITABLE = {"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"}
_NO_THREAD = {"thread_not_found", "message_not_found", "cannot_reply_to_message", "restricted_action_thread_locked"}


class SlackConfig(Settings):
    """`slack_configs`, with Alertmanager's keys and `base_url`. Either a bot token (`app_token`, or Alertmanager's
    `api_url` of chat.postMessage with `http_config.authorization`) or an incoming webhook (`api_url`)."""

    send_resolved: bool = False
    api_url: Secret | None = None
    api_url_file: str | None = None
    app_token: Secret | None = None
    app_token_file: str | None = None
    app_url: Address | None = None
    base_url: Address | None = None
    signing_secret: Secret | None = None
    signing_secrets: tuple[Secret, ...] = ()
    channel: Literally = ""
    username: Literally = ""
    icon_emoji: Literally = ""
    icon_url: Literally = ""
    link_names: bool = False
    update_message: bool = True
    http_config: HttpConfig = HttpConfig()
    timeout: Duration = TIMEOUT_S
    actions: Any = None
    callback_id: Any = None
    color: Any = None
    fallback: Any = None
    fields: Any = None
    footer: Any = None
    image_url: Any = None
    message_text: Any = None
    mrkdwn_in: Any = None
    pretext: Any = None
    short_fields: Any = None
    text: Any = None
    thumb_url: Any = None
    title: Any = None
    title_link: Any = None

    global_keys: ClassVar[Mapping[str, str]] = {
        "api_url": "slack_api_url",
        "api_url_file": "slack_api_url_file",
        "app_token": "slack_app_token",
        "app_token_file": "slack_app_token_file",
        "app_url": "slack_app_url",
        "signing_secret": "slack_signing_secret",
        "http_config": "http_config",
    }
    alternatives: ClassVar[tuple[frozenset[str], ...]] = (
        frozenset({"api_url", "api_url_file", "app_token", "app_token_file"}),
    )
    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            *("actions", "callback_id", "color", "fallback", "fields", "footer", "image_url", "link_names"),
            *("message_text", "mrkdwn_in", "pretext", "short_fields", "text", "thumb_url", "title", "title_link"),
        }
    )

    @property
    def has_token(self) -> bool:
        """An incoming webhook needs no login, so a login beside api_url is Alertmanager's way to give a bot token."""
        return bool(self.app_token or self.app_token_file or self.http_config.authorization)

    @model_validator(mode="after")
    def _one_way_in(self) -> "SlackConfig":
        ways = [key for key in ("api_url", "api_url_file", "app_token", "app_token_file") if getattr(self, key)]
        if len(ways) != 1:
            found = f"found {' and '.join(ways)}" if ways else "found none"
            raise ValueError(f"give exactly one of app_token, app_token_file, api_url, api_url_file; {found}")
        if self.has_token and not self.channel:
            raise ValueError("channel: a bot token needs the channel to post to, e.g. C0123456789 or #alerts")
        return self

    @property
    def has_buttons(self) -> bool:
        """A press can be believed, and the message be changed after it."""
        return self.has_token and bool(self.signing_secret or self.signing_secrets)

    @property
    def shows_acks(self) -> bool:
        return self.has_token and self.update_message

    @property
    def needs_external_url(self) -> str:
        """Why `server.external_url` is needed; "" if it is not."""
        return "a button pressed in Slack cannot reach Watchtower" if self.has_buttons else ""

    def signers(self, context: ChannelContext) -> list[str]:
        """The secrets by which a press may be signed, read anew."""
        found = [*([self.signing_secret] if self.signing_secret else []), *self.signing_secrets]
        return [revealed for secret in found if (revealed := reveal(context, secret))]


class Slack:
    """Posts by a bot token; made as SlackIncoming when the configuration names an incoming webhook."""

    name: ClassVar[str] = "slack"
    Config: ClassVar[type[SlackConfig]] = SlackConfig
    Hook: ClassVar[type[SlackHook]] = SlackHook
    settle_s: ClassVar[float] = 10.0
    can_look_up: ClassVar[bool] = True
    keyed: ClassVar[bool] = False
    rings: ClassVar[bool] = False

    def __new__(cls, config: SlackConfig, context: ChannelContext) -> "Slack":
        made: type[Slack] = cls if config.has_token else SlackIncoming
        return object.__new__(made)

    def __init__(self, config: SlackConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context
        self._channel_id = config.channel if _CHANNEL_ID.fullmatch(config.channel) else ""

    def deliver(self, notice: Notice) -> Receipt:
        rendered = render(notice)
        root = notice.ref if self._config.update_message and notice.ref.get("ts") else None
        message = blocks.message(rendered, _who_has(notice), self._button(notice))
        if root is not None:
            self._edit(root, message)
            if notice.reason is NoticeReason.ACKNOWLEDGED:
                return self._receipt(root, notice, root)
            posted = self._reply(root, blocks.reply(rendered), notice)
            if posted is not None:
                return posted
        answer = self._call("chat.postMessage", self._post(message, notice))
        return self._receipt(answer, notice, None)

    def look_up(self, notice: Notice) -> Receipt | None:
        if notice.reason is NoticeReason.ACKNOWLEDGED:
            return None  # the message is only changed once more
        root = notice.ref if self._config.update_message and notice.ref.get("ts") else None
        oldest = f"{(notice.first_attempt_at - CLOCK_MARGIN).timestamp():.6f}"
        channel = str(root["channel"]) if root else self._find_channel()
        if not channel:
            return None
        asked = {"channel": channel, "oldest": oldest, "include_all_metadata": True, "limit": PAGE_SIZE}
        found: list[Mapping[str, Any]] = []
        try:
            if root:
                found = list(self._with_key(notice.key, "conversations.replies", {**asked, "ts": str(root["ts"])}))
            # A reply whose thread was gone is a message of its own.
            found = found or list(self._with_key(notice.key, "conversations.history", asked))
        except Permanent as error:
            # A page matters more than a repeat: who cannot look up sends again. `doctor` names the missing scope.
            log.warning("slack look-up refused", extra={"destination": notice.destination, "error": str(error)})
            return None
        if not found:
            return None
        first = min(found, key=lambda message: float(message["ts"]))
        return self._receipt({**first, "channel": channel}, notice, root, duplicates=len(found) - 1)

    # -- the calls ---------------------------------------------------------------------------------------------------

    def _button(self, notice: Notice) -> str:
        """The value of the button to acknowledge notice; "": it has none."""
        wanted = self._config.has_buttons and notice.incident_id is not None and notice.severity is Severity.PAGE
        is_open = bool(notice.firing) and notice.acknowledged_by is None and notice.reason is not NoticeReason.TEST
        return notice.id if wanted and is_open else ""

    def _edit(self, root: Mapping[str, Any], content: Mapping[str, Any]) -> None:
        metadata = _metadata(str(root.get("key", "")))
        try:
            self._call("chat.update", {**content, "channel": root["channel"], "ts": root["ts"], "metadata": metadata})
        except SlackRefusal as error:
            if error.code not in _NOT_EDITABLE:
                raise

    def _reply(self, root: Mapping[str, Any], content: Mapping[str, Any], notice: Notice) -> Receipt | None:
        """None: the thread is gone, so the notice needs a message of its own."""
        body = {**self._post(content, notice), "channel": root["channel"], "thread_ts": root["ts"]}
        try:
            return self._receipt(self._call("chat.postMessage", body), notice, root)
        except SlackRefusal as error:
            if error.code in _NO_THREAD:
                return None
            raise

    def _post(self, content: Mapping[str, Any], notice: Notice) -> dict[str, Any]:
        config = self._config
        shown = {"username": config.username, "icon_emoji": config.icon_emoji, "icon_url": config.icon_url}
        return {
            **content,
            **{name: value for name, value in shown.items() if value},
            "channel": self._channel_id or config.channel,
            "metadata": _metadata(notice.key),
            "unfurl_links": False,
            "unfurl_media": False,
        }

    def _with_key(self, key: str, method: str, asked: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The messages of ours that carry key. Reads at most MAX_PAGES pages."""
        cursor = ""
        for _ in range(MAX_PAGES):
            answer = self._call(method, {**asked, **({"cursor": cursor} if cursor else {})}, reads=True)
            for message in _objects(answer.get("messages")):
                metadata = message.get("metadata")
                payload = cast("dict[str, Any]", metadata).get("event_payload") if isinstance(metadata, dict) else None
                if isinstance(payload, dict) and cast("dict[str, Any]", payload).get("key") == key:
                    yield message
            cursor = _next_cursor(answer)
            if not cursor:
                return

    def _find_channel(self) -> str:
        """The id of the configured channel: history can only be read by id. "" if the token may not list channels."""
        name, cursor = self._config.channel.lstrip("#"), ""
        pages = 0 if self._channel_id else MAX_PAGES
        for _ in range(pages):
            asked = {"types": "public_channel,private_channel", "exclude_archived": True, "limit": PAGE_SIZE}
            try:
                answer = self._call(
                    "conversations.list", {**asked, **({"cursor": cursor} if cursor else {})}, reads=True
                )
            except Permanent as error:
                log.warning("slack channel list refused", extra={"channel": name, "error": str(error)})
                return ""
            ids = [str(one["id"]) for one in _objects(answer.get("channels")) if one.get("name") == name]
            self._channel_id = ids[0] if ids else ""
            cursor = _next_cursor(answer)
            if self._channel_id or not cursor:
                break
        return self._channel_id

    def _call(self, method: str, body: Mapping[str, Any], *, reads: bool = False) -> dict[str, Any]:
        config = self._config
        timeout_s = min(config.timeout or TIMEOUT_S, TIMEOUT_S)
        ca_file = config.http_config.tls_config.ca_file
        api = SlackApi(self._context, self._base_url(), self._token(), timeout_s, ca_file)
        return api.read(method, body) if reads else api.call(method, body)

    def _base_url(self) -> str:
        """The address of the Web API, with a trailing slash."""
        config = self._config
        given = config.base_url or config.app_url or reveal(self._context, config.api_url, config.api_url_file)
        return (given or BASE_URL).removesuffix("chat.postMessage").rstrip("/") + "/"

    def _token(self) -> str:
        config = self._config
        token = reveal(self._context, config.app_token, config.app_token_file)
        if token is None and config.http_config.authorization:
            login = config.http_config.authorization
            token = reveal(self._context, login.credentials, login.credentials_file)
        return token or ""

    def _receipt(
        self, message: Mapping[str, Any], notice: Notice, root: Mapping[str, Any] | None, duplicates: int = 0
    ) -> Receipt:
        channel, ts = message.get("channel"), message.get("ts")
        if not isinstance(channel, str) or not isinstance(ts, str):
            raise Transient(Reason.BAD_ANSWER, "slack: the answer names no channel and ts", outcome_unknown=True)
        self._channel_id = self._channel_id or channel
        ref = dict(root) if root else {"channel": channel, "ts": ts, "key": notice.key}
        return Receipt(f"slack:{channel}/{ts}", ref, duplicates)


class SlackIncoming(Slack):
    """An incoming webhook: a message each time; it can be neither edited nor found again."""

    settle_s: ClassVar[float] = 0.0
    can_look_up: ClassVar[bool] = False

    def deliver(self, notice: Notice) -> Receipt:
        config, context = self._config, self._context
        url = reveal(context, config.api_url, config.api_url_file) or ""
        content = blocks.message(render(notice), MAY_REPEAT if notice.attempt > 1 else "")
        shown = {"channel": config.channel, "username": config.username, "icon_emoji": config.icon_emoji}
        body = {**content, **{name: value for name, value in {**shown, "icon_url": config.icon_url}.items() if value}}
        headers = {**login_headers(context, config.http_config), "Content-Type": "application/json"}
        answer = context.http.request(
            "POST",
            url,
            headers=headers,
            body=json.dumps(body).encode(),
            timeout_s=min(config.timeout or TIMEOUT_S, TIMEOUT_S),
            ca_file=config.http_config.tls_config.ca_file,
        )
        accepted(answer, context.clock.now(), "slack incoming webhook")
        if answer.body.strip() != b"ok" and not json_object(answer, "slack incoming webhook").get("ok"):
            raise Permanent(Reason.REJECTED, "slack incoming webhook: HTTP 200 without ok")
        return Receipt(f"slack:webhook/{notice.key}")

    def look_up(self, notice: Notice) -> Receipt | None:
        return None


def _who_has(notice: Notice) -> str:
    """The last line of a message; "": nobody has it."""
    by = notice.acknowledged_by
    return f"Acknowledged by {by.removeprefix('person:').removeprefix('slack:')}." if by else ""


def _metadata(key: str) -> dict[str, Any]:
    return {"event_type": EVENT_TYPE, "event_payload": {"key": key}}


def _objects(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _next_cursor(answer: Mapping[str, Any]) -> str:
    found = answer.get("response_metadata")
    return str(cast("dict[str, Any]", found).get("next_cursor") or "") if isinstance(found, dict) else ""
