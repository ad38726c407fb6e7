"""ServiceNow on its simulator: the common cases, and what only ServiceNow does."""

import logging
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from alerting.tickets.servicenow import ServiceNowConfig
from tests.alerting.desks import channel
from tests.alerting.notices import FAILED, NOW, alert, all_resolved, late, notice
from tests.alerting.tickets import lost_answers
from tests.alerting.tickets.cases import CASES, Bench, Seen
from tests.simulators.faults import Fault
from tests.simulators.servicenow import BEARER, STAGING, Incident, ServiceNowSimulator
from watchtower.clock import ManualClock
from watchtower.errors import Permanent, Reason
from watchtower.model.alert import NoticeReason
from watchtower.ports import Channel

STATES = {"6": "resolved", "7": "resolved", "8": "rejected"}
SEVERITIES = {("2", "1"): "page", ("2", "2"): "ticket", ("3", "3"): "info"}


class SimulatedDesk:
    def __init__(self, simulator: ServiceNowSimulator) -> None:
        self.simulator = simulator

    def tickets(self, episode: str) -> list[Seen]:
        rows = self.simulator.incidents
        return [_seen(row) for row in rows if row.columns.get("correlation_id") == episode and not row.deleted]

    def seen(self, ticket_id: str) -> Seen:
        row = self.simulator.incident(ticket_id)
        assert row is not None
        return _seen(row)

    def person(self, ticket_id: str, *, status: str | None = None, owner: str | None = None) -> None:
        self.simulator.person(ticket_id, status=status, owner=owner)

    def copy(self, ticket_id: str) -> str:
        row = self.simulator.incident(ticket_id)
        assert row is not None
        number = len(self.simulator.incidents) + 1
        second = replace(row, sys_id=f"{number:032x}", number=f"INC{number:07}", columns=dict(row.columns), journal=[])
        self.simulator.incidents.append(second)
        return second.number


def _seen(row: Incident) -> Seen:
    severity = SEVERITIES[row.columns["impact"], row.columns["urgency"]]
    status = STATES.get(row.columns["state"], "open")
    return Seen(row.number, row.columns["short_description"], status, severity, tuple(row.notes))


@pytest.fixture
def simulator() -> Generator[ServiceNowSimulator]:
    with ServiceNowSimulator(NOW) as made:
        yield made


@pytest.fixture(params=["", STAGING], ids=["table", "import set"])
def bench(request: pytest.FixtureRequest, simulator: ServiceNowSimulator) -> Bench:
    def make(**options: Any) -> Channel:
        login = {"base_url": simulator.url, "username": "watchtower", "password": "itil-password"}
        clock = ManualClock(NOW)
        clock.advance(1)
        return channel("servicenow", clock, **{**login, "import_set": request.param, **options})

    wrong = {"password": "wrong-password"}
    weak = {"username": "guest", "password": "guest-password", "import_set": ""}
    path = f"/incident.do?sys_id={1:032x}"
    return Bench("servicenow", make, SimulatedDesk(simulator), path, wrong, weak)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_on_the_simulator(case: Callable[[Bench, str], None], bench: Bench) -> None:
    case(bench, "e1")


def test_an_incident_shows_what_a_fixer_needs(bench: Bench, simulator: ServiceNowSimulator) -> None:
    named = {"assignment_group": "Data platform", "cmdb_ci": "orders", "caller_id": "watchtower"}
    told = bench.make(**named, fields={"category": "software"}).deliver(notice())

    [row] = simulator.incidents
    shown = row.columns
    assert told.ref["url"] == f"{simulator.url}/incident.do?sys_id={row.sys_id}"
    for text in (
        "Attempt:     3 of 3",
        "ZeroDivisionError: division by zero",
        "https://airflow.example.com/dags/orders_daily/runs/1/tasks/load?try=3",
        "https://wiki.example.com/runbooks/orders",
        "https://watchtower.example.com/incidents/inc-7",
    ):
        assert text in shown["description"]
    assert (shown["impact"], shown["urgency"], shown["category"]) == ("2", "1", "software")
    assert (shown["assignment_group"], shown["cmdb_ci"], shown["caller_id"]) == ("a" * 32, "b" * 32, "e" * 32)
    assert (shown["correlation_id"], shown["correlation_display"]) == ("wt-e1", "wt-e1-1")


def test_a_description_that_is_too_long_stands_whole_in_a_note(bench: Bench, simulator: ServiceNowSimulator) -> None:
    many = [alert(f"orders_{number}", evidence={**FAILED, "error": "x" * 900}) for number in range(30)]
    bench.tell(notice(*many))

    [row] = simulator.incidents
    assert row.columns["description"].endswith("…")
    assert row.columns["short_description"].startswith("[PAGE]")
    [note] = row.notes
    assert len(note) > 4000
    assert "incidents/inc-7" in note


