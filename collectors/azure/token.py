"""Access tokens of Microsoft Entra ID for an application (OAuth 2.0 client credentials).

One request, so it goes through the guarded client and needs no SDK. Source: Microsoft identity platform, "OAuth 2.0
client credentials flow".
"""

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from pydantic import Field

from collectors.asking import an_object
from collectors.polled import accepted, read_json
from watchtower.config.types import Section, WebAddress
from watchtower.errors import Reason, Transient
from watchtower.ports import PollContext
from watchtower.secrets import Secret

EARLY: Final = timedelta(minutes=5)  # a token is renewed so long before it ends
REMEDY: Final = "renew `client_secret`, or see whether `tenant` and `client_id` are the application's"


class AzureConfig(Section):
    """Keys that every source at Azure takes: an application that may read."""

    tenant: str = Field(min_length=1, max_length=128, description="directory (tenant) id of the application")
    client_id: str = Field(min_length=1, max_length=128, description="application (client) id")
    client_secret: Secret = Field(description="of the application")
    login_url: WebAddress = Field(
        default="https://login.microsoftonline.com", description="another cloud's than Azure's"
    )


class Tokens:
    """The token for one resource, kept until shortly before it ends. what: the source in messages."""

    def __init__(self, config: AzureConfig, context: PollContext, resource: str, what: str) -> None:
        self._config = config
        self._context = context
        self._scope = f"{resource.rstrip('/')}/.default"
        self._what = f"{what}: log in to Microsoft Entra ID"
        self._token = ""
        self._until: datetime | None = None

    def headers(self) -> dict[str, str]:
        """Raises Transient or Permanent."""
        if self._until is None or self._context.clock.now() >= self._until:
            self._renew()
        return {"Authorization": f"Bearer {self._token}"}

    def _renew(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._config.client_id,
            "client_secret": self._config.client_secret.reveal(),
            "scope": self._scope,
        }
        url = f"{self._config.login_url.rstrip('/')}/{quote(self._config.tenant, safe='')}/oauth2/v2.0/token"
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        answer = self._context.http.request("POST", url, headers=headers, body=urlencode(form).encode())
        now = self._context.clock.now()
        said = an_object(read_json(accepted(answer, now, self._what, REMEDY), object, self._what))
        token, seconds = said.get("access_token"), said.get("expires_in")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise Transient(Reason.BAD_ANSWER, f"{self._what}: the answer has no token")
        self._token, self._until = token, now + max(timedelta(seconds=seconds) - EARLY, timedelta(seconds=30))
