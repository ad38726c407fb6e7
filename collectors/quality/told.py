"""What the converters share: careful looks into documents of others, and the event of one test."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

Json = Mapping[str, Any]


class Unread(ValueError):
    """This is not what the tool writes; the message says what was looked for."""


def part(said: Any, *path: str | int) -> Any:
    """What stands at path, None if anything on the way is missing."""
    for step in path:
        if isinstance(step, int):
            items = cast("list[Any]", said) if isinstance(said, list) else []
            said = items[step] if step < len(items) else None
        else:
            said = cast("Json", said).get(step) if isinstance(said, Mapping) else None
    return said


def objects(said: Any, *path: str | int) -> list[Json]:
    found = part(said, *path) if path else said
    items: Iterable[Any] = cast("list[Any]", found) if isinstance(found, list) else ()
    return [cast("Json", item) for item in items if isinstance(item, Mapping)]


def fields(said: Any, *path: str | int) -> Json:
    """The object at path; an empty one if there is none."""
    found = part(said, *path) if path else said
    return cast("Json", found) if isinstance(found, Mapping) else {}


def event(check: str, status: str, **more: Any) -> dict[str, Any]:
    """What is None is not said."""
    return {"check": check, "status": status, **{name: value for name, value in more.items() if value is not None}}


def count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def passed(value: Any) -> str:
    return "pass" if value is True else "fail"
