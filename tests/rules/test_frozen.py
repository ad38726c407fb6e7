"""After a suspend nothing is called missing that nobody could have seen; what is missing all the same is told later."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.frozen import LONGEST, WAITING_KINDS, freeze, missed
from rules.kinds.freshness import Freshness
from rules.kinds.run_failure import RunFailure
from tests.rules.timeline import at, moments_of_change, of_dataset, rule, update
from watchtower.clock import Gap
from watchtower.registry import Registries

KIND = Freshness()
RULE = rule(KIND, fail_after="2h")
ASLEEP = Gap(at(0, "07:00"), at(0, "15:00"))  # 8 h; data that came at 06:00 is too old at 08:00


def _looks_at(*gaps: Gap, updates: tuple[datetime, ...]) -> list[datetime]:
    frozen = freeze({"freshness": KIND}, lambda: gaps)["freshness"]
    return moments_of_change(frozen, RULE, of_dataset([update(each) for each in updates]), at(0, "15:00"), at(2))


def test_what_was_due_while_nobody_watched_has_the_time_that_was_left() -> None:
    looks = _looks_at(ASLEEP, updates=(at(0, "06:00"),))
    assert looks == [at(0, "16:00"), at(0, "23:00")]  # one hour was left when it began; at 23:00 all is as ever
    assert _looks_at(updates=(at(0, "06:00"),)) == []  # without the gap it was too old from the start


def test_data_that_comes_in_time_after_a_suspend_alerts_nobody() -> None:
    snapshot = of_dataset([update(at(0, "06:00")), update(at(0, "15:10"))])
    frozen = freeze({"freshness": KIND}, lambda: (ASLEEP,))["freshness"]
    assert not frozen.evaluate(RULE, snapshot, at(0, "15:00")).violations
    assert not frozen.evaluate(RULE, snapshot, at(0, "17:00")).violations


def test_what_fired_before_is_not_resolved_by_a_suspend() -> None:
    snapshot = of_dataset([update(at(0, "04:00"))])
    frozen = freeze({"freshness": KIND}, lambda: (ASLEEP,))["freshness"]
    for moment in ("15:00", "15:30", "20:00", "23:00", "23:30"):
        assert frozen.evaluate(RULE, snapshot, at(0, moment)).violations, moment


def test_after_as_long_as_was_missed_all_is_as_ever() -> None:
    assert missed([ASLEEP], at(0, "22:59")) == (timedelta(hours=8), at(0, "23:00"))
    assert missed([ASLEEP], at(0, "23:00")) == (timedelta(0), None)
    assert missed([ASLEEP], at(0, "14:59")) == (timedelta(0), None)
    assert missed([Gap(at(0), at(9))], at(9)) == (LONGEST, at(9) + LONGEST)


@given(st.integers(min_value=1, max_value=480), st.integers(min_value=0, max_value=960))
def test_a_frozen_rule_never_looks_back_before_the_gap_began(length: int, later: int) -> None:
    gap = Gap(at(1), at(1) + timedelta(minutes=length))
    now = gap.end + timedelta(minutes=later)
    behind, until = missed([gap], now)
    assert now - behind >= gap.start
    assert (until is None) == (later >= length)


def test_only_kinds_that_wait_for_data_are_frozen_and_they_stay_what_they_are() -> None:
    known = Registries()
    kinds = {name: known.rule_kinds.get(name)() for name in known.rule_kinds}
    frozen = freeze(kinds, lambda: (ASLEEP,))
    assert {name for name, kind in frozen.items() if kind is not kinds[name]} == WAITING_KINDS
    assert (frozen["freshness"].kind, frozen["freshness"].subject) == ("freshness", "dataset")
    assert isinstance(frozen["run_failure"], RunFailure)
    assert frozen["freshness"].describe(RULE) == kinds["freshness"].describe(RULE)


@pytest.mark.parametrize("kind", sorted(WAITING_KINDS))
def test_every_such_kind_is_known(kind: str) -> None:
    assert kind in Registries().rule_kinds
