"""Texts and labels from outside, made fit to be kept: of bounded size, links only to the web."""

from collections.abc import Iterable
from functools import lru_cache

from collectors.openlineage.wire import Ownership, Tag, Tags

MAX_LABELS = 512
NAME_CHARS = 256
TEXT_CHARS = 4_096
STACK_BYTES = 32_768


class TooManyLabels(ValueError):
    """More than MAX_LABELS tags on one thing: no person wrote them, and rules and pages could not bear them."""


def cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"


def said(text: str | None, chars: int = TEXT_CHARS) -> str | None:
    """text, bounded; None where nothing was said."""
    return cut(text, chars) if text and not text.isspace() else None


def both_ends(text: str, limit: int = STACK_BYTES) -> str:
    """text within limit bytes of UTF-8: the beginning says where it came from, the end what happened."""
    if len(text) * 4 <= limit:
        return text
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return text
    head, tail = limit // 4, limit - limit // 4 - 64
    left_out = f"\n… {len(raw) - head - tail:,} bytes left out …\n"
    return raw[:head].decode("utf-8", "ignore") + left_out + raw[-tail:].decode("utf-8", "ignore")


def web_url(text: str | None) -> str | None:
    """text if it is a link that a page may show."""
    return text if text and text.startswith(("http://", "https://")) and len(text) <= 2_048 else None


def owners(facet: Ownership | None, fallback: str | None = None) -> str | None:
    """The owners' names, `, ` between them. Airflow's default owner, `airflow`, means that nobody was named."""
    names = [owner.name.strip() for owner in facet.owners if owner.name] if facet and facet.owners else []
    named = [name for name in names or (fallback,) if name and name != "airflow"]
    if len(named) > 1:
        return cut(", ".join(dict.fromkeys(named)), NAME_CHARS)
    return cut(named[0], NAME_CHARS) if named else None


def labels(facet: Tags | None) -> dict[str, str] | None:
    """The tags as labels. What the client library says of itself is left out. Raises TooManyLabels."""
    if facet is None or not facet.tags:
        return None
    return label_all(tag for tag in facet.tags if tag.source != "OPENLINEAGE_CLIENT")


def label_all(tags: Iterable[Tag]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for tag in tags:
        if tag.key:
            key, value = label(tag.key, tag.value)
            found[key] = value
    if len(found) > MAX_LABELS:
        raise TooManyLabels(f"{len(found)} tags; at most {MAX_LABELS} are kept")
    return found or None


@lru_cache(maxsize=4096)
def label(key: str, value: str | float | bool | None = None) -> tuple[str, str]:
    """A tag as name and value. A plain tag is sent with itself as value (Airflow) or without: `tier:1` and `tier=1`
    are tier → 1, `finance` is finance → true."""
    if value is None or value in (key, ""):
        for mark in (":", "="):
            name, found, rest = key.partition(mark)
            if found and name and rest:
                return cut(name, NAME_CHARS), cut(rest, NAME_CHARS)
        return cut(key, NAME_CHARS), "true"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return cut(key, NAME_CHARS), cut(text, NAME_CHARS)
