"""Reads fields of JSON that somebody else wrote: what is wrong with one costs that field, and says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from collectors.openlineage.instants import parse_instant
from collectors.openlineage.texts import cut
from watchtower.model.run import RunError

Json = Mapping[str, Any]

_SECONDS_UNTIL = 10**11  # numbers above it are milliseconds: 1e11 s is the year 5138, 1e11 ms the year 1973


class Unfit(Exception):
    """This event cannot be folded. reason: closed in each module that raises it; also a metric label."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(slots=True)
class Fields:
    """One object. skipped: names of fields that were there and could not be read."""

    said: Json
    skipped: list[str] = field(default_factory=list[str])

    def text(self, name: str, chars: int = 4_096) -> str | None:
        """A number is taken as its text; an empty one says nothing."""
        value = self.said.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return self._skip(name)
        return cut(str(value), chars)

    def whole(self, name: str) -> int | None:
        value = self.said.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            return self._skip(name)
        return value

    def moment(self, name: str) -> datetime | None:
        value = self.said.get(name)
        if value is None or value == "":
            return None
        return instant(value) or self._skip(name)

    def labels(self, name: str) -> dict[str, str] | None:
        value = self.said.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            return self._skip(name)
        given = cast("dict[str, Any]", value)
        return {
            cut(key, 256): cut(str(one).lower() if isinstance(one, bool) else str(one), 256)
            for key, one in list(given.items())[:512]
            if one is not None and not isinstance(one, dict | list)
        } or None

    def error(self, name: str) -> RunError | None:
        """A text, or an object with message, type and stack."""
        value = self.said.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            return RunError(cut(value, 4_096))
        if not isinstance(value, dict):
            return self._skip(name)
        inner = Fields(cast("dict[str, Any]", value), self.skipped)
        message = inner.text("message") or ""
        kind, stack = inner.text("type", 256) or "", inner.text("stack", 32_768) or ""
        return RunError(message, kind, stack) if message or kind or stack else None

    def objects(self, name: str) -> Sequence[Json]:
        value = self.said.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self._skip(name)
            return ()
        items = cast("list[Any]", value)[:1_000]
        if not all(isinstance(item, dict) for item in items):
            self._skip(name)
        return [cast("Json", item) for item in items if isinstance(item, dict)]

    def _skip(self, name: str) -> None:
        self.skipped.append(name)


def instant(value: Any) -> datetime | None:
    """RFC 3339, or seconds or milliseconds since 1970; None for anything else."""
    if isinstance(value, str):
        return parse_instant(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if value > _SECONDS_UNTIL else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def trace_of(traceparent: str | None) -> str | None:
    """The trace's id of a W3C traceparent: `00-<32 hexadecimal digits>-…`."""
    parts = (traceparent or "").split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or parts[1] == "0" * 32:
        return None
    return parts[1].lower() if all(char in "0123456789abcdefABCDEF" for char in parts[1]) else None
