"""compare: two datasets agree date by date, or it is said where they do not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from rules.kinds.compare import Compare, CompareConfig
from tests.rules.timeline import at, of_dataset, only, rule, update
from watchtower.model.companion import Beside, Companion
from watchtower.model.rule import DatasetSnapshot
from watchtower.model.run import DatasetUpdate

KIND = Compare()
OLD = Companion("dataset", "old")


def snapshot(new: Sequence[DatasetUpdate], old: Sequence[DatasetUpdate], **said: Any) -> DatasetSnapshot:
    newest_first = tuple(sorted(old, key=lambda each: each.at, reverse=True))
    return replace(of_dataset(new), beside={OLD: Beside(updates=newest_first, **said)})


def against(**options: Any) -> Any:
    return rule(KIND, against={"dataset": "old"}, **options)


def days(rows: Sequence[int], clock: str = "06:00", **said: Any) -> list[DatasetUpdate]:
    return [update(at(day, clock), row_count=count, **said) for day, count in enumerate(rows)]


def test_all_that_are_wanted_agree_and_it_is_safe_to_cut_over() -> None:
    both = snapshot(days([5, 6, 7]), days([5, 6, 7], "05:00"))
    wanted = against(dates=3)
    evaluation = KIND.evaluate(wanted, both, at(2, "07:00"))
    assert (evaluation.violations, evaluation.next_at) == ((), None)
    assert KIND.describe(wanted, both).endswith(
        "2026-03-04 agrees. 2026-03-03 agrees. 2026-03-02 agrees. All 3 agree: safe to cut over."
    )
    assert KIND.describe(against(dates=7), both).endswith("3 of 3 agree, 7 are wanted.")


def test_a_date_that_differs_is_named_with_both_numbers() -> None:
    found = only(KIND.evaluate(against(), snapshot(days([5, 1_000]), days([5, 990])), at(1, "07:00")))
    assert found.summary == "shop.public.orders and old disagree on 2026-03-03: 1,000 and 990 rows"
    assert found.evidence["agree"] == ["2026-03-02"]
    assert not KIND.evaluate(against(tolerance="1%"), snapshot(days([1_000]), days([990])), at(0, "07:00")).violations
    assert KIND.evaluate(against(tolerance="1%"), snapshot(days([1_000]), days([989])), at(0, "07:00")).violations


def test_the_other_one_may_take_its_time() -> None:
    alone = snapshot(days([5, 6]), days([5]))
    waiting = KIND.evaluate(against(settle="1h"), alone, at(1, "06:59"))
    assert (waiting.violations, waiting.next_at) == ((), at(1, "07:00"))
    found = only(KIND.evaluate(against(settle="1h"), alone, at(1, "07:00")))
    assert found.summary.endswith("2026-03-03: old was not written")
    assert found.since == at(1, "06:00")


def test_the_partition_names_the_date_and_the_newest_writing_counts() -> None:
    twice = [update(at(3), row_count=9, partition="2026-03-02"), update(at(4), row_count=5, partition="2026-03-02")]
    assert not KIND.evaluate(against(), snapshot(twice, days([5])), at(5)).violations


def test_times_bytes_and_what_was_not_told() -> None:
    late = snapshot(days([5], "06:00"), days([5], "06:31"))
    assert "done 31m apart" in only(KIND.evaluate(against(of=["finish"]), late, at(1))).summary
    assert "bytes were not told" in only(KIND.evaluate(against(of=["bytes"]), late, at(1))).summary


def test_an_unknown_one_and_a_pipeline_are_refused() -> None:
    assert KIND.evaluate(against(), snapshot(days([5]), [], problem="never heard of"), at(1)).unknown
    with pytest.raises(ValidationError, match="name the other dataset"):
        CompareConfig.model_validate({"against": "old"})
