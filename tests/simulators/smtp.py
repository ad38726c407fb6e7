"""A real SMTP server (aiosmtpd) in this process: STARTTLS or implicit TLS, AUTH, and refusals on demand."""

import asyncio
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "watchtower", "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Mail:
    """A message as the server took it, for one of its recipients."""

    recipient: str
    sender: str
    message: EmailMessage
    raw: bytes
    tls: bool
    user: str | None


class SmtpSimulator:
    """ledger: one entry per recipient and message that was taken. replies: the answer to RCPT TO per address; data: the
    answer to the message; hang: silence instead of it, drop: the connection ends instead of it, each after taking it
    if taken. host: the name in its certificate."""

    def __init__(
        self, *, starttls: bool = True, implicit_tls: bool = False, auth: bool = False, host: str = "localhost"
    ) -> None:
        self.ledger: list[Mail] = []
        self.replies: dict[str, list[str]] = {}
        self.data: list[str] = []
        self.hang = self.drop = False
        self.taken = True
        self._folder = tempfile.TemporaryDirectory(prefix="watchtower-smtp-")
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)  # pyright: ignore[reportUnknownMemberType]  # pyOpenSSL
        self.ca_file = str(Path(self._folder.name) / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        options: dict[str, Any] = {"tls_context": context} if starttls and not implicit_tls else {}
        if auth:
            options |= {"authenticator": self._check, "auth_required": True, "auth_require_tls": starttls}
        self._controller = _Controller(
            self, hostname="127.0.0.1", port=0, ssl_context=context if implicit_tls else None, **options
        )  # pyright: ignore[reportUnknownMemberType]  # untyped **kwargs
        self._controller.start()

    @property
    def smarthost(self) -> str:
        server = cast("asyncio.Server", self._controller.server)
        return f"localhost:{server.sockets[0].getsockname()[1]}"

    def inbox(self, recipient: str) -> list[Mail]:
        return [mail for mail in self.ledger if mail.recipient == recipient]

    def stop_listening(self) -> None:
        self._controller.stop()

    # -- what aiosmtpd calls -----------------------------------------------------------------------------------------

    async def handle_RCPT(  # noqa: N802  # the name is aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        waiting = self.replies.get(address)
        if waiting:
            return waiting.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # as above
        raw = cast(bytes, envelope.content)
        if self.data:
            return self.data.pop(0)
        if self.taken:
            self._take(session, envelope, raw)
        if self.hang:
            await asyncio.sleep(5)
        if self.drop:
            cast("asyncio.Transport", server.transport).abort()
        return "250 taken"

    def _take(self, session: Session, envelope: Envelope, raw: bytes) -> None:
        message = cast(EmailMessage, message_from_bytes(raw, policy=cast(Any, default)))
        user = cast(LoginPassword, session.auth_data).login.decode() if session.authenticated else None
        for recipient in envelope.rcpt_tos:
            sender = str(envelope.mail_from)
            self.ledger.append(Mail(recipient, sender, message, raw, session.ssl is not None, user))

    def _check(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=known, auth_data=data, handled=False)

    def close(self) -> None:
        if self._controller.server is not None:
            self._controller.stop(no_assert=True)
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Controller(Controller):
    """aiosmtpd's, on any free port; its self-test, which speaks plain text to a known port, is left out."""

    def _trigger_server(self) -> None:
        self.smtpd = SMTP(self.handler, loop=self.loop, **cast("Mapping[str, Any]", self.SMTP_kwargs))
        self._factory_invoked.set()
