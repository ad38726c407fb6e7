"""disagreement: what was told and what was answered are not the same, with both sides, until a newer run agrees."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from rules.kinds.disagreement import Disagreement
from tests.rules.timeline import FAILED, OK, RUNNING, at, attempt, moments_of_change, of_job, only, rule, run
from watchtower.model.run import Authority, Run, RunState, Word

KIND = Disagreement()
RULE = rule(KIND)


def said(one: Run, told: RunState, answered: RunState, *more: Word) -> Run:
    """What the event said, at its end, and what the API answers a second later."""
    ended = one.ended_at or at(0, "06:20")
    words = (Word(Authority.STREAM, told, ended), Word(Authority.API, answered, ended + timedelta(seconds=1)))
    return structs.replace(one, words=(*words, *more))


def test_success_by_the_api_against_failure_by_the_event_shows_both() -> None:
    snapshot = of_job([said(run("a", at(0, "06:00"), 20), FAILED, OK)])
    violation = only(KIND.evaluate(RULE, snapshot, at(0, "06:30")))
    assert violation.summary == "orders_daily: the event said failed, the orchestrator answers succeeded"
    (shown,) = violation.evidence["disagreements"]
    assert (shown["event"]["state"], shown["api"]["state"], shown["run_id"]) == ("failed", "succeeded", "a")


def test_a_task_that_was_killed_and_told_nobody_is_found_once_its_event_had_time() -> None:
    killed = said(attempt("a", "load", (1, 1), at(0, "06:01"), FAILED), RUNNING, FAILED)
    snapshot = of_job([run("a", at(0, "06:00"), 20, FAILED)], attempts={"a": [killed]})
    seen = (killed.ended_at or at(0, "06:20")) + timedelta(minutes=5)
    assert KIND.evaluate(RULE, snapshot, seen - timedelta(seconds=1)).next_at == seen
    violation = only(KIND.evaluate(RULE, snapshot, seen))
    assert violation.summary.endswith("load: the orchestrator has it as failed, and no event told its end")
    assert violation.yields_to == "run_failure"


@pytest.mark.parametrize(
    ("told", "answered"),
    [(OK, OK), (FAILED, FAILED), (RunState.TIMED_OUT, FAILED), (OK, RunState.SKIPPED), (RUNNING, OK), (OK, RUNNING)],
    ids=["both well", "both failed", "it timed out", "skipped", "a lost end that was well", "not asked again yet"],
)
def test_these_are_no_disagreement(told: RunState, answered: RunState) -> None:
    snapshot = of_job([said(run("a", at(0, "06:00"), 20, FAILED), told, answered)])
    assert not KIND.evaluate(RULE, snapshot, at(0, "09:00")).violations


def test_a_success_that_the_orchestrator_still_has_under_way_is_one_once_it_was_asked_again() -> None:
    """When its answer was last read is not when it was asked: what is as it was is not told again."""
    snapshot = of_job([said(run("a", at(0, "06:00"), 20), OK, RUNNING)])
    assert not KIND.evaluate(RULE, snapshot, at(0, "09:00")).violations  # nobody asks
    asked_before = replace(snapshot, asked_until=at(0, "06:24"))
    found = KIND.evaluate(RULE, asked_before, at(0, "06:25"))
    assert (found.violations, found.next_at) == ((), at(0, "06:30"))
    asked_since = replace(snapshot, asked_until=at(0, "06:25"))
    violation = only(KIND.evaluate(RULE, asked_since, at(0, "06:30")))
    assert violation.summary == "orders_daily: the event said succeeded, the orchestrator answers running"
    assert violation.since == at(0, "06:25")
    failed = replace(of_job([said(run("a", at(0, "06:00"), 20, FAILED), FAILED, RUNNING)]), asked_until=at(0, "09:00"))
    assert not KIND.evaluate(RULE, failed, at(0, "09:00")).violations  # that is told anyway


def test_a_success_whose_event_was_lost_is_one_where_that_is_wanted() -> None:
    snapshot = of_job([said(run("a", at(0, "06:00"), 20), RUNNING, OK)])
    assert not KIND.evaluate(RULE, snapshot, at(0, "09:00")).violations
    violation = only(KIND.evaluate(rule(KIND, untold_successes=True), snapshot, at(0, "06:30")))
    assert violation.summary == "orders_daily: the orchestrator has it as succeeded, and no event told its end"


def test_what_a_person_set_by_hand_is_none_and_neither_is_history() -> None:
    by_hand = said(run("a", at(0, "06:00"), 20), FAILED, OK, Word(Authority.OPERATOR, OK, at(0, "06:40")))
    assert not KIND.evaluate(RULE, of_job([by_hand]), at(0, "07:00")).violations
    old = structs.replace(said(run("a", at(0, "06:00"), 20), FAILED, OK), historical=True)
    assert not KIND.evaluate(RULE, of_job([old]), at(0, "07:00")).violations


def test_it_ends_with_a_newer_run_that_agrees_or_is_forgotten() -> None:
    first = said(run("a", at(0, "06:00"), 20), FAILED, OK)
    assert moments_of_change(KIND, RULE, of_job([first]), at(0, "06:30"), at(9)) == [at(1, "06:20")]
    second = said(run("b", at(1, "06:00"), 10), OK, OK)
    assert not KIND.evaluate(RULE, of_job([first, second]), at(1, "06:11")).violations


# -- successes that computed nothing ------------------------------------------------------------------------------

NOW = at(4, "06:30")


def days(*dpu: str | None, state: RunState = OK) -> list[Run]:
    """A run each day at six, the oldest first, with what was measured of it; the last of them in the state."""
    tags = [{} if each is None else {"dpu_seconds": each, "worker_type": "G.1X"} for each in dpu]
    first = 4 - len(dpu) + 1
    made = [run(f"r{number}", at(first + number, "06:00"), 20, tags=each) for number, each in enumerate(tags)]
    made[-1] = structs.replace(made[-1], state=state)
    return made


def idle(runs: list[Run], **options: Any) -> list[str]:
    found = KIND.evaluate(rule(KIND, **options), of_job(list(reversed(runs))), NOW)
    return [each.summary for each in found.violations]


def test_a_success_that_computed_nothing_is_odd_where_those_before_computed() -> None:
    snapshot = of_job(list(reversed(days("310.5", "290", "305", "0.0"))))
    violation = only(KIND.evaluate(RULE, snapshot, NOW))
    assert violation.summary == (
        "orders_daily: succeeded, says its orchestrator, and computed nothing (dpu_seconds 0); each of the 3 before "
        "computed"
    )
    (shown,) = violation.evidence["computed_nothing"]
    assert (shown["run_id"], shown["state"], shown["measured"]) == ("r3", "succeeded", {"dpu_seconds": 0.0})
    assert violation.yields_to == "run_failure"


def test_it_is_looked_at_once_what_was_measured_had_time_to_come() -> None:
    snapshot = of_job(list(reversed(days("310", "290", "305", "0"))))
    early = KIND.evaluate(RULE, snapshot, at(4, "06:24"))
    assert (early.violations, early.next_at) == ((), at(4, "06:25"))
    assert only(KIND.evaluate(RULE, snapshot, at(4, "06:25"))).since == at(4, "06:25")
    assert not KIND.evaluate(RULE, snapshot, at(5, "06:20")).violations, "forgotten after a day"


@pytest.mark.parametrize(
    ("measured", "found"),
    [
        (("1", "1", "1", "0", "0"), 1),
        (("1", "1", "0"), 0),
        (("0", "0", "0", "0"), 0),
        (("1", "1", "1", "0", "1"), 0),
        (("1", "1", "0", "1", "0"), 0),
        (("1", "1", "1", None), 0),
        (("1", "1", "1", "n/a"), 0),
        ((None, None, None, "0"), 0),
        (("1", "1", "1", "0.001"), 0),
    ],
    ids=[
        "twice in a row", "too few before", "always so", "the newest computes again", "now and then so",
        "nothing measured", "no number", "first measured now", "a little",
    ],
)  # fmt: skip
def test_only_what_is_unlike_those_before_counts(measured: tuple[str | None, ...], found: int) -> None:
    assert len(idle(days(*measured))) == found


def test_a_run_that_failed_need_not_have_computed() -> None:
    assert idle(days("1", "1", "1", "0", state=FAILED)) == []


def test_the_rule_says_which_successes_may_compute_nothing() -> None:
    assert len(idle(days("0"), idle_successes="always")) == 1
    assert idle(days("1", "1", "1", "0"), idle_successes="never") == []


SKIP, LATER = RunState.SKIPPED, RunState.UPSTREAM_FAILED


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ({"fetch": SKIP, "load": SKIP}, ["tasks_that_ran 0"]),
        ({"fetch": SKIP, "load": LATER}, ["tasks_that_ran 0"]),
        ({"only_on_mondays": OK, "load": SKIP}, []),
        ({"fetch": SKIP, "load": RUNNING}, []),
        ({}, []),
    ],
    ids=["all skipped", "skipped, or in vain", "a short circuit", "not all have ended", "not told"],
)
def test_a_run_none_of_whose_tasks_ran_computed_nothing(tasks: dict[str, RunState], expected: list[str]) -> None:
    before = [run(f"r{day}", at(day, "06:00"), 20, task_states={"fetch": OK, "load": OK}) for day in range(1, 4)]
    found = idle([*before, run("r4", at(4, "06:00"), 20, task_states=tasks)])
    assert [each.partition("(")[2].partition(")")[0] for each in found] == expected


def test_what_ran_a_little_by_one_measure_did_compute() -> None:
    before = [run(f"r{day}", at(day, "06:00"), 20, tags={"execution_seconds": "60"}) for day in range(1, 4)]
    last = run("r4", at(4, "06:00"), 20, tags={"execution_seconds": "41", "dpu_seconds": "0"})
    assert idle([*before, last]) == []
