"""What every channel that speaks HTTP needs: secrets by reference, login headers, and what an answer's status means.

Statuses follow docs/channels.md, "What an answer means": a status that only a person can change is Permanent, all else
is repeated; after a 5xx the provider may have acted, so the outcome is unknown and is looked up before a repeat.
"""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from pydantic import SecretStr

from alerting.channels.settings import HttpConfig
from alerting.escaping import one_line
from watchtower.errors import DeliveryError, Permanent, Reason, Transient
from watchtower.ports import ChannelContext, HttpAnswer

USER_AGENT = "pipeline-watchtower"
MAX_RETRY_AFTER_S = 6 * 3600.0  # a provider cannot put an alert off for longer than an outage is survived


def reveal(context: ChannelContext, value: SecretStr | None, file: str | None = None) -> str | None:
    """The secret behind a value (`env:NAME`, `file:PATH`, … or itself) or behind Alertmanager's `*_file` key."""
    if value is not None:
        return context.secret(value.get_secret_value()).strip()
    return context.secret(f"file:{file}").strip() if file else None


def login_headers(context: ChannelContext, config: HttpConfig) -> dict[str, str]:
    """The headers that `http_config` asks for. Secrets are read anew at each call, so that they can be rotated."""
    headers: dict[str, str] = {}
    for name, header in config.http_headers.items():
        values = [*header.values, *(reveal(context, secret) or "" for secret in header.secrets)]
        values += [reveal(context, None, file) or "" for file in header.files]
        headers[one_line(name)] = one_line(", ".join(values))
    headers["User-Agent"] = USER_AGENT
    if config.authorization:
        secret = reveal(context, config.authorization.credentials, config.authorization.credentials_file)
        headers["Authorization"] = f"{config.authorization.type} {secret or ''}"
    elif config.basic_auth:
        password = reveal(context, config.basic_auth.password, config.basic_auth.password_file) or ""
        pair = f"{config.basic_auth.username}:{password}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    return headers


def failure(answer: HttpAnswer, who: str, now: datetime, remedy: str = "") -> DeliveryError:
    """What a status outside 2xx means. who: names the provider and the call, for the message; it holds no secret."""
    status = answer.status
    said = f"{who}: HTTP {status}" + _excerpt(answer)
    if status in (408, 425, 429) or status >= 500:
        reason = Reason.RATE_LIMITED if status == 429 else Reason.SERVER_ERROR
        # 429 is "not processed" with every provider of table 2a; after 5xx and 408 it may have been.
        unknown = status not in (425, 429)
        return Transient(reason, said, retry_after_s=retry_after_s(answer.headers, now), outcome_unknown=unknown)
    if status in (401, 403, 407):
        return Permanent(Reason.AUTH, f"{said}; {remedy or 'check the credentials and what they may do'}")
    if status in (404, 410):
        return Permanent(Reason.NOT_FOUND, f"{said}; {remedy or 'check the address'}")
    if status == 413:
        return Permanent(Reason.TOO_LARGE, said)
    if 300 <= status < 400:
        return Permanent(Reason.REJECTED, f"{said}: redirects are not followed; configure the final address")
    return Permanent(Reason.REJECTED, f"{said}{'; ' + remedy if remedy else ''}")


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Retry-After in its two forms (RFC 9110 §10.2.3), as seconds from now; None if absent or unreadable."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER_S)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max(0.0, (when - now).total_seconds()), MAX_RETRY_AFTER_S)


def json_object(answer: HttpAnswer, who: str) -> dict[str, Any]:
    """The answer's JSON object. Anything else after a 2xx leaves the outcome unknown."""
    value = json_value(answer, who)
    if not isinstance(value, dict):
        message = f"{who}: HTTP {answer.status} with {type(value).__name__} where an object was expected"
        raise Transient(Reason.BAD_ANSWER, message, outcome_unknown=True)
    return cast("dict[str, Any]", value)


def json_value(answer: HttpAnswer, who: str) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        kind = answer.headers.get("content-type", "no content type")
        message = f"{who}: HTTP {answer.status} with a body that is not JSON ({one_line(kind, 60)})"
        raise Transient(Reason.BAD_ANSWER, message, outcome_unknown=True) from error


def _excerpt(answer: HttpAnswer) -> str:
    text = one_line(answer.body[:400].decode("utf-8", "replace"), 200)
    return f" {text}" if text else ""
