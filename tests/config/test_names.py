"""Names of a configuration of which nothing was heard are told, with the one that may be meant."""

import pytest

from watchtower.config import load_text
from watchtower.config.names import unheard
from watchtower.model.heard import Heard

JOBS = (
    ("orders_daily", "", "prod", "airflow"),
    ("orders_daily", "load", "prod", "airflow"),
    ("billing", "", "test", "cron"),
)
HEARD = Heard(frozenset(JOBS), frozenset({("shop.orders", "postgres://shop:5432")}), frozenset({"score"}))
NOTHING = Heard(frozenset(), frozenset(), frozenset())


def said(rule: str, heard: Heard = HEARD) -> list[tuple[str, str]]:
    config = load_text(f"rules:\n  - {{alert: A, {rule}}}\n")
    return [(each.text, each.remedy) for each in unheard(config, heard)]


@pytest.mark.parametrize(
    ("rule", "text", "remedy"),
    [
        ("kind: run_failure, match: {pipeline: orders_dialy}", "no pipeline 'orders_dialy'", "'orders_daily' meant?"),
        ("kind: run_failure, match: {pipeline: orders_daily, task: laod}", "no task 'laod'", "'load' meant?"),
        ("kind: run_failure, match: {pipeline: orders_daily, namespace: prd}", "no namespace 'prd'", "'prod' meant?"),
        ("kind: freshness, fail_after: 1h, match: {dataset: shop.ordres}", "no dataset 'shop.ordres'", "'shop.orders'"),
        ("kind: threshold, series: scroe, below: 1", "no series 'scroe'", "'score' meant?"),
        ("kind: run_failure, match: {pipeline: quite_another}", "no pipeline 'quite_another'", ""),
        ("kind: run_failure, match: {pipeline: billing, namespace: prod}", "no job was heard of with pipeline", ""),
        (
            "kind: run_failure, match: {pipeline: ~ordrs.*}",
            'heard of none fits pipeline=~"ordrs.*"',
            "",
        ),
        ("kind: freshness, fail_after: 1h, match: {dataset: ~shp.*}", "of 1 datasets that were heard of none fits", ""),
    ],
)
def test_a_name_of_which_nothing_was_heard_is_told(rule: str, text: str, remedy: str) -> None:
    [(found, meant)] = said(rule)
    assert text in found
    assert remedy in meant
    assert bool(meant) is bool(remedy)


@pytest.mark.parametrize(
    "rule",
    [
        "kind: run_failure, match: {pipeline: orders_daily, task: load}",
        "kind: run_failure, match: {pipeline: ~orders.*}",
        "kind: run_failure, match: {team: nobody}",
        "kind: threshold, series: score, below: 1",
        "kind: threshold, series: job_duration_seconds, above: 1",
        "kind: run_failure",
    ],
)
def test_what_was_heard_of_and_what_names_nothing_is_well(rule: str) -> None:
    assert said(rule) == []


def test_where_nothing_was_heard_of_yet_every_name_is_new() -> None:
    assert said("kind: run_failure, match: {pipeline: orders_dialy}", NOTHING) == []
    assert said("kind: threshold, series: scroe, below: 1", NOTHING) == []
