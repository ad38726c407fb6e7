"""retry_storm: how many tries were repeated within a time, of whichever task."""

from rules.kinds.retry_storm import RetryStorm
from tests.rules.timeline import FAILED, OK, RUNNING, at, attempt, of_job, only, rule, run

KIND = RetryStorm()
MORE_THAN_TWO = rule(KIND, more_than=2, within="1h")
TRIES = [attempt("a", "load", (number, 5), at(0, f"06:0{number}")) for number in range(1, 5)]


def test_tries_after_the_first_count_while_the_run_goes_on() -> None:
    open_run = run("a", at(0, "06:00"), None, RUNNING)
    snapshot = of_job([open_run], attempts={"a": TRIES[:3]})
    assert not KIND.evaluate(MORE_THAN_TWO, snapshot, at(0, "06:04")).violations
    found = only(KIND.evaluate(MORE_THAN_TWO, of_job([open_run], attempts={"a": TRIES}), at(0, "06:04")))
    assert found.since == at(0, "06:04")
    assert found.summary == "orders_daily had 3 repeated tries within 1h, more than 2: load (3)"
    assert found.evidence["error"] == "bad row 17"


def test_runs_that_went_well_count_and_the_window_slides() -> None:
    runs = [run("a", at(0, "06:00"), 10), run("b", at(0, "06:30"), 10)]
    more = [attempt("b", "check", (2, 2), at(0, "06:32"), OK)]
    snapshot = of_job(runs, attempts={"a": TRIES[1:3], "b": more})
    evaluation = KIND.evaluate(MORE_THAN_TWO, snapshot, at(0, "06:32"))
    assert "load (2), check (1)" in only(evaluation).summary
    assert evaluation.next_at == at(0, "07:02")
    assert not KIND.evaluate(MORE_THAN_TWO, snapshot, at(0, "07:02")).violations


def test_replayed_tries_are_history() -> None:
    replayed = [attempt("a", "load", (number, 5), at(0, "06:01"), FAILED, historical=True) for number in range(2, 6)]
    snapshot = of_job([run("a", at(0, "06:00"), 10, FAILED)], attempts={"a": replayed})
    assert only(KIND.evaluate(MORE_THAN_TWO, snapshot, at(0, "06:30"))).historical
