"""Jira on its simulator, Cloud and Data Center: the common cases, and what only Jira does."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from alerting.tickets.jira import Jira, JiraConfig
from tests.alerting.desks import channel, context
from tests.alerting.notices import NOW, alert, all_resolved, late, notice
from tests.alerting.tickets.cases import CASES, Bench
from tests.alerting.tickets.jira.benches import BASE, bench_of, options_of
from tests.simulators.faults import Fault
from tests.simulators.http import Recorded, Reply
from tests.simulators.jira import JiraSimulator
from watchtower.clock import ManualClock
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import NoticeReason
from watchtower.ports import HttpAnswer, HttpClient


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_on_the_simulator(case: Callable[[Bench, str], None], bench: Bench) -> None:
    case(bench, "e1")


# -- a search that is late --------------------------------------------------------------------------------------------


def test_an_issue_whose_answer_was_lost_is_found_once_the_search_knows_it() -> None:
    clock = ManualClock(NOW)
    with JiraSimulator(NOW, clock=clock, lag_s=119) as simulator:
        made = channel("jira", clock, **options_of(simulator))
        simulator.fail_next(Fault.ACCEPT_THEN_500)
        with pytest.raises(Transient) as caught:
            made.deliver(notice())
        assert caught.value.outcome_unknown
        assert made.look_up(notice()) is None
        clock.advance(made.settle_s)
        found = made.look_up(notice())

    assert found is not None
    assert (found.provider_id, len(simulator.issues)) == ("jira:OPS-1", 1)


def test_a_record_that_was_opened_and_not_resolved_waits_for_the_search() -> None:
    """It must not be opened again by a retry that the search is too late for."""
    story = all_resolved(late(), reason=NoticeReason.FIRED_AND_RESOLVED, seq=1)
    clock = ManualClock(NOW)
    with JiraSimulator(NOW, clock=clock, lag_s=90) as simulator:
        made = channel("jira", clock, **options_of(simulator))
        simulator.fail_next(None, Fault.RATE_LIMITED_SECONDS)
        with pytest.raises(Transient) as caught:
            made.deliver(story)
        assert (caught.value.outcome_unknown, caught.value.retry_after_s) == (True, 7)
        clock.advance(made.settle_s)
        assert made.look_up(story) is not None

    assert [(issue.status, len(issue.comments)) for issue in simulator.issues] == [("Done", 1)]


def test_what_the_search_still_shows_is_read_anew(bench: Bench, simulator: JiraSimulator) -> None:
    """Its index is late with changes, too: a person took the label off."""
    bench.tell(notice())
    simulator.issues[0].fields["labels"] = ["wt-e1x"]
    assert bench.make().look_up(notice()) is None


def test_a_late_index_does_not_bring_back_what_was_deleted(bench: Bench, simulator: JiraSimulator) -> None:
    bench.tell(notice())
    simulator.person("OPS-1", status="deleted")

    assert bench.make().look_up(notice()) is None


# -- people and projects ----------------------------------------------------------------------------------------------


def test_whom_jira_assigns_by_itself_has_not_taken_the_issue(bench: Bench, simulator: JiraSimulator) -> None:
    ref = bench.tell(notice(), project="LEAD")
    assert simulator.issues[0].assignee == "lead"
    bench.tell(all_resolved(ref=ref), project="LEAD")

    assert simulator.issues[0].status == "Done"


def test_a_project_without_priorities_gets_its_issue(
    bench: Bench, simulator: JiraSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ref = bench.tell(notice(late()), project="PLAIN")
        bench.tell(notice(alert(), late(), reason=NoticeReason.NEW_ALERTS, seq=2, ref=ref), project="PLAIN")

    assert [len(issue.comments) for issue in simulator.issues] == [1]
    assert caplog.text.count("did not take the priority") == 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"project": "NOWHERE"}, "valid project is required; check project and issue_type"),
        ({"issue_type": "Epic"}, "valid issue type; check project and issue_type"),
        ({"project": "BARE"}, "labels: .*create screen"),
        ({"fields": {"customfield_1": "x"}}, "customfield_1.*set what Jira asks for by fields"),
        ({"components": ["nothing"]}, "Component name .*nothing"),
    ],
)
def test_what_jira_refuses_is_told_in_its_words(options: dict[str, Any], named: str, bench: Bench) -> None:
    with pytest.raises(Permanent, match=named):
        bench.tell(notice(), **options)
    assert bench.desk.tickets("wt-e1") == []


def test_a_long_conversation_is_read_from_its_end(bench: Bench) -> None:
    ref = bench.tell(notice())
    made = bench.make()
    for number in range(2, 60):
        made.deliver(notice(reason=NoticeReason.REPEAT, seq=number, ref=ref))

    assert made.look_up(notice(reason=NoticeReason.REPEAT, seq=3, ref=ref)) is not None
    assert made.look_up(notice(reason=NoticeReason.REPEAT, seq=60, ref=ref)) is None


def test_a_key_with_a_quote_cannot_leave_its_place_in_the_query(bench: Bench, simulator: JiraSimulator) -> None:
    bench.tell(notice(episode_key='x" OR project = "OPS', key='k"'))

    queries = [request.query["jql"] for request in simulator.requests if "jql" in request.query]
    assert queries
    assert all(query.count('"') == 2 for query in queries)


def test_a_login_that_jira_did_not_believe_is_no_empty_answer(
    bench: Bench, simulator: JiraSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jira can go on as nobody: then its search answers 200 and finds nothing, so that issues would be doubled."""
    nobody = Reply(200, json.dumps({"issues": []}).encode(), {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"})

    def answer(request: Recorded) -> Reply:
        return nobody

    monkeypatch.setattr(simulator, "answer", answer)
    with pytest.raises(Permanent, match="check the mail address and the token") as caught:
        bench.tell(notice())
    assert caught.value.reason is Reason.AUTH


def test_somebody_who_changes_the_issue_meanwhile_is_waited_for(
    bench: Bench, simulator: JiraSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = bench.tell(notice())
    real = simulator.answer

    def busy(request: Recorded) -> Reply:
        return Reply(409) if request.method == "POST" else real(request)

    monkeypatch.setattr(simulator, "answer", busy)
    with pytest.raises(Transient) as caught:
        bench.tell(all_resolved(ref=ref))
    assert not caught.value.outcome_unknown


def test_a_removed_api_is_given_up_with_its_address(cloud: JiraSimulator) -> None:
    """As it is where Cloud is taken for Data Center."""
    with pytest.raises(Permanent, match=r"jira GET search: HTTP 410.*check api_url"):
        bench_of(cloud).tell(notice(), api_type="datacenter")


def test_a_scoped_token_speaks_to_the_gateway_and_people_read_the_site(cloud: JiraSimulator) -> None:
    """The address of the gateway is asked for the site's once, before there is anything to lose."""
    config = JiraConfig.model_validate({**BASE, "api_url": "https://api.atlassian.com/ex/jira/1-2"})
    made = Jira(config, replace(context(), http=_Gateway(context().http, cloud.url)))
    opened = made.open(notice(), "subject", "text")

    assert opened.url == "https://acme.atlassian.net/browse/OPS-1"
    assert [request.path for request in cloud.requests] == ["/rest/api/3/serverInfo", "/rest/api/3/issue"]


class _Gateway:
    """Stands between: what is sent to Atlassian's gateway reaches the simulator."""

    def __init__(self, http: HttpClient, url: str) -> None:
        self._http, self._url = http, url

    def request(self, method: str, url: str, **options: Any) -> HttpAnswer:
        return self._http.request(
            method, self._url + url.removeprefix("https://api.atlassian.com/ex/jira/1-2"), **options
        )

    def check(self, url: str) -> None:
        self._http.check(url)
