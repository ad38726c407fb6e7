"""Durations: what people write comes back as seconds, and the other way round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchtower.errors import BadInput
from watchtower.model.duration import format_duration, parse_duration


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
