"""Bytes → wire structs: fast where the sender keeps to the specification, patient where it does not.

The fast way is one typed msgspec pass. What it refuses goes the patient way: Python's own parser, which takes what
Python producers write (NaN, lone surrogates, Latin-1 left-overs), then each field by itself, so that one bad field
costs that field. Depth is limited before anything recursive runs.
"""

import json
import math
import re
import types
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import msgspec

from collectors.openlineage.instants import parse_instant
from collectors.openlineage.wire import Event

MAX_DEPTH = 64

_EVENT = msgspec.json.Decoder(Event)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_WHITESPACE = b" \t\r\n"
_NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_NOT_OPENING = bytes(set(range(256)) - set(b"[{"))
_ONE_KIND = bytes.maketrans(b"[]", b"{}")
_TOKEN = re.compile(rb'"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_COMMA = ord(",")

T = TypeVar("T")


class NotJson(ValueError):
    """The bytes are no JSON text at all, not even in the wider sense of Python's parser."""


class TooDeep(ValueError):
    """More than MAX_DEPTH arrays and objects inside each other."""


def events_of(body: bytes) -> list[bytes]:
    """The texts of the events in body: one, or those of a list. Raises NotJson. A text may still be no event."""
    body = body.removeprefix(b"\xef\xbb\xbf").strip(_WHITESPACE)
    if body[:1] != b"[":
        return [body]
    try:
        return [bytes(item) for item in _LIST.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return list(_split(body))


def read_event(body: bytes) -> tuple[Event, list[str]]:
    """body as an Event, and the paths of the fields that could not be read. Raises NotJson and TooDeep."""
    check_depth(body)
    if b"\\" not in body or b"\\u0000" not in body:  # PostgreSQL stores no NUL in text
        try:
            return _EVENT.decode(body), []
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return mend_event(parse(body))


def check_depth(body: bytes) -> None:
    """Raise TooDeep if brackets nest deeper than MAX_DEPTH. Exact for JSON, and cheap: no Python loop over bytes."""
    if len(body.translate(None, _NOT_OPENING)) > MAX_DEPTH and _depth_exceeds(body, MAX_DEPTH):
        raise TooDeep(f"arrays and objects nest deeper than {MAX_DEPTH}")


def parse(body: bytes) -> Any:
    """body as builtins that can be stored: no NaN, no NUL, no lone surrogate. Raises NotJson. Depth was checked."""
    try:
        value = json.loads(
            body.decode("utf-8", "replace"),
            strict=False,
            parse_constant=lambda _: None,
            parse_int=_whole,
            parse_float=_real,
        )
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error
    return _storable(value)


def mend_event(value: Any) -> tuple[Event, list[str]]:
    """value (builtins) as an Event. A key run, job or dataset that is there stays there, as None if unreadable."""
    skipped: list[str] = []
    event = mend(Event, value, "", skipped) or Event()
    if isinstance(value, dict):
        for key in ("run", "job", "dataset"):
            if key in value and getattr(event, key) is msgspec.UNSET:
                setattr(event, key, None)
    return event, skipped


def decode_facet(decoder: msgspec.json.Decoder[T], kind: type[T], raw: msgspec.Raw, path: str, skipped: list[str]) -> T:
    """One facet of a dataset; fields that cannot be read are left out and their paths added to skipped."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            return mend(kind, parse(bytes(raw)), path, skipped) or kind()
        except NotJson:
            skipped.append(path)
            return kind()


def mend(kind: type[T], value: Any, path: str, skipped: list[str]) -> T | None:
    """value (builtins) as a struct of kind, read field by field. What does not fit is left out, its path noted."""
    if not isinstance(value, dict):
        skipped.append(path or "$")
        return None
    given = cast("dict[str, Any]", value)
    fields: dict[str, Any] = {}
    for wire_name, name, read in _readers(kind):
        if wire_name in given:
            found = read(given[wire_name], f"{path}.{wire_name}" if path else wire_name, skipped)
            if found is not None or given[wire_name] is None:
                fields[name] = found
    return kind(**fields)


Reader = Callable[[Any, str, list[str]], Any]


@cache
def _readers(kind: type[Any]) -> tuple[tuple[str, str, Reader], ...]:
    return tuple((one.encode_name, one.name, _reader(one.type)) for one in msgspec.structs.fields(kind))


def _reader(declared: Any) -> Reader:
    """How a field of this declared type is read from builtins."""
    wanted = _without_none(declared)
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return lambda value, path, skipped: None if value is None else mend(wanted, value, path, skipped)
    if get_origin(wanted) is list and issubclass(get_args(wanted)[0], msgspec.Struct):
        item_kind = get_args(wanted)[0]
        return lambda value, path, skipped: _mend_list(item_kind, value, path, skipped)
    if wanted == dict[str, msgspec.Raw]:
        return _raw_facets
    if wanted is msgspec.Raw:
        return _raw
    if wanted is datetime:
        return _instant
    return lambda value, path, skipped: _convert(declared, value, path, skipped)


def _without_none(declared: Any) -> Any:
    if get_origin(declared) in (Union, types.UnionType):
        rest = [arg for arg in get_args(declared) if arg not in (type(None), msgspec.UnsetType)]
        return rest[0] if len(rest) == 1 else declared
    return declared


def _mend_list(kind: type[Any], value: Any, path: str, skipped: list[str]) -> list[Any] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        skipped.append(path)
        return None
    items = (mend(kind, item, f"{path}[]", skipped) for item in cast("list[Any]", value))
    return [item for item in items if item is not None]


def _raw_facets(value: Any, path: str, skipped: list[str]) -> dict[str, msgspec.Raw] | None:
    if isinstance(value, dict):
        facets = cast("dict[str, Any]", value)
        return {name: msgspec.Raw(msgspec.json.encode(facet)) for name, facet in facets.items()}
    if value is not None:
        skipped.append(path)
    return None


def _raw(value: Any, path: str, skipped: list[str]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _instant(value: Any, path: str, skipped: list[str]) -> datetime | None:
    instant = parse_instant(value) if isinstance(value, str) else None
    if instant is None and value is not None:
        skipped.append(path)
    return instant


def _convert(declared: Any, value: Any, path: str, skipped: list[str]) -> Any:
    try:
        return msgspec.convert(value, declared)
    except msgspec.ValidationError:
        skipped.append(path)
        return None


def _depth_exceeds(body: bytes, limit: int) -> bool:
    """Take the innermost brackets away, level by level; what is left after limit rounds lies deeper. Whether `[` is
    closed by `]` or `}` is left to the parser, and so is text that is cut short, unless that is what is too deep."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = body.translate(_ONE_KIND, _NOT_BRACKETS)
    shape = b"".join(marks.split(b'"')[::2])  # what stands between strings
    for _ in range(limit):
        inner = shape.replace(b"{}", b"")
        if len(inner) == len(shape):
            return shape.count(b"{") > limit
        shape = inner
    return b"{" in shape


def _split(body: bytes) -> Iterator[bytes]:
    """The items of a JSON array by its brackets alone, for lists with one item that stops the parser."""
    depth, start, items = 0, 1, 0
    for token in _TOKEN.finditer(body):
        mark = token[0][0]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        if depth == 0 or (depth == 1 and mark == _COMMA):
            item = body[start : token.start()].strip(_WHITESPACE)
            start = token.end()
            if item or items or depth:  # all but the nothing of an empty list
                items += 1
                yield item
        if depth == 0:
            break
    if depth != 0 or body[start:].strip(_WHITESPACE):
        raise NotJson("the list of events is cut short, or followed by something else")


def _whole(digits: str) -> int | float | None:
    """64 bits are what a store can keep; larger numbers lose precision rather than the event."""
    if len(digits) < 19:
        return int(digits)
    return _real(digits) if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63 else int(digits)


def _real(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value) if _UNSTORABLE.search(value) else value
    if isinstance(value, list):
        return [_storable(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {_storable(key): _storable(item) for key, item in fields.items()}
    return value
