"""Matchers: regular expressions are anchored, with flags as RE2 takes them, and refused at load if they are none."""

import pytest

from watchtower.errors import BadInput
from watchtower.model.labels import Matcher


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("orders|payments", "orders", True),
        ("orders|payments", "orders_daily", False),
        ("a|b", "ab", False),
        ("(?i)Critical", "CRITICAL", True),
        ("(?i)a|b", "B", True),
        ("(?is)a.b", "A\nB", True),
        ("a.b", "a\nb", True),
        ("orders", "orders\n", False),
        ("", "", True),
        ("", "x", False),
    ],
)
def test_regular_expressions_are_anchored_at_both_ends(pattern: str, value: str, matches: bool) -> None:
    assert Matcher("pipeline", "=~", pattern).matches({"pipeline": value}) is matches
    assert Matcher("pipeline", "!~", pattern).matches({"pipeline": value}) is not matches


@pytest.mark.parametrize("pattern", ["(", "[a", "a(?i)b", "*"])
def test_what_is_no_regular_expression_is_refused_when_it_is_made(pattern: str) -> None:
    with pytest.raises(BadInput, match="not a regular expression"):
        Matcher("pipeline", "=~", pattern)
