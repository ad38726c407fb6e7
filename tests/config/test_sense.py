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


def test_limits_of_a_rule_on_all_hold_for_the_rule_on_one() -> None:
    everything = "{alert: All, kind: volume, max: 500}"
    one = "{alert: One, kind: volume, match: {dataset: d}, min: 1000}"
    [(line, message)] = warnings(everything, one)
    assert (line, "All and One contradict each other" in message) == (2, True)
    assert warnings(everything.replace("max", "match: {team: a}, max"), one) == []


def test_a_rule_that_is_there_twice() -> None:
    one = "{alert: One, kind: duration, match: {pipeline: a}, max: 10m}"
    assert warnings(one, one.replace("One", "Two")) == [
        (2, "One and Two are one rule under two names, so each alert comes twice")
    ]
    assert warnings(one, one.replace("One", "Two").replace("10m", "20m, severity: page")) == []


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            "{alert: A, kind: compare, match: {dataset: d}, against: {dataset: d}}",
            "A (compare) looks at d beside d itself",
        ),
        (
            "{alert: A, kind: compare, match: {pipeline: p, namespace: n}, against: {pipeline: p, namespace: n}}",
            "itself",
        ),
        ("{alert: A, kind: compare, match: {dataset: d, namespace: n}, against: {dataset: d, namespace: o}}", None),
        ("{alert: A, kind: compare, match: {pipeline: p, task: t}, against: p}", None),
    ],
)
def test_a_rule_that_holds_a_thing_against_itself(rule: str, told: str | None) -> None:
    found = warnings(rule)
    assert [told in message for _, message in found if told] == ([True] if told else [])
    assert len(found) == bool(told)


def test_a_rule_about_a_budget_or_an_objective_that_is_not_declared() -> None:
    declared = "budgets: [{name: prod, period: day, limit: {amount: 10, currency: USD}}]\n"
    rule = "rules: [{alert: A, kind: budget, match: {budget: %s}}]\n"
    assert examine(declared + rule % "prod").warnings == ()
    [wrong] = examine(declared + rule % "prodd").warnings
    assert (wrong.message, wrong.remedy) == (
        "there is no budget 'prodd', so A (budget) watches nothing",
        "did you mean 'prod'?",
    )
    [none] = examine("rules: [{alert: A, kind: slo, match: {slo: orders}}]\n").warnings
    assert (none.message, none.remedy) == (
        "there is no SLO 'orders', so A (slo) watches nothing",
        "write one under slos",
    )


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
