"""How an issue of Jira is resolved and opened again: by what its workflow offers at that moment."""

import pytest

from tests.alerting.notices import all_resolved, notice
from tests.alerting.tickets.cases import Bench
from tests.simulators.faults import Fault
from tests.simulators.jira import JiraSimulator
from watchtower.errors import Permanent, Transient


def test_a_service_project_is_resolved_with_the_resolution_that_it_requires(
    bench: Bench, simulator: JiraSimulator
) -> None:
    service = {"project": "HELP", "issue_type": "[System] Incident", "fields": {"customfield_10010": "12"}}
    ref = bench.tell(notice(), **service)
    bench.tell(all_resolved(ref=ref), **service)
    [issue] = simulator.issues
    assert (issue.status, issue.resolution) == ("Resolved", "Done")

    bench.tell(notice(episode="e2", previous_ref=ref), **service)
    assert (issue.status, issue.resolution, len(simulator.issues)) == ("In Progress", None, 1)


def test_a_done_issue_without_a_resolution_is_not_opened_a_second_time(bench: Bench, simulator: JiraSimulator) -> None:
    """Alertmanager #4295."""
    ref = bench.tell(notice())
    bench.tell(all_resolved(ref=ref))
    assert (simulator.issues[0].status, simulator.issues[0].resolution) == ("Done", None)
    bench.tell(notice(episode="e2", previous_ref=ref))

    assert [issue.status for issue in simulator.issues] == ["To Do"]


def test_a_transition_that_is_not_offered_is_answered_by_those_that_are(bench: Bench, simulator: JiraSimulator) -> None:
    ref = bench.tell(notice())
    with pytest.raises(Permanent, match=r"no transition 'Fertig'; from here it has: 'Start' to 'In Progress'; 'Done'"):
        bench.tell(all_resolved(ref=ref), resolve_transition="Fertig")

    assert (simulator.issues[0].status, simulator.issues[0].comments) == ("To Do", [])


def test_where_the_choice_is_open_it_is_asked_for(bench: Bench, simulator: JiraSimulator) -> None:
    ref = bench.tell(notice(), project="ODD")
    with pytest.raises(
        Permanent, match=r"'Abnehmen' to 'Abgenommen'; 'Ablehnen' to 'Abgelehnt'; set resolve_transition"
    ):
        bench.tell(all_resolved(ref=ref), project="ODD")
    bench.tell(all_resolved(ref=ref), project="ODD", resolve_transition="abnehmen")

    assert simulator.issues[0].status == "Abgenommen"


def test_a_state_without_a_way_out_is_named(bench: Bench) -> None:
    ref = bench.tell(notice(), project="STUCK")
    with pytest.raises(Permanent, match=r"from here it has: none at all.*Transition Issues"):
        bench.tell(all_resolved(ref=ref), project="STUCK")


def test_a_resolution_that_does_not_exist_is_answered_by_those_that_do(bench: Bench) -> None:
    service = {"project": "HELP", "issue_type": "[System] Incident"}
    ref = bench.tell(notice(), **service)
    with pytest.raises(Permanent, match="set resolution to one of: Done, Won't Do, Duplicate"):
        bench.tell(all_resolved(ref=ref), **service, resolution="Repaired")


@pytest.mark.parametrize("fault", [Fault.ACCEPT_THEN_RESET, Fault.ACCEPT_THEN_500], ids=str)
def test_a_resolve_that_broke_after_the_transition_is_completed_by_its_comment(
    fault: Fault, bench: Bench, simulator: JiraSimulator
) -> None:
    ref = bench.tell(notice())
    simulator.fail_next(fault)
    ended = all_resolved(ref=ref)
    with pytest.raises(Transient):
        bench.tell(ended)
    assert (simulator.issues[0].status, simulator.issues[0].comments) == ("Done", [])
    assert bench.make().look_up(ended) is None
    bench.tell(ended)
    bench.tell(ended)

    assert (simulator.issues[0].status, len(simulator.issues[0].comments)) == ("Done", 1)
