"""Bytes of an OTLP request as its protobuf message, from either encoding.

JSON is protobuf's own mapping but for two things (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"): ids are
hexadecimal there, and what is unknown is passed over.
"""

from base64 import b64encode
from typing import Any, Final, TypeVar, cast

import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message

from watchtower.errors import BadInput

M = TypeVar("M", bound=Message)

_IDS: Final = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
_MAX_DEPTH: Final = 64


def parse(kind: type[M], body: bytes, content_type: str) -> M:
    """The message that body is. Raises BadInput for what cannot be read."""
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return _parse_json(kind, body)
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise BadInput(f"the body is no protobuf {kind.DESCRIPTOR.name}; send it as application/x-protobuf") from error


def _parse_json(kind: type[M], body: bytes) -> M:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadInput(f"the body is JSON, but no object such as a {kind.DESCRIPTOR.name}")
    try:
        _hex_to_base64(document, _MAX_DEPTH)
        return ParseDict(cast("dict[str, Any]", document), kind(), ignore_unknown_fields=True)
    except (ParseError, ValueError, RecursionError) as error:
        raise BadInput(f"the body is no {kind.DESCRIPTOR.name} in OTLP's JSON: {str(error)[:300]}") from error


def _hex_to_base64(value: Any, depth: int) -> None:
    """As protobuf's own JSON has them. An id that is not hexadecimal becomes an empty one, which is then refused for
    what it is, and costs its span and not the body."""
    if not depth:
        raise BadInput(f"the body is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            _hex_to_base64(item, depth - 1)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        for name, item in fields.items():
            if isinstance(item, dict | list):
                _hex_to_base64(item, depth - 1)
            elif name in _IDS and isinstance(item, str):
                fields[name] = _base64(item)


def _base64(text: str) -> str:
    try:
        return b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        return ""
