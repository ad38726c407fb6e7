"""Python reprs inside strings. Airflow's provider sends task ids, tags and assets as `str(list)`, not as JSON.

Only literals are read (ast.literal_eval, never eval), after their size and depth were checked.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import msgspec

MAX_CHARS = 65_536
MAX_DEPTH = 20
MAX_ITEMS = 1_000

_JSON = msgspec.json.Decoder()
_PLAIN_STRINGS = re.compile(r"\[(?:'[^'\\]*'(?:, '[^'\\]*')*+)?\]")


@dataclass(frozen=True, slots=True)
class Asset:
    """One inlet or outlet. kind: `asset`, or `asset_event` where the task itself added `extra` at run time."""

    uri: str
    kind: str
    extra: Mapping[str, Any]


@lru_cache(maxsize=4096)
def strings(text: str) -> tuple[str, ...]:
    """The strings of a repr of a list, set or tuple of strings; () if it is none. The same task sends the same text
    each time, hence the cache."""
    if _PLAIN_STRINGS.fullmatch(text) and len(text) <= MAX_CHARS:
        return tuple(text[2:-2].split("', '")) if len(text) > 2 else ()
    value = literal(text)
    if not isinstance(value, (list, tuple, set, frozenset)):
        return ()
    items = cast("list[Any]", value)
    found = [item for item in items if isinstance(item, str)]
    return tuple(found if isinstance(value, (list, tuple)) else sorted(found))[:MAX_ITEMS]


def assets(text: str) -> tuple[Asset, ...]:
    """Inlets or outlets. What is no asset (a DAG's alias, an older custom dataset class) is left out."""
    value: Any = literal(text) if text != "[]" else ()
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple(asset for item in cast("list[Any]", value)[:MAX_ITEMS] if (asset := _asset(item)))


def literal(text: str) -> Any:
    """text as Python data, or None if it is no literal, too long or too deep."""
    if len(text) > MAX_CHARS:
        return None
    if '"' not in text and "\\" not in text:
        try:
            return _JSON.decode(_as_json(text))
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            pass
    if _depth(text) > MAX_DEPTH:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _as_json(text: str) -> str:
    """A repr without double quotes and escapes, such as nearly every one is, as JSON: read 15 times as fast. What
    JSON has no word for (tuples, sets, keys that are no strings) is no JSON afterwards either."""
    parts = text.split("'")
    parts[::2] = [part.replace("None", "null").replace("True", "true").replace("False", "false") for part in parts[::2]]
    return '"'.join(parts)


def _asset(item: Any) -> Asset | None:
    if not isinstance(item, dict):
        return None
    fields = cast("dict[str, Any]", item)
    uri, extra = fields.get("uri"), fields.get("extra")
    if not isinstance(uri, str) or not uri:
        return None
    return Asset(
        uri, str(fields.get("type", "asset")), cast("dict[str, Any]", extra) if isinstance(extra, dict) else {}
    )


def _depth(text: str) -> int:
    """At least as deep as the literal is: brackets inside of strings count too."""
    deepest = depth = 0
    for bracket in re.findall(r"[\[({\])}]", text):
        depth = depth + 1 if bracket in "[({" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest
