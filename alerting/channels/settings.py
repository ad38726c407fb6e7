"""The parts of a destination's configuration that several channels share, in Alertmanager's own keys.

Source: Alertmanager's configuration documentation (`http_config`, `tls_config`, durations). A key that Watchtower
cannot honour is refused with the remedy, or, where a default does no harm, named by `warnings`;
never dropped in silence.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from watchtower.errors import Fault
from watchtower.secrets import Secret

REFERENCE = re.compile(r"[a-z][a-z-]*:(?!//)")  # env:NAME, file:PATH, and those of later vaults


def literal(value: object) -> object:
    if isinstance(value, str) and "{{" in value:
        raise ValueError(f"{value!r} is a Go template, which Watchtower does not run; write the value itself")
    return value


Literally = Annotated[str, BeforeValidator(literal)]  # a text on which delivery depends: no template can stand here


def address(value: str) -> str:
    """value, if it is an address over HTTP. Raises ValueError: else it would be refused only when somebody must be
    told."""
    scheme, _, rest = value.partition("://")
    if scheme.lower() in ("http", "https") and rest.strip("/"):
        return value
    if REFERENCE.match(value):
        raise ValueError(f"{value!r} is a reference, and an address is no secret; write it out: https://…")
    raise ValueError(f"{value!r} is no address; write it with its scheme: https://…")


Address = Annotated[Literally, AfterValidator(address)]  # of a provider's API


class Settings(BaseModel):
    """Base of every destination's Config. global_keys: key of this config → key of the file's `global` section that
    gives its default. alternatives: keys of which one given here keeps the others from taking a global default.
    ignored: text keys of Alertmanager that are accepted, and replaced by Watchtower's own text."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    global_keys: ClassVar[Mapping[str, str]] = {}
    alternatives: ClassVar[tuple[frozenset[str], ...]] = ()
    ignored: ClassVar[frozenset[str]] = frozenset()

    def warnings(self) -> tuple[Fault, ...]:
        """What is accepted and not done as written. Paths are relative to this destination."""
        return tuple(self._warnings())

    def _warnings(self) -> Iterator[Fault]:
        for key in sorted(self.ignored & self.model_fields_set):
            remedy = "remove the key; the default text says what, since when, whose, and why"
            yield Fault(key, "not used: Watchtower writes its own text and runs no Go templates", remedy)
        http = getattr(self, "http_config", None)
        if isinstance(http, HttpConfig) and http.follow_redirects:
            yield Fault("http_config.follow_redirects", "redirects are never followed", "configure the final address")


def refuse(data: Any, remedies: Mapping[str, str]) -> Any:
    """Raise ValueError for the first key of raw input that is set and cannot be honoured, with its remedy."""
    given = cast("dict[str, Any]", data if isinstance(data, dict) else {})
    for key, remedy in remedies.items():
        if given.get(key):
            raise ValueError(f"{key}: {remedy}")
    return cast(Any, data)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BasicAuth(_Part):
    username: str = ""
    password: Secret | None = None
    password_file: str | None = None


class Authorization(_Part):
    type: str = "Bearer"
    credentials: Secret | None = None
    credentials_file: str | None = None


class HttpHeader(_Part):
    values: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    files: tuple[str, ...] = ()


class TlsConfig(_Part):
    """Server certificates are always checked; a private authority is named by ca_file."""

    ca_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: Literal[False] = False
    min_version: Literal["TLS12", "TLS13"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _say_what_is_missing(cls, data: Any) -> Any:
        proxy = "not supported; use a proxy that presents the client certificate"
        unchecked = "refused; name the server's authority in ca_file instead"
        return refuse(data, {"insecure_skip_verify": unchecked, "cert_file": proxy, "key_file": proxy})


class HttpConfig(_Part):
    """How to reach a provider over HTTP. Redirects are never followed and no proxy is read from the environment."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls_config: TlsConfig = TlsConfig()
    follow_redirects: bool = False
    enable_http2: bool = False
    http_headers: Mapping[str, HttpHeader] = {}

    @model_validator(mode="before")
    @classmethod
    def _say_what_is_missing(cls, data: Any) -> Any:
        direct = "not supported; give the provider's address by url, api_url or base_url"
        proxies = ("proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header")
        return refuse(data, {**dict.fromkeys(proxies, direct), "oauth2": "not supported; use authorization"})

    @model_validator(mode="after")
    def _one_login(self) -> "HttpConfig":
        if self.basic_auth and self.authorization:
            raise ValueError("basic_auth and authorization exclude each other; keep one")
        return self
