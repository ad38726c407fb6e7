"""compare: two datasets agree date by date, or it is said where they do not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from rules.kinds.compare import Compare, CompareConfig, compared_dates
from rules.labels import bound
from tests.rules.timeline import FAILED, RUNNING, at, daily, of_dataset, of_job, only, rule, run, update
from watchtower.model.companion import ITSELF, Beside, Companion, Wrote
from watchtower.model.rule import DatasetSnapshot, JobSnapshot
from watchtower.model.run import DatasetUpdate, Run, Trigger

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
    assert KIND.describe(against(dates=7), both).endswith("3 of 3 agree, 7 are wanted: not safe to cut over yet.")


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


def test_contents_agree_by_their_checksums() -> None:
    same = snapshot(days([5, 6], checksum="aa"), days([5, 6], checksum="aa"))
    wanted = against(of=["rows", "checksum"], dates=2)
    assert KIND.evaluate(wanted, same, at(1, "07:00")).resolution["verdict"] == "All 2 agree: safe to cut over."
    apart = snapshot(days([5], checksum="0123456789abcdef01"), days([5], checksum="aa"))
    assert "checksums 0123456789abcdef… and aa" in only(KIND.evaluate(wanted, apart, at(0, "07:00"))).summary
    silent = snapshot(days([5], checksum="aa"), days([5]))
    assert "checksum was not told" in only(KIND.evaluate(wanted, silent, at(0, "07:00"))).summary


def test_of_one_date_that_is_told_twice_the_writing_that_tells_what_is_compared_counts() -> None:
    """A task tells its rows, and a probe that looked before it told the checksum, too."""
    both = [update(at(0, "06:30"), row_count=5), *days([5], checksum="aa")]
    wanted = against(of=["rows", "checksum"], dates=1)
    assert not KIND.evaluate(wanted, snapshot(both, days([5], checksum="aa")), at(0, "07:00")).violations


def test_nothing_is_known_where_the_other_one_is_unknown() -> None:
    assert KIND.evaluate(against(), snapshot(days([5]), [], problem="never heard of"), at(1)).unknown


CRON = Companion("job", "orders_old")


def jobs(new: Sequence[Run], old: Sequence[Run]) -> JobSnapshot:
    past = of_job(old).past
    return replace(of_job(new), beside={CRON: Beside(past=past)})


def test_two_jobs_agree_in_how_they_ended_and_when() -> None:
    """The old one begins at five, the new one at six; both take 20 to 22 minutes."""
    both = jobs(daily(3), daily(3, "05:00"))
    ended = rule(KIND, against="orders_old", dates=3)
    assert not KIND.evaluate(ended, both, at(2, "07:00")).violations
    assert KIND.describe(ended, both).endswith("All 3 agree: safe to cut over.")
    soon = rule(KIND, against="orders_old", of=["outcome", "finish"])
    found = only(KIND.evaluate(soon, both, at(2, "07:00")))
    assert found.summary == "orders_daily and orders_old disagree on 2026-03-04: done 1h apart (and 2 more dates)"


def test_a_job_that_failed_or_did_not_run_disagrees() -> None:
    ended = rule(KIND, against="orders_old", settle="1h")
    failed = [*daily(1), run("b", at(1, "06:00"), 20, FAILED, nominal=at(1, "06:00"))]
    assert "2026-03-03: failed and succeeded" in only(KIND.evaluate(ended, jobs(failed, daily(2)), at(2))).summary
    alone = jobs(daily(1), daily(2, "05:00"))
    assert KIND.evaluate(ended, alone, at(1, "06:20")).next_at == at(1, "06:21")
    assert "orders_daily has no run that ended" in only(KIND.evaluate(ended, alone, at(1, "06:22"))).summary
    still = [*daily(1), run("b", at(1, "06:00"), None, RUNNING, nominal=at(1, "06:00"))]
    assert "has no run that ended" in only(KIND.evaluate(ended, jobs(still, daily(2)), at(1, "12:00"))).summary
    again = [*daily(2), run("b", at(1, "06:00"), 10, FAILED, trigger=Trigger.BACKFILL, nominal=at(1, "06:30"))]
    assert not KIND.evaluate(ended, jobs(again, daily(2)), at(1, "12:00")).violations


def wrote(runs: Sequence[Run], *contents: tuple[str, dict[str, Any]]) -> dict[str, tuple[Wrote, ...]]:
    """Each of these runs wrote that."""
    return {each.id: tuple(Wrote(name, update(at(0), **said)) for name, said in contents) for each in runs}


def written(
    new: Sequence[tuple[str, dict[str, Any]]], old: Sequence[tuple[str, dict[str, Any]]], days: int = 1
) -> JobSnapshot:
    """Two jobs that ran on each of these days and wrote that."""
    mine, theirs = daily(days), daily(days, "05:00")
    beside = {
        ITSELF.writing: Beside(wrote=wrote(mine, *new)),
        CRON.writing: Beside(past=of_job(theirs).past, wrote=wrote(theirs, *old)),
    }
    return replace(of_job(mine), beside=beside)


def problems(snapshot: JobSnapshot, *of: str, **said: Any) -> list[str]:
    options = CompareConfig.model_validate({"against": "orders_old", "of": of or ("rows",), "dates": 1, **said})
    [date] = compared_dates(options, snapshot)
    return list(date.problems)


def test_two_jobs_agree_in_what_their_runs_wrote() -> None:
    content = {"row_count": 1_000, "checksum": "aa"}
    both = written([("shop.revenue", content)], [("shop.revenue", content)], 2)
    wanted = rule(KIND, against="orders_old", of=["outcome", "rows", "checksum"], dates=2)
    assert KIND.evaluate(wanted, both, at(1, "07:00")).resolution["verdict"] == "All 2 agree: safe to cut over."
    [date, _] = compared_dates(wanted.options, both)
    assert date.agreed == ("succeeded", "shop.revenue: 1,000 rows", "shop.revenue: checksum aa")
    apart = written([("shop.revenue", content)], [("shop.revenue", {"row_count": 990, "checksum": "bb"})])
    found = only(KIND.evaluate(wanted, apart, at(0, "07:00")))
    assert found.summary == (
        "orders_daily and orders_old disagree on 2026-03-02: shop.revenue: 1,000 and 990 rows; "
        "shop.revenue: checksums aa and bb"
    )
    assert not problems(apart, tolerance="1%")


def test_parts_of_one_dataset_count_together() -> None:
    parts = [("t", {"row_count": 4, "partition": "b", "checksum": "2"}), ("t", {"row_count": 6, "checksum": "1"})]
    whole = [("t", {"row_count": 10, "checksum": "1+2"})]
    assert problems(written(parts, whole), "rows", "checksum") == []
    assert problems(written([*parts, ("t", {"row_count": None})], whole)) == ["t: rows were not told"]


def test_datasets_are_paired_by_name_by_being_alone_or_as_the_rule_says() -> None:
    content: dict[str, Any] = {"row_count": 5}
    two = [("shop.orders", content), ("shop.revenue", content)]
    assert problems(written(two, two[::-1])) == []
    assert problems(written([("new", content)], [("old", content)])) == []
    renamed = [("old.orders", content), ("old.revenue", {"row_count": 6}), ("tmp", content)]
    assert problems(written(two, renamed), pairs={"shop.*": "old.*"}) == ["shop.revenue and old.revenue: 5 and 6 rows"]
    assert problems(written(two, renamed), pairs={"shop.orders": "old.orders"}) == []
    assert problems(written(two, renamed)) == [
        "shop.orders was written by orders_daily alone",
        "shop.revenue was written by orders_daily alone",
        "old.orders was written by orders_old alone",
        "old.revenue was written by orders_old alone",
        "tmp was written by orders_old alone",
    ]


def test_what_nobody_told_of_is_no_agreement() -> None:
    assert problems(written([], [])) == ["neither told of anything that it wrote"]
    assert problems(written([("t", {"row_count": 5})], [])) == ["t was written by orders_daily alone"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"pairs": {"a": "b"}}, "pairs are of what jobs write"),
        ({"pairs": {"a.*": "b"}, "of": ["rows"]}, "needs one \\* on both sides"),
        ({"pairs": {"a.*.*": "b.*.*"}, "of": ["rows"]}, "needs one \\* on both sides"),
    ],
    ids=str,
)
def test_pairs_that_pair_nothing_are_refused(said: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        CompareConfig.model_validate({"against": "old", **said})


def test_what_runs_wrote_is_looked_for_only_where_it_is_asked_for() -> None:
    assert CompareConfig.model_validate({"against": "old"}).companions == (Companion("job", "old"),)
    asked = CompareConfig.model_validate({"against": "old", "of": ["rows"]}).companions
    assert asked == (Companion("job", "old", writes=True), ITSELF.writing)


def test_the_subject_is_what_is_named_to_compare_with() -> None:
    watched = bound([against(), rule(KIND, against="old")], {"compare": KIND})
    assert {kind: len(rules) for kind, rules in watched.items()} == {"dataset": 1, "job": 1}


@pytest.mark.parametrize(
    ("other", "of", "told"),
    [({"dataset": "a"}, ["outcome"], "no outcome"), ("old", [], "at least 1")],
    ids=str,
)
def test_what_neither_of_them_tells_is_refused(other: Any, of: list[str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        CompareConfig.model_validate({"against": other, "of": of})
