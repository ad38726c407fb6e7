"""How many segments a text message takes, and how to make it take fewer. Pure.

Source: 3GPP TS 23.038 (the GSM 7-bit default alphabet and its extension table) and TS 23.040 (concatenation). A message
of one segment holds 160 septets or 70 UTF-16 units; each segment of a longer one holds 153 or 67, and no character is
split between two segments.
"""

import unicodedata
from collections.abc import Iterable

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("\f^{}\\[~]|€")  # each takes two septets

_SINGLE, _PART = 160, 153
_SINGLE_WIDE, _PART_WIDE = 70, 67
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′´`", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\t", " "),
        "…": "...",
        "·": "-",
        "•": "-",
        "→": "->",
        "←": "<-",
        "×": "x",
        "≥": ">=",
        "≤": "<=",
        "≠": "!=",
        "≈": "~",
        "±": "+-",
        "°": " deg",
        "µ": "u",
        "½": "1/2",
        "™": "(TM)",
        "©": "(C)",
        "®": "(R)",
        "ß": "ß",
        "Ł": "L",
        "ł": "l",
        "Đ": "D",
        "đ": "d",
        "ı": "i",
        "œ": "oe",
        "Œ": "OE",
    }
)


def simplified(text: str) -> str:
    """text in the GSM alphabet where that costs no meaning: typographic characters and Latin accents are replaced,
    pictures left out. Letters of other scripts stay as they are."""
    return "".join(_simple(char) for char in text.translate(_PLAIN))


def is_gsm(text: str) -> bool:
    return all(char in BASIC or char in EXTENSION for char in text)


def segments(text: str) -> int:
    """How many segments text takes, in the alphabet it needs. An empty text takes one."""
    widths = _widths(text)
    gsm = is_gsm(text)
    single, part = (_SINGLE, _PART) if gsm else (_SINGLE_WIDE, _PART_WIDE)
    if sum(widths) <= single:
        return 1
    count, free = 1, part
    for width in widths:
        if width > free:
            count, free = count + 1, part
        free -= width
    return count


def fitted(head: str, tail: str, most: int) -> str:
    """head and tail with a blank between them, head cut so that the whole takes at most `most` segments. tail is never
    cut: it must fit by itself."""
    whole = f"{head} {tail}".strip()
    if segments(whole) <= most:
        return whole
    low, high = 0, len(head)  # the longest beginning of head that fits
    while low < high:
        middle = (low + high + 1) // 2
        if segments(f"{_cut(head, middle)} {tail}") <= most:
            low = middle
        else:
            high = middle - 1
    return f"{_cut(head, low)} {tail}".strip()


def _cut(head: str, length: int) -> str:
    return head[:length].rstrip(" ,.;:-") + "..." if length else ""


def _widths(text: str) -> list[int]:
    """Of each character: septets, or UTF-16 units where the text needs them."""
    if is_gsm(text):
        return [2 if char in EXTENSION else 1 for char in text]
    return [2 if ord(char) > 0xFFFF else 1 for char in text]


def _simple(char: str) -> str:
    if char in BASIC or char in EXTENSION:
        return char
    base = "".join(_without_marks(unicodedata.normalize("NFKD", char)))
    if base and is_gsm(base):
        return base
    return "" if unicodedata.category(char) in ("So", "Sk", "Mn", "Me", "Cf") else char


def _without_marks(decomposed: str) -> Iterable[str]:
    return (char for char in decomposed if unicodedata.category(char) not in ("Mn", "Me"))
