"""out_of_sequence: each run needs a success of the other since its own run before."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from pydantic import ValidationError

from rules.kinds.out_of_sequence import OutOfSequence, OutOfSequenceConfig
from tests.rules.timeline import RUNNING, at, of_job, only, rule, run
from watchtower.model.companion import Beside, Companion
from watchtower.model.past import past_of
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import Run

KIND = OutOfSequence()
RULE = rule(KIND, after="load")
LOAD = Companion("job", "load")


def snapshot(mine: Sequence[Run], others: Sequence[Run], **said: Any) -> JobSnapshot:
    past = tuple(map(past_of, sorted(others, key=lambda each: each.first_seen, reverse=True)))
    return replace(of_job(mine), beside={LOAD: Beside(past=past, **said)})


def test_a_run_after_the_other_succeeded_is_in_order() -> None:
    kept = snapshot([run("a", at(0, "06:00"))], [run("o", at(0, "05:00"), 60)])
    before = KIND.evaluate(RULE, kept, at(0, "06:01"))
    assert (before.violations, before.next_at) == ((), at(0, "06:02"))
    after = KIND.evaluate(RULE, kept, at(0, "06:02"))
    assert (after.violations, after.next_at) == ((), None)


def test_a_run_while_the_other_still_runs_is_told_after_two_minutes_and_looked_at_each_minute() -> None:
    early = snapshot([run("a", at(0, "06:00"))], [run("o", at(0, "05:00"), None, RUNNING)])
    assert not KIND.evaluate(RULE, early, at(0, "06:01", 59)).violations
    evaluation = KIND.evaluate(RULE, early, at(0, "06:02", 30))
    found = only(evaluation)
    assert found.since == at(0, "06:00")
    assert found.evidence["after_state"] == "running"
    assert evaluation.next_at == at(0, "06:03")
    assert KIND.evaluate(RULE, early, at(0, "07:05")).next_at == at(0, "07:15")
    assert KIND.evaluate(RULE, early, at(8)).next_at is None


def test_yesterdays_success_is_not_todays() -> None:
    runs = [run("a", at(0, "06:00")), run("b", at(1, "06:00"))]
    other = run("o", at(0, "05:00"), 30)
    found = only(KIND.evaluate(RULE, snapshot(runs, [other]), at(1, "06:10")))
    assert found.summary == (
        "orders_daily began at 2026-03-03 06:00 UTC, and load had not succeeded before it since the run before; "
        "it last did at 2026-03-02 05:30 UTC"
    )
    late = run("p", at(1, "05:50"), 20)
    assert (
        "that came only at 2026-03-03 06:10"
        in only(KIND.evaluate(RULE, snapshot(runs, [other, late]), at(1, "06:30"))).summary
    )
    in_time = structs.replace(late, ended_at=late.started_at and late.started_at + timedelta(minutes=5))
    assert not KIND.evaluate(RULE, snapshot(runs, [other, in_time]), at(1, "06:30")).violations


def test_nothing_is_concluded_of_an_unknown_one() -> None:
    unknown = snapshot([run("a", at(0, "06:00"))], [], problem="load was never heard of")
    assert KIND.evaluate(RULE, unknown, at(1)).unknown == "load was never heard of"


def test_a_dataset_cannot_come_before() -> None:
    with pytest.raises(ValidationError, match="name the pipeline that writes it"):
        OutOfSequenceConfig.model_validate({"after": {"dataset": "shop.orders"}})
    with pytest.raises(ValidationError, match="name a pipeline or a dataset"):
        OutOfSequenceConfig.model_validate({"after": {}})
    with pytest.raises(ValidationError, match="task needs the pipeline"):
        OutOfSequenceConfig.model_validate({"after": {"dataset": "x", "task": "load"}})
