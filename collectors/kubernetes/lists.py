"""Lists of a cluster's API, and watches from their version on.

A watch is asked for with a short time-out and read whole, so that it is a poll whose mark is the API's own resource
version: it brings what changed since, also the last word on a thing that was deleted meanwhile. Where the API has let
go of a version (410), a list begins anew. Source: "Kubernetes API Concepts", on the detection of changes.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import msgspec

from collectors.asking import Row, member, members, the_object
from collectors.paging import pages
from collectors.polled import accepted, read_json, told_at
from watchtower.errors import Reason, Transient
from watchtower.ports import HttpAnswer, PollContext
from watchtower.secrets import Secret

REMEDY: Final = (
    "give the service account get, list and watch on jobs, cronjobs and pods (docs/kubernetes.md has the role)"
)
PAGE: Final = 500
WATCHED_S: Final = 1  # the API ends a watch after this; what changed before it began comes at once
TIMEOUT_S: Final = 60.0

Versions = MutableMapping[str, str]  # path → the resource version up to which it is known
Changed = tuple[Row, bool]  # a thing as it is now, and whether it was deleted


class Gone(Exception):
    """The resource version is too old: list again."""


class Lists:
    """what: the source in messages; clock_at: the API's time at its first answer since `begin`."""

    def __init__(self, context: PollContext, what: str, base_url: str, token: Secret, ca_file: str | None) -> None:
        self._context = context
        self._what = what
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._ca_file = ca_file
        self.clock_at: datetime | None = None

    def begin(self) -> None:
        self.clock_at = None

    def changes(
        self, path: str, versions: Versions, selector: str | None, *, anew: bool = False
    ) -> Iterator[list[Changed]]:
        """What changed since the version that is known; anew, or where that is too old: all there is. versions is
        advanced."""
        if path in versions and not anew:
            try:
                yield self._watched(path, versions, selector)
            except Gone:
                pass
            else:
                return
        yield from self._listed(path, versions, selector)

    def found(self, path: str, asked: Mapping[str, str]) -> list[Row]:
        """What a list holds now, the first of it."""
        try:
            return members(self._object(path, {"limit": str(PAGE), **asked}), "items")
        except Gone:  # of a list that is not continued it is not said
            return []

    def _listed(self, path: str, versions: Versions, selector: str | None) -> Iterator[list[Changed]]:
        """All of them, as they were at one resource version."""

        def ask(token: str) -> Row:
            following = {"continue": token} if token else {}
            try:
                return self._object(path, {"limit": str(PAGE), **following, **_only(selector)})
            except Gone as error:
                versions.pop(path, None)
                again = "the list grew too old while it was read; it is read again"
                raise Transient(Reason.SERVER_ERROR, f"{self._call(path)}: {again}") from error

        for answer in pages(self._call(path), ask, _continued):
            if not _continued(answer):
                versions[path] = self._version(member(answer, "metadata"), path)
            yield [(item, False) for item in members(answer, "items")]

    def _watched(self, path: str, versions: Versions, selector: str | None) -> list[Changed]:
        """Raises Gone."""
        asked = {
            "watch": "1",
            "resourceVersion": versions[path],
            "timeoutSeconds": str(WATCHED_S),
            "allowWatchBookmarks": "true",
            **_only(selector),
        }
        found: list[Changed] = []
        for event in _events(self._get(path, asked), self._call(path)):
            item = member(event, "object")
            if event.get("type") == "ERROR":
                if item.get("code") == 410:
                    raise Gone
                raise Transient(Reason.SERVER_ERROR, f"{self._call(path)}: {str(item.get('message'))[:300]}")
            if version := member(item, "metadata").get("resourceVersion"):
                versions[path] = str(version)
            if event.get("type") != "BOOKMARK":
                found.append((item, event.get("type") == "DELETED"))
        return found

    def _object(self, path: str, asked: Mapping[str, str]) -> Row:
        return the_object(read_json(self._get(path, asked), object, self._call(path)), self._call(path))

    def _call(self, path: str) -> str:
        return f"{self._what}: GET /{path}"

    def _get(self, path: str, asked: Mapping[str, str]) -> HttpAnswer:
        headers = {"Authorization": f"Bearer {self._token.reveal().strip()}", "Accept": "application/json"}
        url = f"{self._base_url}/{path}?{urlencode(asked)}"
        answer = self._context.http.request("GET", url, headers=headers, timeout_s=TIMEOUT_S, ca_file=self._ca_file)
        if answer.status == 410:
            raise Gone
        self.clock_at = self.clock_at or told_at(answer)
        return accepted(answer, self._context.clock.now(), self._call(path), REMEDY)

    def _version(self, meta: Row, path: str) -> str:
        """From where the watch goes on. Raises Transient for an answer that is no list of Kubernetes."""
        version = meta.get("resourceVersion")
        if not version:
            message = f"{self._call(path)}: the answer has no resourceVersion; is base_url its API server?"
            raise Transient(Reason.BAD_ANSWER, message)
        return str(version)


def _continued(answer: Row) -> str:
    return str(member(answer, "metadata").get("continue") or "")


def _only(selector: str | None) -> dict[str, str]:
    return {"labelSelector": selector} if selector else {}


def _events(answer: HttpAnswer, call: str) -> Iterator[Row]:
    """One JSON document a line."""
    for line in answer.body.splitlines():
        if line.strip():
            try:
                yield the_object(msgspec.json.decode(line), call)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Transient(Reason.BAD_ANSWER, f"{call}: a line of the watch is no JSON: {error}") from error
