"""E-mail over SMTP: text and HTML, one thread per group episode, the same Message-ID in every attempt.

Sources: RFC 5321 (replies), RFC 5322 (Message-ID, References), Alertmanager's `email_config`. A server does not have to
fold repeats by Message-ID, so after an unknown outcome a recipient may see a mail twice.
"""

import smtplib
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from alerting.channels import html
from alerting.channels.outward import reveal
from alerting.channels.settings import Literally, Settings, TlsConfig
from alerting.escaping import header_text, one_line, safe_id
from alerting.rendering import render
from watchtower.config.types import Duration
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import Notice, Receipt
from watchtower.ports import ChannelContext
from watchtower.secrets import Secret

# 7bit is what every server takes. Python folds a long ASCII subject right after its name, which some readers show as a
# blank: RFC 5322 allows 998 characters, which no header of ours reaches.
ASCII_MAIL = SMTP.clone(cte_type="7bit", max_line_length=998)
MAIL = SMTP.clone(cte_type="7bit")
TIMEOUT_S = 10.0
LIMIT_S = 20.0  # of a whole session, below the lease of 30 s (promise P10)
IMPLICIT_TLS_PORT = 465  # RFC 8314
REMEMBERED = 1000  # notices whose accepted recipients are kept until all others have them
_OWN_HEADERS = frozenset(
    {"from", "to", "date", "message-id", "in-reply-to", "references", "mime-version", "content-type", "subject"}
)


