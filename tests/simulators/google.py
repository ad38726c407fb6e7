"""The log-in of Google Cloud and lists of its services, after the published discovery documents."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.simulators.http import HttpSimulator, Recorded, Reply

Row = dict[str, Any]
AUDIENCE = "https://oauth2.googleapis.com/token"
ACCOUNT = "watchtower@shop-prod.iam.gserviceaccount.com"


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


class GoogleSimulator(HttpSimulator):
    """Tokens that it gave last are the only ones that it takes. lists: rows by path below /v1/; a page has one row."""

    def __init__(self, now: datetime) -> None:
        self.lists: dict[str, list[Row]] = {}
        self.tokens: list[str] = []
        self.valid_s = 3600
        self.is_known = True
        super().__init__(now)

    def changes_something(self, request: Recorded) -> bool:
        return request.path != "/token"

    def key_file(self, folder: Path) -> Path:
        """Of a service account, as the console gives it out."""
        form = serialization.PrivateFormat.PKCS8
        key = private_key().private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        names = {"type": "service_account", "project_id": "shop-prod", "private_key_id": "k1", "client_email": ACCOUNT}
        path = folder / "key.json"
        path.write_text(json.dumps({**names, "private_key": key.decode(), "token_uri": f"{self.url}/token"}))
        return path

    def answer(self, request: Recorded) -> Reply:
        if request.path == "/token":
            return self._log_in(request.form)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens[-1:]:
            return _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        return self.asked(request, request.path.removeprefix("/v1/"))

    def asked(self, request: Recorded, path: str) -> Reply:
        if path in self.lists:
            return self._page([row for row in self.lists[path] if self.fits(path, row, request.query)], path, request)
        folder = path.rpartition("/")[0]
        found = [row for row in self.lists.get(folder, []) if self.path_of(folder, row) == path]
        return Reply.of_json(found[0]) if found else _error(404, "NOT_FOUND", "Requested entity was not found.")

    def path_of(self, folder: str, row: Row) -> str:
        return str(row.get("name"))

    def fits(self, path: str, row: Row, query: Mapping[str, str]) -> bool:
        return True

    def _page(self, rows: list[Row], path: str, request: Recorded) -> Reply:
        start = int(request.query.get("pageToken", "0"))
        more = {"nextPageToken": str(start + 1)} if start + 1 < len(rows) else {}
        return Reply.of_json({path.rpartition("/")[2]: rows[start : start + 1], **more} if rows else {})

    def _log_in(self, form: Mapping[str, str]) -> Reply:
        """As Google does: what the account's key has signed becomes a token for an hour."""
        options: Any = {"verify_exp": False, "verify_iat": False}
        public = private_key().public_key()
        try:
            claims = jwt.decode(form["assertion"], public, algorithms=["RS256"], audience=AUDIENCE, options=options)
        except jwt.InvalidTokenError as error:
            return Reply.of_json({"error": "invalid_grant", "error_description": str(error)}, 400)
        if not self.is_known or claims["iss"] != ACCOUNT:
            return Reply.of_json({"error": "invalid_grant", "error_description": "account not found"}, 400)
        self.ledger.append(claims["scope"])
        self.tokens.append(f"ya29.{len(self.tokens)}")
        given = {"access_token": self.tokens[-1], "expires_in": self.valid_s, "token_type": "Bearer"}
        return Reply.of_json(given)


def _error(status: int, word: str, message: str) -> Reply:
    return Reply.of_json({"error": {"code": status, "message": message, "status": word}}, status)
