"""source_silence and source_problem: a source that is not heard is told with why, and what a source says of itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rules.kinds.source_problem import SourceProblem
from rules.kinds.source_silence import SourceSilence
from tests.rules.timeline import only, rule
from watchtower.model.alert import Alert, AlertState
from watchtower.model.rule import SenderSnapshot, SourceSnapshot, SubjectKey
from watchtower.model.sender import Sender, ToldDay, longest_silence_s
from watchtower.model.source import Problem, Source

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
SILENCE, PROBLEM = SourceSilence(), SourceProblem()
FRESH = Source("prod", "airflow", "prod-airflow", 60.0, NOW, last_success=NOW, last_event=NOW, mark=NOW)


def of(source: Source, *alerts: Alert) -> SourceSnapshot:
    return SourceSnapshot(SubjectKey("source", source.name), source, alerts)


def test_a_source_that_is_read_is_well_until_three_intervals_are_over_and_at_least_five_minutes() -> None:
    limit = NOW + timedelta(minutes=5)
    assert SILENCE.evaluate(rule(SILENCE), of(FRESH), NOW).next_at == limit
    slow = replace(FRESH, every_s=600.0)
    assert SILENCE.evaluate(rule(SILENCE), of(slow), NOW).next_at == NOW + timedelta(minutes=30)


def test_what_went_wrong_and_what_to_do_is_the_summary() -> None:
    failing = replace(FRESH, failures=4, failing_since=NOW + timedelta(minutes=1), error="airflow GET /dags: HTTP 401")
    violation = only(SILENCE.evaluate(rule(SILENCE), of(failing), NOW + timedelta(minutes=5)))
    assert violation.summary == (
        "prod (airflow) has not been read since 2026-03-02T08:00:00Z: airflow GET /dags: HTTP 401"
    )
    assert violation.since == NOW + timedelta(minutes=1)


def test_a_source_that_was_never_read_counts_from_when_it_was_configured() -> None:
    never = Source("prod", "airflow", "prod", 60.0, NOW)
    violation = only(SILENCE.evaluate(rule(SILENCE, after="10m"), of(never), NOW + timedelta(minutes=10)))
    assert "no poll has failed" in violation.summary


def test_one_that_answers_and_tells_of_no_run_is_quiet_only_where_that_was_said() -> None:
    later = NOW + timedelta(hours=2)
    quiet = replace(FRESH, last_success=later)
    assert not SILENCE.evaluate(rule(SILENCE), of(quiet), later).violations
    violation = only(SILENCE.evaluate(rule(SILENCE, max_quiet="2h"), of(quiet), later))
    assert violation.summary == "prod (airflow) answers, and has told of no run since 2026-03-02T08:00:00Z"


def test_each_problem_is_an_alert_of_its_own_and_stays_while_nothing_is_known() -> None:
    troubled = replace(
        FRESH, problems=(Problem("pool:etl", "the pool etl is full"), Problem("scheduler", "it is dead"))
    )
    found = PROBLEM.evaluate(rule(PROBLEM), of(troubled), NOW).violations
    assert [(each.labels["problem"], each.summary) for each in found] == [
        ("pool:etl", "prod (airflow): the pool etl is full"),
        ("scheduler", "prod (airflow): it is dead"),
    ]
    alert = Alert(
        id="a",
        fingerprint="f",
        rule="SourceProblem",
        subject="source:prod",
        labels={"kind": "source_problem"},
        annotations={},
        state=AlertState.FIRING,
        active_since=NOW,
    )
    away = PROBLEM.evaluate(rule(PROBLEM), of(replace(FRESH, failures=1), alert), NOW)
    assert (away.violations, away.unknown) == ((), "prod cannot be read")


# -- sources that send --------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)


def told_on(days: int, *, every: int = 1, longest: timedelta = 2 * HOUR) -> tuple[ToldDay, ...]:
    """From 06:00 to 20:00, on each day or on some, the last of them that of NOW."""
    last = NOW.replace(hour=20) - timedelta(days=1)
    first = last.replace(hour=6)
    back = [timedelta(days=day) for day in range(0, days * every, every)]
    return tuple(ToldDay(first - each, last - each, longest.total_seconds()) for each in reversed(back))


def sending(days: tuple[ToldDay, ...], **said: Any) -> SenderSnapshot:
    sender = Sender("s1", "openlineage:etl", "etl", days[-1].last, 0.2, days=days)
    return SenderSnapshot(SubjectKey("source", "s1"), replace(sender, **said), ())


def test_a_source_that_sends_is_silent_a_quarter_longer_than_it_ever_was() -> None:
    snapshot = sending(told_on(14))  # its nights take ten hours
    due = snapshot.sender.last_event + timedelta(hours=12.5)
    assert SILENCE.evaluate(rule(SILENCE), snapshot, due - timedelta(seconds=1)).next_at == due
    found = SILENCE.evaluate(rule(SILENCE), snapshot, due)
    assert only(found).since == due
    assert only(found).summary == (
        "openlineage:etl has sent nothing since 2026-03-01T20:00:00Z; its longest silence in four weeks was 10h"
    )
    assert SILENCE.describe(rule(SILENCE), snapshot) == (
        "openlineage:etl: the source must tell something within 12h30m of what it told last."
    )


def test_of_one_that_tells_something_every_minute_an_hour_is_waited_for() -> None:
    around_the_clock = tuple(
        ToldDay(NOW - timedelta(days=day, hours=8), NOW - timedelta(days=day - 1, hours=8, minutes=1), 60.0)
        for day in range(14, 0, -1)
    )
    due = around_the_clock[-1].last + HOUR + timedelta(minutes=1)
    assert SILENCE.evaluate(rule(SILENCE), sending(around_the_clock), due - HOUR).next_at == due


def test_a_rhythm_is_learned_in_ten_days_and_on_four_of_them() -> None:
    far = NOW + timedelta(days=90)
    for days, why in (
        (told_on(9), "known for 8 of 10 days"),
        (told_on(3, every=7), "heard on 3 of 4 days"),
        (told_on(1), "known for 0 of 10 days"),
    ):
        found = SILENCE.evaluate(rule(SILENCE), sending(days), far)
        assert (found.violations, found.learning) == ((), why)
    weekly = sending(told_on(4, every=7))
    longest = timedelta(days=6, hours=10)
    assert longest_silence_s(weekly.sender.days) == longest.total_seconds()
    assert SILENCE.evaluate(rule(SILENCE), weekly, NOW).next_at == weekly.sender.last_event + 1.25 * longest


def test_a_limit_that_was_said_needs_no_learning_and_is_never_forgotten() -> None:
    snapshot = sending(told_on(1))
    due = snapshot.sender.last_event + 2 * HOUR
    assert SILENCE.evaluate(rule(SILENCE, max_quiet="2h"), snapshot, due - HOUR).next_at == due
    found = SILENCE.evaluate(rule(SILENCE, max_quiet="2h"), snapshot, due + timedelta(days=80))
    assert only(found).summary == "openlineage:etl has sent nothing since 2026-03-01T20:00:00Z"
    assert found.next_at is None


def test_one_that_was_taken_out_of_service_is_told_for_four_weeks() -> None:
    snapshot = sending(told_on(14))
    begun = snapshot.sender.last_event + timedelta(hours=12.5)
    found = SILENCE.evaluate(rule(SILENCE), snapshot, begun)
    assert found.next_at == begun + timedelta(days=28)
    assert not SILENCE.evaluate(rule(SILENCE), snapshot, begun + timedelta(days=28)).violations


def test_what_was_quiet_while_watchtower_was_away_is_not_the_senders_silence() -> None:
    back = NOW + timedelta(days=3)
    snapshot = sending(told_on(14), awaited_since=back)
    assert SILENCE.evaluate(rule(SILENCE), snapshot, back).next_at == back + timedelta(hours=12.5)


def test_one_that_is_asked_as_well_is_silent_only_if_runs_came_without_their_events() -> None:
    """Its runs are known anyway; where none ran, nothing is missing."""
    snapshot = replace(sending(told_on(14)), asked=True)
    due = snapshot.sender.last_event + timedelta(hours=12.5)
    assert SILENCE.evaluate(rule(SILENCE), snapshot, due - HOUR).next_at == due
    few = SILENCE.evaluate(rule(SILENCE), replace(snapshot, untold=9), due)
    assert (few.violations, few.next_at) == ((), due + HOUR)
    many = replace(snapshot, untold=40)
    found = only(SILENCE.evaluate(rule(SILENCE), many, due + HOUR))
    assert found.summary == (
        "openlineage:etl has sent nothing since 2026-03-01T20:00:00Z; its longest silence in four weeks was 10h; 40 "
        "runs or more are known only by asking: is its OpenLineage transport still set?"
    )
    assert found.evidence["runs_without_events"] == 40
    assert SILENCE.describe(rule(SILENCE), many) == (
        "openlineage:etl: the source must tell something within 12h30m of what it told last, once 10 runs are known "
        "from its answers."
    )


# -- sources that are asked, and are to send as well --------------------------------------------------------------


def test_one_that_is_to_send_and_never_did_is_told_once_ten_runs_are_known_without_an_event() -> None:
    """Where none ran, none can be missing; an event may be on its way for a while."""
    later = NOW + timedelta(minutes=15)
    never = replace(of(replace(FRESH, pushes=True, last_success=later)), untold=10)
    for well in (
        replace(never, untold=9),
        replace(never, pushed_at=NOW),
        replace(never, source=replace(never.source, pushes=False)),
    ):
        assert SILENCE.evaluate(rule(SILENCE), well, later).violations == ()
    assert SILENCE.evaluate(rule(SILENCE), never, later - timedelta(minutes=1)).violations == ()
    found = only(SILENCE.evaluate(rule(SILENCE), never, later))
    assert found.summary == (
        "prod (airflow) is to send events, and none ever came; 10 runs or more are known only by asking: is its "
        "OpenLineage transport set, with a token that is good and the namespace named here?"
    )


def test_one_that_cannot_be_asked_says_that_first() -> None:
    failing = replace(FRESH, pushes=True, failures=4, error="airflow GET /dags: HTTP 401")
    found = only(SILENCE.evaluate(rule(SILENCE), replace(of(failing), untold=50), NOW + timedelta(hours=1)))
    assert "HTTP 401" in found.summary


def test_the_rhythm_of_one_that_is_to_send_need_not_be_learned() -> None:
    """Its first event came yesterday, and since then runs are known only by asking."""
    snapshot = replace(sending(told_on(1)), asked=True, pushes=True, untold=10)
    due = snapshot.sender.last_event + timedelta(minutes=15)
    assert SILENCE.evaluate(rule(SILENCE), snapshot, due - timedelta(minutes=1)).next_at == due
    few = SILENCE.evaluate(rule(SILENCE), replace(snapshot, untold=9), due)
    assert (few.violations, few.next_at, few.learning) == ((), due + timedelta(minutes=15), None)
    found = only(SILENCE.evaluate(rule(SILENCE), snapshot, due))
    assert found.summary.startswith("openlineage:etl has sent nothing since 2026-03-01T20:00:00Z; 10 runs or more")
    assert SILENCE.describe(rule(SILENCE), snapshot) == (
        "openlineage:etl: the source must have told something before 10 runs are known from its answers alone."
    )
