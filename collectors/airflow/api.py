"""Airflow's REST API: v2 of Airflow 3, v1 of Airflow 2, whichever answers.

Lists are paged by offset, and rows may move between two requests (a try that begins gets a new id, at the end). So
each page begins a few rows before the end of the one before; if it does not begin with rows that were seen, some were
skipped, and the step is taken again with more of them.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from collectors.airflow.authentication import REMEDY, Authentication
from collectors.polled import accepted, read_json, told_at
from watchtower.errors import Permanent, Reason, Transient
from watchtower.ports import Clock, HttpAnswer, HttpClient

T = TypeVar("T")

PAGE: Final = 100  # Airflow's default for [api] maximum_page_limit
OVERLAP: Final = 10  # rows
LONGEST_STEP: Final = 640  # rows; further back everything was seen a moment ago, and is read again by the next poll
KEPT_PAGES: Final = 8
MOST_PAGES: Final = 20_000  # of one list
TIMEOUT_S: Final = 10.0
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Version:
    """api: 2 (Airflow 3) or 1; text: Airflow's own."""

    api: int
    text: str


class _Version(msgspec.Struct):
    version: str


class Api:
    """base_url: of Airflow's web server, without a slash at its end; version: 0 to find out."""

    def __init__(
        self, http: HttpClient, clock: Clock, base_url: str, authentication: Authentication, *, version: int = 0
    ) -> None:
        self._http = http
        self._clock = clock
        self._base_url = base_url
        self._authentication = authentication
        self._wanted = version
        self._version: Version | None = None

    def version(self) -> Version:
        """Asked once, and again by `begin`."""
        return self._version or self.begin()

    def begin(self) -> Version:
        """Find out what answers: Airflow may have been upgraded since the last poll."""
        for api in (self._wanted,) if self._wanted else (2, 1):
            try:
                text = self._json("GET", api, "/version", {}, _Version).version
            except Permanent as error:
                if error.reason is Reason.NOT_FOUND and api == 2 and not self._wanted:
                    continue
                raise
            # Amazon MWAA answers at any of them, as its version of Airflow has it.
            self._version = Version(1 if text.startswith("2.") else api, text)
            return self._version
        raise Permanent(Reason.NOT_FOUND, f"airflow: nothing answers at {self._base_url}/api/v2 or /api/v1")

    def now(self) -> datetime | None:
        """The moment by Airflow's own clock, if it says so."""
        return told_at(self._answer("GET", self.version().api, "/version", {}))

    def get(self, path: str, kind: type[T], **query: Any) -> T:
        """One answer. Raises Transient or Permanent."""
        return self._json("GET", self.version().api, path, query, kind)

    def rows(self, path: str, key: str, ident: tuple[str, ...], **query: Any) -> Iterator[list[Row]]:
        """The rows of a list, page by page, each row at least once. key: of the list in the answer; ident: the fields
        that tell one row from another."""
        before: deque[set[tuple[Any, ...]]] = deque(maxlen=KEPT_PAGES)
        offset, back, limit = 0, 0, PAGE
        for _ in range(MOST_PAGES):
            start = max(0, offset - back)
            try:
                page = self.get(path, dict[str, Any], **query, limit=limit, offset=start)
            except Permanent as error:
                if error.reason is not Reason.TOO_LARGE or limit == 1:
                    raise
                limit, back = max(1, limit // 4), 0
                continue
            rows = rows_of(page, key, path)
            names = [tuple(row.get(name) for name in ident) for row in rows]
            if start and back < LONGEST_STEP and (not names or not any(names[0] in some for some in before)):
                back = max(OVERLAP, 2 * back)
                continue
            before.append(set(names))
            yield rows
            offset, back = start + len(rows), min(OVERLAP, limit // 4)
            if not rows or offset >= int(page.get("total_entries") or 0):
                return
        raise Transient(Reason.BAD_ANSWER, f"airflow GET {path}: more than {MOST_PAGES} pages; it never ends")

    def _json(self, method: str, api: int, path: str, query: Mapping[str, Any], kind: type[T]) -> T:
        return read_json(self._answer(method, api, path, query), kind, f"airflow {method} {path}")

    def _answer(self, method: str, api: int, path: str, query: Mapping[str, Any]) -> HttpAnswer:
        """Once more with a new token if the one that was used is refused: it may have run out."""
        shown = f"airflow {method} {path}"
        url = f"{self._base_url}/api/v{api}{path}{'?' + urlencode(query) if query else ''}"
        for attempt in (1, 2):
            headers = {"Accept": "application/json", **self._authentication.headers(api)}
            answer = self._http.request(method, url, headers=headers, timeout_s=TIMEOUT_S)
            if attempt == 2 or not _is_refused(answer) or not self._authentication.forget():
                return accepted(answer, self._clock.now(), shown, REMEDY)
        raise AssertionError("the second attempt returns or raises")


def _is_refused(answer: HttpAnswer) -> bool:
    """The token, not what is asked for: one that ran out is 401, one of before a restart 403 `Invalid JWT token`."""
    return answer.status == 401 or (answer.status == 403 and b"token" in answer.body[:200].lower())


def part(text: str) -> str:
    """One part of a path: run ids hold `:` and `+`."""
    return quote(text, safe="")


def rows_of(page: Mapping[str, Any], key: str, path: str) -> list[Row]:
    """The list in an answer. Raises Transient if there is none."""
    try:
        return msgspec.convert(page.get(key), list[Row])
    except msgspec.ValidationError as error:
        raise Transient(Reason.BAD_ANSWER, f"airflow GET {path}: the answer has no list {key!r}") from error
