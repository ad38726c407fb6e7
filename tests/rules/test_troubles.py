"""What was wrong with what a job or a dataset depends on is its cause, if it stood while that went wrong."""

from dataclasses import replace
from datetime import timedelta

import pytest

from rules.kinds.deadline import Deadline
from rules.kinds.freshness import Freshness
from rules.kinds.missing_run import MissingRun
from rules.kinds.run_failure import RunFailure
from rules.troubles import trouble_words, with_troubles
from tests.rules.timeline import FAILED, MONDAY, of_dataset, of_job, only, rule, run, update
from watchtower.model.source import Trouble

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SINCE = MONDAY + 2 * HOUR + 10 * MINUTE
DOWN = Trouble("orders-api", "http", "https://api.example.com/health answers 503", SINCE, concerns=("pipeline:*",))
RUN_AT = MONDAY + 2 * HOUR


def cause(trouble: Trouble) -> str | None:
    """Of a run that failed from 02:00 to 02:12."""
    snapshot = replace(of_job([run("r1", RUN_AT, 12, FAILED)]), troubles=(trouble,))
    found = only(RunFailure().evaluate(rule(RunFailure()), snapshot, RUN_AT + HOUR))
    return found.evidence.get("cause")


def test_a_run_that_failed_while_what_it_needs_was_down_says_so() -> None:
    said = "https://api.example.com/health answers 503 (orders-api, since 2026-03-02 02:10 UTC)"
    assert cause(DOWN) == said
    assert cause(replace(DOWN, until=RUN_AT + 30 * MINUTE)) == said.replace(
        "since 2026-03-02 02:10 UTC", "from 2026-03-02 02:10 UTC to 2026-03-02 02:30 UTC"
    )


@pytest.mark.parametrize(
    ("since", "until", "is_told"),
    [
        (-60, -1, False),
        (-60, 1, True),
        (5, 6, True),
        (12, None, True),
        (22, None, True),  # a probe sees an outage some minutes late
        (23, None, False),
    ],
)
def test_it_must_have_stood_while_the_run_did(since: int, until: int | None, is_told: bool) -> None:
    end = None if until is None else RUN_AT + until * MINUTE
    assert (cause(replace(DOWN, since=RUN_AT + since * MINUTE, until=end)) is not None) is is_told


def test_it_joins_the_cause_that_a_trace_gave_and_the_first_comes_first() -> None:
    later = replace(DOWN, source="sftp", summary="sftp.example.com:22 refuses", since=SINCE + MINUTE)
    evidence = with_troubles({"cause": "failed at load: GET /orders failed"}, [DOWN, later])
    assert evidence["cause"] == f"failed at load: GET /orders failed; {trouble_words(DOWN)}; {trouble_words(later)}"
    assert [each["source"] for each in evidence["troubles"]] == ["orders-api", "sftp"]


def test_a_stale_dataset_says_why_nothing_new_is_seen_of_it() -> None:
    kind = Freshness()
    snapshot = of_dataset([update(MONDAY)])
    missing = Trouble("landing", "orders", "orders/2026-03-02.csv is not there", MONDAY + 3 * HOUR)
    stale = replace(snapshot, troubles=(missing,))
    found = only(kind.evaluate(rule(kind, fail_after="1h"), stale, MONDAY + 4 * HOUR))
    assert found.evidence["cause"] == ("orders/2026-03-02.csv is not there (landing, since 2026-03-02 03:00 UTC)")
    over = replace(missing, since=MONDAY, until=MONDAY + 30 * MINUTE)
    found = only(kind.evaluate(rule(kind, fail_after="1h"), replace(snapshot, troubles=(over,)), MONDAY + 4 * HOUR))
    assert "cause" not in found.evidence


def test_a_run_that_is_missing_or_late_says_what_it_may_be_waiting_for() -> None:
    waiting = replace(of_job([], first_seen=MONDAY), troubles=(replace(DOWN, since=MONDAY),))
    missing = MissingRun()
    found = only(missing.evaluate(rule(missing, schedule="0 2 * * *"), waiting, MONDAY + 3 * HOUR))
    assert found.evidence["cause"].startswith("https://api.example.com/health answers 503")
    late = Deadline()
    found = only(late.evaluate(rule(late, finish_by="02:30"), waiting, MONDAY + 3 * HOUR))
    assert found.evidence["cause"].startswith("https://api.example.com/health answers 503")


def test_where_the_data_itself_was_looked_at_a_run_that_succeeded_makes_nothing_fresh() -> None:
    kind = Freshness()
    seen = update(MONDAY, measured=True, run_id=None, job_id=None)
    ran = update(MONDAY + 24 * HOUR)
    found = only(kind.evaluate(rule(kind, fail_after="12h"), of_dataset([ran, seen]), MONDAY + 25 * HOUR))
    assert found.evidence["last_update"] == "2026-03-02T00:00:00Z"
