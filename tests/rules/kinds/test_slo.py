"""What an SLO tells whom: in words with their numbers, once for each severity, the same until its next_at."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules.kinds.slo import SloConfig
from tests.rules.objectives import (
    NOW,
    RULE,
    SLO_BURN,
    ago,
    alert_of,
    failing,
    indicator,
    objective,
    of_slo,
    slo,
    steady,
)
from tests.rules.timeline import only
from watchtower.model.alert import Severity
from watchtower.model.rule import Rule
from watchtower.model.slo import Condition, Correction, Period

MINUTE = timedelta(minutes=1)


def test_a_burn_says_how_fast_over_which_windows_and_what_is_used() -> None:
    events = failing(steady(1, 30), range(0, 60, 3))
    (page, *_) = SLO_BURN.evaluate(RULE, of_slo(events), NOW).violations
    assert page.summary == (
        "orders burns its error budget 333.3 times too fast: 20 of 60 runs failed within 1h, 2 of 5 within 5m; "
        "20 of 43.2 allowed failures used (99.9% over 30d)"
    )
    assert page.labels == {"severity": "page"}
    assert page.evidence["consequence"].startswith("stop what is going on and look")
    assert page.evidence["budget_left"] == "53.7%"


def test_few_events_are_told_as_such() -> None:
    events = failing(steady(1_440, 30), [0, 1_440])
    (page, *_) = SLO_BURN.evaluate(RULE, of_slo(events, slo=slo("0.95")), NOW).violations
    assert page.summary == ("orders: 2 of the newest 2 runs failed; 2 of 1.5 allowed failures used (95% over 30d)")


def test_a_budget_that_is_used_up_opens_a_ticket() -> None:
    events = failing(steady(1_440, 30), [0, 20 * 1_440])
    found = only(SLO_BURN.evaluate(RULE, of_slo(events, slo=slo("0.95")), NOW))
    assert found.labels == {"severity": "ticket"}
    assert found.summary == "orders has used up its error budget: 2 of 1.5 allowed failures used (95% over 30d)"
    assert found.evidence["consequence"].startswith("the objective is missed in this period")


def test_a_ticket_that_would_repeat_a_page_does_not_begin_and_one_that_was_told_stays() -> None:
    events = failing(steady(1, 30), range(90))
    assert [each.labels["severity"] for each in SLO_BURN.evaluate(RULE, of_slo(events), NOW).violations] == ["page"]
    ticket = only(SLO_BURN.evaluate(RULE, of_slo(failing(steady(1, 30), range(10, 90))), ago(-65)))
    assert ticket.labels == {"severity": "ticket"}
    told = of_slo(events, alerts=[alert_of(ticket)])
    assert [each.labels["severity"] for each in SLO_BURN.evaluate(RULE, told, NOW).violations] == ["page", "ticket"]


def test_conditions_of_the_file_take_the_place_of_the_shipped_windows() -> None:
    fast = Condition("fast", Severity.TICKET, Decimal(2), 3_600, 300, "call the warehouse")
    events = failing(steady(1, 30), range(0, 60, 3))
    found = only(SLO_BURN.evaluate(RULE, of_slo(events, slo=slo("0.9", conditions=(fast,))), NOW))
    assert (found.labels["severity"], found.evidence["step"]) == ("ticket", "fast")
    assert found.evidence["consequence"] == "call the warehouse"
    assert not SLO_BURN.evaluate(RULE, of_slo(events, slo=slo("0.9", conditions=())), NOW).violations


def test_windows_of_a_rule_take_the_place_of_the_shipped_ones() -> None:
    steps = [{"severity": "info", "budget": "1%", "long": "2h", "short": "10m", "consequence": "note it"}]
    rule = Rule("Own", "slo", SloConfig.model_validate({"steps": steps}))
    events = failing(steady(1, 30), range(0, 120, 3))
    assert "3.6 times too fast within 2h and 10m (info)" in SLO_BURN.describe(rule, of_slo(events))
    found = SLO_BURN.evaluate(rule, of_slo(events), NOW).violations
    assert [each.labels["severity"] for each in found] == ["info"]


def test_a_composite_names_what_burns() -> None:
    of = slo(
        objectives=(objective("0.999", indicator=indicator("load")), objective("0.999", indicator=indicator("mart")))
    )
    bad = failing(steady(1, 30), range(0, 60, 3))
    found = SLO_BURN.evaluate(RULE, of_slo(steady(1, 30), slo=of, more=[bad]), NOW).violations[0]
    assert "20 of 60 of mart within 1h, 2 of 5 of mart within 5m" in found.summary


def test_what_is_corrected_is_named_as_evidence() -> None:
    away = Correction(ago(500), ago(400), "the warehouse moved", "lea")
    events = failing(steady(1, 30), range(0, 60, 3))
    (page, *_) = SLO_BURN.evaluate(RULE, of_slo(events, corrections=[away]), NOW).violations
    assert page.evidence["corrected"] == ["2026-11-20T03:40:00Z to 2026-11-20T05:20:00Z: the warehouse moved"]


def test_a_clean_slo_is_not_looked_at_by_time_alone() -> None:
    assert SLO_BURN.evaluate(RULE, of_slo(steady(1, 30)), NOW).next_at is None


def test_good_events_that_leave_a_window_can_make_it_burn() -> None:
    """100 good runs nearly an hour ago and 30 bad ones now: below the factor until the good ones leave."""
    events = {58: (100, 0), 2: (0, 30), 7 * 1_440: (10_000, 0)}
    snapshot = of_slo(events, slo=slo("0.95"))
    before = SLO_BURN.evaluate(RULE, snapshot, NOW)
    assert before.next_at is not None
    assert [each.labels["severity"] for each in before.violations] == ["ticket"]
    moment = before.next_at
    while (found := SLO_BURN.evaluate(RULE, snapshot, moment)).violations[0].labels["severity"] != "page":
        assert found.next_at is not None and found.next_at < NOW + timedelta(hours=1)
        moment = found.next_at


_COUNTS = st.tuples(st.integers(0, 20), st.integers(0, 4))
_EVENTS = st.dictionaries(st.one_of(st.integers(0, 130), st.integers(0, 45_000)), _COUNTS, max_size=25)


@pytest.mark.parametrize("period", [Period(30, "d"), Period(2, "d"), Period(7, "d")], ids=str)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(_EVENTS, st.sampled_from(["0.5", "0.95", "0.99"]), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_between_now_and_next_at_every_answer_is_the_same_word_for_word(
    period: Period, events: dict[int, tuple[int, int]], target: str, shares: list[float]
) -> None:
    snapshot = of_slo(events, slo=slo(target, period=period))
    now: Any = NOW
    for _ in range(4):
        said = SLO_BURN.evaluate(RULE, snapshot, now)
        end = said.next_at or now + timedelta(days=60)
        assert end > now
        for share in shares:
            between = now + (end - now) * share
            if between < end:
                assert SLO_BURN.evaluate(RULE, snapshot, between).violations == said.violations
        now = end
