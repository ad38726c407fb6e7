"""Slack's Web API through its own client, on Watchtower's guarded HTTP. The only file that knows slack_sdk.

Source: Slack's error tables of chat.postMessage and conversations.history; HTTP 200 with `ok: false` is an error.
"""

from collections.abc import Mapping
from typing import Any, cast
from urllib.request import Request

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from alerting.channels.outward import USER_AGENT, accepted, json_object
from watchtower.errors import DeliveryError, Permanent, Reason, Transient
from watchtower.ports import ChannelContext

# chat.postMessage, "Errors": these two say themselves that some of the work may have been done.
_UNKNOWN = {"internal_error", "fatal_error", "request_timeout"}
_LATER = _UNKNOWN | {"ratelimited", "rate_limited", "service_unavailable", "accesslimited", "team_added_to_org"}
_LOGIN = {
    *("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission"),
    *("missing_scope", "not_allowed_token_type", "access_denied", "org_login_required", "ekm_access_denied"),
    *("two_factor_setup_required", "enterprise_is_restricted", "restricted_action", "missing_charset"),
}
_ABSENT = {"channel_not_found", "not_in_channel", "is_archived", "user_not_found", "message_not_found"}
_TOO_LARGE = {"msg_too_long", "msg_blocks_too_long", "metadata_too_large"}
_REMEDIES = {
    "not_in_channel": "invite the app to the channel: /invite @<app>",
    "channel_not_found": "check the channel; a private one must have the app invited",
    "is_archived": "unarchive the channel or name another one",
    "missing_scope": "the token needs chat:write, and channels:history or groups:history to look up",
}
_REASONS = ((_LOGIN, Reason.AUTH), (_ABSENT, Reason.NOT_FOUND), (_TOO_LARGE, Reason.TOO_LARGE))


class SlackApi(WebClient):
    """Slack's client without its own ways out: no redirect, no proxy from the environment, no retry (its default posts
    again after a reset connection), and errors that say whether the request may have arrived."""

    def __init__(
        self, context: ChannelContext, base_url: str, token: str, timeout_s: float, ca_file: str | None
    ) -> None:
        # slack_sdk types its dictionaries without their contents.
        super().__init__(token, base_url, retry_handlers=[], headers={"User-Agent": USER_AGENT})  # pyright: ignore[reportUnknownMemberType]
        self._context, self._timeout_s, self._ca_file = context, timeout_s, ca_file

    def call(self, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call a method that writes; its parameters go as JSON. The answer is `ok`."""
        return self._checked(method, json=dict(body))

    def read(self, method: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Call a method that reads; its parameters go as a form."""
        return self._checked(method, http_verb="GET", params=dict(asked))

    def _checked(self, method: str, **how: Any) -> dict[str, Any]:
        try:
            return cast("dict[str, Any]", self.api_call(method, **how).data)  # pyright: ignore[reportUnknownMemberType]  # untyped dicts
        except SlackApiError as error:
            answer = cast("Mapping[str, Any]", error.response)
            raise _refusal(method, str(answer.get("error") or "no error code"), answer) from error

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        who = f"slack {url.removeprefix(self.base_url).partition('?')[0]}"
        answer = self._context.http.request(
            req.get_method(),
            url,
            headers={name: str(value) for name, value in req.header_items()},
            body=cast("bytes | None", req.data) or b"",
            timeout_s=self._timeout_s,
            ca_file=self._ca_file,
        )
        json_object(accepted(answer, self._context.clock.now(), who), who)
        return {"status": 200, "headers": dict(answer.headers), "body": answer.body.decode("utf-8")}


class SlackRefusal(Permanent):
    """`ok: false`, with Slack's own error code."""

    def __init__(self, reason: Reason, message: str, code: str) -> None:
        self.code = code
        super().__init__(reason, message)


def _refusal(method: str, code: str, data: Mapping[str, Any]) -> DeliveryError:
    """What HTTP 200 with `ok: false` means (Slack's error tables of chat.postMessage and conversations.history)."""
    detail = f" (needs {data['needed']})" if data.get("needed") else ""
    message = f"slack {method}: {code}{detail}"
    if code in _LATER:
        limited = code in ("ratelimited", "rate_limited")
        reason = Reason.RATE_LIMITED if limited else Reason.SERVER_ERROR
        asked = data.get("retry_after")
        retry_after_s = float(asked) if isinstance(asked, int | float) else 30.0 if limited else None
        return Transient(reason, message, retry_after_s=retry_after_s, outcome_unknown=code in _UNKNOWN)
    reason = next((reason for codes, reason in _REASONS if code in codes), Reason.REJECTED)
    remedy = f"; {_REMEDIES[code]}" if code in _REMEDIES else ""
    return SlackRefusal(reason, message + remedy, code)
