"""Every entry of a running server, from the tables by which it routes; what is added there is met by the corpus too."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy import func, select

from tests.badinput.files import File
from tests.server.site import Answer, Site
from watchtower.model.access import Scope
from watchtower.server import openapi
from watchtower.server.ingest import INGEST_ROUTES, NOT_TAKEN, OWN_ROUTES
from watchtower.server.pings import PATHS
from watchtower.server.routes import ENDPOINTS
from watchtower.store.schema.observed import facts

INGEST = sorted({*INGEST_ROUTES, *NOT_TAKEN, *OWN_ROUTES})
UUID = "5d4f3c2b-1a09-4876-8543-210fedcba987"
_MOST = 4_000  # characters of a query: above it servers before Watchtower refuse the request


@dataclass(frozen=True, slots=True)
class Entry:
    """params: names of the query, into which the file goes instead of the body."""

    method: str
    path: str
    params: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.path}{'?' if self.params else ''}"


def entries() -> list[Entry]:
    """Paths with their parameters still in braces."""
    document: Any = openapi.document(ENDPOINTS)["paths"]
    found = [Entry("POST", path) for path in (*INGEST, *PATHS)]
    for endpoint in ENDPOINTS:
        if endpoint.method != "GET":
            found.append(Entry(endpoint.method, endpoint.path))
        parameters = document[endpoint.path][endpoint.method.lower()]["parameters"]
        names = tuple(each["name"] for each in parameters if each["in"] == "query")
        if names or "{" in endpoint.path:
            found.append(Entry(endpoint.method, endpoint.path, names or ("unknown",)))
    return found


@dataclass
class Bombardment:
    """Sends files to entries and holds every answer to what the protocol promises. token: may do everything."""

    site: Site
    token: str

    def send(self, entry: Entry, file: File) -> Answer:
        path, stored = entry.path, self._facts()
        if entry.params:
            told = file.body[:_MOST].decode("latin-1")
            path = re.sub(r"{\w+}", quote(told[:200], safe=""), path)
            query = urlencode(dict.fromkeys(entry.params, told[: _MOST // (3 * len(entry.params))]))
            answer = self.site.request(entry.method, f"{path}?{query}", token=self.token)
        else:
            path = re.sub(r"{(\w+)}", lambda found: {"uuid": UUID, "name": "slack"}.get(found[1], "nothing"), path)
            answer = self.site.request(entry.method, path, token=self.token, body=file.body, headers=file.headers)
        faults = list(_faults(entry, file, answer))
        if answer.status >= 400 and self._facts() != stored:
            faults.append("something of what was refused was kept")
        assert not faults, f"{entry} with {file.name!r}: {answer.status}, {'; '.join(faults)}: {answer.body[:300]!r}"
        return answer

    def _facts(self) -> int:
        with self.site.services.database.read() as connection:
            return connection.execute(select(func.count()).select_from(facts)).scalar_one()


def bombardment(site: Site) -> Bombardment:
    """With one token for as long as the site runs: a manual clock never lets it look for a newer one."""
    token = site.tokens.setdefault("everything", "") or site.new_token(set(Scope))
    site.tokens["everything"] = token
    return Bombardment(site, token)


_INGEST_STATUSES = {
    "openlineage": {200, 400, 413},
    "series": {200, 400, 413},
    "otlp": {200, 400, 413, 415},
}


def _faults(entry: Entry, file: File, answer: Answer) -> Iterator[str]:
    if answer.status >= 500 and not (answer.status == 501 and entry.path in NOT_TAKEN):
        yield "a fault of ours"
    collector = INGEST_ROUTES.get(entry.path, "") if not entry.params and entry.method == "POST" else ""
    allowed = _INGEST_STATUSES.get("otlp" if collector.startswith("otlp_") else collector)
    if allowed is not None and answer.status not in allowed:
        yield f"not one of {sorted(allowed)}"
    if collector == "openlineage" and answer.status == 400 and _is_json(file):
        yield "JSON was refused, so its sender drops the event"
    if "content-security-policy" not in answer.headers or answer.headers.get("x-content-type-options") != "nosniff":
        yield "it lacks the security headers"


def _is_json(file: File) -> bool:
    """Surely: what readers disagree about is left out."""
    if file.encoding:
        return False
    try:
        return isinstance(json.loads(file.body.decode()), dict)
    except (ValueError, RecursionError):
        return False
