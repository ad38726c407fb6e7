"""The template language fills in fields and does nothing else, however it is asked."""

import json
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchtower.errors import BadInput
from watchtower.model.template import FIELDS, MAX_OUTPUT_BYTES, parse_template

WHEN = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
FIELDS_GIVEN = {
    "pipeline": "orders_daily", "owner": None, "value": 5400.0, "since": WHEN, "error": "boom\nat line 3", "attempt": 3,
    "labels.tier": "gold",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{pipeline} failed", "orders_daily failed"),
        ("{pipeline|upper}", "ORDERS_DAILY"),
        ("{owner|default:nobody}", "nobody"),
        ("{owner}", ""),
        ("{value|duration} since {since}", "1h30m since 2026-03-02 06:00:00 UTC"),
        ("{value}", "5400"),
        ("{value|round:0}", "5400"),
        ("{error|first_line}", "boom"),
        ("{error|truncate:3}", "bo…"),
        ("{labels.tier} {labels.absent}", "gold "),
        ("{{literal}} {attempt}", "{literal} 3"),
        ("", ""),
    ],
)
def test_fields_and_filters(text: str, rendered: str) -> None:
    assert parse_template(text).render(FIELDS_GIVEN) == rendered


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{nonsense}", "known: alertname"),
        ("{pipeline|shout}", "known: duration"),
        ("{pipeline", "without }"),
        ("pipeline}", "lone }"),
        ("{{ $labels.pipeline }}", "Go templates"),
        ("{{ range .Alerts }}", "Go templates"),
        ("{pipeline.__class__}", "unknown"),
        ("{labels.__class__.__mro__}", "unknown"),
        ("{pipeline[0]}", "unknown"),
        ("{pipeline!r}", "unknown"),
        ("{pipeline:>1000000000}", "unknown"),
        ("{value|truncate:99999999999}", "unknown"),
        ("{value|round:999}", "unknown"),
        ("{0}", "unknown"),
        ("{}", "unknown"),
        ("{pipeline}" * 300, "more than"),
        ("a" * 20_000, "too long"),
    ],
)
def test_what_is_not_of_the_language_is_refused_with_what_is(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        parse_template(text)


def test_an_object_never_gets_to_say_how_it_is_shown() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise AssertionError("was shown")

        def __format__(self, spec: str) -> str:
            raise AssertionError("was formatted")

    rendered = parse_template("[{error}{error|upper}{error|duration}{error|round:1}]").render({"error": Hostile()})
    assert rendered == "[]"


def test_values_are_escaped_for_their_destination_and_the_text_is_not() -> None:
    rendered = parse_template("<b>{error}</b>").render({"error": "<script>"}, lambda value: value.replace("<", "&lt;"))
    assert rendered == "<b>&lt;script></b>"


def test_a_value_that_looks_like_a_template_is_not_rendered_again() -> None:
    assert parse_template("{error}").render({"error": "{pipeline}", "pipeline": "secret"}) == "{pipeline}"


def test_output_and_time_are_bounded() -> None:
    text = "{error|upper|trim|first_line}" * 200
    began = time.perf_counter()
    rendered = parse_template(text).render({"error": "ΐ" * 1_000_000})
    assert len(rendered.encode()) <= MAX_OUTPUT_BYTES
    assert rendered.endswith("…")
    assert time.perf_counter() - began < 0.5  # the promise is 50 ms; a loaded machine is given ten times that


@given(st.text(max_size=200))
def test_any_text_is_either_refused_or_rendered_within_bounds(text: str) -> None:
    try:
        template = parse_template(text)
    except BadInput:
        return
    assert len(template.render(FIELDS_GIVEN).encode()) <= MAX_OUTPUT_BYTES


@given(
    st.sampled_from(sorted(FIELDS)),
    st.one_of(st.text(max_size=50), st.floats(), st.integers(), st.decimals(), st.booleans(), st.none(), st.binary()),
)
def test_any_plain_value_can_be_shown(name: str, value: object) -> None:
    for filters in ("", "|duration", "|upper|truncate:5", "|default:x", "|round:2"):
        json.dumps(parse_template("{" + name + filters + "}").render({name: value}))


def test_a_number_nobody_could_read_is_left_out() -> None:
    for value in (10**400, -(10**400), Decimal("sNaN"), Decimal("-Infinity"), Decimal("1e999999")):
        assert parse_template("{value}{value|round:2}{value|duration}").render({"value": value}) == ""


def test_money_is_shown_as_it_is() -> None:
    assert parse_template("{value}").render({"value": Decimal("12.340000")}) == "12.340000"
