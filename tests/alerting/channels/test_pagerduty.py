"""PagerDuty: one incident for each episode, in its order, and what PagerDuty would find wrong with an event."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pydantic import ValidationError

from alerting.channels.pagerduty import MAX_DETAIL, MAX_DETAILS, PagerDutyConfig, event_v2
from alerting.incidents import acknowledge
from alerting.outbox import Outbox
from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.desks import channel, pagerduty_bench
from tests.alerting.notices import NOW, alert, all_resolved, late, notice, resolved
from tests.alerting.routes import node, pipeline
from tests.conftest import START
from tests.simulators.faults import Fault
from tests.simulators.pagerduty import MAX_EVENT, ROUTING_KEY, SERVICE_KEY, PagerDutySimulator, faults_of
from watchtower.clock import ManualClock
from watchtower.config import load_text
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import Notice, NoticeReason
from watchtower.store import alerts, incidents
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database

FACTS = Path(__file__).parents[4] / "shared" / "specs" / "pagerduty" / "events_v2.facts.schema.json"


def config(**given: Any) -> PagerDutyConfig:
    return PagerDutyConfig.model_validate({"routing_key": ROUTING_KEY, **given})


def event(story: Notice, **given: Any) -> dict[str, Any]:
    return event_v2(story, ROUTING_KEY, config(**given))


def judged(made: dict[str, Any]) -> list[Any]:
    """What the facts that were written down from PagerDuty's reference say against an event."""
    judge: Any = Draft7Validator(json.loads(FACTS.read_text()))
    return list(judge.iter_errors(made))


def test_an_episode_is_one_incident_from_its_trigger_to_its_resolve() -> None:
    with pagerduty_bench() as bench:
        first = bench.channel.deliver(notice())
        bench.channel.deliver(notice(alert(), late(), reason=NoticeReason.NEW_ALERTS, seq=2, ref=first.ref))
        bench.channel.deliver(all_resolved(seq=3, ref=first.ref))
        [incident] = bench.provider.ledger

    assert (incident.dedup_key, incident.severity, incident.status) == ("wt-e1", "critical", "resolved")
    assert incident.summary == "[PAGE] orders_daily: task load failed on its last attempt: division by zero"
    assert [said["event_action"] for said in incident.log] == ["trigger", "trigger", "resolve"]
    assert first.provider_id == "pagerduty:wt-e1"


def test_the_next_episode_is_an_incident_of_its_own_and_its_resolve_ends_only_that_one() -> None:
    with pagerduty_bench() as bench:
        bench.channel.deliver(notice())
        bench.channel.deliver(all_resolved())
        bench.channel.deliver(notice(episode="e2"))

        assert [(row.dedup_key, row.status) for row in bench.provider.ledger] == [
            ("wt-e1", "resolved"),
            ("wt-e2", "triggered"),
        ]


def test_who_has_it_in_watchtower_has_it_in_pagerduty() -> None:
    with pagerduty_bench() as bench:
        bench.channel.deliver(notice())
        bench.channel.deliver(notice(reason=NoticeReason.ACKNOWLEDGED, seq=2, acknowledged_by="person:primary"))

        assert bench.provider.ledger[0].status == "acknowledged"
    assert config().shows_acks


def test_the_end_of_what_pagerduty_never_had_opens_nothing() -> None:
    with pagerduty_bench() as bench:
        bench.channel.deliver(all_resolved())

        assert bench.provider.ledger == []


def test_a_repeat_after_an_answer_that_was_lost_is_folded_into_the_open_incident() -> None:
    with pagerduty_bench() as bench:
        bench.provider.fail_next(Fault.ACCEPT_THEN_RESET)
        with pytest.raises(Transient) as caught:
            bench.channel.deliver(notice())
        bench.channel.deliver(notice(attempt=2))

        assert caught.value.outcome_unknown
        assert len(bench.provider.ledger) == 1


def test_the_simulator_opens_a_second_incident_for_a_trigger_after_its_resolve() -> None:
    """What the order of the outbox and a key for each episode are there for."""
    with pagerduty_bench() as bench:
        for story in (notice(), all_resolved(), notice(reason=NoticeReason.REPEAT, seq=3)):
            bench.channel.deliver(story)

        assert len(bench.provider.ledger) == 2


