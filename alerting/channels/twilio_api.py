"""Twilio's API through its own client, on Watchtower's guarded HTTP. The only file that knows the twilio package.

Sources: Twilio's pages of the Message and Call resources, its error dictionary, and "Webhooks security". A POST is not
idempotent: after a 5xx it may have been done, after a 429 it was not (error 20429).
"""

import base64
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlencode

from twilio.base.exceptions import TwilioException
from twilio.http import HttpClient as TwilioHttp
from twilio.http.response import Response
from twilio.request_validator import RequestValidator, get_signature_algorithm  # pyright: ignore[reportUnknownVariableType]  # untyped
from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallInstance
from twilio.rest.api.v2010.account.message import MessageInstance

from alerting.channels.outward import USER_AGENT, accepted, json_object
from alerting.channels.phone import TIMEOUT_S, PhoneConfig, masked
from alerting.escaping import one_line
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.hook import Distrust, HookRefused
from watchtower.ports import ChannelContext, HttpAnswer

T = TypeVar("T")

PAGE_SIZE = 100
MOST_LISTED = 1_000
SIGNATURE = "x-twilio-signature"
SETTINGS = "x-twilio-webhooks-signature-settings"

# Twilio's error dictionary. LATER: nothing was done, and the same request may succeed after a while.
_LATER = {20429, 20503, 14107, 21611, 10004, 30001, 30022}
_REMEDIES: Mapping[int, str] = {
    20003: "check account_sid with auth_token, or api_key with api_secret",
    20005: "the account is not active; see the Twilio console",
    21210: "`from` is no verified caller id of this account",
    21211: "`to` is no valid number",
    21212: "`from` is no valid number",
    21214: "`to` cannot be reached",
    21215: "allow calls to this country in Twilio's voice geographic permissions",
    21216: "Twilio does not let this account call this number",
    21217: "`to` is no valid number",
    21219: "a trial account calls verified numbers only",
    21408: "allow messages to this country in Twilio's messaging geographic permissions",
    21603: "give `from` or `messaging_service_sid`",
    21606: "`from` cannot send text messages, or is of another account",
    21608: "a trial account texts verified numbers only",
    21610: "the receiver has answered STOP; they must text START to `from`",
    21612: "Twilio has no route from this sender to this number",
    21614: "`to` is no mobile number",
    21701: "there is no such messaging service in this account",
    21703: "the messaging service has no sender",
}
_SENT_TOO_LONG = {21605, 21617}


class TwilioApi:
    """Twilio's client without its own ways out: no redirect, no proxy and no login from the environment, and errors
    that say whether the request may have been carried out."""

    def __init__(self, context: ChannelContext, config: PhoneConfig) -> None:
        user, password = config.login(context)
        self._client = Client(
            user,
            password,
            config.account_sid,
            http_client=_GuardedHttp(context, config),
            environment={"TWILIO_EDGE": ""},  # an empty mapping would mean the process's own environment
        )
        self._client.api.base_url = config.base_url.rstrip("/")

    def text(self, **fields: Any) -> MessageInstance:
        """POST Messages. fields: as `client.messages.create` has them."""
        return _with_sid("twilio message", lambda: self._client.messages.create(**fields))

    def call(self, **fields: Any) -> CallInstance:
        """POST Calls. fields: as `client.calls.create` has them."""
        return _with_sid("twilio call", lambda: self._client.calls.create(**fields))

    def texts(self, to: str, since: datetime) -> list[MessageInstance]:
        """Messages to a number that were made at since or later. Twilio's filter by date looks at when a message was
        sent, which a waiting one was not; so it is not used."""
        listed = self._client.messages.stream(to=to, page_size=PAGE_SIZE, limit=MOST_LISTED)
        return _young("twilio messages", listed, since)

    def calls(self, to: str, from_: str, since: datetime) -> list[CallInstance]:
        """Calls between two numbers that were made at since or later; by the same way, and for the same reason."""
        listed = self._client.calls.stream(to=to, from_=from_, page_size=PAGE_SIZE, limit=MOST_LISTED)
        return _young("twilio calls", listed, since)


