"""What every channel that speaks HTTP needs: secrets by reference, login headers, and answers that are as they should.

Statuses follow docs/channels.md, "What an answer means"; whatever else is wrong with a 2xx leaves the outcome unknown.
"""

import base64
import json
from datetime import datetime
from typing import Any, cast

from alerting.channels.settings import HttpConfig
from alerting.escaping import one_line
from watchtower.errors import ConfigError, Permanent, Reason, Transient
from watchtower.outbound import raise_for_status
from watchtower.ports import ChannelContext, HttpAnswer
from watchtower.secrets import Secret

USER_AGENT = "pipeline-watchtower"
_REMEDIES = {
    Reason.AUTH: "check the credentials and what they may do",
    Reason.NOT_FOUND: "check the address",
}


def reveal(context: ChannelContext, value: Secret | None, file: str | None = None) -> str | None:
    """The secret behind a value or behind Alertmanager's `*_file` key, None where neither is given. Raises
    Transient(AUTH) while it cannot be read: it may be in the middle of a rotation."""
    try:
        if value is not None:
            return value.reveal()
        return context.secret(f"file:{file}") if file else None
    except ConfigError as error:
        raise Transient(Reason.AUTH, str(error)) from error


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


def accepted(answer: HttpAnswer, now: datetime, what: str, remedy: str = "") -> HttpAnswer:
    """answer itself if it is 2xx; otherwise raises what its status means (watchtower.outbound.answers), with a remedy.
    what: names the provider and the call, for the message; it holds no secret."""
    try:
        return raise_for_status(answer, now, what)
    except Permanent as error:
        told = remedy or _REMEDIES.get(error.reason, "")
        raise Permanent(error.reason, f"{error}; {told}" if told else str(error)) from error


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
