"""source_silence and source_problem: a source that cannot be read is told with why, and what it says of itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rules.kinds.source_problem import SourceProblem
from rules.kinds.source_silence import SourceSilence
from tests.rules.timeline import only, rule
from watchtower.model.alert import Alert, AlertState
from watchtower.model.rule import SourceSnapshot, SubjectKey
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
