"""Data tests that fail, and pass again."""

from datetime import UTC, datetime, timedelta

from rules.kinds.quality import Quality
from watchtower.model.quality import QUALITY, Verdict
from watchtower.model.rule import Rule, SeriesSnapshot, SubjectKey
from watchtower.model.run import JobRef
from watchtower.model.series import Sample, Series, SeriesKind, SeriesRef

KIND = Quality()
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
FAILS = Rule("QualityFailed", "quality", Quality.Config())
WARNS = Rule("QualityWarned", "quality", Quality.Config(level="warn"))
P, W, F = Verdict.PASS, Verdict.WARN, Verdict.FAIL


def snapshot(*verdicts: Verdict, failures: float | None = None) -> SeriesSnapshot:
    """verdicts: newest first, an hour apart, the newest at NOW."""
    labels = {"check": "not_null", "table": "shop.orders", "column": "id"}
    ref = SeriesRef(QUALITY, JobRef("s", "n", "shop"), labels)
    stats = {"failures": failures} if failures is not None else None
    samples = tuple(
        Sample(NOW - timedelta(hours=place), float(verdict), f"r{place}", stats)
        for place, verdict in enumerate(verdicts)
    )
    series = Series(ref.id, ref, "s", SeriesKind.GAUGE, None, False, None, None, NOW, NOW)
    return SeriesSnapshot(SubjectKey("series", ref.id), series, samples, None, ())


def test_a_failed_test_is_named_with_its_rows_and_since_when() -> None:
    (found,) = KIND.evaluate(FAILS, snapshot(F, F, P, failures=3), NOW).violations
    assert found.summary == "test not_null of shop.orders.id (shop) failed: 3 failing rows [2 times in a row]"
    assert (found.since, found.value, found.evidence["native_run_id"]) == (NOW - timedelta(hours=1), 3.0, "r0")


def test_it_is_over_when_the_next_run_passes() -> None:
    after = KIND.evaluate(FAILS, snapshot(P, F, F), NOW)
    assert (after.violations, after.resolution) == ((), {"native_run_id": "r0"})


def test_warnings_and_failures_are_two_levels() -> None:
    assert not KIND.evaluate(FAILS, snapshot(W, F), NOW).violations
    assert KIND.evaluate(WARNS, snapshot(W, F), NOW).violations
    assert not KIND.evaluate(WARNS, snapshot(F), NOW).violations
    both = Rule("x", "quality", Quality.Config(level="any"))
    assert KIND.evaluate(both, snapshot(W, F), NOW).violations[0].evidence["results"] == 2


def test_a_result_of_the_future_counts_when_its_moment_comes() -> None:
    evaluation = KIND.evaluate(FAILS, snapshot(F), NOW - timedelta(minutes=1))
    assert (evaluation.violations, evaluation.next_at) == ((), NOW)


def test_nothing_is_said_of_other_series_or_without_results() -> None:
    assert KIND.evaluate(FAILS, snapshot(), NOW).violations == ()
    assert "alert when it fails" in KIND.describe(FAILS)
    assert "test not_null of shop.orders.id (shop)" in KIND.describe(WARNS, snapshot(W))


def test_so_many_in_a_row_open_it_and_so_many_end_it() -> None:
    steady = Rule("x", "quality", Quality.Config(fail_after=2, recover_after=2))
    assert not KIND.evaluate(steady, snapshot(F, P), NOW).violations
    (found,) = KIND.evaluate(steady, snapshot(P, F, F, F), NOW).violations
    assert (found.since, found.evidence["native_run_id"]) == (NOW - timedelta(hours=2), "r1")
    assert not KIND.evaluate(steady, snapshot(P, P, F, F), NOW).violations
    assert KIND.describe(steady).endswith("fails 2 times in a row, until it passes 2 times in a row.")
