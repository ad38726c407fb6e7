"""The arithmetic of a burn: exact at the edge, the same as counting by hand, never mute and never loud over one run."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import comb
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.slo.burn import Few, chance, findings
from rules.slo.lines import lines_of
from rules.slo.status import SloState, status
from rules.slo.timeline import Timeline
from rules.slo.windows import steps_of
from tests.rules.objectives import NOW, ago, failing, indicator, objective, of_slo, slo, steady
from watchtower.model.alert import Severity
from watchtower.model.rule import SloSnapshot
from watchtower.model.slo import Budgeting, Correction, Period, Slo, minute_of
from watchtower.model.slo_days import days_of

AT = minute_of(NOW)


def told(snapshot: SloSnapshot, **said: Any) -> list[str]:
    return [finding.name for finding in status(snapshot, NOW, **said).findings]


@pytest.mark.parametrize(
    ("bad_long", "bad_short", "pages"),
    [
        # 1,000 events within 1h, 100 of them within 5m, 99.9%: 14.4 times too fast is 14.4 and 1.44 bad ones.
        (14, 2, False),
        (15, 2, True),
        (15, 1, False),
        (1000, 100, True),
    ],
)
def test_both_windows_must_burn_faster_than_the_factor(bad_long: int, bad_short: int, pages: bool) -> None:
    events = {2: (100 - bad_short, bad_short), 30: (900 - bad_long + bad_short, bad_long - bad_short)}
    events[7 * 1_440] = (1_000_000, 0)  # a history, so that the budget itself is not used up
    found = told(of_slo(events))
    assert ("page_quick" in found) is pages


def test_exactly_the_factor_is_not_above_it() -> None:
    """144 of 10,000 at 99.9 % is a burn rate of 14.4, which binary floats cannot say."""
    history = {10 * 1_440: (10**9, 0)}
    assert "page_quick" not in told(of_slo({2: (9_856, 144), **history}))
    assert "page_quick" in told(of_slo({2: (9_855, 145), **history}))


def test_the_alert_ends_when_the_short_window_is_clean() -> None:
    events = failing(steady(1, 3), range(10, 60))
    assert told(of_slo(events))[0] == "page_slow"  # 30m still burns; 5m is clean
    clean = failing(steady(1, 3), range(31, 60))
    assert Severity.PAGE not in [finding.severity for finding in status(of_slo(clean), NOW).findings]


def test_the_graver_step_of_a_severity_is_told() -> None:
    events = failing(steady(1, 3), range(90))
    found = status(of_slo(events), NOW).findings
    assert [(finding.severity, finding.name) for finding in found] == [
        (Severity.PAGE, "page_quick"),
        (Severity.TICKET, "ticket_quick"),
    ]


# -- few events ---------------------------------------------------------------------------------------------------


def test_one_failure_of_one_run_pages_nobody() -> None:
    for target in ("0.5", "0.9", "0.9306", "0.95", "0.99", "0.9999"):
        assert told(of_slo({3: (0, 1)}, slo=slo(target))) == []


def test_one_failure_among_many_runs_of_a_daily_job_pages_nobody_and_uses_up_a_small_budget() -> None:
    events = failing(steady(1_440, 30), [0])
    assert told(of_slo(events, slo=slo("0.95"))) == []
    assert told(of_slo(events, slo=slo("0.99"))) == ["exhausted"]


def test_two_failures_in_a_row_of_a_daily_job_page() -> None:
    events = failing(steady(1_440, 30), [0, 1_440])
    (page, ticket) = status(of_slo(events, slo=slo("0.95")), NOW).findings
    assert (page.severity, page.few) == (Severity.PAGE, Few(0, 2, 2))
    assert ticket.severity is Severity.TICKET


def test_two_failures_far_apart_are_a_matter_for_office_hours() -> None:
    events = failing(steady(1_440, 30), [0, 20 * 1_440])
    found = status(of_slo(events, slo=slo("0.95")), NOW).findings
    assert [(finding.severity, finding.name) for finding in found] == [(Severity.TICKET, "exhausted")]


def test_a_run_that_goes_well_ends_it() -> None:
    events = failing(steady(1_440, 30), [1_440, 2_880])
    assert Severity.PAGE not in [finding.severity for finding in status(of_slo(events, slo=slo("0.95")), NOW).findings]


@pytest.mark.parametrize("target", ["0.2", "0.5", "0.8", "0.9", "0.9306"])
def test_a_target_too_low_for_the_factor_still_pages_when_all_is_down(target: str) -> None:
    """14.4 x (1 - target) is 1 or more: by the factor alone nothing could ever page."""
    events = failing(steady(1, 3), range(60))
    found = status(of_slo(events, slo=slo(target)), NOW).findings
    assert Fraction("14.4") * (1 - Fraction(target)) >= Fraction("0.999")
    assert (found[0].severity, found[0].name) == (Severity.PAGE, "page_quick")
    half = failing(steady(1, 3), range(0, 60, 2))
    assert told(of_slo(half, slo=slo(target)))[:1] != ["page_quick"]


@pytest.mark.parametrize(("target", "failures"), [("0.99", 2), ("0.95", 2), ("0.9", 2), ("0.8", 4), ("0.5", 10)])
def test_a_daily_job_pages_as_soon_as_chance_is_ruled_out(target: str, failures: int) -> None:
    for count in range(1, failures + 1):
        events = failing(steady(1_440, 30), [day * 1_440 for day in range(count)])
        severities = [finding.severity for finding in status(of_slo(events, slo=slo(target)), NOW).findings]
        assert (Severity.PAGE in severities) is (count == failures), count


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.sampled_from(["0.5", "0.9", "0.95", "0.999"]))
def test_the_binomial_tail_is_exact(bad: int, total: int, target: str) -> None:
    bad, allowed = min(bad, total), 1 - Fraction(target)
    below = sum((comb(total, k) * allowed**k * (1 - allowed) ** (total - k) for k in range(bad)), Fraction(0))
    assert chance(bad, total, allowed) == 1 - below


# -- the budget ---------------------------------------------------------------------------------------------------


def test_the_budget_is_that_of_the_whole_period_though_it_has_just_begun() -> None:
    """Three days of a daily job: 30 runs to come, 1.5 of which may fail."""
    found = status(of_slo(failing(steady(1_440, 3), [1_440]), slo=slo("0.95")), NOW)
    (budget,) = found.budgets
    assert (budget.events, budget.allowed, budget.counts.bad) == (30, Fraction("1.5"), 1)
    assert found.consumed == Fraction(2, 3)
    assert found.state is SloState.OK


def test_nothing_is_said_of_a_budget_before_two_events() -> None:
    found = status(of_slo({3: (0, 1)}), NOW)
    assert (found.state, found.consumed, found.left) == (SloState.WAITING, None, None)
    assert status(of_slo({}), NOW).next_at is None


def test_the_time_until_the_budget_is_gone_follows_the_pace_of_the_newest_day() -> None:
    """1,440 runs a day at 99 %: 432 may fail. 72 did today, a burn rate of 5, so 360 are left for 5 days."""
    events = failing(steady(1, 30), range(0, 1_440, 20))
    found = status(of_slo(events, slo=slo("0.99")), NOW)
    assert found.burn_rate == 5
    assert found.exhausts_in is not None
    assert found.exhausts_in.total_seconds() == pytest.approx(5 * 86_400, rel=0.001)


def test_a_correction_gives_the_budget_back() -> None:
    events = failing(steady(1_440, 30), [0, 1_440])
    away = Correction(ago(2_000), ago(-1), "the warehouse moved", "lea")
    corrected = status(of_slo(events, slo=slo("0.95"), corrections=[away]), NOW)
    assert corrected.consumed == 0
    assert corrected.findings == ()
    assert corrected.corrected == (away,)


# -- slices and composites ----------------------------------------------------------------------------------------


def test_a_slice_is_good_or_bad_as_a_whole() -> None:
    of = slo(
        budgeting=Budgeting.TIMESLICES, objectives=(objective("0.9", slice_minutes=60, slice_target=Decimal("0.5")),)
    )
    events = failing(steady(10, 1), [0, 10, 20, 30, 70, 80, 90, 100])  # of six each: 3, and 4; and of one, that one
    (line,) = lines_of(of, of_slo(events, slo=of).parts, ())
    assert line.within(AT - 120, AT + 1) == (1, 2)


def test_a_slice_is_good_in_part() -> None:
    of = slo(budgeting=Budgeting.RATIO_TIMESLICES, objectives=(objective("0.9", slice_minutes=60),))
    (line,) = lines_of(of, of_slo({70: (3, 1), 80: (0, 4), 200: (1, 0)}, slo=of).parts, ())
    assert line.within(AT - 120, AT + 1) == (Fraction(3, 8), Fraction(5, 8))
    assert line.within(AT - 600, AT + 1).total == 2


def test_an_empty_slice_counts_for_nothing() -> None:
    of = slo(budgeting=Budgeting.TIMESLICES, objectives=(objective("0.9", slice_minutes=5, slice_target=Decimal(1)),))
    (line,) = lines_of(of, of_slo({3: (1, 0)}, slo=of).parts, ())
    assert line.within(0, AT + 1).total == 1


def test_a_composite_burns_at_the_weighted_sum_of_its_objectives() -> None:
    parts = (
        objective("0.99", weight=Decimal(2), indicator=indicator("a")),
        objective("0.9", indicator=indicator("b")),
    )
    of = slo(objectives=parts)
    bad = failing(steady(1, 1), range(0, 1_440, 20))  # 5 %: burns 5 times too fast at 99 %, half as fast at 90 %
    found = status(of_slo(bad, slo=of, more=[bad]), NOW)
    assert found.burn_rate == 2 * 5 + Fraction(1, 2)


def in_slices(*targets: str, sizes: Sequence[int] = (60, 60), **said: Any) -> Slo:
    parts = [
        objective(target, slice_minutes=size, indicator=indicator(f"i{place}"), **said)
        for place, (target, size) in enumerate(zip(targets, sizes, strict=True))
    ]
    return slo(budgeting=Budgeting.TIMESLICES, objectives=tuple(parts))


def test_a_slice_of_a_composite_is_bad_once_however_many_of_its_objectives_are() -> None:
    """Ten hours, of which one is bad for both, one for the second alone, and one for nobody but unseen by the first."""
    of = in_slices("0.9", "0.9")
    first = failing(steady(10, 10 / 24), [70])
    second = failing(steady(10, 10 / 24), [80, 200])
    for minute in range(240, 300, 10):
        del first[minute]
    both = status(of_slo(first, slo=of, more=[second]), NOW)
    lines = lines_of(of, of_slo(first, slo=of, more=[second]).parts, ())
    assert [line.within(0, AT + 1) for line in lines] == [(10, 1), (10, 1)]
    alone = in_slices("0.9", sizes=(60,))
    union = status(of_slo(failing(steady(10, 10 / 24), [70, 200]), slo=alone), NOW)
    assert both.burn_rate == union.burn_rate == Fraction(2, 11) / Fraction(1, 10)


def test_a_slice_that_is_bad_for_several_is_that_of_the_one_that_it_costs_most() -> None:
    of = in_slices("0.9", "0.99")
    bad = failing(steady(10, 10 / 24), [70])
    lines = lines_of(of, of_slo(bad, slo=of, more=[bad]).parts, ())
    assert [line.within(0, AT + 1).bad for line in lines] == [0, 1]


def test_slices_of_different_lengths_are_added_up() -> None:
    of = in_slices("0.9", "0.9", sizes=(60, 30))
    bad = failing(steady(10, 10 / 24), [70])
    lines = lines_of(of, of_slo(bad, slo=of, more=[bad]).parts, ())
    assert [line.within(0, AT + 1).bad for line in lines] == [1, 1]


# -- against counting by hand -------------------------------------------------------------------------------------

_EVENTS = st.dictionaries(st.integers(0, 5_000), st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(_EVENTS, st.sampled_from(["0.9", "0.99", "0.999"]))
def test_windows_are_what_counting_every_event_gives(events: dict[int, tuple[int, int]], target: str) -> None:
    of = slo(target)
    lines = lines_of(of, of_slo(events, slo=of).parts, ())
    found = findings(of, steps_of(of), lines, AT - 43_200, AT, least=2, consumed=None)
    burning = [
        step.name
        for step in steps_of(of)
        if _burns(events, step.long, step.factor, target, least=2)
        and _burns(events, step.short, step.factor, target, least=1)
    ]
    by_rate = [finding.name for finding in found if finding.step]
    assert set(by_rate) <= set(burning)
    for name in burning:
        severity = next(step.severity for step in steps_of(of) if step.name == name)
        assert severity in [finding.severity for finding in found]


def _burns(events: dict[int, tuple[int, int]], window: int, factor: Fraction, target: str, *, least: int) -> bool:
    inside = [counts for ago_, counts in events.items() if ago_ < window]
    bad, total = sum(each[1] for each in inside), sum(map(sum, inside))
    allowed = 1 - Fraction(target)
    return total >= least and Fraction(bad, total) > min(factor * allowed, Fraction(9, 10), 1)


def test_a_timeline_counts_from_and_until() -> None:
    line = Timeline(days_of({10: (1, 0), 11: (0, 2), 15: (0, 0), 20: (3, 1)}))
    assert line.within(10, 20) == (1, 2)
    assert line.within(11, 21) == (3, 3)
    assert [event.minute for event in line.newest(0)] == [20, 11, 10]


# -- periods ------------------------------------------------------------------------------------------------------


def test_a_period_of_the_calendar_follows_its_zone() -> None:
    month = Period(1, "M", "Europe/Berlin", datetime(2026, 1, 1))  # noqa: DTZ001 - OpenSLO's startTime has no zone
    start, end = month.bounds(datetime(2026, 3, 31, 22, 30, tzinfo=UTC))
    assert (start, end) == (datetime(2026, 3, 31, 22, tzinfo=UTC), datetime(2026, 4, 30, 22, tzinfo=UTC))
    start, end = month.bounds(datetime(2026, 10, 25, tzinfo=UTC))
    assert (start, end) == (datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC))


@settings(deadline=None)
@given(
    st.datetimes(), st.sampled_from(["h", "d", "w", "M", "Q", "Y"]), st.integers(1, 5),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)  # fmt: skip
def test_periods_of_the_calendar_follow_one_another_without_a_gap(
    moment: Any, unit: str, count: int, zone: str
) -> None:
    now = moment.replace(year=1990 + moment.year % 60, day=min(moment.day, 28), tzinfo=UTC)
    period = Period(count, unit, zone, datetime(2020, 1, 31, 12, 30))  # noqa: DTZ001 - as above
    start, end = period.bounds(now)
    assert start <= now < end
    assert period.bounds(end)[0] == end
    assert period.bounds(start - timedelta(microseconds=1))[1] == start
