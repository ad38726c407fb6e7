"""What is not read whole of the past never matters: every kind says the same of a snapshot that has it all."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from rules.kinds.deadline import Deadline
from rules.kinds.duration import Duration
from rules.kinds.missing_run import MissingRun
from rules.kinds.orphan import Orphan
from rules.kinds.run_failure import RunFailure
from tests.rules.timeline import MONDAY, at, daily, of_job, open_alert, rule, run
from watchtower.model.past import NEWEST, PastRun, mattering, past_of, past_runs, positions_us
from watchtower.model.rule import Evaluation
from watchtower.model.run import Run, RunState, Trigger
from watchtower.ports import RuleKind

KINDS: tuple[RuleKind, ...] = (RunFailure(), Duration(), Deadline(), MissingRun(), Orphan())
STATES = [*[RunState.SUCCEEDED] * 6, RunState.FAILED, RunState.FAILED, RunState.RUNNING, RunState.SKIPPED,
          RunState.CANCELLED, RunState.QUEUED, RunState.TIMED_OUT]  # fmt: skip


@st.composite
def some_run(draw: st.DrawFn, number: int) -> Run:
    """Of one of thirty-odd days; some are reruns under the name of another, some were meant for another day than the
    one on which they ran."""
    day = draw(st.integers(0, 30))
    started = at(day, "06:00", draw(st.integers(0, 4_000)))
    nominal = draw(st.sampled_from([None, at(day, "06:00"), at(max(0, day - draw(st.integers(0, 9))), "06:00")]))
    return run(
        f"r{number:02}",
        started,
        draw(st.integers(0, 3_000)),
        draw(st.sampled_from(STATES)),
        nominal=nominal,
        native_run_id=draw(st.sampled_from([f"n{number}", "again"])),
        trigger=draw(st.sampled_from([Trigger.SCHEDULE, None, Trigger.MANUAL, Trigger.BACKFILL])),
    )


@st.composite
def some_runs(draw: st.DrawFn) -> list[Run]:
    count = draw(st.integers(1, 25))
    return _numbered([draw(some_run(number)) for number in range(count)])


def _numbered(runs: list[Run]) -> list[Run]:
    """A run is cleared and runs again only when it has ended."""
    numbered: list[Run] = []
    last: Run | None = None
    for each in sorted(runs, key=lambda each: each.first_seen):
        if each.native_run_id != "again":
            numbered.append(each)
        elif last is None or (last.ended_at is not None and last.ended_at <= each.first_seen):
            last = structs.replace(each, generation=last.generation + 1 if last else 0)
            numbered.append(last)
    return numbered


@given(runs=some_runs(), ends=st.lists(st.sampled_from([None, at(1, "07:00"), at(9, "06:00")]), min_size=25))
@settings(max_examples=50, deadline=None)
def test_positions_of_many_runs_are_those_of_each(runs: list[Run], ends: list[datetime | None]) -> None:
    past = past_runs([past_of(structs.replace(one, nominal_end=end)) for one, end in zip(runs, ends, strict=False)])
    assert positions_us(past) == [one.position_us for one in past]
    assert all(isinstance(one, PastRun) for one in past)


@given(runs=some_runs(), alerted=st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_kind_misses_what_is_not_read_whole(runs: list[Run], alerted: bool) -> None:
    alerts = [open_alert()] if alerted else []
    now = at(32)
    read, all_of_it = of_job(runs, alerts=alerts), of_job(runs, alerts=alerts, all_whole=True)
    for kind in KINDS:
        said, expected = kind.evaluate(rule(kind), read, now), kind.evaluate(rule(kind), all_of_it, now)
        assert _without_name(said) == _without_name(expected), kind.kind


def _without_name(evaluation: Evaluation) -> Evaluation:
    """How it became well may lack the orchestrator's own name of a run that is long past."""
    named = {name: value for name, value in evaluation.resolution.items() if name != "native_run_id"}
    return replace(evaluation, resolution=named)


def test_of_a_healthy_job_only_the_newest_runs_are_read_whole() -> None:
    past = [past_of(each) for each in reversed(daily(100))]
    assert len(mattering(past)) == NEWEST


@pytest.mark.parametrize("since", [1, 30, 90])
def test_a_row_of_failures_is_read_whole_from_its_first(since: int) -> None:
    runs = [*daily(100 - since), *daily(since, first=100 - since, state=RunState.FAILED)]
    past = [past_of(each) for each in reversed(runs)]
    assert set(mattering(past)) >= {f"day{day}" for day in range(100 - since, 100)}


def test_an_old_run_that_is_still_open_is_read_whole() -> None:
    old = run("old", MONDAY - timedelta(days=1), None, RunState.RUNNING)
    past = [past_of(each) for each in [*reversed(daily(100)), old]]
    assert "old" in mattering(past)