def test_what_data_says_is_neither_html_nor_a_key(bench: Bench, simulator: ServiceNowSimulator) -> None:
    forged = "[code]<script>alert(1)</script>[/CODE] Watchtower notice wt-e1-3"
    odd = alert(annotations={"summary": forged}, evidence={"error": forged, "stack": "Watchtower notice wt-e1-3"})
    ref = bench.tell(notice(odd))
    bench.tell(notice(odd, late(), reason=NoticeReason.NEW_ALERTS, seq=2, ref=ref))

    [row] = simulator.incidents
    everything = row.columns["description"] + "".join(row.journal)
    assert "[code]" not in everything.lower()
    assert "[/code]" not in everything.lower()
    assert bench.make().look_up(notice(reason=NoticeReason.REPEAT, seq=2, ref=ref)) is not None
    assert bench.make().look_up(notice(reason=NoticeReason.REPEAT, seq=3, ref=ref)) is None


def test_a_token_is_as_good_as_a_password(bench: Bench, simulator: ServiceNowSimulator) -> None:
    bearer = {"authorization": {"credentials": BEARER}}
    made = channel("servicenow", base_url=simulator.url, http_config=bearer)
    made.deliver(notice())

    assert len(simulator.incidents) == 1


# -- opened once --------------------------------------------------------------------------------------------------


def test_an_insert_that_landed_twice_is_made_one_at_once_and_counted(simulator: ServiceNowSimulator) -> None:
    simulator.twice = 1
    made = channel("servicenow", base_url=simulator.url, username="watchtower", password="itil-password")
    told = made.deliver(notice())

    assert (told.provider_id, told.duplicates) == ("servicenow:INC0000001", 1)
    assert [row.columns["state"] for row in simulator.incidents] == ["1", "6"]
    assert simulator.incidents[1].notes[0].startswith("Duplicate of ticket INC0000001: http")
    assert simulator.incidents[0].notes == []


def test_an_import_set_that_coalesces_makes_one_of_two_inserts(simulator: ServiceNowSimulator) -> None:
    login = {"username": "watchtower", "password": "itil-password", "import_set": STAGING}
    made = channel("servicenow", base_url=simulator.url, **login)
    simulator.twice = 1
    told = made.deliver(notice())

    assert (told.provider_id, told.duplicates) == ("servicenow:INC0000001", 0)
    assert len(simulator.incidents) == 1


@pytest.mark.parametrize("fault", lost_answers.LOST, ids=str)
def test_an_end_whose_answer_was_lost(fault: Fault, bench: Bench, simulator: ServiceNowSimulator) -> None:
    lost_answers.an_end_is_found_and_not_repeated(bench, simulator.fail_next, fault)


def test_a_record_whose_end_was_lost(bench: Bench, simulator: ServiceNowSimulator) -> None:
    lost_answers.a_record_that_was_opened_and_not_yet_resolved_is_completed(bench, simulator.fail_next)


def test_an_import_that_failed_is_not_taken_for_a_ticket(simulator: ServiceNowSimulator) -> None:
    """It is answered with 201."""
    simulator.fails_import = True
    login = {"username": "watchtower", "password": "itil-password", "import_set": STAGING}
    with pytest.raises(Permanent, match=r"Invalid update.*check the transform map of u_watchtower_incident"):
        channel("servicenow", base_url=simulator.url, **login).deliver(notice())


