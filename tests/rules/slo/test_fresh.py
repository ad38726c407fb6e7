"""A dataset's minutes: counted by hand, corrected, and the same word for word until its next moment."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.slo.fresh import FreshLine
from tests.rules.objectives import NOW, RULE, SLO_BURN, ago, indicator, slo
from watchtower.model.rule import SloSnapshot, SubjectKey
from watchtower.model.slo import Correction, Fresh, Objective, Sli, minute_of

AT = minute_of(NOW)
LIMIT = 60


def fresh(updates: Sequence[int], limit: int = LIMIT) -> Fresh:
    """updates: minutes before NOW."""
    made = sorted({AT - each for each in updates})
    if not made:
        return Fresh(limit)
    stale = tuple((a + limit, b) for a, b in pairwise(made) if b - a > limit)
    return Fresh(limit, made[0], made[-1], stale)


def snapshot(updates: Sequence[int], target: str = "0.9", corrections: Sequence[Correction] = ()) -> SloSnapshot:
    measured = indicator("orders-fresh", Sli.FRESHNESS, op="lte", value=LIMIT * 60.0)
    of = slo(objectives=(Objective(Decimal(target), measured),))
    return SloSnapshot(SubjectKey("slo", of.name), of, (fresh(updates),), tuple(corrections), ())


def is_stale(minute: int, updates: Sequence[int]) -> bool:
    before = [AT - each for each in updates if AT - each <= minute]
    return bool(before) and minute - max(before) >= LIMIT


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 600), min_size=1, max_size=12), st.integers(0, 700), st.integers(0, 200))
def test_minutes_are_what_looking_at_each_of_them_gives(updates: list[int], since: int, length: int) -> None:
    line, begin = FreshLine(fresh(updates), ()), AT - since
    known = [each for each in range(begin, begin + length) if each >= AT - max(updates)]
    found = line.within(begin, begin + length)
    assert (found.total, found.bad) == (len(known), sum(is_stale(each, updates) for each in known))


def test_a_dataset_that_was_never_made_counts_nothing() -> None:
    assert FreshLine(fresh([]), ()).within(0, AT) == (0, 0)
    assert SLO_BURN.evaluate(RULE, snapshot([]), NOW).next_at is None


def test_it_is_looked_at_when_the_data_becomes_too_old() -> None:
    """Nothing happens, and yet it burns: by time alone."""
    of = snapshot([*range(20, 3_000, 30)])
    quiet = SLO_BURN.evaluate(RULE, of, NOW)
    assert (quiet.violations, quiet.next_at) == ((), NOW + timedelta(minutes=40))
    found, looks = quiet, 0
    while not found.violations:
        assert found.next_at is not None and looks < 200
        found, looks = SLO_BURN.evaluate(RULE, of, found.next_at), looks + 1
    assert found.violations[0].labels == {"severity": "page"}
    assert "minutes found stale data within" in found.violations[0].summary


def test_a_correction_takes_minutes_out() -> None:
    away = [Correction(ago(100), ago(50), "moved", "lea"), Correction(ago(80), ago(40), "moved", "lea")]
    line = FreshLine(fresh([300]), away)
    assert line.within(AT - 120, AT) == (0, 60)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=20), st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_between_now_and_next_at_every_answer_is_the_same(updates: list[int], shares: list[float]) -> None:
    of, now = snapshot(updates), NOW
    for _ in range(4):
        said = SLO_BURN.evaluate(RULE, of, now)
        end = said.next_at or now + timedelta(days=60)
        assert end > now
        for share in shares:
            between = now + (end - now) * share
            if between < end:
                assert SLO_BURN.evaluate(RULE, of, between).violations == said.violations
        now = end
