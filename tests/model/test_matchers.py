"""Matchers: regular expressions are anchored, those of RE2, and refused at load if they are none."""

import re

import pytest
from hypothesis import given
from hypothesis.strategies import lists, text

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


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", r'matcher pipeline=~"\(": not a regular expression of RE2: missing \)'),
        ("[a", r"missing \]: \[a$"),
        ("*", "no argument for repetition operator"),
        ("a{1001}", "invalid repetition size"),
        ("(a{1000}){1000}", "invalid repetition size"),
        ("(?=orders)o.*", r"\(\?=; look-arounds and back-references are not taken \(docs/configuration.md\)$"),
        (r"(a)\1", "look-arounds and back-references are not taken"),
        ("x" * 4097, "4097 characters, and at most 4096 are taken"),
        ("\ud800", "half a character"),
    ],
)
def test_what_is_no_regular_expression_is_refused_when_it_is_made(pattern: str, said: str) -> None:
    for op in ("=~", "!~"):
        with pytest.raises(BadInput, match=said if op == "=~" else None):
            Matcher("pipeline", op, pattern)


def test_no_pattern_takes_longer_than_the_text_is_long() -> None:
    """Each of these keeps Python's own `re` busy for longer than anybody would wait."""
    for pattern in ("(a*)*b", "(a|aa)+b", "(.*,){20}x", "(a+)+$b", "([a-z]+)*Z"):
        assert not Matcher("pipeline", "=~", pattern).matches({"pipeline": "a" * 2_000})


@given(lists(text(), min_size=1, max_size=4))
def test_a_list_of_exact_values_is_matched_as_written(values: list[str]) -> None:
    found = Matcher("pipeline", "=~", "|".join(re.escape(value) for value in values))
    assert all(found.matches({"pipeline": value}) for value in values)
    assert not found.matches({"pipeline": max(values, key=len) + "x"})


def test_a_label_with_half_a_character_is_matched_all_the_same() -> None:
    assert Matcher("pipeline", "=~", "a.b").matches({"pipeline": "a\ud800b"})
