"""The engine on a clock of its own: what opens when, who is told what, and that no fault of one stops another."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from msgspec import structs

from rules.defaults import DEFAULT_RULES
from rules.engine import RETRY_AFTER, Engine
from rules.kinds.deadline import Deadline
from rules.kinds.duration import Duration, DurationConfig
from rules.kinds.freshness import Freshness
from rules.kinds.missing_run import MissingRun
from rules.kinds.orphan import Orphan
from rules.kinds.run_failure import RunFailure, RunFailureConfig
from rules.options import Options
from tests.rules.memory import MemoryStore, OneReceiver
from tests.rules.timeline import FAILED, RUNNING, at, daily, of_dataset, of_job, rule, run, update
from watchtower.clock import ManualClock
from watchtower.errors import StoreUnavailable
from watchtower.model.alert import AlertState, Severity
from watchtower.model.labels import Matcher, fingerprint
from watchtower.model.rule import Evaluation, Rule, Snapshot, SubjectKey
from watchtower.model.run import JobRef
from watchtower.ports import Outcome, RuleKind


class Faulty:
    """A kind of rule that raises for one pipeline."""

    kind: ClassVar[str] = "faulty"
    subject: ClassVar[str] = "job"
    Config: ClassVar[type[Any]] = Options
    clears: ClassVar[str] = "it is mended"

    def __init__(self) -> None:
        self.is_broken = True

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if self.is_broken:
            raise ZeroDivisionError("a fault of the kind")
        return Evaluation()

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        return "faulty"


KINDS: dict[str, RuleKind] = {
    kind.kind: kind for kind in (RunFailure(), MissingRun(), Deadline(), Duration(), Orphan(), Freshness(), Faulty())
}
FAILURE = Rule("RunFailed", "run_failure", RunFailureConfig())
STEADY = [run(f"r{day}", at(day, "06:00"), 20, nominal=at(day, "06:00")) for day in range(20)]


class House:
    """An engine with its store and clock."""

    def __init__(self, rules: Sequence[Rule], start: datetime, **options: Any) -> None:
        self.clock = ManualClock(start)
        self.store = MemoryStore()
        self.rules = tuple(rules)
        self.engine = Engine(self.store, OneReceiver(), self.clock, lambda: self.rules, KINDS, **options)

    def put(self, snapshot: Snapshot) -> None:
        self.store.put(snapshot, self.clock.now())
        self.run()

    def run(self) -> None:
        while self.engine.step():
            pass

    def run_until(self, end: datetime) -> list[datetime]:
        """Follow the due queue to end; the moments at which something was evaluated."""
        moments: list[datetime] = []
        while (following := self.store.next_at()) is not None and following <= end:
            self.clock.set(following)
            moments.append(following)
            self.run()
        self.clock.set(end)
        return moments


def test_whose_a_subject_is_and_how_grave_is_said_with_its_outcome() -> None:
    house = House([FAILURE, replace(FAILURE, name="OrdersFailed", severity=Severity.PAGE)], at(0))
    job = of_job([run("a", at(0, "06:00"), 20)])
    house.put(job)
    assert house.store.places[job.key] == ("finance", 0)
    house.rules = (FAILURE,)
    house.put(job)
    assert house.store.places[job.key] == ("finance", 1)
    house.rules = ()
    house.put(job)
    assert house.store.places[job.key] == ("finance", None), "nothing watches it, so nothing is known anew"


def test_the_engine_is_in_haste_where_more_that_is_urgent_may_wait() -> None:
    house = House([FAILURE], at(0))
    one, other = (
        of_job([run("a", at(0, "06:00"), 20, FAILED)], ref=JobRef("airflow", "default", name)) for name in "ab"
    )
    for due, urgent, is_in_haste in (
        ((one, other), {one.key}, True),
        ((one,), {one.key}, False),  # alone, it left none behind
        ((one, other), set[SubjectKey](), False),
    ):
        house.store.urgent = urgent
        for job in due:
            house.store.put(job, house.clock.now())
        house.run()
        assert house.engine.in_haste is is_in_haste


def test_a_failed_run_becomes_one_alert_with_its_labels_and_words() -> None:
    house = House(
        [replace(FAILURE, labels={"tier": "gold", "pipeline": "not mine"}, runbook_url="https://wiki/r")], at(0)
    )
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED)]))
    (transition, planned), *rest = house.store.transitions
    assert not rest
    alert = transition.alert
    assert alert.labels == {
        "alertname": "RunFailed", "kind": "run_failure", "severity": "ticket", "source": "airflow-prod",
        "namespace": "prod", "pipeline": "orders_daily", "owner": "data-lead", "team": "finance", "tier": "gold",
    }  # fmt: skip
    assert alert.fingerprint == fingerprint(alert.labels)
    assert alert.annotations["summary"] == "orders_daily failed"
    assert alert.annotations["runbook_url"] == "https://wiki/r"
    assert "until a newer run succeeds" in alert.annotations["description"]
    assert planned[0].group_labels == {"team": "finance"}


@pytest.mark.parametrize(
    ("labels", "seen"), [({}, "staging"), ({"environment": "prod"}, "prod")], ids=["of the run", "of the rule"]
)
def test_an_alert_bears_the_environment_of_its_run_unless_the_rule_names_one(labels: dict[str, str], seen: str) -> None:
    house = House([replace(FAILURE, labels=labels)], at(0))
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED, environment="staging")]))
    (transition, _), *_ = house.store.transitions
    assert transition.alert.labels["environment"] == seen
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED, environment="qa")]))
    assert len(house.store.alerts) == 1, "it is the same alert, wherever the run is found to have been"


def test_a_rule_watches_the_jobs_of_an_environment() -> None:
    house = House([replace(FAILURE, matchers=(Matcher("environment", "=", "prod"),))], at(0))
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED, environment="staging")]))
    assert not house.store.transitions
    house.put(of_job([run("b", at(0, "07:00"), 20, FAILED, environment="prod")]))
    assert house.store.told() == [("RunFailed", "firing")]


def test_nothing_new_writes_nothing_and_a_success_resolves_it() -> None:
    house = House([FAILURE], at(0, "07:00"))
    failed = run("a", at(0, "06:00"), 20, FAILED)
    house.put(of_job([failed]))
    before = dict(house.store.alerts)
    house.put(of_job([failed]))
    assert house.store.alerts == before
    house.clock.advance(60)
    house.put(of_job([failed, run("b", at(0, "06:30"), 20)]))
    assert house.store.told() == [("RunFailed", "firing"), ("RunFailed", "resolved")]
    (alert,) = house.store.alerts.values()
    assert alert.evidence["resolution"]["run_id"] == "b"
    assert alert.found_late is True  # the failure was forty minutes old when it was first seen


def test_for_and_keep_firing_for_are_timers_of_the_due_queue() -> None:
    house = House([replace(FAILURE, for_s=600, keep_firing_for_s=900)], at(0, "06:20"))
    failed = run("a", at(0, "06:00"), 20, FAILED)
    house.put(of_job([failed]))
    assert house.run_until(at(0, "06:40")) == [at(0, "06:30")]
    assert house.store.told() == [("RunFailed", "firing")]
    house.put(of_job([failed, run("b", at(0, "06:30"), 9)]))
    assert house.run_until(at(0, "07:00")) == [at(0, "06:55")]
    assert house.store.told() == [("RunFailed", "firing"), ("RunFailed", "resolved")]


def test_a_slow_run_is_told_while_it_runs_and_at_that_very_moment() -> None:
    house = House(DEFAULT_RULES, at(20, "06:00"))
    house.put(of_job([*STEADY, run("b", at(20, "06:00"), None, RUNNING, nominal=at(20, "06:00"))]))
    house.run_until(at(20, "07:00"))
    (transition, _), *rest = house.store.transitions
    assert not rest
    assert (transition.alert.rule, transition.at) == ("RunSlow", at(20, "06:30"))


def test_a_failure_takes_in_the_deadline_it_breaks() -> None:
    late = rule(Deadline(), "OrdersLate", finish_by="07:00")
    house = House([*DEFAULT_RULES, late], at(1, "06:30"))
    failed = run("b", at(1, "06:00"), 20, FAILED, nominal=at(1, "06:00"))
    house.put(of_job([*daily(1), failed], schedule="0 6 * * *"))
    house.run_until(at(1, "08:00"))
    assert house.store.told() == [("RunFailed", "firing")]
    (alert,) = [each for each in house.store.alerts.values() if each.rule == "RunFailed"]
    assert alert.evidence["deadline"]["expected"] == "2026-03-03T07:00:00Z"


def test_a_deadline_that_was_told_first_ends_when_it_is_met_and_not_before() -> None:
    late = rule(Deadline(), "OrdersLate", finish_by="07:00")
    house = House([FAILURE, late], at(1, "06:30"))
    running = run("b", at(1, "06:00"), None, RUNNING, nominal=at(1, "06:00"))
    house.put(of_job([*daily(1), running], schedule="0 6 * * *"))
    house.run_until(at(1, "07:30"))
    failed = run("b", at(1, "06:00"), 90, FAILED, nominal=at(1, "06:00"))
    house.put(of_job([*daily(1), failed], schedule="0 6 * * *"))
    assert house.store.told() == [("OrdersLate", "firing"), ("RunFailed", "firing")]
    again = structs.replace(run("b2", at(1, "08:00"), 20, nominal=at(1, "06:00")), native_run_id="b", generation=1)
    house.clock.set(at(1, "08:20"))
    house.put(of_job([*daily(1), failed, again], schedule="0 6 * * *"))
    assert sorted(house.store.told()[2:]) == [("OrdersLate", "resolved"), ("RunFailed", "resolved")]


def test_without_a_failure_rule_the_deadline_stands_for_itself() -> None:
    house = House([rule(Deadline(), "OrdersLate", finish_by="07:00")], at(1, "06:30"))
    house.put(of_job([*daily(1), run("b", at(1, "06:00"), 20, FAILED, nominal=at(1, "06:00"))], schedule="0 6 * * *"))
    house.run_until(at(1, "08:00"))
    assert house.store.told() == [("OrdersLate", "firing")]


def test_a_declared_rule_takes_the_place_of_the_shipped_one_where_it_matches() -> None:
    mine = replace(
        rule(RunFailure(), "OrdersFailed", severity=Severity.PAGE), matchers=(Matcher("pipeline", "=", "orders_daily"),)
    )
    house = House([*DEFAULT_RULES, mine], at(0, "06:20"))
    other = JobRef("airflow-prod", "prod", "other")
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED)]))
    house.put(of_job([run("b", at(0, "06:00"), 20, FAILED, job=other)], ref=other))
    assert house.store.told() == [("OrdersFailed", "firing"), ("RunFailed", "firing")]


def test_a_rule_watches_tasks_only_if_a_matcher_names_task() -> None:
    load = JobRef("airflow-prod", "prod", "orders_daily", "load")
    tasks = replace(FAILURE, name="LoadFailed", matchers=(Matcher("task", "=", "load"),))
    house = House([FAILURE, tasks], at(0, "06:20"))
    failed = run("a", at(0, "06:00"), 20, FAILED, job=load)
    house.put(of_job([failed], ref=load))
    assert house.store.told() == [("LoadFailed", "firing")]
    (alert,) = house.store.alerts.values()
    assert alert.labels["task"] == "load"


def test_matchers_see_tags_and_the_alert_does_not_carry_them() -> None:
    gold = replace(FAILURE, matchers=(Matcher("tag_tier", "=", "1"),))
    house = House([gold], at(0, "06:20"))
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED)]))
    (alert,) = house.store.alerts.values()
    assert "tag_tier" not in alert.labels
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED)], tags={"tier": "2"}))
    assert house.store.told() == [("RunFailed", "firing"), ("RunFailed", "resolved")]


def test_a_removed_rule_ends_its_alerts_and_says_why() -> None:
    house = House([FAILURE], at(0, "06:20"))
    snapshot = of_job([run("a", at(0, "06:00"), 20, FAILED)])
    house.put(snapshot)
    house.rules = ()
    house.put(snapshot)
    (alert,) = house.store.alerts.values()
    assert alert.state is AlertState.RESOLVED
    assert "no longer applies" in alert.evidence["resolution"]["reason"]


def test_an_owner_that_becomes_known_keeps_the_alert_the_same() -> None:
    house = House([FAILURE], at(0, "06:20"))
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED)], owner=None))
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED)], owner="data-lead"))
    assert len(house.store.alerts) == 1
    assert house.store.told() == [("RunFailed", "firing")]


def test_warning_and_failure_of_a_dataset_are_two_alerts_of_two_severities() -> None:
    stale = rule(Freshness(), "Stale", severity=Severity.PAGE, warn_after="6h", fail_after="12h")
    house = House([stale], at(0, "06:00"))
    house.put(of_dataset([update(at(0, "06:00"))]))
    house.run_until(at(1))
    assert [(each.alert.labels["severity"], each.at) for each, _ in house.store.transitions] == [
        ("ticket", at(0, "12:00")),
        ("page", at(0, "18:00")),
    ]
    house.put(of_dataset([update(at(1))]))
    assert all(alert.state is AlertState.RESOLVED for alert in house.store.alerts.values())


def test_a_rule_that_raises_blocks_nobody_and_its_alerts_are_unknown(caplog: pytest.LogCaptureFixture) -> None:
    broken = Rule("Broken", "faulty", Options())
    house = House([broken, FAILURE], at(0, "06:20"))
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED)]))
    assert house.store.told() == [("RunFailed", "firing")]
    assert house.store.next_at() == house.clock.now() + RETRY_AFTER
    assert "ZeroDivisionError" in caplog.text
    (alert,) = house.store.alerts.values()
    # An open alert of the broken rule is kept, and nobody is told that it ended.
    mine = replace(alert, id="x", rule="Broken", labels={**alert.labels, "alertname": "Broken", "kind": "faulty"})
    house.store.alerts["x"] = mine
    house.run_until(house.clock.now() + RETRY_AFTER)
    assert house.store.alerts["x"].state is AlertState.UNKNOWN
    assert "a fault of the kind" in house.store.alerts["x"].evidence["unknown"]
    assert len(house.store.transitions) == 1


def test_what_the_store_cannot_read_or_write_is_taken_apart_and_put_off() -> None:
    refs = [JobRef("airflow-prod", "prod", name) for name in ("good", "unreadable", "uncommittable")]
    house = House([FAILURE], at(0, "06:20"))
    for ref in refs:
        house.store.put(of_job([run("a", at(0, "06:00"), 20, FAILED, job=ref)], ref=ref), house.clock.now())
    keys = [SubjectKey("job", ref.id) for ref in refs]
    house.store.unreadable.add(keys[1])
    house.store.uncommittable.add(keys[2])
    assert house.engine.step() == 3
    assert [each.alert.subject for each, _ in house.store.transitions] == [str(keys[0])]
    assert house.store.due[keys[0]][0] is None
    assert {house.store.due[key][0] for key in keys[1:]} == {house.clock.now() + RETRY_AFTER}
    house.store.unreadable.clear()
    house.store.uncommittable.clear()
    house.run_until(house.clock.now() + timedelta(minutes=5))
    assert len(house.store.transitions) == 3


def test_a_store_that_is_away_is_the_callers_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House([FAILURE], at(0, "06:20"))
    house.store.put(of_job([run("a", at(0, "06:00"), 20, FAILED)]), house.clock.now())

    def away(outcomes: Sequence[Outcome], now: datetime) -> None:
        raise StoreUnavailable("locked")

    with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
        patch.setattr(house.store, "commit_outcomes", away)
        house.engine.step()
    assert house.engine.step() == 1
    assert house.store.told() == [("RunFailed", "firing")]


def test_a_fact_that_arrives_during_the_evaluation_keeps_the_subject_due(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House([FAILURE], at(0, "06:20"))
    snapshot = of_job([run("a", at(0, "06:00"), 20, FAILED)])
    house.store.put(snapshot, house.clock.now())
    read = house.store.snapshots

    def read_and_be_overtaken(keys: Sequence[SubjectKey]) -> Any:
        found = read(keys)
        newer = of_job([run("a", at(0, "06:00"), 20, FAILED), run("b", at(0, "06:21"), 20)])
        house.store.put(newer, house.clock.now())
        monkeypatch.undo()
        return found

    monkeypatch.setattr(house.store, "snapshots", read_and_be_overtaken)
    house.run()
    assert house.store.told() == [("RunFailed", "firing"), ("RunFailed", "resolved")]


def test_evaluate_now_says_everything_and_writes_nothing() -> None:
    house = House(DEFAULT_RULES, at(0, "06:20"))
    snapshot = of_job([run("a", at(0, "06:00"), 20, FAILED)])
    house.store.put(snapshot, house.clock.now())
    (judgement,) = house.engine.evaluate_now([snapshot.key, SubjectKey("job", "unknown")])
    results = {verdict.rule.name: verdict.result for verdict in judgement.verdicts}
    assert results == {"RunFailed": "violation", "RunMissing": "learning", "RunSlow": "learning", "RunOrphaned": "ok"}
    assert len(judgement.transitions) == 1
    assert not house.store.alerts


def test_of_two_rules_of_one_name_the_one_that_watches_is_explained() -> None:
    """As an entry of `jobs` is called as the shipped rule whose place it takes."""
    matchers = (Matcher("pipeline", "=", "orders_daily"),)
    declared = Rule("RunSlow", "duration", DurationConfig(max=60), matchers, declared=True)
    house = House([declared, Rule("RunSlow", "duration", DurationConfig())], at(20, "07:00"))
    house.put(of_job(STEADY))
    [explained] = house.engine.explain([of_job(STEADY).key])
    assert explained.expects == {"RunSlow": "orders_daily: a run must take at most 1m (60 s)."}


def test_no_shipped_rule_pages_and_a_batch_is_bounded() -> None:
    assert {each.severity for each in DEFAULT_RULES} == {Severity.TICKET, Severity.INFO}
    assert not any(each.declared for each in DEFAULT_RULES)
    house = House([FAILURE], at(0), batch=2)
    for number in range(5):
        ref = JobRef("airflow-prod", "prod", f"p{number}")
        house.store.put(of_job([], ref=ref), house.clock.now())
    assert [house.engine.step() for _ in range(4)] == [2, 2, 1, 0]


def test_annotations_of_the_operator_are_rendered() -> None:
    mine = replace(
        FAILURE, annotations={"text": "{pipeline} of {team|upper}: {labels.owner}, run {run_id}", "summary": "{{x"}
    )
    house = House([mine], at(0, "06:20"))
    house.put(of_job([run("a", at(0, "06:00"), 20, FAILED)]))
    (alert,) = house.store.alerts.values()
    assert alert.annotations["text"] == "orders_daily of FINANCE: data-lead, run a"
    assert alert.annotations["summary"] == "{x"
