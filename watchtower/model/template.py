"""The template language of annotations and messages: `{field}` and `{field|filter|filter:argument}`, nothing else.

Logic-less on purpose: no attribute, no index, no loop, no call, so that what an operator or a pipeline writes can
never reach into the process (promises SR-5). Fields are a fixed list plus `labels.NAME`; the output is bounded.
`{{` and `}}` are literal braces.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeGuard

from watchtower.errors import BadInput
from watchtower.model.duration import format_duration

MAX_OUTPUT_BYTES = 64 * 1024
MAX_TEXT = 16 * 1024  # characters of a template
MAX_SLOTS = 200
_MAX_VALUE = 4096  # characters of one value; bounds the work of a filter

FIELDS = frozenset(
    {
        *("alertname", "kind", "severity", "source", "namespace", "pipeline", "task", "dataset", "budget"),
        *("slo", "owner", "team"),
        *("summary", "description", "value", "since", "runbook_url", "run_id", "native_run_id", "attempt"),
        *("max_attempts", "error", "cause", "expected", "started_at", "ended_at", "limit", "log_url", "external_url"),
    }
)

_LABEL_FIELD = re.compile(r"labels\.[A-Za-z_][A-Za-z0-9_]*")
_GO = re.compile(r"\{\{-?\s*(?:[.$]|range\b|if\b|end\b|else\b|template\b|with\b)")

Value = object
Filter = Callable[[Value], Value]


@dataclass(frozen=True, slots=True)
class Slot:
    field: str
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text. parts: literal strings and slots, in order."""

    parts: tuple[str | Slot, ...]

    def render(self, fields: Mapping[str, Value], escape: Callable[[str], str] = str) -> str:
        """Fill in fields; one that is absent, None or not a plain value is the empty string. escape: of the
        destination (HTML, mrkdwn …), applied to values, not to the text. At most 64 KiB of UTF-8, cut with `…`."""
        out: list[str] = []
        size = 0
        for part in self.parts:
            text = part if isinstance(part, str) else escape(_text(_filtered(part, fields)))
            size += len(text.encode("utf-8", "replace"))
            out.append(text)
            if size > MAX_OUTPUT_BYTES:
                break
        return _bounded("".join(out))


def parse_template(text: str) -> Template:
    """Raises BadInput that names the unknown field or filter, or the unbalanced brace, and what is possible."""
    if len(text) > MAX_TEXT:
        raise BadInput(f"template of {len(text)} characters is too long; at most {MAX_TEXT}")
    if _GO.search(text):
        raise BadInput("Go templates are not run here; write {pipeline} instead of {{ $labels.pipeline }}")
    parts = tuple(_parts(text))
    if sum(isinstance(part, Slot) for part in parts) > MAX_SLOTS:
        raise BadInput(f"template has more than {MAX_SLOTS} fields")
    return Template(parts)


def _parts(text: str) -> list[str | Slot]:
    parts: list[str | Slot] = []
    literal: list[str] = []
    position = 0
    while position < len(text):
        pair, char = text[position : position + 2], text[position]
        if pair in ("{{", "}}"):
            literal.append(char)
            position += 2
        elif char == "}":
            raise BadInput(f"template has a lone }} at character {position + 1}; write }}}} for a literal brace")
        elif char == "{":
            end = text.find("}", position)
            if end < 0:
                raise BadInput(f"template has a {{ without }} at character {position + 1}; write {{{{ for a brace")
            if literal:
                parts.append("".join(literal))
                literal = []
            parts.append(_slot(text[position + 1 : end]))
            position = end + 1
        else:
            literal.append(char)
            position += 1
    return [*parts, "".join(literal)] if literal else parts


def _slot(text: str) -> Slot:
    name, *filters = (piece.strip() for piece in text.split("|"))
    if name not in FIELDS and not _LABEL_FIELD.fullmatch(name):
        raise BadInput(f"template field {name[:80]!r} is unknown; known: {', '.join(sorted(FIELDS))}, labels.NAME")
    return Slot(name, tuple(_filter(piece) for piece in filters))


def _filter(text: str) -> Filter:
    name, _, argument = text.partition(":")
    if name in _PLAIN and not argument:
        return _PLAIN[name]
    if name == "default":
        return lambda value: argument if _text(value) == "" else value
    if name == "truncate" and argument.isascii() and argument.isdigit() and len(argument) < 6:
        return lambda value: _truncated(_text(value), int(argument))
    if name == "round" and argument.isascii() and argument.isdigit() and len(argument) < 2:
        return lambda value: _rounded(value, int(argument))
    known = ", ".join([*sorted(_PLAIN), "default:TEXT", "round:DIGITS", "truncate:LENGTH"])
    raise BadInput(f"template filter {text[:80]!r} is unknown; known: {known}")


def _filtered(slot: Slot, fields: Mapping[str, Value]) -> Value:
    value = fields.get(slot.field)
    if isinstance(value, str):
        value = value[:_MAX_VALUE]
    for apply in slot.filters:
        value = apply(value)
    return value


def _text(value: Value) -> str:
    """Plain values only: an object never gets to say how it is shown."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value) if _is_number(value) else ""


def _time(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _is_number(value: Value) -> TypeGuard[int | float | Decimal]:
    """A finite number of a size that people write; a huge integer takes long to print."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return False
    if isinstance(value, Decimal):
        return value.is_finite() and abs(value) < 10**40
    return abs(value) < 10**40  # false for NaN and infinity, too


def _rounded(value: Value, digits: int) -> Value:
    return round(value, digits) if _is_number(value) and abs(value) < 10**15 else value


def _duration(value: Value) -> Value:
    return format_duration(float(value), 2) if _is_number(value) and abs(value) < 10**12 else value


def _truncated(text: str, length: int) -> str:
    return text if len(text) <= length else text[: max(0, length - 1)] + "…"


def _bounded(text: str) -> str:
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MAX_OUTPUT_BYTES:
        return raw.decode()
    return raw[: MAX_OUTPUT_BYTES - 3].decode("utf-8", "ignore") + "…"


_PLAIN: dict[str, Filter] = {
    "upper": lambda value: _text(value).upper(),
    "lower": lambda value: _text(value).lower(),
    "trim": lambda value: _text(value).strip(),
    "first_line": lambda value: (_text(value).strip().splitlines() or [""])[0],
    "duration": _duration,
}
