"""queue_time: too long between being queued and the start, seen while it waits."""

from datetime import timedelta
from typing import Any

from rules.kinds.queue_time import QueueTime
from tests.rules.timeline import QUEUED, at, of_job, only, open_alert, rule, run
from watchtower.model.run import Run, Trigger

KIND = QueueTime()
WITHIN = rule(KIND, max="10m")
LEARNED = rule(KIND)


def waited(ident: str, day: int, minutes: float, **said: Any) -> Run:
    """Queued at six."""
    queued = at(day, "06:00")
    return run(ident, queued + timedelta(minutes=minutes), 20, nominal=queued, queued_at=queued, **said)


def waiting(ident: str, day: int, **said: Any) -> Run:
    return run(ident, None, None, QUEUED, nominal=at(day, "06:00"), queued_at=at(day, "06:00"), **said)


STEADY = [waited(f"r{day}", day, 2) for day in range(20)]


def test_it_is_seen_at_the_very_moment_while_the_run_waits() -> None:
    snapshot = of_job([waiting("a", 0)])
    before = KIND.evaluate(WITHIN, snapshot, at(0, "06:09"))
    assert (before.violations, before.next_at) == ((), at(0, "06:10"))
    found = only(KIND.evaluate(WITHIN, snapshot, at(0, "06:10")))
    assert found.since == at(0, "06:10")
    assert found.summary == "orders_daily is queued since 2026-03-02 06:00 UTC and has not started, longer than 10m"


def test_it_stays_after_the_start_until_a_later_one_starts_in_time() -> None:
    late = waited("a", 0, 11)
    assert only(KIND.evaluate(WITHIN, of_job([late]), at(0, "07:00"))).value == 660
    assert only(KIND.evaluate(WITHIN, of_job([late, waiting("b", 1)]), at(1, "06:05"))).evidence["run_id"] == "a"
    over = KIND.evaluate(WITHIN, of_job([late, waited("b", 1, 10)], alerts=[open_alert()]), at(1, "07:00"))
    assert (over.violations, over.resolution["run_id"]) == ((), "b")


def test_it_learns_how_long_runs_usually_wait() -> None:
    assert KIND.evaluate(LEARNED, of_job(STEADY[:9]), at(9)).learning == (
        "8 of 10 runs that told when they were queued"
    )
    # p95 × 1.5 and the minute over the median are both 3 minutes.
    snapshot = of_job([*STEADY, waiting("b", 20)])
    assert KIND.evaluate(LEARNED, snapshot, at(20, "06:00")).next_at == at(20, "06:03")
    assert "usually 2m, from 20 runs" in only(KIND.evaluate(LEARNED, snapshot, at(20, "06:03"))).summary
    assert "within 3m (180 s)" in KIND.describe(LEARNED, snapshot)


def test_what_was_called_off_or_not_told_or_a_backfill_is_not_judged() -> None:
    runs = [
        run("untold", at(0, "07:00"), 20),
        waiting("backfill", 1, trigger=Trigger.BACKFILL),
        run("off", None, None, state=QUEUED.CANCELLED, nominal=at(2, "06:00"), queued_at=at(2, "06:00")),
    ]
    evaluation = KIND.evaluate(WITHIN, of_job(runs), at(5))
    assert (evaluation.violations, evaluation.next_at) == ((), None)


def test_so_many_in_a_row() -> None:
    twice = rule(KIND, max="10m", fail_after=2)
    assert not KIND.evaluate(twice, of_job([waited("a", 0, 15)]), at(0, "08:00")).violations
    assert only(KIND.evaluate(twice, of_job([waited("a", 0, 15), waiting("b", 1)]), at(1, "06:10"))).value == 600
