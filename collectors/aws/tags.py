"""Tags of resources of AWS: pairs in a list or an object, under whatever keys; one of them may name an owner."""

from collections.abc import Mapping
from typing import Any, Final, cast

from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, cut

_OWNERS: Final = ("owner", "team")


def tags_of(tags: Any) -> dict[str, str]:
    """[{"Key": …, "Value": …}], [{"key": …, "value": …}] or {…: …}."""
    if isinstance(tags, dict):
        pairs = [(str(name), str(value)) for name, value in cast("dict[str, Any]", tags).items()]
    elif isinstance(tags, list):
        rows = [cast("dict[str, Any]", tag) for tag in cast("list[Any]", tags) if isinstance(tag, dict)]
        pairs = [(str(row.get("Key", row.get("key"))), str(row.get("Value", row.get("value", "")))) for row in rows]
    else:
        return {}
    return {cut(name, NAME_CHARS): cut(value, NAME_CHARS) for name, value in pairs[:MAX_LABELS]}


def owner_of(tags: Mapping[str, str]) -> str | None:
    """The value of the tag `owner`, else of `team`, in any case."""
    lower = {name.lower(): value for name, value in tags.items()}
    return next((lower[name] for name in _OWNERS if lower.get(name)), None)
