"""Days of counts: packed and unpacked they are the same, whatever was counted and in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchtower.model.slo_days import DAY, Day, changed, days_of, entries, packed

_COUNTS = st.dictionaries(
    st.integers(0, DAY - 1), st.tuples(st.integers(0, 70_000), st.integers(0, 3)), max_size=30
)  # fmt: skip


@given(_COUNTS)
def test_what_is_packed_is_what_was_counted(counts: dict[int, tuple[int, int]]) -> None:
    day = packed(20_000, counts)
    held = {minute: each for minute, each in counts.items() if any(each)}
    assert {minute: (good, bad) for minute, good, bad in zip(*day.minutes(), strict=True)} == held
    assert (day.good, day.bad) == (sum(each[0] for each in held.values()), sum(each[1] for each in held.values()))


@given(_COUNTS, _COUNTS)
def test_what_is_added_and_taken_out_again_leaves_the_day_as_it_was(
    first: dict[int, tuple[int, int]], second: dict[int, tuple[int, int]]
) -> None:
    day = packed(20_000, first)
    more = changed(day, second)
    assert changed(more, {minute: (-good, -bad) for minute, (good, bad) in second.items()}) == day


@pytest.mark.parametrize(("most", "width"), [(255, 1), (256, 2), (65_536, 4), (1 << 32, 8)])
def test_counts_are_as_wide_as_the_largest_needs(most: int, width: int) -> None:
    day = packed(1, {5: (most, 0), 9: (0, 1)})
    assert len(day.body) == 1 + 2 * (2 + 2 * width)
    assert tuple(map(list, day.minutes())) == ([5, 9], [most, 0], [0, 1])


def test_a_body_is_laid_out_as_it_will_be_read_on_any_machine() -> None:
    assert packed(1, {258: (3, 0), 1_439: (0, 700)}).body == bytes.fromhex("02 0201 9f05 0300 0000 0000 bc02")


def test_what_was_never_counted_cannot_be_taken_out() -> None:
    assert changed(Day(1, 0, 0, b""), {7: (-1, 0)}) == Day(1, 0, 0, b"")


def test_days_begin_at_midnight_in_utc() -> None:
    counts = {DAY - 1: (1, 0), DAY: (0, 1), 3 * DAY + 5: (2, 0)}
    days = days_of(counts)
    assert [day.number for day in days] == [0, 1, 3]
    assert {minute: (good, bad) for minute, good, bad in entries(days)} == counts