STORIES = {
    "first": notice(),
    "a group": notice(alert(), late(), alert("billing"), late("billing")),
    "some resolved": notice(alert(), resolved(late()), reason=NoticeReason.RESOLVED_ALERTS, seq=2),
    "repeat": notice(reason=NoticeReason.REPEAT, seq=2),
    "acknowledged": notice(reason=NoticeReason.ACKNOWLEDGED, seq=2, acknowledged_by="person:primary"),
    "resolved": all_resolved(),
    "test": notice(reason=NoticeReason.TEST, incident_id=None),
    "bare": notice(alert(labels={"pipeline": ""}, annotations={}, evidence={}), external_url="", incident_id=None),
    "endless": notice(*(alert(f"p{n}", annotations={"summary": "\u6ce8" * 9000}, evidence={f"f{i}": "\U0001f600" * 9000
        for i in range(60)}) for n in range(30))),
    "a key of any length": notice(episode="x" * 400),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_every_event_is_what_pagerduty_takes(story: Notice) -> None:
    made = event(
        story, details={"runbook": "x" * 9000, "nested": {"a": [1, 2]}}, links=[{"href": "https://a.example.com"}]
    )

    assert faults_of(made) == []
    assert len(json.dumps(made, ensure_ascii=False).encode()) < MAX_EVENT // 2
    if FACTS.exists():
        assert judged(made) == []


@pytest.mark.skipif(not FACTS.exists(), reason="the facts are not beside the checkout")
def test_the_judge_is_awake() -> None:
    made = event(notice())
    made["payload"]["severity"] = "page"

    assert judged(made)


def test_severity_follows_the_worst_alert_that_fires() -> None:
    told = {
        "page": event(notice(alert(), late())),
        "ticket": event(notice(late(), resolved(alert()))),
        "info": event(notice(late(labels={"severity": "info"}))),
    }

    assert [made["payload"]["severity"] for made in told.values()] == ["critical", "warning", "info"]
    assert event(notice(), severity="error")["payload"]["severity"] == "error"


def test_a_test_is_told_as_information() -> None:
    made = event(notice(reason=NoticeReason.TEST))

    assert (made["event_action"], made["payload"]["severity"]) == ("trigger", "info")
    assert made["payload"]["summary"].startswith("[TEST]")


def test_the_event_shows_the_evidence_and_leads_to_run_log_runbook_and_incident() -> None:
    made = event(notice())
    payload = made["payload"]

    assert [(link["text"], link["href"]) for link in made["links"]] == [
        ("Run", "https://airflow.example.com/dags/orders_daily/runs/1"),
        ("Log", "https://airflow.example.com/dags/orders_daily/runs/1/tasks/load?try=3"),
        ("Runbook", "https://wiki.example.com/runbooks/orders"),
        ("Incident", "https://watchtower.example.com/incidents/inc-7"),
    ]
    assert made["client_url"] == "https://watchtower.example.com/incidents/inc-7"
    assert (payload["source"], payload["component"]) == ("airflow-prod", "orders_daily")
    assert (payload["class"], payload["group"]) == ("run_failure", "commerce")
    assert payload["timestamp"] == "2026-03-02T08:00:00.000Z"
    assert "division by zero" in payload["custom_details"]["Error"]
    assert payload["custom_details"]["Attempt"] == "3 of 3"


def test_each_alert_of_a_group_keeps_its_own_details() -> None:
    details = event(notice(alert(), alert("billing")))["payload"]["custom_details"]

    assert sum("division by zero" in str(value) for name, value in details.items() if name != "What") == 2


def test_literals_of_the_file_are_sent_and_details_are_bounded() -> None:
    given = {
        "client": "Data platform",
        "client_url": "https://wiki.example.com",
        "class": "pipeline",
        "component": "etl",
        "group": "prod",
        "source": "eu-1",
        "details": {"Severity": "mine", "long": "x" * 9000, **{f"d{n}": n for n in range(60)}},
        "images": [{"src": "https://example.com/a.png", "alt": "a"}],
        "links": [{"href": "https://wiki.example.com/etl", "text": "Wiki"}, {"href": "javascript:alert(1)"}],
    }
    made = event(notice(), **given)
    details = made["payload"]["custom_details"]

    assert (made["client"], made["client_url"]) == ("Data platform", "https://wiki.example.com")
    assert [made["payload"][name] for name in ("class", "component", "group", "source")] == [
        *("pipeline", "etl", "prod", "eu-1"),
    ]
    assert (details["Severity"], len(details["long"]), len(details)) == ("mine", MAX_DETAIL, MAX_DETAILS)
    assert made["images"] == [{"src": "https://example.com/a.png", "alt": "a"}]
    assert made["links"][0] == {"href": "https://wiki.example.com/etl", "text": "Wiki"}
    assert not [link for link in made["links"] if "javascript" in link["href"]]


def test_go_templates_are_named_and_what_they_would_say_is_said_by_watchtower() -> None:
    given = {
        "severity": "{{ .CommonLabels.severity }}",
        "class": "{{ .CommonLabels.class }}",
        "description": "{{ .CommonAnnotations.summary }}",
        "details": {"firing": "{{ .Alerts.Firing | len }}", "team": "data"},
        "links": [{"href": "{{ .ExternalURL }}", "text": "Alerts"}],
        "images": [{"src": "{{ .CommonAnnotations.image }}"}],
    }
    warned = [fault.path for fault in config(**given).warnings()]
    made = event(notice(), **given)

    assert warned == ["description", "severity", "class", "details.firing", "links[0]", "images[0]"]
    assert "{{" not in json.dumps(made)
    assert (made["payload"]["severity"], made["payload"]["custom_details"]["team"]) == ("critical", "data")


def test_a_service_key_is_told_in_the_words_of_events_v1() -> None:
    with PagerDutySimulator(NOW) as provider:
        made = channel("pagerduty", service_key=SERVICE_KEY, url=provider.events_url)
        for story in (notice(), all_resolved()):
            made.deliver(story)
        [incident] = provider.ledger
        [trigger, resolve] = incident.log

    assert (incident.status, trigger["service_key"], trigger["incident_key"]) == ("resolved", SERVICE_KEY, "wt-e1")
    assert {context["type"] for context in trigger["contexts"]} == {"link"}
    assert resolve["description"].startswith("[RESOLVED]")


def test_events_v1_says_too_many_by_403_and_is_asked_again() -> None:
    with PagerDutySimulator(NOW) as provider:
        provider.fail_next(Fault.FORBIDDEN)
        with pytest.raises(Transient) as caught:
            channel("pagerduty", service_key=SERVICE_KEY, url=provider.events_url).deliver(notice())

    assert (caught.value.reason, caught.value.outcome_unknown) == (Reason.RATE_LIMITED, False)


@pytest.mark.parametrize(("key", "said"), [("f" * 32, "Invalid routing key"), ("short", "Length of 'routing_key'")])
def test_a_wrong_key_is_named_with_the_remedy_and_not_shown(key: str, said: str) -> None:
    with PagerDutySimulator(NOW) as provider, pytest.raises(Permanent, match=f"{said}.*check routing_key") as caught:
        channel("pagerduty", routing_key=key, url=provider.events_url).deliver(notice())

    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"routing_key": None}, "found none"),
        ({"service_key": "b"}, "found routing_key and service_key"),
        ({"routing_key_file": "/f"}, "found routing_key and routing_key_file"),
        ({"severity": "page"}, "critical, error, warning or info"),
        ({"url": "https://{{ .X }}"}, "Go template"),
        ({"images": [{"src": "http://example.com/a.png"}]}, "https"),
        ({"links": [{"text": "x", "url": "https://example.com"}]}, "url"),
    ],
)
def test_a_faulty_config_is_refused_with_the_remedy(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        config(**given)


def test_a_pasted_alertmanager_file_is_read() -> None:
    text = """
global: {pagerduty_url: 'https://events.eu.pagerduty.com/v2/enqueue'}
route: {receiver: a}
receivers:
  - name: a
    pagerduty_configs:
      - {routing_key_file: /run/secrets/pagerduty, severity: error, details: {team: data}}
"""
    [destination] = load_text(text).receivers["a"].destinations

    assert destination.options.url == "https://events.eu.pagerduty.com/v2/enqueue"
    assert destination.send_resolved


def test_an_acknowledgement_in_watchtower_reaches_pagerduty_by_the_outbox(database: Database) -> None:
    name = "team/pagerduty[0]"
    policy = pipeline(node("team", wait=0), receivers={"team": [Destination(name, shows_acks=config().shows_acks)]})
    clock, store = ManualClock(START), SqlAlertingStore(database)
    with PagerDutySimulator(NOW) as provider:
        made = channel("pagerduty", clock, routing_key=ROUTING_KEY, url=provider.events_url)
        outbox = Outbox(store, {name: made}, policy, clock)
        one = firing_alert(clock.now(), pipeline="orders")
        database.write(lambda connection: alerts.write_outcome(connection, fires(policy, one), clock.now()))
        outbox.step()
        with database.read() as connection:
            [incident] = incidents.list_incidents(connection)
        clock.advance(60)
        store.edit_incident(incident.id, lambda held: acknowledge(held, "person:primary", clock.now()))
        outbox.step()
        [row] = provider.ledger
        assert [said["event_action"] for said in row.log] == ["trigger", "acknowledge"]

        clock.advance(60)
        over = resolved_alert(one, clock.now())
        database.write(lambda connection: alerts.write_outcome(connection, resolves(policy, over), clock.now()))
        outbox.step()
        assert (row.status, len(provider.ledger)) == ("resolved", 1)
