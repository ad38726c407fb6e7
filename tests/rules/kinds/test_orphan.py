"""orphan: a start whose end was never heard, once, until it ends or is given up."""

import pytest
from msgspec import structs
from pydantic import ValidationError

from rules.kinds.orphan import Orphan, OrphanConfig
from tests.rules.timeline import (
    FAILED,
    OK,
    QUEUED,
    RUNNING,
    at,
    attempt,
    daily,
    moments_of_change,
    of_job,
    only,
    rule,
    run,
)

KIND = Orphan()
LEARNED = rule(KIND)


def test_nothing_learned_means_a_day() -> None:
    snapshot = of_job([run("a", at(0, "06:00"), None, RUNNING)])
    assert KIND.evaluate(LEARNED, snapshot, at(0, "07:00")).next_at == at(1, "06:00")
    violation = only(KIND.evaluate(LEARNED, snapshot, at(1, "06:00")))
    assert violation.summary == "orders_daily started at 2026-03-02 06:00 UTC and its end was never heard"


@pytest.mark.parametrize(("minutes", "clock"), [(20, "12:00"), (120, "14:00")], ids=["six hours", "four p99"])
def test_the_learned_limit_is_four_p99_and_at_least_six_hours(minutes: float, clock: str) -> None:
    past = [run(f"r{day}", at(day, "06:00"), minutes) for day in range(12)]
    snapshot = of_job([*past, run("open", at(12, "06:00"), None, RUNNING)])
    assert KIND.evaluate(LEARNED, snapshot, at(12, "07:00")).next_at == at(12, clock)


def test_many_orphans_are_one_alert_and_each_is_named() -> None:
    runs = [run(f"r{hour}", at(0, f"0{hour}:00"), None, RUNNING) for hour in range(3)]
    violation = only(KIND.evaluate(rule(KIND, limit="6h"), of_job(runs), at(0, "12:00")))
    assert violation.value == 3
    assert violation.since == at(0, "06:00")
    assert [each["run_id"] for each in violation.evidence["open"]] == ["r0", "r1", "r2"]


def test_a_late_end_resolves_it_and_one_that_never_comes_is_given_up() -> None:
    limited = rule(KIND, limit="6h", forget_after="3d")
    snapshot = of_job([run("a", at(0, "06:00"), None, RUNNING)])
    assert moments_of_change(KIND, limited, snapshot, at(0, "07:00"), at(30)) == [at(0, "12:00"), at(3, "06:00")]
    assert not KIND.evaluate(limited, snapshot, at(3, "06:00")).violations
    assert not KIND.evaluate(limited, of_job([run("a", at(0, "06:00"), 900)]), at(0, "23:00")).violations


def test_what_is_only_queued_is_no_orphan() -> None:
    assert not KIND.evaluate(LEARNED, of_job([run("a", None, None, QUEUED)]), at(9)).violations


def test_a_task_left_open_by_an_ended_run_is_an_orphan_unless_the_end_named_it() -> None:
    task = attempt("a", "load", (1, 1), at(0, "06:01"), RUNNING)
    ended = run("a", at(0, "06:00"), 20)
    snapshot = of_job([ended], attempts={"a": [task]})
    assert KIND.evaluate(LEARNED, snapshot, at(0, "06:20")).next_at == at(0, "06:30")
    violation = only(KIND.evaluate(LEARNED, snapshot, at(0, "06:30")))
    assert violation.summary == "orders_daily ended at 2026-03-02 06:20 UTC and no end was heard of task load"
    assert violation.yields_to is None
    named = of_job([run("a", at(0, "06:00"), 20, task_states={"load": OK})], attempts={"a": [task]})
    assert not KIND.evaluate(LEARNED, named, at(0, "07:00")).violations
    failed = of_job([run("a", at(0, "06:00"), 20, FAILED)], attempts={"a": [task]})
    assert only(KIND.evaluate(LEARNED, failed, at(0, "07:00"))).yields_to == "run_failure"


def test_a_try_that_was_given_up_for_the_next_one_is_none() -> None:
    """A scheduler that dies takes its tasks along; the next one has them tried again, and forgets the first try."""
    first = attempt("a", "load", (1, 1), at(0, "06:01"), RUNNING, map_index=0)
    second = attempt("a", "load", (2, 2), at(0, "06:09"), OK, map_index=0)
    ended = run("a", at(0, "06:00"), 20)
    assert not KIND.evaluate(LEARNED, of_job([ended], attempts={"a": [first, second]}), at(0, "07:00")).violations
    another = structs.replace(second, map_index=1)
    assert KIND.evaluate(LEARNED, of_job([ended], attempts={"a": [first, another]}), at(0, "07:00")).violations


def test_a_replayed_start_without_end_is_history() -> None:
    assert only(KIND.evaluate(LEARNED, of_job([run("a", at(0), None, RUNNING, historical=True)]), at(2))).historical


def test_a_limit_beyond_giving_up_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be less than forget_after"):
        OrphanConfig.model_validate({"limit": "8d"})


def test_a_healthy_job_is_looked_at_only_when_something_runs() -> None:
    assert KIND.evaluate(LEARNED, of_job(daily(20)), at(20)).next_at is None