class Threading(BaseModel):
    """Mails of one group episode always form one thread; thread_by_date is accepted and changes nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    enabled: bool = True
    thread_by_date: Literal["daily", "none"] = "none"


class EmailConfig(Settings):
    """`email_configs`, with Alertmanager's keys and `timeout` (of each SMTP exchange)."""

    send_resolved: bool = False
    to: Literally
    from_: Literally
    smarthost: Literally
    hello: Literally = "localhost"
    auth_username: str = ""
    auth_password: Secret | None = None
    auth_password_file: str | None = None
    auth_secret: Secret | None = None
    auth_secret_file: str | None = None
    auth_identity: str = ""
    require_tls: bool = True
    force_implicit_tls: bool | None = None
    tls_config: TlsConfig = TlsConfig()
    headers: Mapping[str, Literally] = {}
    threading: Threading = Threading()
    timeout: Duration = TIMEOUT_S
    html: Any = None
    text: Any = None

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, alias_generator=lambda name: name.removesuffix("_")
    )
    global_keys: ClassVar[Mapping[str, str]] = {
        "from": "smtp_from",
        "smarthost": "smtp_smarthost",
        "hello": "smtp_hello",
        "auth_username": "smtp_auth_username",
        "auth_password": "smtp_auth_password",
        "auth_password_file": "smtp_auth_password_file",
        "auth_secret": "smtp_auth_secret",
        "auth_secret_file": "smtp_auth_secret_file",
        "auth_identity": "smtp_auth_identity",
        "require_tls": "smtp_require_tls",
        "force_implicit_tls": "smtp_force_implicit_tls",
        "tls_config": "smtp_tls_config",
    }
    alternatives: ClassVar[tuple[frozenset[str], ...]] = (
        frozenset({"auth_password", "auth_password_file"}),
        frozenset({"auth_secret", "auth_secret_file"}),
    )
    ignored: ClassVar[frozenset[str]] = frozenset({"html", "text"})

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(address for _, address in getaddresses([self.to])))

    @property
    def server(self) -> tuple[str, int]:
        host, _, port = self.smarthost.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def implicit_tls(self) -> bool:
        return self.server[1] == IMPLICIT_TLS_PORT if self.force_implicit_tls is None else self.force_implicit_tls

    @field_validator("smarthost")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"smarthost {value!r} is not host:port, e.g. smtp.example.com:587")
        return value

    @field_validator("to", "from_")
    @classmethod
    def _addresses(cls, value: str) -> str:
        found = getaddresses([value]) if value.isprintable() else []
        if not found or not all(_is_address(address) for _, address in found):
            raise ValueError(f"{value!r} is not a list of mail addresses, e.g. data-oncall@example.com")
        return value

    @field_validator("headers")
    @classmethod
    def _not_ours(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        taken = sorted(name for name in value if name.lower() in _OWN_HEADERS)
        if taken:
            raise ValueError(f"header {taken[0]!r} is set by Watchtower; remove it")
        bad = [name for name in value if not name.isascii() or not name.replace("-", "").isalnum()]
        if bad:
            raise ValueError(f"{bad[0]!r} is not the name of a mail header")
        return value

    @model_validator(mode="after")
    def _login_is_whole(self) -> "EmailConfig":
        if self.auth_identity:
            raise ValueError("auth_identity: not supported; log in as auth_username")
        if (self.auth_password or self.auth_password_file) and not self.auth_username:
            raise ValueError("auth_username: needed beside auth_password")
        return self


class Email:
    name: ClassVar[str] = "email"
    Config: ClassVar[type[EmailConfig]] = EmailConfig
    settle_s: ClassVar[float] = 0.0
    can_look_up: ClassVar[bool] = False
    keyed: ClassVar[bool] = False
    rings: ClassVar[bool] = False

    def __init__(self, config: EmailConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context
        # Who already has a notice of which others were put off. Lost at a restart: then they get the same mail again.
        self._accepted: OrderedDict[str, set[str]] = OrderedDict()

    def deliver(self, notice: Notice) -> Receipt:
        message = compose(notice, self._config)
        message["Date"] = format_datetime(self._context.clock.now())
        accepted = self._accepted.setdefault(notice.key, set())
        waiting = [address for address in self._config.recipients if address not in accepted]
        self._forget_old()
        with self._session() as session:
            refused = self._send(session, message, waiting, accepted)
        put_off = {address: reply for address, reply in refused.items() if 400 <= reply[0] < 500}
        if put_off:
            raise Transient(Reason.SERVER_ERROR, f"smtp: put off {_replies(put_off)}")
        del self._accepted[notice.key]
        if not accepted:
            raise Permanent(Reason.REJECTED, f"smtp: every recipient was refused: {_replies(refused)}")
        # As plain text: the header object of the library cannot be stored.
        message_id = str(message["Message-ID"])
        return Receipt(f"email:{message_id}", {"message_id": message_id, "refused": sorted(refused)})

    def look_up(self, notice: Notice) -> Receipt | None:
        return None

    def _send(
        self, session: smtplib.SMTP, message: EmailMessage, recipients: list[str], accepted: set[str]
    ) -> dict[str, tuple[int, bytes]]:
        """One transaction. Returns the refusals; adds who was accepted once the server has taken the message."""
        sender = getaddresses([self._config.from_])[0][1]
        _expect(session.mail(sender), "MAIL FROM", sender)
        refused: dict[str, tuple[int, bytes]] = {}
        for recipient in recipients:
            code, text = session.rcpt(recipient)
            if code not in (250, 251):
                refused[recipient] = (code, text)
        if len(refused) < len(recipients):
            _expect(_data(session, message.as_bytes()), "DATA")
            accepted.update(address for address in recipients if address not in refused)
        return refused

    @contextmanager
    def _session(self) -> Generator[smtplib.SMTP]:
        """A connection that has greeted, secured itself as configured, and logged in. Nothing sent on it counts before
        DATA, so failures here leave no doubt about the outcome."""
        session: smtplib.SMTP | None = None
        try:
            session = self._connect()
            with _cut_off(session):
                self._secure(session)
                self._log_in(session)
                yield session
                _leave(session)
        except smtplib.SMTPAuthenticationError as error:
            raise _judged(error.smtp_code, error.smtp_error, "login", Reason.AUTH) from error
        except smtplib.SMTPResponseException as error:
            raise _judged(error.smtp_code, error.smtp_error, "greeting") from error
        except smtplib.SMTPNotSupportedError as error:
            raise Permanent(Reason.REJECTED, f"smtp {self._config.smarthost}: {error}") from error
        except ssl.SSLError as error:
            remedy = "check the certificate, or name its authority in tls_config.ca_file"
            raise Permanent(Reason.TLS, f"smtp {self._config.smarthost}: {error}; {remedy}") from error
        except (OSError, smtplib.SMTPException) as error:
            raise Transient(_cause(error), f"smtp {self._config.smarthost}: {error}") from error
        finally:
            if session is not None:
                session.close()

    def _connect(self) -> smtplib.SMTP:
        config = self._config
        host, port = config.server
        timeout_s = min(config.timeout or TIMEOUT_S, TIMEOUT_S)
        if config.implicit_tls:
            return smtplib.SMTP_SSL(host, port, local_hostname=config.hello, timeout=timeout_s, context=self._tls())
        return smtplib.SMTP(host, port, local_hostname=config.hello, timeout=timeout_s)

    def _secure(self, session: smtplib.SMTP) -> None:
        session.ehlo_or_helo_if_needed()
        if not self._config.implicit_tls and (self._config.require_tls or session.has_extn("starttls")):
            session.starttls(context=self._tls())
            session.ehlo_or_helo_if_needed()

    def _log_in(self, session: smtplib.SMTP) -> None:
        config = self._config
        if not config.auth_username:
            return
        if not isinstance(session.sock, ssl.SSLSocket):
            raise Permanent(
                Reason.AUTH, f"smtp {config.smarthost}: no TLS, so the password is not sent; require_tls: true"
            )
        password = reveal(self._context, config.auth_password, config.auth_password_file)
        secret = reveal(self._context, config.auth_secret, config.auth_secret_file)
        session.login(config.auth_username, password if password is not None else secret or "")

    def _tls(self) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=self._config.tls_config.ca_file)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        return made

    def _forget_old(self) -> None:
        while len(self._accepted) > REMEMBERED:
            self._accepted.popitem(last=False)


def compose(notice: Notice, config: EmailConfig) -> EmailMessage:
    """The mail of one notice, without its Date. Pure. Header values are single lines whatever the data says."""
    rendered = render(notice)
    subject = header_text(rendered.title)
    message = EmailMessage(policy=ASCII_MAIL if subject.isascii() else MAIL)
    sender = getaddresses([config.from_])[0]
    domain = sender[1].rpartition("@")[2]
    root = f"<wt-episode-{safe_id(notice.episode_key)}@{domain}>"
    last = header_text(notice.ref.get("message_id") or root)
    message["Subject"] = subject
    message["From"] = _address(*sender)
    message["To"] = [_address(name, address) for name, address in getaddresses([config.to])]
    message["Message-ID"] = f"<wt-{safe_id(notice.key)}@{domain}>"
    message["In-Reply-To"] = last
    message["References"] = root if last == root else f"{root} {last}"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    message["X-Watchtower-Incident"] = header_text(notice.incident_id or "none", 100)
    for name, value in config.headers.items():
        message[name] = header_text(value)
    message.set_content(f"{rendered.title}\n\n{rendered.text}\n")
    message.add_alternative(html.page(rendered), subtype="html")
    message.set_boundary(f"=_wt-{safe_id(notice.key)}")  # the same bytes in every attempt
    return message


def _data(session: smtplib.SMTP, content: bytes) -> tuple[int, bytes]:
    """After the first byte of the message, silence leaves the outcome unknown; an answer does not."""
    try:
        return session.data(content)
    except smtplib.SMTPDataError as error:  # the server said no to the command itself
        return error.smtp_code, _bytes(error.smtp_error)
    except (OSError, smtplib.SMTPException) as error:
        raise Transient(_cause(error), f"smtp DATA: {error or type(error).__name__}", outcome_unknown=True) from error


def _cause(error: Exception) -> Reason:
    """smtplib reports a timeout as a lost connection, with the timeout as its context."""
    timed_out = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
    return Reason.TIMEOUT if timed_out else Reason.CONNECT


def _expect(reply: tuple[int, bytes], step: str, about: str = "") -> None:
    code, text = reply
    if not 200 <= code < 300:
        raise _judged(code, text, f"{step} {about}".strip())


def _judged(code: int, text: bytes | str, step: str, reason: Reason = Reason.REJECTED) -> Transient | Permanent:
    """RFC 5321 §4.2.1: 4yz may work later, 5yz will not. 421 closes the connection, also a matter of time."""
    said = f"smtp {step}: {code} {one_line(_bytes(text).decode('utf-8', 'replace'), 200)}"
    if 400 <= code < 500:
        return Transient(Reason.SERVER_ERROR, said)
    return Permanent(reason, said)


def _replies(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return "; ".join(
        f"{address} ({code} {one_line(text.decode('utf-8', 'replace'), 120)})"
        for address, (code, text) in refused.items()
    )


def _leave(session: smtplib.SMTP) -> None:
    """Say goodbye; the answer to DATA has come, so nothing depends on it and nobody waits for it."""
    if session.sock is not None:
        session.sock.settimeout(1.0)
    with suppress(OSError, smtplib.SMTPException):
        session.quit()


@contextmanager
def _cut_off(session: smtplib.SMTP) -> Generator[None]:
    """End the connection LIMIT_S from now: a server that answers a byte at a time never runs into a socket timeout."""

    def shut() -> None:
        if session.sock is not None:
            with suppress(OSError):
                session.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(LIMIT_S, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _address(name: str, address: str) -> Address:
    user, _, domain = address.rpartition("@")
    return Address(header_text(name), user, domain)


def _is_address(text: str) -> bool:
    user, _, domain = text.rpartition("@")
    plain = text.isascii() and text.isprintable()
    return bool(user and domain) and plain and not any(char in ' <>,;\\"' for char in text)


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
