"""`dependency_probe`: whether what a pipeline needs is there: an API, a port, a certificate that is valid, a file.

One source is one of them. What failed so many looks in a row is a problem since the first of them, which concerns the
pipelines that need it; each look is a sample of what it measured, so that a rule can set a limit of its own.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from pydantic import AfterValidator, Field, model_validator

from collectors.polled import polled_fact
from collectors.probes.observed import series_of
from collectors.source import PollerOf, SourceOf
from watchtower.config.polled import PolledConfig
from watchtower.config.types import PositiveDuration, Section, WebAddress
from watchtower.errors import ConfigError, DeliveryError, Fault, Permanent, Reason
from watchtower.model.duration import format_duration
from watchtower.model.instants import from_micros, to_micros
from watchtower.model.source import PIPELINES, Page, Problem, Window
from watchtower.ports import Decoded, PollContext, Received, Reject
from watchtower.secrets import Secret

KIND: Final = "dependency_probe"
UP, SECONDS, DAYS_LEFT, AGE_S = "dependency_up", "dependency_seconds", "dependency_days_left", "dependency_age_s"
KINDS: Final = ("http", "tcp", "tls", "file")
_DAY_S: Final = 86_400.0


def _endpoint(said: str) -> str:
    host, _, port = said.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{said!r} is no host with a port, such as sftp.example.com:22")
    return said


Endpoint = Annotated[str, AfterValidator(_endpoint)]


class DependencySource(PolledConfig):
    """Exactly one of http, tcp, tls and file."""

    http: WebAddress | None = Field(default=None, description="address that must answer a GET")
    tcp: Endpoint | None = Field(default=None, description="`host:port` that must take a connection")
    tls: Endpoint | None = Field(default=None, description="`host:port` whose certificate must be valid")
    file: str | None = Field(default=None, min_length=1, description="path of a file that must be there")
    needed_by: tuple[str, ...] = Field(
        default=(), description="pipelines that need it; `*` is any part of a name. Their alerts name it as the cause"
    )
    timeout: PositiveDuration = Field(default=10.0, description="of a look")
    failures: int = Field(default=2, ge=1, le=100, description="looks in a row that must fail before it is told")
    status: tuple[int, ...] = Field(default=(), description="http: what it may answer; default: any 2xx")
    contains: str | None = Field(default=None, min_length=1, description="http: text that the answer must hold")
    headers: dict[str, Secret] = Field(default={}, description="http: of the request")
    slower_than: PositiveDuration | None = Field(
        default=None, description="http, tcp: an answer that takes longer is wrong"
    )
    days_left: float = Field(default=14.0, ge=0, description="tls: fewer days until the certificate's end are wrong")
    ca_file: str | None = Field(default=None, description="http, tls: certificates of an authority of your own")
    max_age: PositiveDuration | None = Field(
        default=None, description="file: it must have been written within this time"
    )

    @model_validator(mode="after")
    def _one(self) -> "DependencySource":
        said = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(said) != 1:
            raise ValueError(f"name one of http, tcp, tls and file; named: {', '.join(said) or 'none'}")
        return self

    @property
    def what(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)


class DependencyProbeConfig(Section):
    """`collectors: dependency_probe`."""

    sources: tuple[DependencySource, ...] = Field(default=(), description="what is needed")


@dataclass(frozen=True, slots=True)
class Look:
    """wrong: in a sentence without numbers that change from look to look; None: all is well. numbers: by series."""

    wrong: str | None = None
    numbers: dict[str, float] = field(default_factory=dict[str, float])


class Failing(msgspec.Struct, frozen=True):
    """From look to look, in the source's cursor. since: microseconds, of the first that failed; looks: in a row."""

    since: int = 0
    looks: int = 0


class Sampled(msgspec.Struct, frozen=True):
    seen: int
    numbers: dict[str, float]


