"""A number beyond its limit: which samples count, what they come to, and how it is said."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rules.judge import judge
from rules.kinds.threshold import Threshold, ThresholdConfig, number_pair
from rules.labels import bound
from rules.samples import quantile
from tests.rules.telling import of_series, sample
from tests.rules.timeline import at, only, rule
from watchtower.model.alert import AlertState
from watchtower.model.labels import Matcher
from watchtower.model.rule import Evaluation, Rule, SeriesSnapshot
from watchtower.model.series import Sample, SeriesKind

KIND = Threshold()
HOUR = at(0, "01:00")


def of(**options: Any) -> Rule:
    return rule(KIND, "Limit", series="score", **options)


def evaluate(snapshot: SeriesSnapshot, now: Any = HOUR, **options: Any) -> Evaluation:
    return KIND.evaluate(of(**options), snapshot, now)


def value(samples: list[Sample], **options: Any) -> float | None:
    """What the statistic comes to: a limit far below it makes it a violation."""
    said: dict[str, Any] = {"kind": SeriesKind.GAUGE, "is_delta": False}
    told = {name: options.pop(name) for name in said if name in options}
    evaluation = evaluate(of_series(samples, **{**said, **told}), above=-1e12, **options)
    return only(evaluation).value if evaluation.violations else None


# -- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "limits", "wrong"),
    [
        (0.8, {"below": 0.8}, False),
        (0.7999999, {"below": 0.8}, True),
        (0.8, {"above": 0.8}, False),
        (0.8000001, {"above": 0.8}, True),
        (0, {"below": 0}, False),
        (-0.0, {"below": 0}, False),
        (5, {"above": 10, "below": 5}, False),
        (10, {"above": 10, "below": 5}, False),
        (10.5, {"above": 10, "below": 5}, True),
        (4.5, {"above": 10, "below": 5}, True),
        (5, {"above": 5, "below": 5}, False),
        (6, {"above": 5, "below": 5}, True),
    ],
)
def test_a_value_equal_to_the_limit_is_silent(told: float, limits: dict[str, float], wrong: bool) -> None:
    assert bool(evaluate(of_series([sample(1, told)]), **limits).violations) is wrong


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "needs a limit"),
        ({"above": 1, "below": 2}, "every value is wrong"),
        ({"above": 1, "window": "1h", "runs": 3}, "exclude one another"),
        ({"above": 1, "stat": "avg"}, "stat avg needs a window"),
        ({"above": float("nan")}, "finite"),
        ({"above": 1, "runs": 0}, "greater than or equal to 1"),
        ({"above": 1, "runs": 501}, "less than or equal to 500"),
        ({"above": 1, "stat": "median"}, "Input should be 'last'"),
        ({"above": 1, "series": "no name"}, "is no name of a series"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ThresholdConfig.model_validate({"series": "score", **options})


# -- which samples count ------------------------------------------------------------------------------------------


def test_the_last_value_counts_until_the_next_one() -> None:
    snapshot = of_series([sample(1, 5), sample(2, 20), sample(3, 7)])
    assert evaluate(snapshot, above=10) == Evaluation(resolution={"value": 7.0})
    assert evaluate(of_series([sample(1, 5), sample(2, 20)]), above=10).next_at is None


def test_a_sample_that_is_still_to_come_counts_from_its_moment_on() -> None:
    snapshot = of_series([sample(1, 5), sample(90, 20)])
    before = evaluate(snapshot, above=10)
    assert (before.violations, before.next_at) == ((), at(0, "01:30"))
    assert only(evaluate(snapshot, at(0, "01:30"), above=10)).value == 20


def test_a_window_opens_behind_its_beginning() -> None:
    snapshot = of_series([sample(0, 100), sample(10, 1), sample(20, 2)])
    evaluation = evaluate(snapshot, HOUR, above=10, stat="max", window="1h")
    assert evaluation.violations == ()
    assert evaluation.next_at == at(0, "01:10")
    assert only(evaluate(snapshot, at(0, "00:59"), above=10, stat="max", window="1h")).value == 100


def test_a_violation_begins_when_what_kept_the_average_low_leaves_the_window() -> None:
    snapshot = of_series([sample(0, 0), sample(30, 10)])
    options: dict[str, Any] = {"above": 6, "stat": "avg", "window": "1h"}
    assert evaluate(snapshot, at(0, "00:59"), **options).next_at == HOUR
    assert only(evaluate(snapshot, HOUR, **options)).since == HOUR


def test_a_number_of_samples_is_counted_from_the_newest_one() -> None:
    samples = [sample(minute, minute) for minute in range(1, 11)]
    assert value(samples, stat="avg", runs=3) == 9
    assert value(samples, stat="sum", runs=500) == 55


# -- no data ------------------------------------------------------------------------------------------------------


def test_an_empty_window_is_unknown_unless_it_is_said_to_be_fine() -> None:
    snapshot = of_series([sample(0, 100)])
    assert evaluate(snapshot, above=10, stat="max", window="30m").unknown == (
        "no sample of score since 2026-03-02 00:00 UTC"
    )
    fine = evaluate(snapshot, above=10, stat="max", window="30m", no_data="ok")
    assert (fine.unknown, fine.violations) == (None, ())


def test_a_series_that_fell_silent_is_unknown_from_that_moment_on() -> None:
    snapshot = of_series([sample(10, 100)])
    before = evaluate(snapshot, at(0, "00:39"), above=10, no_data_after="30m")
    assert (len(before.violations), before.next_at) == (1, at(0, "00:40"))
    after = evaluate(snapshot, at(0, "00:40"), above=10, no_data_after="30m")
    assert (after.violations, after.next_at) == ((), None)
    assert after.unknown == "no sample of score since 2026-03-02 00:10 UTC"


def test_without_a_limit_of_silence_the_last_value_stands() -> None:
    assert only(evaluate(of_series([sample(0, 100)]), at(60), above=10)).value == 100


def test_how_many_samples_there_were_is_known_of_an_empty_window_too() -> None:
    violation = only(evaluate(of_series([sample(0, 100)]), below=1, stat="count", window="30m"))
    assert (violation.value, violation.since) == (0, at(0, "00:30"))
    assert evaluate(of_series([]), below=1, stat="count", window="30m").unknown == "no sample of score was told yet"


def test_a_derived_series_without_runs_says_nothing() -> None:
    assert evaluate(of_series([], derived=True), above=1) == Evaluation()


# -- statistics ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        ("avg", 25.0), ("min", 10.0), ("max", 40.0), ("sum", 100.0), ("count", 4.0), ("last", 20.0),
        ("p50", 25.0), ("p95", 38.5), ("p99", 39.7), ("increase", 10.0), ("rate", 10 / 180),
    ],
)  # fmt: skip
def test_statistics_of_a_gauge(stat: str, expected: float) -> None:
    samples = [sample(1, 10), sample(2, 30), sample(3, 40), sample(4, 20)]
    assert value(samples, stat=stat, window="1h") == pytest.approx(expected)


COUNTER = SeriesKind.SUM


@pytest.mark.parametrize(
    ("values", "increase"),
    [
        ([5, 7, 12], 7),
        ([5, 7, 3, 4], 2 + 3 + 1),
        ([5, 0, 0], 0),
        ([5], None),
    ],
    ids=["grows", "is reset", "is reset to nothing", "one sample"],
)
def test_a_counter_that_falls_began_again_at_zero(values: list[float], increase: float | None) -> None:
    samples = [sample(minute, told) for minute, told in enumerate(values, 1)]
    assert value(samples, stat="increase", window="1h", kind=COUNTER) == increase


def test_an_increase_begins_at_the_last_sample_before_the_window() -> None:
    samples = [sample(0, 100), sample(40, 130)]
    assert value(samples, stat="increase", window="30m", kind=COUNTER) == 30
    assert value(samples, stat="rate", window="30m", kind=COUNTER) == 30 / 2400


def test_processes_side_by_side_are_counters_of_their_own() -> None:
    one, other, later = at(0, seconds=-60), at(0, seconds=-30), at(0, seconds=150)
    samples = [
        sample(1, 10, start=one),
        sample(1.5, 3, start=other),
        sample(2, 14, start=one),
        sample(2.5, 3, start=other),
        sample(3, 1, start=later),
    ]
    assert value(samples, stat="increase", window="1h", kind=COUNTER) == 4 + 0 + 1


def test_processes_one_after_the_other_each_count_from_zero() -> None:
    samples = [sample(minute, 1, start=at(0, seconds=60 * minute - 5)) for minute in range(1, 6)]
    assert value(samples, stat="increase", window="1h", kind=COUNTER) == 4, "what was before the first is not known"


def test_increments_are_summed() -> None:
    samples = [sample(minute, 2) for minute in range(1, 6)]
    told = {"kind": COUNTER, "is_delta": True, "window": "1h"}
    assert value(samples, stat="increase", **told) == 10


def distribution(minute: float, count: float, total: float, **stats: float) -> Sample:
    return sample(minute, total / count, stats={"count": count, "sum": total, **stats})


def test_statistics_of_a_cumulative_histogram_are_of_what_it_grew_by() -> None:
    samples = [
        distribution(1, 10, 100, p95=20, max=30, min=1),
        distribution(2, 14, 180, p95=40, max=90, min=1),
        distribution(3, 20, 240, p95=35, max=90, min=1),
    ]
    told: dict[str, Any] = {"kind": SeriesKind.HISTOGRAM, "window": "1h"}
    found = {stat: value(samples, stat=stat, **told) for stat in ("count", "sum", "avg", "p95", "max", "min", "rate")}
    assert found == {"count": 10, "sum": 140, "avg": 14, "p95": 40, "max": 90, "min": 1, "rate": 10 / 120}
    assert value(samples, stat="p99", **told) is None
    assert value(samples, stat="p95", kind=SeriesKind.HISTOGRAM, runs=1) == 35


def test_a_statistic_that_the_samples_do_not_give_is_unknown() -> None:
    snapshot = of_series([distribution(1, 1, 1)], kind=SeriesKind.HISTOGRAM)
    assert evaluate(snapshot, above=1, stat="p99", runs=1).unknown == "the samples of score do not give its p99"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_lies_within_its_values(values: list[float], share: float) -> None:
    low, high = min(values), max(values)
    assert low <= quantile(values, share) <= high or quantile(values, share) == pytest.approx(low)
    assert (quantile(values, 0), quantile(values, 1)) == (low, high)


# -- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snapshot", "options", "sentence"),
    [
        (of_series([sample(1, 0.71)]), {"below": 0.8}, "score is 0.71, below 0.80 (orders_daily)"),
        (of_series([sample(1, 0.79999)]), {"below": 0.8}, "score is 0.79999, below 0.80000 (orders_daily)"),
        (of_series([sample(1, 1234)], unit="By"), {"above": 1e3}, "score is 1,234 By, above 1,000 By (orders_daily)"),
        (of_series([sample(1, 3)], unit="{row}"), {"above": 2}, "score is 3 row, above 2 row (orders_daily)"),
        (of_series([sample(1, 3)], unit="1"), {"above": 2}, "score is 3, above 2 (orders_daily)"),
        (of_series([sample(1, 1e20)]), {"above": 2.5}, "score is 1e+20, above 2.5 (orders_daily)"),
        (
            of_series([sample(1, 4), sample(2, 8)], labels={"model": "churn"}, task="train"),
            {"above": 5, "stat": "avg", "window": "90m"},
            "avg of score over 1h30m is 6, above 5 (orders_daily.train, model=churn)",
        ),
        (
            of_series([sample(1, 4), sample(2, 8)], job=None, unit="s"),
            {"above": 1, "stat": "rate", "runs": 2},
            None,
        ),
        (
            of_series([sample(1, 4), sample(2, 80)], job=None, unit="s"),
            {"above": 1, "stat": "rate", "runs": 2},
            "rate of score over 2 samples is 1.27 s/s, above 1.00 s/s",
        ),
        (
            of_series([sample(1, 4)]),
            {"above": 3, "stat": "max", "runs": 1},
            "max of score over the last sample is 4, above 3 (orders_daily)",
        ),
    ],
)  # fmt: skip
def test_the_sentence_has_the_numbers_and_their_units(
    snapshot: SeriesSnapshot, options: dict[str, Any], sentence: str | None
) -> None:
    evaluation = evaluate(snapshot, **options)
    assert [violation.summary for violation in evaluation.violations] == ([sentence] if sentence else [])


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_any_two_numbers_can_be_worded(one: float, other: float) -> None:
    shown, limit = number_pair(one, other, "s")
    assert shown.endswith(" s")
    assert limit.endswith(" s")


@pytest.mark.parametrize("text", ["0.1", "0.1000001", "12.5", "0.30000000001"])
def test_different_numbers_look_different(text: str) -> None:
    shown, limit = number_pair(float(text), float(text) + 1e-7, None)
    assert shown != limit


def test_the_evidence_names_the_run_as_its_sender_does() -> None:
    told = only(evaluate(of_series([sample(1, 5, run="scheduled__1")]), above=1)).evidence
    assert (told["native_run_id"], told["series"], told["limit"], told["expected"]) == (
        "scheduled__1", "score", 1.0, "not above 1",
    )  # fmt: skip
    derived = only(evaluate(of_series([sample(1, 5, run="abc")], derived=True), above=1)).evidence
    assert derived["run_id"] == "abc"


def test_what_is_made_of_history_alone_never_pages() -> None:
    old, live = sample(1, 5, historical=True), sample(2, 5)
    assert only(evaluate(of_series([old]), above=1)).historical
    assert not only(evaluate(of_series([old, live]), above=1, stat="max", window="1h")).historical


# -- which series a rule means ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snapshot", "where", "matchers", "watched"),
    [
        (of_series([sample(1, 5)]), {}, (), True),
        (of_series([sample(1, 5)], name="other"), {}, (), False),
        (of_series([sample(1, 5)], labels={"model": "churn"}), {"model": "churn"}, (), True),
        (of_series([sample(1, 5)], labels={"model": "other"}), {"model": "churn"}, (), False),
        (of_series([sample(1, 5)]), {"model": "churn"}, (), False),
        (of_series([sample(1, 5)], task="train"), {}, (), True),
        (of_series([sample(1, 5)], task="train"), {}, (Matcher("task", "=", "train"),), True),
        (of_series([sample(1, 5)], task="train", derived=True), {}, (), False),
        (of_series([sample(1, 5)], task="train", derived=True), {}, (Matcher("task", "=", "train"),), True),
        (of_series([sample(1, 5)]), {}, (Matcher("pipeline", "=", "other"),), False),
        (of_series([sample(1, 5)]), {}, (Matcher("tag_tier", "=", "1"),), True),
    ],
)
def test_a_rule_watches_the_series_that_it_names(
    snapshot: SeriesSnapshot, where: dict[str, str], matchers: tuple[Matcher, ...], watched: bool
) -> None:
    options = ThresholdConfig(series="score", where=where, above=1)
    one = Rule("Limit", "threshold", options, matchers, declared=True)
    judged = judge(snapshot, bound([one], {"threshold": KIND})["series"], HOUR)
    assert bool(judged.verdicts) is watched
    assert [alert.state for alert in judged.alerts] == [AlertState.FIRING] * watched


def test_two_rules_on_one_series_alert_apart() -> None:
    warn = rule(KIND, "Warn", series="score", above=1)
    fail = rule(KIND, "Fail", series="score", above=2)
    judged = judge(of_series([sample(1, 5)]), bound([warn, fail], {"threshold": KIND})["series"], HOUR)
    assert [alert.labels["alertname"] for alert in judged.alerts] == ["Warn", "Fail"]
    assert judged.alerts[0].labels["series"] == "score"
    assert judged.alerts[0].annotations["summary"] == "score is 5, above 1 (orders_daily)"


def test_the_description_says_what_is_allowed() -> None:
    assert KIND.describe(of(above=1, below=0.5, stat="avg", window="1h")) == (
        "avg of score over 1h must not be above 1 or below 0.5."
    )
    assert KIND.describe(of(above=60), of_series([], unit="s")) == "score must not be above 60 s (orders_daily)."
