"""How Airflow is told who asks: a token for a name and a password (Airflow 3), Basic (Airflow 2), or a bearer token.

Airflow 3 gives a JSON Web Token at `/auth/token` (its simple and its FAB auth manager alike), good for a day. It is
asked for once, and again when it is refused.
"""

import base64
import json
import threading
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from collectors.polled import accepted, read_json
from watchtower.ports import Clock, HttpClient
from watchtower.secrets import Secret

TIMEOUT_S: Final = 10.0
REMEDY: Final = "check username and password (or token) of this source, and that the user may read DAGs and runs"


class Authentication(Protocol):
    """headers may do I/O and raises Transient, Permanent or ConfigError. forget: what headers gave was refused."""

    def headers(self, version: int) -> Mapping[str, str]:
        """version: of the API, 2 for Airflow 3, 1 for Airflow 2."""
        ...

    def forget(self) -> bool:
        """Whether other headers may be accepted."""
        ...


class Anonymous:
    """Asks without saying who."""

    def headers(self, version: int) -> Mapping[str, str]:
        return {}

    def forget(self) -> bool:
        return False


class Bearer:
    """A token that somebody made; read anew each time, so that it can be rotated."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def headers(self, version: int) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._token.reveal()}"}

    def forget(self) -> bool:
        return False


class _Token(msgspec.Struct):
    access_token: str


class Password:
    """Basic for Airflow 2, a token of `/auth/token` for Airflow 3."""

    def __init__(self, http: HttpClient, clock: Clock, base_url: str, username: str, password: Secret) -> None:
        self._http = http
        self._clock = clock
        self._url = f"{base_url}/auth/token"
        self._username = username
        self._password = password
        self._token: str | None = None
        self._lock = threading.Lock()

    def headers(self, version: int) -> Mapping[str, str]:
        if version == 1:
            pair = f"{self._username}:{self._password.reveal()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        with self._lock:
            if self._token is None:
                self._token = self._asked()
            return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> bool:
        with self._lock:
            had, self._token = self._token is not None, None
        return had

    def _asked(self) -> str:
        body = json.dumps({"username": self._username, "password": self._password.reveal()}).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        answer = self._http.request("POST", self._url, headers=headers, body=body, timeout_s=TIMEOUT_S)
        what = "airflow POST /auth/token"
        return read_json(accepted(answer, self._clock.now(), what, REMEDY), _Token, what).access_token
