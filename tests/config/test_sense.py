"""Rules that can be read and make no sense are warned of, at their line."""

import pytest

from watchtower.config import examine

RULES = "rules:\n"


def warnings(*rules: str) -> list[tuple[int | None, str]]:
    checked = examine(RULES + "".join(f"  - {each}\n" for each in rules))
    assert checked.faults == ()
    return [(each.line, each.message) for each in checked.warnings]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            "{alert: A, kind: freshness, match: {pipeline: orders}}",
            "a dataset has no label 'pipeline', so A",
        ),
        ("{alert: A, kind: duration, match: {dataset: orders}, max: 1h}", "a job has no label 'dataset'"),
        ("{alert: A, kind: threshold, match: {budget: x}, series: s, above: 1}", "a series has no label 'budget'"),
        ("{alert: A, kind: run_failure, severity: page}", "A has no match, so it pages for every job there is"),
        ("{alert: A, kind: run_failure, match: {pipeline: ~.*}, severity: page}", "the match of A takes anything"),
    ],
)
def test_a_rule_that_matches_nothing_or_everything(rule: str, told: str) -> None:
    [(line, message)] = warnings(rule)
    assert line == 2
    assert told in message


def test_two_rules_that_nothing_can_keep_together() -> None:
    short = "{alert: Short, kind: duration, match: {pipeline: a}, max: 10m}"
    long = "{alert: Long, kind: duration, match: {pipeline: a}, min: 20m}"
    assert warnings(short, long) == [
        (2, "Short and Long contradict each other: the seconds of a run cannot be at least 1200 and at most 600")
    ]
    assert warnings(short, long.replace("pipeline: a", "pipeline: b")) == []
    assert warnings(short, "{alert: Long, kind: duration, match: {pipeline: a}, min: 5m}") == []
    late = "{alert: Late, kind: deadline, match: {pipeline: a}, finish_within: 15m}"
    assert [line for line, _ in warnings(long, late)] == [2]
    assert warnings(short, late) == []
    above = "{alert: Up, kind: threshold, match: {pipeline: a}, series: s, above: 1}"
    below = "{alert: Down, kind: threshold, match: {pipeline: a}, series: s, below: 2}"
    assert len(warnings(above, below)) == 1
    assert warnings(above, below.replace("series: s", "series: t")) == []


@pytest.mark.parametrize(
    "rule",
    [
        "{alert: A, kind: freshness, match: {dataset: orders, tag_tier: gold}, severity: page}",
        "{alert: A, kind: threshold, series: s, above: 1, severity: page}",
        "{alert: A, kind: run_failure, match: {pipeline: ~orders.*}, severity: page}",
        "{alert: A, kind: source_silence, match: {collector: airflow}, severity: page}",
    ],
)
def test_what_makes_sense_is_not_warned_of(rule: str) -> None:
    assert warnings(rule) == []
