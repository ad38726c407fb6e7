"""What a CI system told, in one form: the three readers make it, the collector makes facts of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from collectors.openlineage.instants import parse_instant
from watchtower.model.run import RunState

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """workflow: its name; number: of the run, the same for all its attempts. at: when it said so; None: it did not.
    deploys: it says itself that something was deployed; steps: names by which that may be known otherwise. is_main:
    it is about the branch that counts."""

    repository: str
    workflow: str
    number: str
    state: RunState | None
    at: datetime | None
    attempt: int = 1
    started_at: datetime | None = None
    deploys: bool = False
    is_main: bool = False
    steps: tuple[str, ...] = ()
    title: str = ""
    commit: str | None = None
    actor: str | None = None
    url: str | None = None
    environment: str | None = None
    trigger: str | None = None


class Unread(Exception):
    """This is not what its sender's documentation says."""


def part(said: Any, *path: str) -> Any:
    """What stands at path, None if anything on the way is missing."""
    for name in path:
        if not isinstance(said, Mapping):
            return None
        said = cast("Json", said).get(name)
    return said


def text(said: Any, *path: str) -> str | None:
    found = part(said, *path)
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return str(found)[:512] or None


def moment(said: Any, *path: str) -> datetime | None:
    found = part(said, *path)
    return parse_instant(found) if isinstance(found, str) else None


def whole(said: Any, *path: str) -> int | None:
    found = part(said, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**31 else None


def first_line(message: str | None) -> str:
    return next(iter((message or "").strip().splitlines()), "")
