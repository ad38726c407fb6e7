"""The small parts: instants, Python reprs, schedules, labels, errors, depth."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.identity import identifier, openlineage_alias, run_alias, task_alias
from collectors.openlineage.errors import error_type
from collectors.openlineage.instants import parse_instant, utc
from collectors.openlineage.literals import assets, literal, strings
from collectors.openlineage.reading import TooDeep, check_depth, events_of
from collectors.openlineage.schedules import schedule_of
from collectors.openlineage.texts import STACK_BYTES, both_ends, label
from collectors.openlineage.wire import Dag, Timetable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T08:00:05Z", datetime(2026, 3, 2, 8, 0, 5, tzinfo=UTC)),
        ("2026-03-02T08:00:05.123456789Z", datetime(2026, 3, 2, 8, 0, 5, 123456, tzinfo=UTC)),
        ("2026-03-02T08:00:05.5", datetime(2026, 3, 2, 8, 0, 5, 500_000, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2026-03-02T10:00:05+0200", datetime(2026, 3, 2, 8, 0, 5, tzinfo=UTC)),
        ("2026-03-02T09:00:05+01:00[Europe/Berlin]", datetime(2026, 3, 2, 8, 0, 5, tzinfo=UTC)),
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
        ("2026-02-30T00:00:00Z", None),
        ("now", None),
    ],
)
def test_instants_are_read_as_people_write_them(text: str, expected: datetime | None) -> None:
    assert parse_instant(text) == expected


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-8))])
    )
)
def test_every_instant_written_by_isoformat_is_read_back(instant: datetime) -> None:
    read = parse_instant(instant.isoformat())
    assert read == utc(instant)


def test_names_of_runs_differ_whenever_a_part_differs() -> None:
    made = [
        openlineage_alias("a", "b", "c"),
        openlineage_alias("a|b", "", "c"),
        openlineage_alias("a", "b|c", ""),
        openlineage_alias("a%7Cb", "", "c"),
        run_alias("a", "b", "c", "d"),
        run_alias("a", "b", "c", "d", 1),
        task_alias("a", "b", "c", "d", task="e", map_index=None, attempt=1),
        task_alias("a", "b", "c", "d", task="e", map_index=0, attempt=1),
        task_alias("a", "b", "c", "d", task="e", map_index=0, attempt=2),
    ]
    assert len(set(made)) == len(made)
    assert made[6] == "native|a|b|c|d|e|-1|1"


@given(st.text(max_size=400))
def test_an_identifier_always_fits(text: str) -> None:
    assert len(identifier(text, 100).encode("utf-8", "replace")) <= 100
    assert (identifier(text, 100) == text) == (len(text.encode("utf-8", "replace")) <= 100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", ()),
        ("['a']", ("a",)),
        ("['a', 'b.c']", ("a", "b.c")),
        ("{'b', 'a'}", ("a", "b")),
        ('["it\'s", 1, None]', ("it's",)),
        ("['a\\nb']", ("a\nb",)),
        ("['a', 'b'", ()),
        ("['a'", ()),
        ("__import__('os')", ()),
        ("", ()),
    ],
)
def test_lists_of_strings_are_read_from_their_repr(text: str, expected: tuple[str, ...]) -> None:
    assert strings(text) == expected


JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(JSONISH)
def test_a_repr_is_read_as_python_reads_it(value: Any) -> None:
    assert literal(repr(value)) == value


@pytest.mark.parametrize(
    "text", ["(" * 5_000, "[" * 300, "-" * 60_000, "'" * 7, "9" * 5_000, "{[]: 1}", "[" + "[]," * 40_000, "a.b", "1+1"]
)
def test_what_is_no_literal_is_nothing(text: str) -> None:
    assert literal(text) is None


def test_assets_are_read_and_other_things_left_out() -> None:
    (one,) = assets("[{'uri': 's3://a', 'extra': None, 'type': 'asset'}, {'name': 'alias'}, 'x']")
    assert (one.uri, one.kind, one.extra) == ("s3://a", "asset", {})


@pytest.mark.parametrize(
    ("dag", "expected"),
    [
        (Dag(timetable=Timetable("0 2 * * 1-5", "Europe/Berlin")), ("0 2 * * 1-5", "Europe/Berlin")),
        (Dag(timetable=Timetable(" 0  2 * * * ", None)), ("0 2 * * *", "UTC")),
        (Dag(timetable=Timetable(timetable=Timetable("@daily", "UTC"))), ("0 0 * * *", "UTC")),
        (Dag(schedule_interval="@hourly"), ("0 * * * *", "UTC")),
        (Dag(timetable=Timetable("0 2 * * *", 3600)), None),
        (Dag(timetable=Timetable("0 2 * * *", "Mars/Olympus")), None),
        (Dag(timetable=Timetable("0 2 * * *", "../../etc/passwd")), None),
        (Dag(timetable=Timetable("0 2 30 2 * *", "UTC")), None),
        (Dag(timetable=Timetable("whenever", "UTC")), None),
        (Dag(timetable=Timetable("61 * * * *", "UTC")), None),
        (Dag(timetable=Timetable(), timetable_summary="Asset"), None),
        (Dag(schedule_interval="@once"), None),
        (Dag(schedule_interval={"__type": "timedelta"}), None),
        (Dag(), None),
    ],
)
def test_only_a_real_cron_expression_is_a_schedule(dag: Dag, expected: tuple[str, str] | None) -> None:
    assert schedule_of(dag) == expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("tier:1", "tier:1", ("tier", "1")),
        ("tier=1", None, ("tier", "1")),
        ("finance", "finance", ("finance", "true")),
        ("finance", "", ("finance", "true")),
        ("tier", "1", ("tier", "1")),
        ("a:b", "c", ("a:b", "c")),
        (":x", ":x", (":x", "true")),
        ("dry", False, ("dry", "false")),
        ("n", 3, ("n", "3")),
    ],
)
def test_a_tag_is_a_name_and_a_value(key: str, value: Any, expected: tuple[str, str]) -> None:
    assert label(key, value) == expected


def test_of_a_long_stack_both_ends_are_kept() -> None:
    stack = "first line\n" + "ä middle\n" * 20_000 + "ValueError: last line"
    kept = both_ends(stack)
    assert kept.startswith("first line")
    assert kept.endswith("ValueError: last line")
    assert "bytes left out" in kept
    assert len(kept.encode()) <= STACK_BYTES
    assert both_ends("short") == "short"


@pytest.mark.parametrize(
    ("message", "stack", "expected"),
    [
        ("boom", "Traceback (most recent call last):\n  File x\nValueError: boom\n", "ValueError"),
        ("two\nlines", "Traceback (most recent call last):\n  File x\na.b.MyError: two\nlines", "a.b.MyError"),
        ("", "Traceback (most recent call last):\n  File x\nKeyboardInterrupt", "KeyboardInterrupt"),
        ("boom", "Traceback ...", ""),
        ("boom", "java.lang.RuntimeException: boom\n\tat a.b(C.java:1)", "java.lang.RuntimeException"),
        ("boom", 'Exception in thread "main" a.B$CError: boom\n\tat x', "a.B$CError"),
        ("boom", "", ""),
        ("boom", "something happened in the shell", ""),
    ],
)
def test_the_type_of_an_error_is_read_from_its_stack(message: str, stack: str, expected: str) -> None:
    assert error_type(message, stack) == expected


@given(st.integers(1, 200), st.lists(st.sampled_from(["[", '{"a":']), min_size=200, max_size=200), st.text(max_size=20))
def test_depth_is_counted_exactly(depth: int, marks: list[str], text: str) -> None:
    """Whatever stands in strings beside it, and however many shallow brackets there are."""
    import json

    nest = "".join(marks[:depth]) + "1" + "".join("]" if mark == "[" else "}" for mark in reversed(marks[:depth]))
    body = f"[{json.dumps(text + ']}[{')}, {nest}, {'[],' * 80} []]".encode()
    if depth + 1 > 64:
        with pytest.raises(TooDeep):
            check_depth(body)
    else:
        check_depth(body)


@given(
    st.lists(
        st.recursive(
            st.text() | st.integers() | st.none(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
        max_size=5,
    )
)
def test_a_list_with_one_bad_item_is_split_as_a_parser_would(items: list[Any]) -> None:
    import json

    texts = [json.dumps(item).encode() for item in items]
    body = b" [ " + b" ,\n".join([*texts, b"NaN"]) + b" ] "
    assert events_of(body) == [*texts, b"NaN"]
