"""Questions to an orchestrator's JSON API, through the guarded client, and careful reading of the answers.

An answer of another shape than expected is read as empty where a single thing is missing, and refused where the whole
of it is something else. Redirects are never followed, and a log-in page is no answer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar, cast

import msgspec

from collectors.polled import accepted, read_json, told_at
from watchtower.errors import ConfigError, Fault, Permanent, Reason, Transient
from watchtower.ports import PollContext

Row = Mapping[str, Any]
T = TypeVar("T")

TIMEOUT_S: Final = 60.0


@dataclass(slots=True)
class JsonApi:
    """One API. what: the source in messages, e.g. `prefect source 'prod'`; headers: of each request, read anew, so that
    a rotated secret is used at once; remedy: against refused credentials. clock_at: the server's own time at
    its last answer, to the second."""

    context: PollContext
    base_url: str
    what: str
    headers: Callable[[], Mapping[str, str]]
    remedy: str
    clock_at: datetime | None = field(default=None, init=False)

    def get(self, path: str) -> Row:
        """An answer that is an object, as nearly all are; path: below base_url. Raises Transient or Permanent."""
        return self._object("GET", path, b"")

    def post(self, path: str, body: Any) -> Row:
        return self._object("POST", path, msgspec.json.encode(body))

    def get_list(self, path: str) -> list[Row]:
        """The objects of an answer that is a list."""
        return self._list("GET", path, b"")

    def post_list(self, path: str, body: Any) -> list[Row]:
        return self._list("POST", path, msgspec.json.encode(body))

    def _object(self, method: str, path: str, body: bytes) -> Row:
        return the_object(self._ask(method, path, body), self._call(method, path))

    def _list(self, method: str, path: str, body: bytes) -> list[Row]:
        return objects(self._ask(method, path, body), self._call(method, path))

    def _ask(self, method: str, path: str, body: bytes) -> Any:
        call = self._call(method, path)
        headers = {"Accept": "application/json", **self.headers()}
        if body:
            headers["Content-Type"] = "application/json"
        url = f"{self.base_url.rstrip('/')}/{path.lstrip('/')}"
        answer = self.context.http.request(method, url, headers=headers, body=body, timeout_s=TIMEOUT_S)
        self.clock_at = told_at(answer) or self.clock_at
        accepted(answer, self.context.clock.now(), call, self.remedy)
        return read_json(answer, object, call)

    def _call(self, method: str, path: str) -> str:
        return f"{self.what}: {method} {path.partition('?')[0]}"


def check_address(check: Callable[[str], None], address: str, path: str) -> None:
    """Raise ConfigError if the guard (check) refuses it; path: where it stands in the configuration."""
    try:
        check(address)
    except Permanent as error:
        raise ConfigError([Fault(path, str(error))]) from error
    except Transient:
        pass  # its name cannot be looked up at this moment: each request checks again


def record(**said: Any) -> bytes:
    """A record of what is said, without what is empty: the same content is always the same bytes."""
    kept = {name: value for name, value in said.items() if value is not None and value not in ([], {})}
    return msgspec.json.encode(kept, order="sorted")


def an_object(value: Any) -> Row:
    """value, or {} where it is none."""
    return cast("Row", value) if isinstance(value, dict) else {}


def member(row: Row, name: str) -> Row:
    """The object under a name; {} where there is none."""
    return an_object(row.get(name))


def members(row: Row, name: str) -> list[Row]:
    """The objects of a list under a name."""
    value = row.get(name)
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("Row", item) for item in items if isinstance(item, dict)]


def the_object(answer: Any, call: str) -> Row:
    """An answer that is an object. Raises Transient for another: what is read as empty would count as read."""
    if not isinstance(answer, dict):
        raise _another(call, "an object")
    return cast("Row", answer)


def required(answer: Row, name: str, call: str) -> list[Row]:
    """The objects of a list that is always in an answer. Raises Transient where it is not."""
    if not isinstance(answer.get(name), list):
        raise _another(call, f"an object with a list {name!r}")
    return members(answer, name)


def objects(answer: Any, call: str) -> list[Row]:
    """The objects of an answer that is a list. Raises Transient for another."""
    if not isinstance(answer, list):
        raise _another(call, "a list")
    return members({"items": answer}, "items")


def _another(call: str, expected: str) -> Transient:
    return Transient(
        Reason.BAD_ANSWER,
        f"{call}: {expected} was asked for and something else came; is base_url the address of its API?",
    )


def kept(row: Row, names: Sequence[str]) -> dict[str, Any]:
    """Those of the named fields that say something. A time that grows with each answer would make each one new."""
    return {name: row[name] for name in names if row.get(name) not in (None, [], {})}


def chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    return (list(items[start : start + size]) for start in range(0, len(items), size))
