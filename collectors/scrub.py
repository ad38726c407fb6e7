"""Takes secrets out of what is kept: source code, values under keys that name a secret, passwords inside addresses.

A body is parsed and written anew only if a collector finds that it may hold one. Scrubbing twice gives what scrubbing
once gave, so a kept body that is replayed keeps its key. What cannot be known to be a secret (an SQL text, a free
command line) is kept: docs/openlineage.md says so.
"""

import re
from typing import Any, cast

import msgspec

REDACTED = "[redacted]"

# Every name that `_SECRET_KEY` and `_ASSIGNMENT` look for holds one of these.
_TRIGGERS = ("passw", "secret", "token", "key", "credential", "authorization", "connection", "bearer ")

# What identifies a thing is left as it is but for passwords in addresses: a job may well be called `token:refresh`.
_IDENTITIES = frozenset({"name", "namespace", "runId", "run_id", "dag_id", "task_id", "key", "eventTime", "uri"})

_SECRET_KEY = re.compile(
    r"(?:password|passwd|secret|token|(?:api|access|private|secret)[._-]?key|credentials?|authorization"
    r"|connection[_-]?string|secret[_-]?value)$",
    re.IGNORECASE,
)
# Bounded everywhere, so that no text makes the search quadratic. Before a colon the name must be a word of its own or
# in quotes: `InvalidToken: expired` is an exception, not a secret.
_NAME = r"(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
_VALUE = r"(?:'[^'\n]{1,1000}'|\"[^\"\n]{1,1000}\"|[^\s,;&'\"(){}\[\]]{1,1000})"
_ASSIGNMENT = re.compile(
    rf"((?:{_NAME}['\"]?\s{{0,4}}=|{_NAME}['\"]\s{{0,4}}:|(?<![A-Za-z]){_NAME}\s{{0,4}}:)\s{{0,4}}){_VALUE}"
    r"|(\bbearer\s{1,4})[\w.~+/=-]{8,4000}",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(://[^/\s:@'\"]{0,200}:)(?!\*\*\*@)[^/\s@'\"]{1,200}@")
_USERINFO_BYTES = re.compile(_USERINFO.pattern.encode())


def may_hold_secret(text: str) -> bool:
    """Whether text is worth scrubbing. Cheap; sometimes says yes in vain."""
    lower = text.lower()
    return any(word in lower for word in _TRIGGERS) or "@" in text


def has_userinfo(body: bytes) -> bool:
    """Whether an address in body has a password: `scheme://user:password@host`."""
    return _USERINFO_BYTES.search(body) is not None


def scrub(value: Any) -> Any:
    """value (JSON builtins, at most a few hundred levels deep) without secrets; the same object if it holds none."""
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        clean = [scrub(item) for item in items]
        return clean if any(new is not old for new, old in zip(clean, items, strict=True)) else items
    if isinstance(value, dict):
        return _scrub_fields(cast("dict[str, Any]", value))
    return value


def scrub_text(text: str) -> str:
    """text without passwords in addresses and without values assigned to a name that says secret (`token=…`)."""
    clean = text
    if ("=" in text or ":" in text or " " in text) and may_hold_secret(text):
        clean = _ASSIGNMENT.sub(lambda found: (found[1] or found[2]) + "***", text)
    clean = _scrub_address(clean)
    return text if clean == text else clean


def scrub_body(body: bytes, parsed: Any) -> bytes:
    """body itself, or, if it holds a secret, the JSON of what is left. parsed: body as builtins."""
    clean = scrub(parsed)
    return body if clean is parsed else msgspec.json.encode(clean)


def _scrub_address(text: str) -> str:
    return _USERINFO.sub(r"\g<1>***@", text) if "@" in text else text


def _scrub_fields(fields: dict[str, Any]) -> dict[str, Any]:
    kept = {key: _scrub_field(key, item) for key, item in fields.items()}
    # {"name": "DB_PASSWORD", "value": "…"}: environment variables, execution parameters, tags.
    named = fields.get("name", fields.get("key"))
    if isinstance(named, str) and _SECRET_KEY.search(named) and isinstance(fields.get("value"), str):
        kept["value"] = fields["value"] if fields["value"] == REDACTED else REDACTED
    return kept if any(kept[key] is not item for key, item in fields.items()) else fields


def _scrub_field(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool) or value == REDACTED:
        return value
    if isinstance(value, str) and key in _IDENTITIES:
        return _scrub_address(value)
    if key == "sourceCode" and isinstance(value, str):
        return REDACTED  # the text of a Bash or Python task; the facet of that name keeps its language
    if _SECRET_KEY.search(key) and value not in ("", [], {}):
        return REDACTED
    return scrub(value)
