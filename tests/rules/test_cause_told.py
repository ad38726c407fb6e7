"""Which alerts tell a cause, and where it stands in them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from rules.annotations import annotations_of
from rules.kinds.deadline import Deadline
from rules.kinds.duration import Duration
from rules.kinds.orphan import Orphan
from rules.kinds.run_failure import RunFailure
from tests.rules.timeline import FAILED, RUNNING, at, attempt, daily, of_job, only, rule, run
from tests.rules.tracing import op, trace, usual
from watchtower.model.rule import JobSnapshot, Violation
from watchtower.model.run import Run

SLOW_ORDERS = op("GET /orders", [0.2] * 34 + [3.0] * 6, task="validate")
USUAL = usual(op("GET /orders", [0.2] * 40, task="validate"))
NUMBERS = "GET /orders took 3,000 ms at p95 against 200 ms, 15 % of calls"
OWN_TIME = "GET /orders took 25 s of own time against 8 s, p95 3,000 ms against 200 ms, 15 % of calls"


def traced(runs: Sequence[Run], *, attempts: dict[str, list[Run]] | None = None, of: str = "a") -> JobSnapshot:
    """The trace is that of run `of`."""
    snapshot = of_job(runs, attempts=attempts)
    return replace(snapshot, traces={of: trace(SLOW_ORDERS, run=of)}, usual=USUAL)


def violation(
    kind: RunFailure | Duration | Deadline | Orphan, snapshot: JobSnapshot, now: datetime, **options: Any
) -> Violation:
    return only(kind.evaluate(rule(kind, **options), snapshot, now))


def test_a_failed_run_tells_its_cause_beside_its_own_error() -> None:
    tries = {"a": [attempt("a", "validate", (1, 1), at(0, "06:01"))]}
    snapshot = traced([run("a", at(0, "06:00"), 20, FAILED)], attempts=tries)
    found = violation(RunFailure(), snapshot, at(0, "07:00"))
    assert found.evidence["cause"] == f"failed at validate: {NUMBERS}"
    assert found.evidence["cause_evidence"]["operation"] == "GET /orders"
    assert "at task validate (attempt 1 of 1): ValueError: bad row 17" in found.summary
    words = annotations_of(rule(RunFailure()), found, {}, "")
    assert (words["summary"], words["cause"]) == (found.summary, found.evidence["cause"])


def test_an_operator_may_put_the_cause_where_it_is_wanted() -> None:
    snapshot = traced([run("a", at(0, "06:00"), 20, FAILED)])
    found = violation(RunFailure(), snapshot, at(0, "07:00"))
    written = replace(rule(RunFailure()), annotations={"summary": "{pipeline} {cause}"})
    labels = {"pipeline": "orders_daily"}
    assert annotations_of(written, found, labels, "")["summary"] == f"orders_daily failed at validate: {NUMBERS}"


@pytest.mark.parametrize("minutes", [90, None], ids=["ended", "still running"])
def test_a_slow_run_tells_its_cause(minutes: float | None) -> None:
    state = run("x", at(0)).state if minutes else RUNNING
    snapshot = traced([*daily(12), run("a", at(12, "06:00"), minutes, state)])
    found = violation(Duration(), snapshot, at(12, "08:00"), max="1h")
    assert found.evidence["cause"] == f"slow at validate: {OWN_TIME}"


def test_a_run_that_was_too_short_is_not_explained_by_what_was_slow() -> None:
    snapshot = traced([*daily(12), run("a", at(12, "06:00"), 1)])
    assert "cause" not in violation(Duration(), snapshot, at(12, "08:00"), min="5m").evidence


def test_a_late_run_tells_what_it_is_busy_with() -> None:
    snapshot = traced([*daily(12), run("a", at(12, "06:00"), None, RUNNING)])
    found = violation(Deadline(), snapshot, at(12, "08:00"), finish_by="07:00")
    assert found.evidence["cause"].startswith("slow at validate: GET /orders")
    assert violation(Orphan(), snapshot, at(12, "09:00"), limit="2h").evidence["cause"] == found.evidence["cause"]


def test_the_cause_is_of_the_run_that_the_alert_is_about() -> None:
    snapshot = traced([run("a", at(0, "06:00"), 20, FAILED), run("b", at(1, "06:00"), 20, FAILED)], of="a")
    assert "cause" not in violation(RunFailure(), snapshot, at(1, "07:00")).evidence