class _GuardedHttp(TwilioHttp):
    def __init__(self, context: ChannelContext, config: PhoneConfig) -> None:
        self._timeout_s = min(config.timeout or TIMEOUT_S, TIMEOUT_S)
        super().__init__(logging.getLogger("twilio"), is_async=False, timeout=self._timeout_s)
        self._context = context
        self._to = config.to

    def request(  # noqa: PLR0917 - the signature is that of twilio's HttpClient
        self,
        method: str,
        uri: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Only 2xx with a JSON object comes back; everything else raises what it means."""
        said = {**(headers or {}), "User-Agent": f"{USER_AGENT} {(headers or {}).get('User-Agent', '')}".strip()}
        if auth:
            said["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        answer = self._context.http.request(
            method,
            uri + query,
            headers=said,
            body=urlencode(data or {}, doseq=True).encode() if method != "GET" else b"",
            timeout_s=self._timeout_s,
        )
        who = f"twilio {method} {uri.rpartition('/')[2]}"
        if answer.status >= 400:  # Twilio repeats the number, and what it says is shown in the ledger
            answer = replace(answer, body=answer.body.replace(self._to.encode(), masked(self._to).encode()))
        _refuse(answer, who)
        json_object(accepted(answer, self._context.clock.now(), who), who)
        return Response(answer.status, answer.body.decode("utf-8"), dict(answer.headers))


def _refuse(answer: HttpAnswer, who: str) -> None:
    """Raise for a 4xx that has one of Twilio's own error codes, which says more than the status."""
    code, message = _error(answer)
    if code is None or not 400 <= answer.status < 500 or answer.status == 429:
        return
    said = f"{who}: HTTP {answer.status}, error {code}: {one_line(message, 200)}"
    if code in _LATER:
        raise Transient(Reason.RATE_LIMITED, said, retry_after_s=30.0)
    remedy = f"; {_REMEDIES[code]}" if code in _REMEDIES else ""
    if answer.status in (401, 403) and code in (20003, 20005):
        raise Permanent(Reason.AUTH, said + remedy)
    if code in _SENT_TOO_LONG:
        raise Permanent(Reason.TOO_LARGE, said)
    if remedy:
        raise Permanent(Reason.REJECTED, said + remedy)


def _error(answer: HttpAnswer) -> tuple[int | None, str]:
    """Twilio's code and message; older answers have `message`, newer ones (RFC 9457) `detail` and `title`."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None, ""
    if not isinstance(value, dict):
        return None, ""
    found = cast("dict[str, Any]", value)
    code = found.get("code")
    message = found.get("message") or found.get("detail") or found.get("title") or ""
    return (code if isinstance(code, int) else None), str(message)


def _with_sid(who: str, create: Callable[[], T]) -> T:
    """What was made. Without a sid nothing proves that it was."""
    made = _understood(who, create)
    if not isinstance(getattr(made, "sid", None), str):
        raise Transient(Reason.BAD_ANSWER, f"{who}: the answer names no sid", outcome_unknown=True)
    return made


def _young(who: str, listed: Iterator[T], since: datetime) -> list[T]:
    """Those of a list, newest first, that were made at since or later; it is read until a page's worth is older."""

    def read() -> list[T]:
        found: list[T] = []
        older = 0
        for item in listed:
            made_at = getattr(item, "date_created", None)
            if isinstance(made_at, datetime) and made_at < since:
                older += 1
                if older >= PAGE_SIZE:
                    break
                continue
            found.append(item)
        return found

    return _understood(who, read)


def _understood(who: str, work: Callable[[], T]) -> T:
    """What the client makes of an answer, or that it made nothing of it."""
    try:
        return work()
    except (TwilioException, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{who}: an answer that its client does not understand ({type(error).__name__})"
        raise Transient(Reason.BAD_ANSWER, message, outcome_unknown=True) from error


# -- what Twilio calls back ---------------------------------------------------------------------------------------

_FIELDS = 200


class Form(dict[str, str]):
    """The form of a callback. getlist: all values of a field, as the validator asks for them."""

    def __init__(self, body: bytes) -> None:
        """Raises HookRefused for what is no form."""
        try:
            self._pairs = parse_qsl(
                body.decode("utf-8"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict"
            )
        except ValueError as error:
            raise HookRefused(Distrust.UNREADABLE, f"the body is no form: {one_line(error, 80)}") from error
        super().__init__(self._pairs)

    def getlist(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]


def check_signature(url: str, form: Form, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    """Raise HookRefused unless one of secrets has signed url and form, by the account's token (HMAC-SHA1) or by a
    shared key (HMAC-SHA256, which its own header announces)."""
    signature = headers.get(SIGNATURE, "")
    if not signature:
        raise HookRefused(Distrust.UNSIGNED, "the callback has no X-Twilio-Signature")
    algorithm = str(get_signature_algorithm(headers.get(SETTINGS)))
    if not re.fullmatch(r"[A-Za-z0-9+/]{20,88}={0,2}", signature):
        raise HookRefused(Distrust.SIGNATURE, "X-Twilio-Signature is no signature")
    # No `any`: each secret is tried, whichever it is that fits.
    fits = [bool(cast("Any", RequestValidator(secret)).validate(url, form, signature, algorithm)) for secret in secrets]
    if True not in fits:
        raise HookRefused(
            Distrust.SIGNATURE,
            f"X-Twilio-Signature does not fit {one_line(url.partition('?')[0], 200)}; "
            "check auth_token, and that server.external_url is what Twilio calls",
        )
