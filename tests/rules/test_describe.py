"""Each rule says in one sentence what it expects, with its seconds."""

from dataclasses import replace
from typing import Any

import pytest

from rules.defaults import DEFAULT_RULES
from rules.describe import describe
from rules.words import former_words
from tests.rules.test_docs import KINDS
from tests.rules.timeline import at, daily, of_dataset, of_job, rule, update
from watchtower.model.companion import Companion
from watchtower.model.labels import Matcher
from watchtower.model.rule import Rule


@pytest.mark.parametrize("shipped", DEFAULT_RULES, ids=lambda each: each.name)
def test_every_shipped_rule_describes_itself_before_and_after_learning(shipped: Rule) -> None:
    is_job = KINDS[shipped.kind].subject == "job"
    learning = of_job([]) if is_job else of_dataset([])
    learned = of_job(daily(20)) if is_job else of_dataset([update(at(day)) for day in range(20)])
    for snapshot in (None, learning, learned):
        sentence = describe(shipped, KINDS, snapshot)
        assert sentence.startswith(f"{shipped.name} ({shipped.severity.value}): ")
        assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("duration", {}, "orders_daily: a run must take at most 33m (1980 s) (usually 21m, from 19 runs)."),
        ("missing_run", {}, "orders_daily: a run must start within 5m (300 s) of its time, "
         "at 06:00 UTC (learned from 20 runs, 100% of them came)."),
        ("deadline", {"finish_by": "07:00", "timezone": "Europe/Berlin", "days": "mon-fri"},
         "orders_daily: must have succeeded by 07:00 Europe/Berlin on Mon-Fri."),
        ("deadline", {"finish_within": "90m"},
         "orders_daily: must succeed within 1h30m (5400 s) of its expected start."),
        ("orphan", {}, "orders_daily: the end of a started run must be heard within 6h (21600 s)."),
        ("run_failure", {"fail_after": 3},
         "orders_daily: alert when 3 runs in a row fail, until a newer run succeeds."),
    ],
)  # fmt: skip
def test_a_sentence_has_its_numbers(name: str, options: dict[str, Any], sentence: str) -> None:
    said = describe(rule(KINDS[name], "X", **options), KINDS, of_job(daily(20)))
    assert said == f"X (ticket): {sentence}"


def test_waits_and_matchers_are_said() -> None:
    waiting = replace(DEFAULT_RULES[0], for_s=300, keep_firing_for_s=60, matchers=(Matcher("team", "=", "finance"),))
    said = describe(waiting, KINDS)
    assert 'Where team="finance".' in said
    assert "stands for 5m (300 s)" in said
    assert "Resolves 1m (60 s) after" in said


def test_it_is_said_whose_runs_count_as_its_own() -> None:
    job = of_job(daily(2, first=20))
    assert former_words(job) == ""
    renamed = replace(job, formerly=Companion("job", "orders", None, "cron"), former=of_job(daily(5)).past)
    assert former_words(renamed) == " It was orders in cron before: 5 of its runs there count as its own."
    unknown = replace(job, formerly=Companion("job", "orders"))
    assert former_words(unknown) == " It was orders before: no run of that is known, or needed any more."
