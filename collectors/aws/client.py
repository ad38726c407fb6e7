"""Clients of AWS: the only place that knows its SDK. Every request passes the guard of outbound addresses.

The SDK comes with the extra `aws`. Credentials are those of its usual chain (environment, profile, instance role), or
of a role that is assumed. No proxy of the environment is used, and nothing is redirected past the guard.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import msgspec
from pydantic import Field

from collectors.asking import check_address
from collectors.polled import http_date
from watchtower.config.types import Section, WebAddress
from watchtower.errors import ConfigError, DeliveryError, Fault, Permanent, Reason, Transient
from watchtower.outbound import retry_after_s

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
ATTEMPTS = 5  # the SDK's own, with growing pauses
SESSION = "watchtower"
_JSON = ("json", "rest-json")  # protocols of services
_REMEDY = "see whether its credentials stand and have the permissions that docs/aws.md and docs/costs.md list"
_MISSING = "boto3 is not installed"
_INSTALL = "install the extra: pip install 'pipeline-watchtower[aws]'"

_THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "LimitExceededException", "RequestLimitExceeded", "TooManyRequestsException"}
    | {"SlowDown", "RequestThrottled", "RequestThrottledException"}
)
_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId", "ExpiredToken"}
    | {"ExpiredTokenException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "OptInRequired"}
)
_ABSENT = frozenset({"NoSuchBucket", "NoSuchKey", "404"})


class _NoAnswer(Exception):
    """What came is none of the service's answers."""


class AwsConfig(Section):
    """Keys that every source at AWS takes."""

    region: str = Field(default="us-east-1", description="of the service; Cost Explorer is in us-east-1 only")
    role: str | None = Field(
        default=None, pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$", description="ARN of a role to assume"
    )
    endpoint_url: WebAddress | None = Field(default=None, description="another address than AWS's own")


def require(check: Callable[[str], None], config: AwsConfig, path: str) -> None:
    """Raises ConfigError if the SDK is not there, or the guard (check) refuses the configured address."""
    if find_spec("boto3") is None:
        raise ConfigError([Fault(path, _MISSING, _INSTALL)])
    if config.endpoint_url:
        check_address(check, config.endpoint_url, f"{path}.endpoint_url")


def client(service: str, config: AwsConfig, check: Callable[[str], None], keys: tuple[str, str] | None = None) -> Any:
    """A client of service, e.g. `s3`, with fresh credentials. keys: id and secret in place of the usual chain's."""
    import boto3  # noqa: PLC0415 - an extra
    from botocore.config import Config  # noqa: PLC0415

    settings = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        proxies={},  # not even those of the environment
        inject_host_prefix=config.endpoint_url is None,  # an address that is given is taken as it is
        s3={"addressing_style": "path" if config.endpoint_url else "auto"},
        region_name=config.region,
    )
    factory: Any = boto3.session.Session(region_name=config.region)

    def look(request: Any, **_: Any) -> None:
        check(request.url)

    def guarded(name: str, **credentials: str) -> Any:
        made = factory.client(name, endpoint_url=config.endpoint_url, config=settings, **credentials)
        made.meta.events.register("before-send", look)
        made.meta.events.register("before-parse", _require_answer)
        return made

    own = {"aws_access_key_id": keys[0], "aws_secret_access_key": keys[1]} if keys else {}
    if config.role is None:
        return guarded(service, **own)
    with translated("sts AssumeRole"):
        given = guarded("sts", **own).assume_role(RoleArn=config.role, RoleSessionName=SESSION)["Credentials"]
    return guarded(
        service,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def _require_answer(operation_model: Any, response_dict: Any, **_: Any) -> None:
    """Raises _NoAnswer where no JSON object came: the SDK would read it as one that says nothing, and a page of HTML
    as no runs at all."""
    is_json = operation_model.service_model.resolved_protocol in _JSON and not operation_model.has_streaming_output
    if response_dict["status_code"] >= 300 or operation_model.output_shape is None or not is_json:
        return
    body = response_dict["body"]
    try:
        is_object = isinstance(msgspec.json.decode(body), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        is_object = False
    if not is_object:
        looks_html = body.lstrip()[:1] == b"<"
        said = "HTML, not JSON" if looks_html else "no JSON object" if body else "empty"
        raise _NoAnswer(f"the answer is {said}; is something between here and AWS, or `endpoint_url` wrong?")


@contextmanager
def translated(what: str) -> Generator[None]:
    """The SDK's errors become ours. what: the call, for messages."""
    from botocore.exceptions import (  # noqa: PLC0415 - an extra
        BotoCoreError,
        ClientError,
        ConnectionError,
        HTTPClientError,
        NoCredentialsError,
        PartialCredentialsError,
        ReadTimeoutError,
    )
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    try:
        yield
    except DeliveryError:
        raise
    except _NoAnswer as error:
        raise Transient(Reason.BAD_ANSWER, f"{what}: {error}") from error
    except ResponseParserError as error:
        raise Transient(Reason.BAD_ANSWER, f"{what}: the answer cannot be read: {str(error)[:300]}") from error
    except ClientError as error:
        raise _said(what, error.response) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise Permanent(Reason.AUTH, f"{what}: {error}; give this process credentials, or name a `role`") from error
    except ReadTimeoutError as error:
        raise Transient(Reason.TIMEOUT, f"{what}: {error}") from error
    except (ConnectionError, HTTPClientError) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, DeliveryError):
            raise cause from error
        raise Transient(Reason.CONNECT, f"{what}: {error}") from error
    except BotoCoreError as error:
        raise Permanent(Reason.REJECTED, f"{what}: {error}") from error


def _said(what: str, response: Any) -> DeliveryError:
    code = str(response.get("Error", {}).get("Code", ""))
    message = f"{what}: {code}: {response.get('Error', {}).get('Message', '')}"
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _THROTTLED or status == 429:
        return Transient(Reason.RATE_LIMITED, message, retry_after_s=_asked_s(response))
    if code in _DENIED or status in (401, 403):
        return Permanent(Reason.AUTH, f"{message}; {_REMEDY}")
    if status >= 500:
        return Transient(Reason.SERVER_ERROR, message, retry_after_s=_asked_s(response))
    if code in _ABSENT or status == 404:
        return Permanent(Reason.NOT_FOUND, message)
    return Permanent(Reason.REJECTED, message)


def _asked_s(response: Any) -> float | None:
    """What it says under Retry-After, in seconds."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    told_at = http_date(headers.get("date"))
    return retry_after_s(headers, told_at) if told_at else None
