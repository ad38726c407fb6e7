"""Assertions of OpenLineage are results of data tests: a sample each, beside the run that tells it, at the worst."""

from typing import Any

import pytest

from tests.collectors.openlineage import events
from watchtower.model.fact import Fact
from watchtower.model.series import SeriesPatch


def results(*checks: dict[str, Any], event_type: str = "COMPLETE") -> tuple[SeriesPatch, ...]:
    table = events.dataset("duckdb://shop", "shop.main.orders", dataQualityAssertions={"assertions": list(checks)})
    return events.fact_of(events.dbt_node(event_type, "test.shop.x", "TEST", inputs=[table])).series


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"success": True}, 0.0),
        ({"success": False}, 2.0),
        ({"success": False, "severity": "error"}, 2.0),
        ({"success": False, "severity": "WARN"}, 1.0),
        ({"success": True, "severity": "warn"}, 0.0),
    ],
)
def test_each_assertion_is_a_sample_of_its_check(said: dict[str, Any], value: float) -> None:
    (told,) = results({"assertion": "not_null", "column": "amount", **said})
    assert told.ref.name == "quality_check"
    assert dict(told.ref.labels) == {"check": "not_null", "table": "shop.main.orders", "column": "amount"}
    assert told.ref.job is not None
    assert (told.ref.job.task, told.source) == (None, told.ref.job.source)
    assert [sample.value for sample in told.samples] == [value]


def test_the_time_of_a_sample_is_that_of_its_event_and_a_replay_is_history() -> None:
    table = events.dataset("a", "b", dataQualityAssertions={"assertions": [{"assertion": "x", "success": False}]})
    event = events.dbt_node("FAIL", "test.shop.x", "TEST", inputs=[table])
    fact = events.fact_of(event, replay=True)
    (sample,) = fact.series[0].samples
    assert (sample.at, sample.historical) == (fact.event_time, True)


def test_what_was_not_tested_or_has_no_name_is_no_result() -> None:
    assert results({"assertion": "x"}, {"success": False}, {"assertion": "y", "success": None}) == ()


def test_what_is_said_twice_counts_at_its_worst() -> None:
    passed, failed = {"assertion": "x", "success": True}, {"assertion": "x", "success": False}
    for said in ((passed, failed), (failed, passed)):
        (told,) = results(*said)
        assert told.samples[0].value == 2.0


def test_an_event_without_assertions_has_no_series() -> None:
    assert events.fact_of(events.dbt_node("COMPLETE")).series == ()


def outcomes(*tests: dict[str, Any], event_type: str = "COMPLETE", **inputs: Any) -> Fact:
    event = events.dbt_node(event_type, "test.shop.x", "TEST", **inputs)
    event["run"]["facets"]["test"] = {"tests": list(tests)}
    return events.fact_of(event)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"status": "pass", "severity": "error"}, 0.0),
        ({"status": "fail"}, 2.0),
        ({"status": "fail", "severity": "warn"}, 1.0),
    ],
)
def test_each_test_of_a_run_is_a_sample_of_its_check_and_of_no_table(said: dict[str, Any], value: float) -> None:
    (told,) = outcomes({"name": "ids_unique", "type": "unique", "content": "SELECT 1", **said}).series
    assert dict(told.ref.labels) == {"check": "ids_unique"}
    assert [sample.value for sample in told.samples] == [value]


def test_a_test_that_was_skipped_or_whose_word_nobody_knows_is_no_result() -> None:
    unknown = [{"name": "a", "status": "skip"}, {"name": "b", "status": "perhaps"}, {"name": "c"}, {"status": "fail"}]
    assert outcomes(*unknown).series == ()


def test_a_test_that_a_dataset_of_the_event_told_already_is_heard_once() -> None:
    assertion = {"assertion": "ids_unique", "success": False}
    table = events.dataset("duckdb://shop", "shop.main.orders", dataQualityAssertions={"assertions": [assertion]})
    (told,) = outcomes({"name": "ids_unique", "status": "fail"}, inputs=[table]).series
    assert told.ref.labels["table"] == "shop.main.orders"


def test_a_failed_run_that_says_no_more_has_its_failed_tests_as_error() -> None:
    run = outcomes({"name": "rows", "status": "fail", "expected": "1000", "actual": "999"}, event_type="FAIL").run
    assert run is not None
    assert run.error is not None
    assert run.error.message == "rows does not hold: expected 1000, found 999"
