"""Access tokens of Google Cloud: of a file of credentials, or of the machine (application default credentials).

google-auth knows how each kind of credential is renewed; it comes with the extra `google`. Its requests go through the
guarded client, so a machine whose own credentials are used lets its metadata server be spoken to (`outbound.allow`).
Source: google-auth, "User guide"; Google Cloud, "How Application Default Credentials works".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import Field

from watchtower.config.types import Section
from watchtower.errors import DeliveryError, Fault, Permanent, Reason, Transient
from watchtower.ports import PollContext

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
REMEDY: Final = "see whether the account of `credentials` still exists and may read this project"
INSTALL: Final = "install the extra: pip install 'pipeline-watchtower[google]'"
TIMEOUT_S: Final = 20.0


class GoogleConfig(Section):
    """Keys that every source at Google Cloud takes."""

    credentials: Path | None = Field(
        default=None, description="file of a service account's key or of workload identity; else the machine's own"
    )


def missing(config: GoogleConfig, context: PollContext, path: str) -> list[Fault]:
    """path: of config in the configuration."""
    if find_spec("google.auth") is None:
        return [Fault(path, "google-auth is not installed", INSTALL)]
    if config.credentials is not None and not (context.base_dir / config.credentials).is_file():
        return [Fault(f"{path}.credentials", f"there is no file {str(config.credentials)!r}")]
    return []


class Tokens:
    """The token of one source, kept while it is good. what: the source in messages."""

    def __init__(self, config: GoogleConfig, context: PollContext, what: str) -> None:
        self._file = context.base_dir / config.credentials if config.credentials else None
        self._send = _Guarded(context)
        self._what = f"{what}: log in to Google Cloud"
        self._credentials: Any = None

    def headers(self) -> dict[str, str]:
        """Raises Transient or Permanent."""
        held = self._credentials
        if held is None or not held.valid:
            held = self._renewed()
        return {"Authorization": f"Bearer {held.token}"}

    def forget(self) -> bool:
        """The token was refused: credentials are read anew, which may have been renewed. Whether there was one."""
        had, self._credentials = self._credentials is not None, None
        return had

    def _renewed(self) -> Any:
        from google.auth import exceptions  # noqa: PLC0415 - an extra

        try:
            if self._credentials is None:
                self._credentials = self._loaded()
            self._credentials.refresh(self._send)
            return self._credentials
        except exceptions.DefaultCredentialsError as error:
            raise Permanent(Reason.AUTH, f"{self._what}: {error}; name a file under `credentials`") from error
        except exceptions.GoogleAuthError as error:
            self._credentials = None
            raise self._said(error) from error
        except (ValueError, OSError) as error:  # a file that holds something else
            raise Permanent(Reason.AUTH, f"{self._what}: {self._file} cannot be read: {error}") from error

    def _loaded(self) -> Any:
        """Kinds of files that could make this process run a command are not read. Raises ValueError."""
        import google.auth as library  # noqa: PLC0415 - an extra
        import google.auth.identity_pool as federation  # noqa: PLC0415
        import google.oauth2.service_account as account  # noqa: PLC0415

        untyped: tuple[Any, Any, Any] = library, federation, account
        machine, pool, key = untyped
        if self._file is None:
            return machine.default(scopes=SCOPES, request=self._send)[0]
        told: dict[str, Any] = msgspec.json.decode(self._file.read_bytes(), type=dict[str, Any])
        makers = {
            "service_account": key.Credentials.from_service_account_info,
            "external_account": pool.Credentials.from_info,
        }
        kind = str(told.get("type"))
        if kind not in makers:
            raise ValueError(f"its type is {kind!r}; known: {', '.join(makers)}")
        return makers[kind](told, scopes=SCOPES)

    def _said(self, error: Exception) -> DeliveryError:
        if self._send.failed is not None:
            return self._send.failed
        message = f"{self._what}: {str(error.args[0] if error.args else error)[:300]}"
        if getattr(error, "retryable", False):
            return Transient(Reason.SERVER_ERROR, message)
        return Permanent(Reason.AUTH, f"{message}; renew the key, or see whether the account still exists")


@dataclass(frozen=True, slots=True)
class _Answer:
    """google.auth.transport.Response."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class _Guarded:
    """google.auth.transport.Request through the guarded client. failed: why the last request was not answered."""

    def __init__(self, context: PollContext) -> None:
        self._context = context
        self.failed: DeliveryError | None = None

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Answer:
        from google.auth import exceptions  # noqa: PLC0415 - an extra

        sent = body.encode() if isinstance(body, str) else body or b""
        self.failed = None
        try:
            answer = self._context.http.request(method, url, headers=headers, body=sent, timeout_s=timeout or TIMEOUT_S)
        except DeliveryError as error:
            self.failed = error
            raise exceptions.TransportError(str(error)) from error
        return _Answer(answer.status, answer.headers, answer.body)
