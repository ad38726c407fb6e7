"""Segments of text messages, by the alphabets and sizes of 3GPP TS 23.038 and 23.040."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.channels.segments import BASIC, EXTENSION, fitted, is_gsm, segments, simplified


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),  # two septets each
        ("€" * 81, 2),
        ("x" * 159 + "€", 2),
        ("x" * 152 + "€" + "x" * 152, 3),  # an escape and its character stay together: 152 + (2 + 151) + 1
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 134, 2),
        ("ж" * 135, 3),
        ("x" * 70 + "ж", 2),  # one letter makes all of it wide
        ("😀" * 35, 1),  # two UTF-16 units each
        ("😀" * 36, 2),
        ("😀" * 66, 2),  # 67 units hold 33 whole ones
        ("😀" * 67, 3),
    ],
)
def test_a_text_takes_so_many_segments(text: str, count: int) -> None:
    assert segments(text) == count


def test_the_alphabet_has_its_128_places() -> None:
    assert len(BASIC) == 127  # the 128th is the escape
    assert len(EXTENSION) == 10
    assert not BASIC & EXTENSION


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("“quoted” – and… ‘so’", "\"quoted\" - and... 'so'"),
        ("naïve café Łódź São", "naive café Lodz Sao"),
        ("später: ñ ß Ø å", "später: ñ ß Ø å"),
        ("a\u00a0b\tc", "a b c"),
        ("🔥 fire ✅", " fire "),
        ("p95 ≥ 3× → late", "p95 >= 3x -> late"),
        ("заказы", "заказы"),
        ("日本", "日本"),
    ],
)
def test_typography_is_replaced_and_letters_are_kept(text: str, plain: str) -> None:
    assert simplified(text) == plain


@given(st.text(max_size=400), st.text(alphabet="abc €[ж😀", max_size=60), st.integers(1, 4))
def test_what_is_fitted_fits_and_keeps_its_end(head: str, tail: str, most: int) -> None:
    made = fitted(head, tail, most)
    assert made.endswith(tail.strip())
    assert segments(made) <= max(most, segments(tail.strip()))


@given(st.text(max_size=200))
def test_what_is_made_simple_is_simple_already(text: str) -> None:
    once = simplified(text)
    assert simplified(once) == once
    assert segments(once) <= segments(text) or not is_gsm(text)