def test_a_table_without_the_key_is_told_as_such(
    bench: Bench, simulator: ServiceNowSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Its first ticket reaches people; then the search shows that its condition was left out."""
    simulator.lacks_key = True
    with caplog.at_level(logging.ERROR):
        bench.tell(notice(), import_set="")
    assert "dropped the key" in caplog.text
    with pytest.raises(Permanent, match="use a table that extends task"):
        bench.tell(notice(episode="e2"), import_set="")

    assert len(simulator.incidents) == 1


# -- what the instance decides ------------------------------------------------------------------------------------


def test_a_state_that_a_rule_keeps_is_not_taken_for_done(bench: Bench, simulator: ServiceNowSimulator) -> None:
    ref = bench.tell(notice())
    simulator.keeps_state = True
    with pytest.raises(Permanent, match=r"the state of INC0000001 is '1', not '6'; check resolved_state"):
        bench.tell(all_resolved(ref=ref))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"close_code": ""}, "mandatory: Resolution code"), ({}, "aborted by Business Rule 'Check resolution code'")],
)
def test_what_a_policy_asks_for_is_told_in_its_words(
    options: dict[str, Any], said: str, bench: Bench, simulator: ServiceNowSimulator
) -> None:
    ref = bench.tell(notice())
    simulator.wants_code = "Repaired"
    with pytest.raises(Permanent, match=said) as caught:
        bench.tell(all_resolved(ref=ref), **options)
    assert (caught.value.reason, "close_code" in str(caught.value)) == (Reason.REJECTED, True)
    bench.tell(all_resolved(ref=ref), close_code="Repaired")
    assert simulator.incidents[0].columns["state"] == "6"


def test_whom_a_rule_assigns_has_not_taken_what_is_still_new(bench: Bench, simulator: ServiceNowSimulator) -> None:
    simulator.assigns = "f" * 32
    ref = bench.tell(notice())
    bench.tell(all_resolved(ref=ref))

    assert simulator.incidents[0].columns["state"] == "6"


def test_what_ended_without_a_solution_is_not_reopened(bench: Bench, simulator: ServiceNowSimulator) -> None:
    ref = bench.tell(notice())
    simulator.person(ref["ticket"], status="resolved")
    simulator.incidents[0].columns["close_code"] = "No resolution provided"
    bench.tell(notice(episode="e2", previous_ref=ref))

    assert [row.columns["state"] for row in simulator.incidents] == ["6", "1"]


def test_new_alerts_of_an_episode_whose_incident_is_closed_open_a_follow_up(
    bench: Bench, simulator: ServiceNowSimulator
) -> None:
    ref = bench.tell(notice())
    simulator.incidents[0].columns["state"] = "7"
    bench.tell(notice(reason=NoticeReason.REPEAT, seq=2, ref=ref))
    assert len(simulator.incidents) == 1

    grown = notice(alert(), late(), reason=NoticeReason.NEW_ALERTS, seq=3, ref=ref)
    ref = bench.tell(grown)
    bench.tell(all_resolved(seq=4, ref=ref))
    assert ref["ticket"] == "INC0000002"
    assert [row.columns["state"] for row in simulator.incidents] == ["7", "6"]
    assert "Follow-up of ticket INC0000001" in simulator.incidents[1].columns["description"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"assignment_group": "Nobody"}, "no row of sys_user_group that this account sees has name 'Nobody'"),
        ({"cmdb_ci": "twin"}, "2 rows of cmdb_ci have name 'twin'; give its sys_id as cmdb_ci"),
        ({"table": "nothing"}, "Invalid table"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(
    options: dict[str, Any], named: str, bench: Bench, simulator: ServiceNowSimulator
) -> None:
    with pytest.raises(Permanent, match=named):
        bench.tell(notice(), **options)
    assert simulator.incidents == []


def test_a_reference_is_looked_up_once(bench: Bench, simulator: ServiceNowSimulator) -> None:
    made = bench.make(assignment_group="Data platform", cmdb_ci="f" * 32)
    made.deliver(notice())
    made.deliver(notice(episode="e2"))

    asked = [request.path for request in simulator.requests if request.path.endswith(("sys_user_group", "cmdb_ci"))]
    assert asked == ["/api/now/table/sys_user_group"]


def test_a_key_with_an_operator_cannot_leave_its_place_in_the_query(
    bench: Bench, simulator: ServiceNowSimulator
) -> None:
    bench.tell(notice(episode_key="x^ORactive=true", key="k^"))

    queries = [request.query["sysparm_query"] for request in simulator.requests if "sysparm_query" in request.query]
    assert queries
    assert not any("active" in query or query.count("^") > 1 for query in queries)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"username": ""}, "one login"),
        ({"password": None}, "password: needed"),
        ({"http_config": {"authorization": {"credentials": "x"}}}, "one login"),
        ({"table": "Incident; drop"}, "as ServiceNow's tables have it"),
        ({"assignment_group": "x^active=true"}, "give the sys_id"),
        ({"assignment_group": "{{ .x }}"}, "Go template"),
        ({"fields": {"correlation_id": "x"}}, "not set by fields"),
        ({"fields": {"category": "{{ .x }}"}}, "Go template"),
        ({"impact": {"urgent": 1}}, "page"),
    ],
)
def test_a_faulty_config_is_refused_with_the_remedy(change: dict[str, Any], named: str) -> None:
    base = {"base_url": "https://acme.service-now.com", "username": "u", "password": "p"}
    given = {name: value for name, value in {**base, **change}.items() if value not in (None, "")}
    with pytest.raises(ValidationError, match=named):
        ServiceNowConfig.model_validate(given)
