"""Regular expressions that people write: RE2, as in Alertmanager and Prometheus.

RE2 takes time linear in the text whatever the pattern is, so neither a configuration nor a silence can make routing
stand still (promises SR-7). Its price is syntax: no look-around, no back-reference (github.com/google/re2/wiki/Syntax).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol, cast

import re2 as _untyped

from watchtower.errors import BadInput

MAX_PATTERN = 4096  # characters
_REMEMBERED = 4096  # answers; labels repeat, and an answer that is known costs a twentieth of asking RE2

_re2 = cast("Any", _untyped)


class _Compiled(Protocol):
    def fullmatch(self, text: bytes) -> object | None: ...

    def sub(self, put: bytes, text: bytes) -> bytes: ...


def check(pattern: str) -> None:
    """Raises BadInput that says what is wrong with pattern."""
    _compiled(pattern)


@lru_cache(maxsize=_REMEMBERED)
def fits(pattern: str, text: str) -> bool:
    """Whether all of text matches; `.` is any character, a line break too. Raises BadInput as `check` does."""
    return _compiled(pattern).fullmatch(text.encode("utf-8", "replace")) is not None


def replacer(patterns: Sequence[str]) -> Callable[[str], str]:
    """Text → text in which all that any of patterns finds is `***`. Raises BadInput as `check` does."""
    for pattern in patterns:
        check(pattern)
    if not patterns:
        return lambda text: text
    compiled = _compiled("|".join(f"(?:{pattern})" for pattern in patterns))
    return lambda text: compiled.sub(b"***", text.encode("utf-8", "replace")).decode("utf-8", "replace")


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> _Compiled:
    if len(pattern) > MAX_PATTERN:
        raise BadInput(f"not a regular expression: {len(pattern)} characters, and at most {MAX_PATTERN} are taken")
    options = _re2.Options()
    options.log_errors = False
    options.dot_nl = True
    try:
        return _re2.compile(pattern, options)
    except _re2.error as error:
        said = error.args[0].decode("utf-8", "replace") if error.args else "it cannot be compiled"
        raise BadInput(f"not a regular expression of RE2: {said}{_remedy(said)}") from error
    except UnicodeEncodeError as error:
        raise BadInput("not a regular expression: it holds half a character") from error


def _remedy(said: str) -> str:
    """What people bring along from Python and Perl."""
    if "perl operator" in said or "invalid escape sequence" in said:
        return "; look-arounds and back-references are not taken (docs/configuration.md)"
    return ""
