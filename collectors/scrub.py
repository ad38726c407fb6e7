"""Takes secrets out of what is kept: source code, values under keys that name a secret, passwords inside addresses,
tokens that are known by their shape; and what the operator wants taken out (`collectors.scrub_own`).

A body is parsed and written anew only if a collector finds that it may hold one. Scrubbing twice gives what scrubbing
once gave, so a kept body that is replayed keeps its key. What cannot be known to be a secret (an SQL text, a free
command line) is kept: docs/openlineage.md says so.
"""

import re
from typing import Any, cast

import msgspec

from collectors.scrub_own import own

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


# Tokens that say by their form what they are. Each begins with one of _MARKS, which costs less to look for.
_MARKS = (
    *(
        "AKIA",
        "ASIA",
        "ghp_",
        "gho_",
        "ghs_",
        "ghu_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "xoxa-",
        "xoxs-",
    ),
    *("eyJ", "PRIVATE KEY-----", "sk_live_", "rk_live_", "AIza", "wt_ingest_", "wt_api_", "wt_ping_"),
)
_SHAPES = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS access keys
    r"|\bgh[pousr]_[A-Za-z0-9]{36,255}|\bgithub_pat_[A-Za-z0-9_]{22,255}"  # GitHub
    r"|\bglpat-[A-Za-z0-9_-]{20,255}"  # GitLab
    r"|\bxox[abps]-[A-Za-z0-9-]{10,255}"  # Slack
    r"|\beyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{2,4000}\.[A-Za-z0-9_-]{0,4000}"  # JSON web tokens
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{1,20000}(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
    r"|\b[sr]k_live_[A-Za-z0-9]{16,255}"  # Stripe
    r"|\bAIza[A-Za-z0-9_-]{35}"  # Google
    r"|\bwt_(?:ingest|api|ping)_[A-Za-z0-9]{8,64}_[A-Za-z0-9]{16,64}_[0-9a-f]{8}"  # our own
)


def may_hold_secret(text: str) -> bool:
    """Whether text is worth scrubbing. Cheap; sometimes says yes in vain."""
    lower = text.lower()
    return any(word in lower for word in _TRIGGERS) or "@" in text or _is_marked(text) or own() is not None


def has_userinfo(body: bytes) -> bool:
    """Whether an address in body has a password: `scheme://user:password@host`."""
    return _USERINFO_BYTES.search(body) is not None


def _is_marked(text: str) -> bool:
    return any(mark in text for mark in _MARKS)


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
    if _is_marked(clean):
        clean = _SHAPES.sub("***", clean)
    clean = _scrub_address(clean)
    wanted = own()
    if wanted is not None:
        clean = wanted.text(clean)
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
    wanted = own()
    if wanted is not None and (wanted.removes(key) or wanted.hashes(key)):
        return wanted.digest(str(value)) if wanted.hashes(key) and isinstance(value, str | int | float) else REDACTED
    if isinstance(value, str) and key in _IDENTITIES:
        return _scrub_address(value)
    if key == "sourceCode" and isinstance(value, str):
        return REDACTED  # the text of a Bash or Python task; the facet of that name keeps its language
    if _SECRET_KEY.search(key) and value not in ("", [], {}):
        return REDACTED
    return scrub(value)
