"""Durations: what people write comes back as seconds, and the other way round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchtower.errors import BadInput
from watchtower.model.duration import format_duration, parse_duration, spoken


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("90", 90), (90, 90), (1.5, 1.5), ("250ms", 0.25), ("1d", 86_400), ("1w2d", 777_600),
     ("1.5h", 5400), (" 10s ", 10), ("0s", 0), ("1m500ms", 60.5), ("1y", 31_536_000)],
)  # fmt: skip
def test_written_durations_are_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5 m", "m", "-5m", -1, "5m5m", "1s1m", "five", "1h 30m", "1e9s", "٣m", float("inf")]
)
def test_anything_else_is_refused_with_an_example(text: str | float) -> None:
    with pytest.raises(BadInput, match="duration"):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_whole_seconds_survive_the_round_trip(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "parts", "text"),
    [(93_784, 2, "1d2h"), (3599.7, 2, "1h"), (59.9, 2, "1m"), (0.0004, 2, "0s"), (-60, 2, "-1m"), (86_399, 2, "1d"),
     (1.4, 2, "1s"), (604_799, 2, "1w")],
)  # fmt: skip
def test_people_see_as_many_units_as_they_can_use(seconds: float, parts: int, text: str) -> None:
    assert format_duration(seconds, parts) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.25, "0.2 s"), (9.96, "10 s"), (45.9, "46 s"), (59.7, "1 min"), (63.5, "1 min 4 s"),
        (90, "1 min 30 s"), (725, "12 min"), (3_599.9, "1 h"), (5_399, "1 h 30 min"), (86_399, "1 d"), (86_400, "1 d"),
        (100_800, "1 d 4 h"), (700_000, "8 d 2 h"), (-5, "0 s"),
    ],
)  # fmt: skip
def test_a_span_is_told_in_its_two_largest_units_and_rounded(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
