"""What somebody who waits for a dataset is told: how old it is, when it comes, and what holds it up."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from rules.awaited import Awaited, DataState, awaited, first_causes, sentences
from tests.rules.timeline import PIPELINE, at, job, run, update
from watchtower.model.alert import Alert, AlertState
from watchtower.model.lineage import Stage
from watchtower.model.run import JobRef, Run, RunError, RunState

DAYS = 14
NAMES = ("report", "clean", "extract")  # the nearest first
REFS = {name: JobRef(PIPELINE.source, PIPELINE.namespace, name) for name in NAMES}
BEFORE = {"report": "clean", "clean": "extract"}
BEGINS = {"extract": "05:00", "clean": "05:20", "report": "05:40"}
UPDATES = [update(at(day, "06:00")) for day in reversed(range(DAYS))]
BROKEN = RunError("no route to host\nsecond line")


def runs_of(name: str) -> list[Run]:
    return [of(name, f"{name}{day}", at(day, BEGINS[name])) for day in range(DAYS)]


def of(name: str, ident: str, began: datetime, state: RunState = RunState.SUCCEEDED) -> Run:
    error = BROKEN if state is RunState.FAILED else None
    return replace(run(ident, began, 20, state), job=REFS[name], error=error)


def stages(alerts: Sequence[Alert] = (), **newest: Run) -> list[Stage]:
    """newest: a further run of one of them; alerts: of the nearest."""
    return [
        Stage(
            job(REFS[name]),
            steps,
            frozenset({REFS[BEFORE[name]].id} if name in BEFORE else ()),
            (*runs_of(name), *((newest[name],) if name in newest else ())),
            tuple(alerts) if steps == 1 else (),
        )
        for steps, name in enumerate(NAMES, start=1)
    ]


def told(found: Awaited) -> list[str]:
    return list(sentences(found, "orders", "Europe/Berlin"))


def test_fresh_data_says_when_the_next_is_expected() -> None:
    found = awaited(UPDATES, stages(), [], at(DAYS - 1, "09:00"))
    assert (found.state, found.next_at, found.late_s) == (DataState.FRESH, at(DAYS, "06:00"), None)
    assert told(found) == [
        "orders is fresh as of 2026-03-15 07:00 Europe/Berlin.",
        "New data is expected at 2026-03-16 07:00 Europe/Berlin (learned: at 06:00 UTC).",
    ]


def test_late_data_names_the_first_failure_on_its_way_and_how_long_it_takes_from_there() -> None:
    failed = of("extract", "bad", at(DAYS, "05:00"), RunState.FAILED)
    found = awaited(UPDATES, stages(extract=failed), [], at(DAYS, "10:00"))
    assert (found.state, found.late_s, found.expected_at) == (DataState.LATE, 4 * 3600.0, None)
    assert [cause.job.ref.pipeline for cause in found.causes] == ["extract"]
    assert told(found)[1:] == [
        "New data is late by 4 h: it was expected at 2026-03-16 07:00 Europe/Berlin (learned: at 06:00 UTC).",
        "It is held up: extract failed at 2026-03-16 05:20 UTC: no route to host.",
        "It usually comes 1 h after a run of extract begins; none is under way.",
    ]


def test_a_run_that_is_under_way_says_when_the_data_will_probably_be_there() -> None:
    again = of("extract", "again", at(DAYS, "09:30"), RunState.RUNNING)
    found = awaited(UPDATES, stages(extract=again), [], at(DAYS, "10:00"))
    assert (found.causes, found.expected_at, found.after) == ((), at(DAYS, "10:30"), "")
    assert told(found)[-1] == ("A run is under way; new data will probably be there at 2026-03-16 11:30 Europe/Berlin.")


def test_a_run_that_takes_longer_than_ever_foretells_nothing() -> None:
    hanging = of("extract", "hangs", at(DAYS, "05:00"), RunState.RUNNING)
    found = awaited(UPDATES, stages(extract=hanging), [], at(DAYS, "10:00"))
    assert (found.state, found.expected_at) == (DataState.LATE, None)


def test_what_goes_wrong_before_its_time_is_told_as_what_may_hold_it_up() -> None:
    failed = of("extract", "bad", at(DAYS - 1, "12:00"), RunState.FAILED)
    found = awaited(UPDATES, stages(extract=failed), [], at(DAYS - 1, "13:00"))
    assert found.state is DataState.FRESH
    assert "It may be held up: extract failed at 2026-03-15 12:20 UTC: no route to host." in told(found)


def test_what_failed_before_the_newest_data_came_holds_nothing_up() -> None:
    failed = of("extract", "bad", at(DAYS - 1, "05:30"), RunState.FAILED)
    assert awaited(UPDATES, stages(extract=failed), [], at(DAYS - 1, "13:00")).causes == ()


def test_only_what_is_wrong_first_is_a_cause_and_a_circle_ends() -> None:
    missing = alert("missing_run", "report was expected to start")
    chain = stages([missing], extract=of("extract", "bad", at(DAYS, "05:00"), RunState.FAILED))
    assert [cause.job.ref.pipeline for cause in first_causes(chain, at(DAYS - 1))] == ["extract"]
    alone = stages([missing])
    assert [cause.what for cause in first_causes(alone, at(DAYS - 1))] == ["report was expected to start"]
    assert first_causes(stages([alert("volume", "few rows")]), at(DAYS - 1)) == ()
    turning = [Stage(each.job, each.steps, frozenset(ref.id for ref in REFS.values()), each.runs) for each in chain]
    assert first_causes(turning, at(DAYS - 1)) != ()


def alert(kind: str, summary: str) -> Alert:
    begun = at(DAYS, "05:45")
    return Alert(
        "1",
        "f",
        "Rule",
        f"job:{REFS['report'].id}",
        {"kind": kind},
        {"summary": summary},
        AlertState.FIRING,
        begun,
        begun,
    )


def test_late_without_a_fault_says_that_nothing_began() -> None:
    found = awaited(UPDATES, stages(), [], at(DAYS, "10:00"))
    assert told(found)[2] == "It is held up: no run of report has begun since 2026-03-15 06:00 UTC."


def test_a_rule_decides_where_nothing_is_learned_and_where_it_is_stricter() -> None:
    few, now = UPDATES[-2:], at(2)
    found = awaited(few, [], [at(3)], now)
    assert (found.state, found.next_at, found.why) == (DataState.FRESH, at(3), "as its rule says")
    assert awaited(few, [], [at(1, "12:00")], now).late_s == 12 * 3600
    stricter = awaited(UPDATES, [], [at(DAYS, "06:00")], at(DAYS, "06:00"))
    assert stricter.state is DataState.LATE


def test_its_time_has_come_and_it_is_not_unusually_late() -> None:
    jittery = [update(at(day, f"06:{day % 7 * 2:02}")) for day in reversed(range(21))]
    found = awaited(jittery, [], [], at(21, "06:07"))
    assert found.state is DataState.DUE
    assert told(found)[1].endswith("it is not unusually late yet.")


def test_where_nothing_is_known_nothing_is_promised() -> None:
    found = awaited([], [], [], at(1))
    assert (found.state, found.since, found.next_at) == (DataState.UNKNOWN, None, None)
    assert told(found)[0] == "orders was never seen to be written."
    assert told(found)[1].startswith("When new data should come is not known yet: ")
    young = awaited(UPDATES[-3:], [], [], at(3))
    assert told(young)[1] == "When new data should come is not known yet: 2 of 10 updates."


def test_backfills_and_what_ended_after_them_count_for_nothing() -> None:
    updates = [update(at(DAYS, "05:30"), backfill=True), *UPDATES]
    found = awaited(updates, [], [], at(DAYS, "05:45"))
    assert found.since == at(DAYS) - timedelta(hours=18)
