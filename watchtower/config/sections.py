"""The sections that are taken as they are written: server, outbound, retention, storage, heartbeat."""

import re
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from watchtower.config.types import PositiveDuration, Section, Size, WebAddress
from watchtower.errors import BadInput
from watchtower.model.patterns import check
from watchtower.outbound import Network, parse_network
from watchtower.secrets import Secret

DEFAULT_LISTEN = "127.0.0.1:8642"
DEFAULT_OTLP_HTTP = "127.0.0.1:4318"  # the ports that OpenTelemetry's exporters use unless they are told another
DEFAULT_OTLP_GRPC = "127.0.0.1:4317"
OFF = "off"
_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]*)):(?P<port>[0-9]{1,5})")


def parse_listen(text: str) -> tuple[str, int]:
    """`127.0.0.1:8642`, `[::1]:8642`, `localhost:8642`, `:8642` (every address) → host and port; port 0 asks the
    system for a free one. Raises BadInput that shows the form."""
    found = _LISTEN.fullmatch(text.strip())
    if not found or int(found["port"]) > 65535:
        raise BadInput(f"listen address {text!r} is not of the form 127.0.0.1:8642, [::1]:8642 or :8642")
    return found["v6"] or found["host"] or "0.0.0.0", int(found["port"])  # noqa: S104 - said so by the form `:8642`


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a listener on host (`--no-auth` needs that)."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"listen address {value!r} is not of the form 127.0.0.1:8642; put it in quotes")
    try:
        parse_listen(value)
    except BadInput as error:
        raise ValueError(str(error)) from error
    return value.strip()


def _listen_or_off(value: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return OFF if value is False or value == OFF else _listen(value)


def _network(value: Any) -> Any:
    try:
        return str(parse_network(value))
    except BadInput as error:
        raise ValueError(str(error)) from error


Listen = Annotated[str, BeforeValidator(_listen, json_schema_input_type=str)]
ListenOrOff = Annotated[str, BeforeValidator(_listen_or_off, json_schema_input_type=str)]
NetworkText = Annotated[str, BeforeValidator(_network, json_schema_input_type=str)]


class ServerConfig(Section):
    """`server`: where Watchtower listens, and how people reach it."""

    listen: Listen = Field(default=DEFAULT_LISTEN, description="address and port of the web UI, the API and ingestion")
    external_url: WebAddress | None = Field(
        default=None, description="how people reach the web UI; links in messages begin with it"
    )
    otlp_http: ListenOrOff = Field(
        default=DEFAULT_OTLP_HTTP, description="address and port of OTLP over HTTP and nothing else, or `off`"
    )
    otlp_grpc: ListenOrOff = Field(
        default=DEFAULT_OTLP_GRPC, description="address and port of OTLP over gRPC, or `off`"
    )
    proxies: tuple[NetworkText, ...] = Field(
        default=(), description="proxies in front that are on other machines: who asked is whom they name as the client"
    )
    metrics_public: bool = Field(
        default=False,
        description="anybody may read Watchtower's own metrics at `/metrics`; those of pipelines always need a token",
    )
    metrics_pipelines: int = Field(
        default=1_000,
        ge=0,
        le=50_000,
        description="how many pipelines, and as many datasets, have series of their own at `/metrics`",
    )

    def is_said(self, key: str) -> bool:
        """Whether the file says it: what it says is had, or the start is refused."""
        return key in self.model_fields_set

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return parse_listen(self.listen)

    @property
    def url(self) -> str:
        """external_url, else the address it listens on, without a trailing slash."""
        host, port = self.address
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host) or (f"[{host}]" if ":" in host else host)  # noqa: S104 - compared, not bound
        return (self.external_url or f"http://{shown}:{port}").rstrip("/")


class OutboundConfig(Section):
    """`outbound`: which inner networks Watchtower may speak to."""

    allow: tuple[NetworkText, ...] = Field(
        default=(), description="networks that may be reached although they are not public; plain http is allowed there"
    )

    @property
    def networks(self) -> tuple[Network, ...]:
        return tuple(parse_network(text) for text in self.allow)


class RetentionConfig(Section):
    """`retention`: how long each class of data is kept. What is still open is never deleted."""

    facts: PositiveDuration = Field(default=30 * 86_400.0, description="events as they were received")
    runs: PositiveDuration = Field(default=400 * 86_400.0, description="runs and their tasks")
    alerts: PositiveDuration = Field(
        default=400 * 86_400.0, description="alerts, incidents, and the ledger of what was sent"
    )
    traces: PositiveDuration = Field(
        default=14 * 86_400.0, description="whole spans of failed, slow and sampled runs; of all others a day"
    )
    quarantine: PositiveDuration = Field(default=30 * 86_400.0, description="input that could not be folded")
    series: PositiveDuration = Field(default=90 * 86_400.0, description="samples of series")

    @field_validator("facts", "runs", "alerts", "traces", "quarantine", "series")
    @classmethod
    def _at_least_a_day(cls, seconds: float) -> float:
        if seconds < 86_400:
            raise ValueError("is shorter than 1d; keep at least a day")
        return seconds

    def days(self, name: str) -> int:
        """Whole days, for the store: `facts`, `runs`, `alerts`, `quarantine` or `series`."""
        return int(getattr(self, name) // 86_400)


class StorageConfig(Section):
    """`storage`: room on the disk of an SQLite store."""

    reserve: Size = Field(default=64 << 20, description="of a file that is given up for what is owed; 0: none")
    low_water: Size = Field(default=512 << 20, description="with less free than this, events are answered 503")
    low_water_share: float = Field(
        default=0.05, gt=0, lt=1, description="of the disk; the smaller one of this and `low_water` counts"
    )


class BackupConfig(Section):
    """`backup`: copies of the store that are made by themselves."""

    to: str = Field(min_length=1, description="a folder, on another disk; relative to this file")
    every: PositiveDuration = Field(default=86_400.0, description="how often")
    keep: int = Field(default=7, ge=1, description="how many; older ones are removed once a new one is made")
    with_keys: bool = Field(default=False, description="the keys are in it, so it opens what the state directory opens")

    @field_validator("every")
    @classmethod
    def _not_all_the_time(cls, seconds: float) -> float:
        if seconds < 60:
            raise ValueError("is shorter than 1m")
        return seconds


class ScrubConfig(Section):
    """`scrub`: what is taken out of what comes in, besides secrets that are known by their names and shapes."""

    keys: tuple[str, ...] = Field(default=(), description="names of fields whose values are removed; * is any text")
    hash: tuple[str, ...] = Field(
        default=(), description="names of fields whose values are told apart, and no more; * is any text"
    )
    patterns: tuple[str, ...] = Field(default=(), description="what is removed from texts, as RE2 finds it")

    @field_validator("patterns")
    @classmethod
    def _are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                check(pattern)
            except BadInput as error:
                raise ValueError(f"{pattern!r}: {error}") from error
        return patterns


class HeartbeatConfig(Section):
    """`heartbeat`: an outside service that raises the alarm when Watchtower itself falls silent."""

    url: Secret = Field(
        description="called by GET while a round trip comes through, every stage advances and nothing is overdue"
    )
    every: PositiveDuration = Field(default=60.0, description="how often")
