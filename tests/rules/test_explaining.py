"""Why an alert stands, said in sentences that hold at this moment."""

from dataclasses import replace
from datetime import datetime

import pytest

from rules.engine import Explained
from rules.explaining import Explanation, explain
from rules.judge import judge
from rules.labels import bound
from tests.rules.test_docs import KINDS
from tests.rules.timeline import FAILED, OK, at, of_job, rule, run
from watchtower.model.alert import Alert
from watchtower.model.rule import JobSnapshot, Rule

FAILS = replace(rule(KINDS["run_failure"]), name="Failed")


def asked(snapshot: JobSnapshot, given: Rule, now: datetime) -> Explained:
    rules = bound((given,), KINDS)["job"]
    judgement = judge(snapshot, rules, now)
    says = {each.rule.name: each.kind.describe(each.rule, snapshot) for each in rules}
    return Explained(judgement, says, {each.rule.name: each.kind.clears for each in rules}, now)


def told(given: Rule, now: datetime, alert: Alert | None = None, state: object = FAILED) -> Explanation:
    """Of a pipeline whose newest run ended at 06:20 of day 0."""
    snapshot = of_job([run("r1", at(0, "06:00"), state=state)])  # type: ignore[arg-type]
    snapshot = replace(snapshot, alerts=(alert,) if alert else ())
    said = asked(snapshot, given, now)
    return explain(alert or said.judgement.alerts[0], said, now)


def test_what_fires_says_what_was_expected_what_is_wrong_and_what_ends_it() -> None:
    said = told(FAILS, at(0, "06:30"))
    assert said.expects == (
        "orders_daily: alert when a run fails (after its tasks' retries), until a newer run succeeds."
    )
    assert said.why.startswith("orders_daily failed")
    assert said.stands == "It fires since 2026-03-02 06:30 UTC."
    assert said.clears == "It is over when a newer run has ended well."
    assert (said.fires_at, said.clears_at) == (None, None)


def test_what_waits_says_until_when() -> None:
    said = told(replace(FAILS, for_s=600.0), at(0, "06:30"))
    assert said.expects.endswith("Fires when that stands for 10m (600 s).")
    assert said.stands == "It is pending, and nobody was told; it fires at 2026-03-02 06:40 UTC if that stays so."
    assert said.fires_at == at(0, "06:40")


def test_what_is_held_after_it_is_well_cannot_end_before_that() -> None:
    held = replace(FAILS, keep_firing_for_s=1_200.0)
    firing = told(held, at(0, "06:30"))
    assert firing.clears == (
        "It is over when a newer run has ended well, and 20m later: not before 2026-03-02 06:50 UTC."
    )
    recovering = told(held, at(0, "07:00"), firing.alert, state=OK)
    assert recovering.stands == "It is well since 2026-03-02 07:00 UTC, and still held."
    assert recovering.clears == "It is over at 2026-03-02 07:20 UTC if it stays well."
    assert recovering.clears_at == at(0, "07:20")


def test_a_rule_that_is_gone_leaves_its_alert_to_the_next_look() -> None:
    firing = told(FAILS, at(0, "06:30")).alert
    said = told(replace(FAILS, name="Another"), at(0, "06:31"), firing)
    assert said.expects == ""
    assert said.stands == "It is over since 2026-03-02 06:31 UTC."


def test_what_is_over_waits_for_nothing() -> None:
    over = told(FAILS, at(0, "06:40"), told(FAILS, at(0, "06:30")).alert, state=OK).alert
    said = told(FAILS, at(0, "08:00"), over)
    assert (said.stands, said.clears) == ("It is over since 2026-03-02 06:40 UTC.", "")
    assert (said.looks_at, said.clears_at, said.fires_at) == (None, None, None)


def test_without_its_subject_only_the_alert_itself_is_told() -> None:
    firing = told(FAILS, at(0, "06:30")).alert
    said = explain(firing, None, at(0, "06:31"))
    assert said.why == firing.annotations["summary"]
    assert said.clears == "It is over when it is looked at next: no rule of this name watches it any more."


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"round_trip"}))
def test_what_ends_an_alert_reads_as_a_part_of_a_sentence(kind: str) -> None:
    clears = getattr(KINDS[kind], "clears", "")
    assert not clears.endswith(".")
    assert clears == clears.strip()
