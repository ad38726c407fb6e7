"""run_failure: which failures stand, what clears them, and what the alert says."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from pydantic import ValidationError

from rules.kinds.run_failure import RunFailure, RunFailureConfig
from tests.rules.timeline import FAILED, OK, QUEUED, RUNNING, at, attempt, of_job, only, open_alert, rule, run
from watchtower.model.companion import Beside
from watchtower.model.past import past_of
from watchtower.model.rule import Evaluation, JobSnapshot
from watchtower.model.run import JobRef, Run, RunError, RunState, Trigger

KIND = RunFailure()
RULE = rule(KIND)
NOW = at(2, "12:00")
SIX = at(0, "06:00")


def evaluate(snapshot: JobSnapshot, **options: Any) -> Evaluation:
    return KIND.evaluate(rule(KIND, **options), snapshot, NOW)


def is_alert(snapshot: JobSnapshot, **options: Any) -> bool:
    return bool(evaluate(snapshot, **options).violations)


def test_a_failed_run_is_an_alert_since_it_ended_and_time_changes_nothing() -> None:
    evaluation = evaluate(of_job([run("a", SIX, 20, FAILED, error=RunError("disk full", "OSError"))]))
    violation = only(evaluation)
    assert violation.since == at(0, "06:20")
    assert violation.summary == "orders_daily failed: OSError: disk full"
    assert violation.labels == {}
    assert evaluation.next_at is None


@pytest.mark.parametrize(
    ("trigger", "alerts"), [(Trigger.SCHEDULE, True), (Trigger.MANUAL, False), (None, True)], ids=str
)
def test_only_runs_that_were_started_in_some_ways_may_count(trigger: Trigger | None, alerts: bool) -> None:
    snapshot = of_job([run("a", SIX, 20, FAILED, trigger=trigger)])
    assert is_alert(snapshot)
    assert is_alert(snapshot, triggers=["schedule", "event"]) is alerts


def test_it_opens_at_the_first_final_task_failure_while_the_run_goes_on() -> None:
    tries = [attempt("a", "load", (number, 3), at(0, f"06:0{number}")) for number in (1, 2, 3)]
    open_run = run("a", SIX, None, RUNNING)
    assert not is_alert(of_job([open_run], attempts={"a": tries[:2]}))
    violation = only(evaluate(of_job([open_run], attempts={"a": tries})))
    assert violation.since == at(0, "06:04")
    assert "at task load (attempt 3 of 3): ValueError: bad row 17" in violation.summary
    assert violation.evidence["stack"].endswith("ValueError: bad row 17")
    # The run's own FAIL joins: one violation, since the first of both.
    failed = only(evaluate(of_job([run("a", SIX, 20, FAILED)], attempts={"a": tries})))
    assert failed.since == violation.since


def test_a_retry_that_passes_was_never_a_failure_unless_each_attempt_is_asked_for() -> None:
    first = attempt("a", "load", (1, 3), at(0, "06:01"))
    second = attempt("a", "load", (2, 3), at(0, "06:03"), OK)
    open_run = run("a", SIX, None, RUNNING)
    assert not is_alert(of_job([open_run], attempts={"a": [first]}))
    assert is_alert(of_job([open_run], attempts={"a": [first]}), each_attempt=True)
    assert not is_alert(of_job([open_run], attempts={"a": [first, second]}), each_attempt=True)


def test_an_attempt_of_unknown_finality_waits_for_the_run() -> None:
    vague = attempt("a", "load", (1, 1), at(0, "06:01"), final=None, max_attempts=None)
    assert not is_alert(of_job([run("a", SIX, None, RUNNING)], attempts={"a": [vague]}))
    assert is_alert(of_job([run("a", SIX, 20, FAILED)], attempts={"a": [vague]}))


def test_a_handled_task_failure_ends_with_the_runs_success() -> None:
    tries = [attempt("a", "load", (1, 1), at(0, "06:01"))]
    assert not is_alert(of_job([run("a", SIX, 20)], attempts={"a": tries}))


def test_a_restart_clears_nothing_and_a_success_does() -> None:
    failed = run("a", SIX, 20, FAILED)
    again = structs.replace(run("a2", at(0, "07:00"), None, RUNNING), native_run_id="a", generation=1)
    assert is_alert(of_job([failed, again]))
    done = structs.replace(run("a2", at(0, "07:00"), 20), native_run_id="a", generation=1)
    evaluation = evaluate(of_job([failed, done], alerts=[open_alert()]))
    assert not evaluation.violations
    assert evaluation.resolution["run_id"] == "a2"


def test_a_task_restarted_inside_its_run_clears_nothing_until_it_succeeds() -> None:
    open_run = run("a", SIX, None, RUNNING)
    failed = attempt("a", "load", (1, 1), at(0, "06:01"))
    restarted = attempt("a", "load", (2, 2), at(0, "06:10"), RUNNING)
    assert is_alert(of_job([open_run], attempts={"a": [failed, restarted]}))
    assert not is_alert(of_job([open_run], attempts={"a": [failed, structs.replace(restarted, state=OK)]}))


@pytest.mark.parametrize(
    ("other", "stands"),
    [
        (run("b", at(1, "06:00"), 20, nominal=at(1, "06:00")), False),
        (run("b", at(1, "06:00"), None, RUNNING, nominal=at(1, "06:00")), True),
        (run("b", at(0, "08:00"), 20, nominal=at(-9), trigger=Trigger.BACKFILL), True),
        (run("b", at(0, "08:00"), 20, nominal=at(0, "08:00"), trigger=Trigger.MANUAL), False),
        (run("b", at(0, "05:00"), 20, nominal=at(0, "07:00")), True),
        (run("b", at(1, "06:00"), 20, RunState.CANCELLED, nominal=at(1, "06:00")), True),
    ],
    ids=["newer success", "newer start", "backfill of the past", "manual success later", "ended before", "cancelled"],
)
def test_what_clears_a_failure(other: Run, stands: bool) -> None:
    assert is_alert(of_job([run("a", SIX, 20, FAILED, nominal=SIX), other])) is stands


def test_a_cleared_old_run_that_fails_again_is_a_failure_of_now() -> None:
    newer = run("b", at(1, "06:00"), 20, nominal=at(1, "06:00"))
    again = run("a", at(1, "09:00"), 20, FAILED, nominal=SIX, generation=1)
    assert is_alert(of_job([newer, again]))


def test_fail_after_counts_failures_in_a_row() -> None:
    runs = [run(f"r{day}", at(day, "06:00"), 20, FAILED, nominal=at(day, "06:00")) for day in range(3)]
    assert not is_alert(of_job(runs[:2]), fail_after=3)
    violation = only(evaluate(of_job(runs), fail_after=3))
    assert violation.since == at(2, "06:20")
    assert violation.value == 3
    assert violation.evidence["failed_runs"] == ["r0", "r1", "r2"]
    between = run("ok", at(1, "07:00"), 20, nominal=at(1, "07:00"))
    assert not is_alert(of_job([*runs, between]), fail_after=3)


def test_a_killed_task_is_named_from_the_runs_end() -> None:
    states = {"load": FAILED, "report": RunState.UPSTREAM_FAILED, "mail": QUEUED, "extract": OK}
    killed = attempt("a", "load", (1, 1), at(0, "06:01"), RUNNING)
    violation = only(evaluate(of_job([run("a", SIX, 20, FAILED, task_states=states)], attempts={"a": [killed]})))
    assert "load ended without a report (killed?)" in violation.summary
    assert violation.evidence["killed"] == ["load"]
    assert violation.evidence["upstream_failed"] == ["report"]
    assert violation.evidence["not_run"] == ["mail"]


def test_history_is_history_until_a_live_failure_joins() -> None:
    replayed = run("a", SIX, 20, FAILED, nominal=SIX, historical=True)
    assert only(evaluate(of_job([replayed]))).historical
    assert only(evaluate(of_job([structs.replace(replayed, historical=False, trigger=Trigger.BACKFILL)]))).historical
    live = run("b", at(1, "06:00"), 20, FAILED, nominal=at(1, "06:00"))
    joined = only(evaluate(of_job([replayed, live])))
    assert not joined.historical
    assert joined.evidence["run_id"] == "b"


def test_of_a_task_only_its_own_final_failures_count() -> None:
    load = JobRef("airflow-prod", "prod", "orders_daily", "load")
    retried = attempt("a", "load", (1, 2), at(0, "06:01"))
    assert not is_alert(of_job([retried], ref=load))
    assert is_alert(of_job([retried, attempt("a", "load", (2, 2), at(0, "06:05"))], ref=load))
    assert not is_alert(of_job([attempt("a", "load", (1, 1), SIX, RunState.UPSTREAM_FAILED)], ref=load))
    # One mapped instance that passes does not clear another that failed.
    failed = attempt("a", "load", (1, 1), at(0, "06:01"), map_index=0)
    passed = attempt("a", "load", (1, 1), at(0, "06:02"), OK, map_index=1)
    assert is_alert(of_job([failed, passed], ref=load))


def test_evidence_is_bounded() -> None:
    error = RunError("x" * 10_000, "E", "\n".join(f"line {number}" for number in range(5_000)))
    tries = [attempt("a", f"t{number}", (1, 1), at(0, "06:01"), error=error) for number in range(60)]
    evidence = only(evaluate(of_job([run("a", SIX, 20, FAILED)], attempts={"a": tries}))).evidence
    assert len(evidence["tasks"]) == 10
    assert evidence["more_tasks"] == 50
    assert len(str(evidence)) < 40_000
    assert evidence["stack"].splitlines()[-1] == "line 4999"


def test_it_is_over_after_as_many_successes_in_a_row_as_are_asked_for() -> None:
    def after(*states: RunState) -> bool:
        runs = [run(f"r{day}", at(day, "06:00"), 20, state) for day, state in enumerate(states)]
        return is_alert(of_job(runs), recover_after=3)

    assert after(FAILED, OK, OK)
    assert not after(FAILED, OK, OK, OK)
    assert after(FAILED, OK, OK, FAILED, OK, OK)
    assert not after(FAILED, OK, FAILED, OK, OK, OK)
    assert KIND.describe(rule(KIND, recover_after=3)).endswith("until 3 in a row succeed.")


def telling(runs: Sequence[Run], wanted: int) -> Beside:
    """What the store has of them where so many are asked for."""
    newest = list(reversed(runs))
    known = [each for each in newest if each.state not in (RunState.SKIPPED, RunState.CANCELLED)]
    return Beside(tuple(map(past_of, newest)), runs=tuple(known[:wanted]))


@given(
    states=st.lists(st.sampled_from([OK, OK, OK, FAILED, FAILED, RunState.SKIPPED]), min_size=1, max_size=120),
    fail_after=st.integers(1, 6),
    recover_after=st.integers(2, 9),
)
@settings(max_examples=150, deadline=None)
def test_any_numbers_in_a_row_are_counted_as_if_all_of_history_were_read(
    states: list[RunState], fail_after: int, recover_after: int
) -> None:
    runs = [run(f"r{day}", at(day, "06:00"), 20, state) for day, state in enumerate(states)]
    asked = rule(KIND, fail_after=fail_after, recover_after=recover_after)
    (companion,) = asked.options.companions
    read = replace(of_job(runs), beside={companion: telling(runs, companion.whole)})
    said, expected = (KIND.evaluate(asked, each, NOW) for each in (read, of_job(runs, all_whole=True)))
    assert bool(said.violations) == bool(expected.violations)


def test_failures_far_apart_count_together_where_so_many_successes_are_wanted_between_them() -> None:
    """Every tenth run fails, thirty runs long: fewer than ten successes in a row end nothing."""
    runs = [run(f"r{day}", at(day, "06:00"), 20, OK if day % 10 else FAILED) for day in range(30)]
    asked = {"fail_after": 3, "recover_after": 10}
    options = RunFailureConfig.model_validate(asked)
    read = replace(of_job(runs), beside={options.further: telling(runs, options.further.whole)})
    assert only(evaluate(read, **asked)).value == 3
    assert not is_alert(of_job(runs), **asked), "what is known whole without being asked for is not enough"


def test_numbers_that_would_read_all_of_history_are_refused() -> None:
    assert RunFailureConfig.model_validate({"fail_after": 100}).companions == ()
    with pytest.raises(ValidationError, match="together look at 2,550 runs; at most 1,000 are read"):
        RunFailureConfig.model_validate({"fail_after": 50, "recover_after": 50})


def test_a_failure_among_the_successes_stands_beside_the_one_before() -> None:
    runs = [run(f"r{day}", at(day, "06:00"), 20, state) for day, state in enumerate((FAILED, OK, FAILED, OK))]
    assert only(evaluate(of_job(runs), fail_after=2, recover_after=2)).value == 2
    assert not is_alert(of_job(runs), fail_after=2)
