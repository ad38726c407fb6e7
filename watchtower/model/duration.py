"""Durations as people write them in configuration files: `5m`, `1h30m`, `90` (seconds).

The units are Prometheus' (`model.ParseDuration`), with fractions allowed: a day is always 24 h, a week 7 days, a year
365 days.
"""

import math
import re
from itertools import pairwise

from watchtower.errors import BadInput

_UNITS_S = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 0.001}
_ORDER = list(_UNITS_S)
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|[ywdhms])")
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_SPOKEN = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SHOWN = (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def parse_duration(text: str | float) -> float:
    """Seconds of text. A bare number means seconds. Units go from large to small, each at most once. Raises BadInput
    for anything else, negative values included."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return _finite(float(text), text)
    cleaned = str(text).strip()
    if _NUMBER.fullmatch(cleaned):
        return float(cleaned)
    position, last, seconds = 0, -1, 0.0
    for part in _PART.finditer(cleaned):
        rank = _ORDER.index(part[2])
        if part.start() != position or rank <= last:
            break
        seconds += float(part[1]) * _UNITS_S[part[2]]
        position, last = part.end(), rank
    if not cleaned or position != len(cleaned):
        raise BadInput(f"duration {text!r} is not understood; write e.g. 30s, 5m, 1h30m, 2d, or seconds as a number")
    return seconds


def format_duration(seconds: float, parts: int = 7) -> str:
    """`5400` → `1h30m`, `0.25` → `250ms`. parts: how many units at most; what is below the last one is rounded into
    it, so `format_duration(93_784, 2)` is `1d2h`. Without parts, whole seconds survive `parse_duration` unchanged."""
    if seconds < 0:
        return "-" + format_duration(-seconds, parts)
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if round(seconds * 1000) else "0s"
    for _, size in _SHOWN:
        if seconds >= size:
            smallest = _smallest_unit(size, parts)
            seconds = round(seconds / smallest) * smallest
            break
    shown: list[str] = []
    for unit, size in _SHOWN:
        count, seconds = divmod(round(seconds), size)
        if count:
            shown.append(f"{count}{unit}")
    return "".join(shown)


def spoken(seconds: float) -> str:
    """As people read it, in the two largest units: `0.4 s`, `45 s`, `12 min`, `2 h 5 min`, `3 d 4 h`. What is below the
    smaller one is rounded into it, as `format_duration` does; from ten minutes on, seconds are left out."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s" if round(seconds, 1) > 0 else "0 s"
    for (unit, size), (small, step) in pairwise(_SPOKEN):
        if seconds < size:
            continue
        exact = 60 if unit == "min" and seconds >= 600 else step
        if seconds % exact:
            return spoken(round(seconds / exact) * exact)
        count, rest = divmod(round(seconds), size)
        return f"{count} {unit}" + (f" {rest // step} {small}" if rest else "")
    return f"{round(seconds)} s" if round(seconds) < 60 else spoken(60)


def _smallest_unit(largest: int, parts: int) -> int:
    sizes = [size for _, size in _SHOWN if size <= largest]
    return sizes[min(max(parts, 1), len(sizes)) - 1]


def _finite(seconds: float, text: object) -> float:
    if not math.isfinite(seconds) or seconds < 0:
        raise BadInput(f"duration {text!r} must be a number of seconds, 0 or more")
    return seconds
