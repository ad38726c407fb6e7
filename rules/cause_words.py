"""The numbers of a cause as people read them: times, shares and counts, rounded to what is known of them.

Sketches know a time within ±2 %, so two digits are shown, and pairs that are compared stand in the same unit.
"""

from math import floor, log10

MESSAGE_CHARS = 120
_DIGITS = 2
_DAY, _HOUR, _MINUTE, _SECOND = ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)
_UNITS = ((_DAY, _HOUR), (_HOUR, _MINUTE), (_MINUTE, _SECOND))
_MINUTES_S = 120.0  # from here on times are worded in minutes and hours


def pair_words(one_s: float, other_s: float) -> tuple[str, str]:
    """Two times that are compared: `3,000 ms` and `200 ms`, `41 s` and `3 s`."""
    in_ms = min(one_s, other_s) < 1 and max(one_s, other_s) < 10
    return (_milliseconds(one_s), _milliseconds(other_s)) if in_ms else (time_words(one_s), time_words(other_s))


def time_words(seconds: float) -> str:
    """`0.35 ms`, `200 ms`, `4.2 s`, `41 s`, `2 min 10 s`, `3 h 20 min`."""
    shown = rounded(seconds)
    if shown < 1:
        return _milliseconds(seconds)
    if shown < _MINUTES_S:
        return f"{shown:g} s"
    large, small = next(pair for pair in _UNITS if shown >= pair[0][1])
    count, more = divmod(round(shown / small[1]), large[1] // small[1])
    return f"{count} {large[0]}" + (f" {more} {small[0]}" if more else "")


def number_words(count: float) -> str:
    """`12,000`; of a mean that is no whole number, two digits and more."""
    if count >= 10 or count == round(count):
        return f"{round(count):,}"
    return f"{rounded(count):g}"


def affected_words(share: float) -> str:
    return f"{percent(share)} of calls"


def percent(share: float) -> str:
    """`15 %`; never 0 % of what there was, nor 100 % of what was not all."""
    shown = floor(share * 100 + 0.5)
    if shown == 0 and share > 0:
        return "under 1 %"
    return "over 99 %" if shown == 100 and share < 1 else f"{shown} %"


def errors_words(errors: int, calls: int, before: str, message: str) -> str:
    """`12 of 40 calls (usually none): deadlock detected`."""
    said = f"{errors:,} of {calls:,} call{'' if calls == 1 else 's'}" + (f" ({before})" if before else "")
    line = " ".join(message.strip().partition("\n")[0].split())
    if len(line) > MESSAGE_CHARS:
        line = line[: MESSAGE_CHARS - 1] + "…"
    return f"{said}: {line}" if line else said


def rounded(value: float, digits: int = _DIGITS) -> float:
    """To so many significant digits."""
    return round(value, digits - 1 - floor(log10(value))) if value > 0 else 0.0


def _milliseconds(seconds: float) -> str:
    shown = rounded(seconds * 1000)
    return f"{shown:,.0f} ms" if shown >= 10 or shown == round(shown) else f"{shown:g} ms"
