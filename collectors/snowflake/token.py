"""How Snowflake is told who asks: a token signed with the user's private key, or one that was made for programs.

The signed token (JWT, RS256) is good for an hour at most and is made anew before that. It needs the extra `snowflake`.
Source: Snowflake SQL API, "Authenticating to the server", "Using key-pair authentication".
"""

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from importlib.util import find_spec
from typing import Any, Final

from watchtower.errors import ConfigError, Fault
from watchtower.ports import Clock
from watchtower.secrets import Secret

GOOD_FOR: Final = timedelta(minutes=59)
EARLY: Final = timedelta(minutes=5)
INSTALL: Final = "install the extra: pip install 'pipeline-watchtower[snowflake]'"


class Program:
    """A programmatic access token; read anew each time, so that it can be rotated."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def headers(self) -> Mapping[str, str]:
        return _headers(self._token.reveal(), "PROGRAMMATIC_ACCESS_TOKEN")


class KeyPair:
    """Tokens signed with a private key in PEM. path: of the source in the configuration, for faults. account: its
    region, if it is named after a dot, is no part of the token."""

    def __init__(
        self, clock: Clock, account: str, user: str, *, key: Secret, passphrase: Secret | None, path: str
    ) -> None:
        self._clock = clock
        self._subject = f"{account.partition('.')[0]}.{user}".upper()
        self._key = key
        self._passphrase = passphrase
        self._path = path
        self._made: tuple[str, datetime, str] | None = None  # the key, until when, the token

    def headers(self) -> Mapping[str, str]:
        """Raises ConfigError for a key that cannot be read."""
        now, key = self._clock.now(), self._key.reveal()
        if self._made is None or self._made[0] != key or now >= self._made[1]:
            self._made = (key, now + GOOD_FOR - EARLY, self._signed(key, now))
        return _headers(self._made[2], "KEYPAIR_JWT")

    def _signed(self, pem: str, now: datetime) -> str:
        import jwt  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

        word = self._passphrase.reveal().encode() if self._passphrase else None
        try:
            private: Any = serialization.load_pem_private_key(pem.encode(), word)
        except (ValueError, TypeError) as error:
            message = "the private key cannot be read; is it PEM (PKCS#8), and the passphrase the right one?"
            raise ConfigError([Fault(f"{self._path}.private_key", message)]) from error
        public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        fingerprint = base64.b64encode(sha256(public).digest()).decode()
        claims = {"iss": f"{self._subject}.SHA256:{fingerprint}", "sub": self._subject, "iat": now}
        return jwt.encode({**claims, "exp": now + GOOD_FOR}, private, algorithm="RS256")


def missing() -> bool:
    """Whether what signs is not installed."""
    return find_spec("jwt") is None or find_spec("cryptography") is None


def _headers(token: str, kind: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-Snowflake-Authorization-Token-Type": kind}
