"""What the operator wants taken out besides secrets: the section `scrub` of the configuration, as decisions.

Set for the whole process by the composition root, and by a reload: what is taken out is the same wherever it comes in.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import translate

from watchtower.model.patterns import replacer

_DIGITS = 16  # hexadecimal, of a digest: enough to tell customers apart, too few to be guessed from a table


@dataclass(frozen=True, slots=True)
class Own:
    """removes, hashes: whether a field of this name is; digest: of a value; text: what is left of a text."""

    removes: Callable[[str], object]
    hashes: Callable[[str], object]
    digest: Callable[[str], str]
    text: Callable[[str], str]


_in_force: list[Own] = []  # none, or one


def use(keys: Sequence[str], hashed: Sequence[str], patterns: Sequence[str], secret: bytes) -> None:
    """keys, hashed: shell wildcards of field names, in any case; patterns: of RE2. All empty: nothing of one's own."""
    if not (keys or hashed or patterns):
        _in_force.clear()
        return
    _in_force[:] = [Own(_named(keys), _named(hashed), lambda value: _digest(secret, value), replacer(patterns))]


def own() -> Own | None:
    return _in_force[0] if _in_force else None


def _named(wildcards: Sequence[str]) -> Callable[[str], object]:
    if not wildcards:
        return lambda name: None
    return re.compile("|".join(map(translate, wildcards)), re.IGNORECASE).match


def _digest(secret: bytes, value: str) -> str:
    """The same for the same value in this installation. What bears the mark already is left as it is."""
    if value.startswith("sha256:") and len(value) == len("sha256:") + _DIGITS:
        return value
    return f"sha256:{hmac.new(secret, value.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()[:_DIGITS]}"
