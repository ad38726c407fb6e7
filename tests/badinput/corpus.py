"""The corpus as a whole."""

from functools import cache

from tests.badinput import json_kinds, other_kinds
from tests.badinput.files import File, Kind, forty

KINDS: dict[str, Kind] = {
    "broken JSON": json_kinds.broken_json,
    "nesting": json_kinds.nesting,
    "integers": json_kinds.integers,
    "odd values": json_kinds.odd_values,
    "bad UTF-8": json_kinds.bad_utf8,
    "instants": json_kinds.instants,
    "wrong types": json_kinds.wrong_types,
    "missing and extra": json_kinds.missing_and_extra,
    "unknown words": json_kinds.unknown_words,
    "huge": json_kinds.huge,
    "OTLP": other_kinds.bad_otlp,
    "compression": other_kinds.compression,
    "XML": other_kinds.xml,
    "bills": other_kinds.bad_bills,
    "HTTP": other_kinds.http,
    "injection": other_kinds.injection,
}


@cache
def corpus() -> list[File]:
    """Sixteen kinds of forty."""
    return [file for name, kind in KINDS.items() for file in forty(name, list(kind()))]
