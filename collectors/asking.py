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

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self.ask("POST", path, msgspec.json.encode(body))

    def ask(self, method: str, path: str, body: bytes = b"", *, content_type: str = "application/json") -> Any:
        """The answer's JSON. path: below base_url. Raises Transient or Permanent."""
        call = f"{self.what}: {method} {path.partition('?')[0]}"
        headers = {"Accept": "application/json", **self.headers()}
        if body:
            headers["Content-Type"] = content_type
        url = f"{self.base_url.rstrip('/')}/{path.lstrip('/')}"
        answer = self.context.http.request(method, url, headers=headers, body=body, timeout_s=TIMEOUT_S)
        self.clock_at = told_at(answer) or self.clock_at
        accepted(answer, self.context.clock.now(), call, self.remedy)
        return read_json(answer, object, call)


def check_addresses(addresses: Sequence[str | None], context: PollContext, path: str, key: str) -> None:
    """Raise ConfigError with a fault for each address that the guard refuses; path: of the list that they stand in."""
    faults: list[Fault] = []
    for number, address in enumerate(addresses):
        try:
            if address is not None:
                context.check(address)
        except Permanent as error:
            faults.append(Fault(f"{path}[{number}].{key}", str(error)))
        except Transient:
            pass  # its name cannot be looked up at this moment: each request checks again
    if faults:
        raise ConfigError(faults)


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


def objects(answer: Any, call: str) -> list[Row]:
    """The objects of an answer that is a list. Raises Permanent for another."""
    if not isinstance(answer, list):
        message = f"{call}: a list was asked for and something else came; is base_url the address of its API?"
        raise Permanent(Reason.BAD_ANSWER, message)
    return members({"items": answer}, "items")


def kept(row: Row, names: Sequence[str]) -> dict[str, Any]:
    """Those of the named fields that say something. A time that grows with each answer would make each one new."""
    return {name: row[name] for name in names if row.get(name) not in (None, [], {})}


def chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    return (list(items[start : start + size]) for start in range(0, len(items), size))