class ProbedDependency(SourceOf[DependencySource]):
    """ports.PolledSource."""

    kind = KIND

    def __init__(self, config: DependencySource, context: PollContext) -> None:
        super().__init__(config, context)
        self._look = {"http": self._http, "tcp": self._tcp, "tls": self._tls, "file": self._file}[config.what]

    def read(self, window: Window) -> Iterator[Page]:
        now = window.until
        look = self._looked(now)
        failing = _failing(window.cursor, look, now)
        problems: tuple[Problem, ...] = ()
        if look.wrong is not None and failing.looks >= self.config.failures:
            concerns = tuple(PIPELINES + name for name in self.config.needed_by)
            problems = (Problem(self.config.what, look.wrong, from_micros(failing.since), concerns),)
        numbers = {UP: 0.0 if look.wrong else 1.0, **look.numbers}
        record = msgspec.json.encode(Sampled(to_micros(now), numbers), order="sorted")
        yield Page((record,), mark=now, cursor=msgspec.json.encode(failing).decode(), problems=problems)

    def decode(self, record: bytes, received: Received) -> Decoded:
        try:
            sampled = msgspec.json.decode(record, type=Sampled)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Decoded((), (Reject("unreadable", f"not what a probe saw: {error}", record),))
        at = from_micros(sampled.seen)
        told = series_of(sampled.numbers, at, self.name, {"dependency": self.name})
        return Decoded((polled_fact(record, at, received, source=self.name, kind=KIND, series=told),))

    def _looked(self, now: datetime) -> Look:
        """Raises what is wrong with the configuration, not with what is needed."""
        try:
            return self._look(now)
        except DeliveryError as error:
            if isinstance(error, Permanent) and error.reason is Reason.REFUSED_ADDRESS:
                raise
            return Look(str(error))

    def _http(self, now: datetime) -> Look:
        config, address = self.config, self.config.http or ""
        began = self.context.clock.boottime()
        headers = {name: secret.reveal() for name, secret in config.headers.items()}
        answer = self.context.http.request(
            "GET", address, headers=headers, timeout_s=config.timeout, ca_file=config.ca_file
        )
        seconds = self.context.clock.boottime() - began
        return Look(self._wrong_answer(answer.status, answer.body, seconds), {SECONDS: seconds})

    def _wrong_answer(self, status: int, body: bytes, seconds: float) -> str | None:
        config, shown = self.config, shown_address(self.config.http or "")
        if status not in config.status and (config.status or not 200 <= status < 300):
            return f"{shown} answers {status}"
        if config.contains is not None and config.contains.encode() not in body:
            return f"{shown} answers {status}, and not with {config.contains!r} in it"
        return self._too_slow(shown, seconds)

    def _too_slow(self, shown: str, seconds: float) -> str | None:
        limit = self.config.slower_than
        return f"{shown} takes longer than {format_duration(limit, 2)}" if limit and seconds > limit else None

    def _tcp(self, now: datetime) -> Look:
        host, port = _parts(self.config.tcp)
        began = self.context.clock.boottime()
        self.context.dial(host, port, self.config.timeout).close()
        seconds = self.context.clock.boottime() - began
        return Look(self._too_slow(f"{host}:{port}", seconds), {SECONDS: seconds})

    def _tls(self, now: datetime) -> Look:
        """A certificate that is not valid gives no handshake: its end is then in the words of the library."""
        host, port = _parts(self.config.tls)
        trusted = self._trusted()
        with self.context.dial(host, port, self.config.timeout) as connection:
            try:
                with trusted.wrap_socket(connection, server_hostname=host) as secured:
                    certificate: Any = secured.getpeercert() or {}
            except ssl.SSLCertVerificationError as error:
                return Look(f"the certificate of {host}:{port} is not valid: {error.verify_message}")
            except OSError as error:
                return Look(f"{host}:{port} does not speak TLS: {error}")
        ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
        days = (ends - now).total_seconds() / _DAY_S
        wrong = f"the certificate of {host}:{port} ends on {ends:%Y-%m-%d %H:%M} UTC"
        return Look(wrong if days < self.config.days_left else None, {DAYS_LEFT: days})

    def _trusted(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.config.ca_file)
        except OSError as error:
            fault = Fault(f"{self.what}: ca_file", f"{self.config.ca_file} cannot be read: {error.strerror}")
            raise ConfigError([fault]) from error

    def _file(self, now: datetime) -> Look:
        path = self.context.base_dir / (self.config.file or "")
        try:
            written = path.stat().st_mtime
        except OSError as error:
            return Look(f"{path} cannot be read: {error.strerror}")
        age_s = max(0.0, now.timestamp() - written)
        limit = self.config.max_age
        wrong = f"{path} was written longer than {format_duration(limit, 2)} ago" if limit and age_s > limit else None
        return Look(wrong, {AGE_S: age_s})


class DependencyProbe(PollerOf):
    """ports.Poller. The guard judges addresses when they are asked: one may be none of the network."""

    kind = KIND
    Config = DependencyProbeConfig
    polled = ProbedDependency
    addresses = ()


def shown_address(address: str) -> str:
    """Without what may be a secret."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _failing(cursor: str | None, look: Look, now: datetime) -> Failing:
    if look.wrong is None:
        return Failing()
    try:
        before = msgspec.json.decode(cursor or "{}", type=Failing)
    except msgspec.DecodeError:
        before = Failing()
    return Failing(before.since if before.looks else to_micros(now), before.looks + 1)


def _parts(endpoint: str | None) -> tuple[str, int]:
    host, _, port = (endpoint or "").rpartition(":")
    return host.strip("[]"), int(port)
