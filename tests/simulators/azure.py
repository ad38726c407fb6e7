"""The log-in of Microsoft Entra ID, and lists of a service behind it."""

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.simulators.http import HttpSimulator, Recorded, Reply

Row = dict[str, Any]
TENANT = "11111111-0000-4000-8000-000000000000"
APPLICATION = {"tenant": TENANT, "client_id": "app", "client_secret": "right"}


class EntraSimulator(HttpSimulator):
    """Tokens that it gave last are the only ones that it takes. ledger: the scopes that were asked for."""

    def __init__(self, now: datetime) -> None:
        self.tokens: list[str] = []
        self.valid_s = 3600
        super().__init__(now)

    def changes_something(self, request: Recorded) -> bool:
        return not request.path.endswith("/token")

    def answer(self, request: Recorded) -> Reply:
        if request.path == f"/{TENANT}/oauth2/v2.0/token":
            return self._log_in(request.form)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens[-1:]:
            return Reply.of_json({"error": {"code": "TokenExpired", "message": "Access token has expired"}}, 401)
        return self.asked(request)

    @abstractmethod
    def asked(self, request: Recorded) -> Reply: ...

    def _log_in(self, form: Mapping[str, str]) -> Reply:
        if form["client_secret"] != "right" or form["grant_type"] != "client_credentials":
            return Reply.of_json({"error": "invalid_client", "error_description": "AADSTS7000215: Invalid secret"}, 401)
        self.ledger.append(form["scope"])
        self.tokens.append(f"token-{len(self.tokens)}")
        return Reply.of_json({"token_type": "Bearer", "expires_in": self.valid_s, "access_token": self.tokens[-1]})
