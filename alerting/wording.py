"""Times, spans and the evidence of an alert put into words for people. Pure; used by rendering.

Evidence is what a rule kind puts into `Violation.evidence`. Keys with a meaning here: `run_id`, `attempt` and
`max_attempts`, `expected` and `seen`, `error` (text, or a mapping with `type`, `message`, `stack`), `stack`,
`log_tail`, `timezone`; a name that ends in `_url` is a link, in `_s` a span in seconds, in `_at` a moment. All others
are shown under their own name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alerting.escaping import clean, last_lines, one_line, shorten, web_link

MAX_VALUE = 300  # characters of one fact
MAX_FACTS = 16  # facts of one alert
ERROR_LINES = 15  # the end of a stack trace or log that is shown
ERROR_CHARS = 1800

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FIRST = ("run_id", "native_run_id", "map_index", "expected", "expected_at", "seen")
_APART = frozenset({"attempt", "max_attempts", "error", "error_type", "stack", "log_tail", "timezone"})
_LABELS = {
    "run_id": "Run",
    "native_run_id": "Run at the source",
    "expected_at": "Expected at",
    "map_index": "Mapped task",
    "p95": "95th percentile",
}
_LINKS = {"run_url": "Run", "external_url": "Run", "url": "Run", "log_url": "Log", "task_url": "Task"}


@dataclass(frozen=True, slots=True)
class Link:
    """text is always ours; url has been checked to be a plain http(s) address."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Evidence:
    facts: tuple[tuple[str, str], ...]
    error: str
    links: tuple[Link, ...]


def span(seconds: float) -> str:
    """A length of time in its two largest units: `45 s`, `12 min`, `2 h 5 min`, `3 d 4 h`."""
    rest = int(max(0.0, seconds))
    if rest < _MINUTE:
        return f"{seconds:.1f} s" if 0 < seconds < 10 and seconds != rest else f"{rest} s"
    for unit, size, small, small_size in (
        ("d", _DAY, "h", _HOUR),
        ("h", _HOUR, "min", _MINUTE),
        ("min", _MINUTE, "s", 1),
    ):
        if rest >= size:
            more = rest % size // small_size
            exact = more and not (unit == "min" and rest >= 10 * _MINUTE)
            return f"{rest // size} {unit} {more} {small}" if exact else f"{rest // size} {unit}"
    return f"{rest} s"


def moment(when: datetime, timezone: str | None = None) -> str:
    """`2026-03-02 05:00:00 UTC`, and the same in the zone of the job where one is known."""
    text = f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    zone = _zone(timezone)
    if zone is None:
        return text
    there = when.astimezone(zone)
    shown = f"{there:%H:%M:%S}" if there.date() == when.astimezone(UTC).date() else f"{there:%Y-%m-%d %H:%M:%S}"
    return f"{text} ({shown} {timezone})"


def evidence(found: Mapping[str, Any]) -> Evidence:
    """Split what a rule found into facts (in a fixed order), the error text, and links."""
    return Evidence(tuple(_facts(found))[:MAX_FACTS], _error(found), tuple(_links(found)))


def flat(found: Mapping[str, Any]) -> dict[str, str]:
    """The scalar facts as text, under their own names: for machines that take strings only."""
    return {name: _plain(value) for name, value in sorted(found.items()) if value is not None and _is_scalar(value)}


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    timezone = _text(found.get("timezone"))
    if found.get("attempt") is not None:
        of = f" of {_plain(found['max_attempts'])}" if found.get("max_attempts") is not None else ""
        yield "Attempt", one_line(f"{_plain(found['attempt'])}{of}", MAX_VALUE)
    names = [name for name in _FIRST if name in found] + sorted(name for name in found if name not in _FIRST)
    for name in names:
        value = found[name]
        if name in _APART or value is None or value == "" or (_is_link(name) and web_link(value)):
            continue
        yield _label(name), _value(name, value, timezone)


def _label(name: str) -> str:
    words = _LABELS.get(name) or one_line(name.removesuffix("_s").replace("_", " "), 60)
    return words[:1].upper() + words[1:]


def _value(name: str, value: Any, timezone: str | None) -> str:
    if name.endswith("_s") and isinstance(value, int | float) and not isinstance(value, bool):
        return span(float(value))
    when = _moment(value) if name.endswith("_at") or isinstance(value, datetime) else None
    if when is not None:
        return moment(when, timezone)
    if isinstance(value, Mapping):
        pairs = cast(Mapping[Any, Any], value).items()
        return one_line(", ".join(f"{key}: {_plain(item)}" for key, item in pairs), MAX_VALUE)
    if isinstance(value, list | tuple):
        return one_line(", ".join(_plain(item) for item in cast("list[Any]", value)), MAX_VALUE)
    return one_line(_plain(value), MAX_VALUE)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _error(found: Mapping[str, Any]) -> str:
    error = found.get("error")
    parts = cast(Mapping[str, Any], error) if isinstance(error, Mapping) else {"message": error}
    kind = _text(parts.get("type") or found.get("error_type"))
    message = _text(parts.get("message"))
    head = message if not kind or message.startswith(kind) else f"{kind}: {message}".removesuffix(": ")
    stack = _text(parts.get("stack") or found.get("stack"))
    tail = found.get("log_tail")
    log = "\n".join(map(str, cast("list[Any]", tail))) if isinstance(tail, list | tuple) else _text(tail)
    rest = [last_lines(clean(text), ERROR_LINES, ERROR_CHARS) for text in (stack, log) if text.strip()]
    if head and rest and clean(head).strip() in rest[0]:
        head = ""  # the trace ends in the message: say it once
    return "\n\n".join(part for part in (shorten(clean(head).strip(), ERROR_CHARS), *rest) if part)


def _links(found: Mapping[str, Any]) -> Iterator[Link]:
    seen: set[str] = set()
    for name in sorted(found, key=lambda name: (name not in _LINKS, name)):
        url = web_link(found[name]) if _is_link(name) else ""
        if url and url not in seen:
            seen.add(url)
            yield Link(_LINKS.get(name) or _label(name.removesuffix("_url")), url)


def _is_link(name: str) -> bool:
    return name == "url" or name.endswith("_url")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | datetime)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime) and value.tzinfo is not None else None


def _zone(timezone: str | None) -> ZoneInfo | None:
    if not timezone or timezone in ("UTC", "Etc/UTC"):
        return None
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _text(value: Any) -> str:
    return "" if value is None else str(value)
