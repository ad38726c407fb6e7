"""Names of operations: what spans are called, without the parts that differ from call to call.

OpenTelemetry asks for names of low cardinality and offers attributes for the rest (semantic conventions, "Span name"),
which not everybody follows. What is taken out is written `{}`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

MAX_CHARS: Final = 256
UNNAMED: Final = "(unnamed)"

_UUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
_HEX = r"(?=[0-9a-f]*[0-9])(?:0x)?[0-9a-f]{8,}"
# Whole words only: `s3`, `oauth2` and `load_q4` are names.
_VARIABLE = re.compile(rf"(?<![0-9A-Za-z_])(?:{_UUID}|{_HEX}|[0-9]+)(?![0-9A-Za-z_])", re.IGNORECASE)
_RANDOM_ENDING = re.compile(r"-[0-9a-f]{3}$")  # of a Prefect task run: `extract-488`


def operation_name(name: str, attributes: Mapping[str, Any]) -> str:
    """The route of a request if it is known, else the name without what looks like an id, a number or a query."""
    route = attributes.get("http.route")
    if isinstance(route, str) and route:
        method = attributes.get("http.request.method") or attributes.get("http.method") or name.partition(" ")[0]
        return f"{method} {route}"[:MAX_CHARS]
    if attributes.get("prefect.run.type") == "task":
        name = _RANDOM_ENDING.sub("", name)
    return plain_name(name)


@lru_cache(maxsize=16_384)
def plain_name(name: str) -> str:
    """name without its variable parts."""
    bare = name.strip()[: 4 * MAX_CHARS].partition("?")[0]
    return _VARIABLE.sub("{}", bare)[:MAX_CHARS] or UNNAMED
