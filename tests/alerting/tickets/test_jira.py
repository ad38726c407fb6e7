"""Jira on its simulator, Cloud and Data Center: the common cases, and what only Jira does."""

import json
import logging
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alerting.escaping import clean
from alerting.tickets.jira import Jira, JiraConfig
from alerting.tickets.jira_text import MAX_FIELD, document, wiki
from tests.alerting.desks import channel, context
from tests.alerting.notices import NOW, alert, all_resolved, late, notice
from tests.alerting.tickets.cases import CASES, Bench, Seen
from tests.simulators.faults import Fault
from tests.simulators.http import Recorded, Reply
from tests.simulators.jira import BEARER, Issue, JiraSimulator, is_document, plain
from watchtower.clock import ManualClock
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import NoticeReason
from watchtower.ports import Channel, HttpAnswer, HttpClient

SEVERITIES = {"High": "page", "Medium": "ticket", "Low": "info"}
LOGIN = {"basic_auth": {"username": "bot@example.com", "password": "api-token"}}
WRONG = {"http_config": {"basic_auth": {"username": "bot@example.com", "password": "wrong-password"}}}
WEAK = {"http_config": {"basic_auth": {"username": "guest@example.com", "password": "guest-token"}}}


class SimulatedDesk:
    def __init__(self, simulator: JiraSimulator) -> None:
        self.simulator = simulator

    def tickets(self, episode: str) -> list[Seen]:
        return [_seen(row) for row in self.simulator.issues if episode in row.fields["labels"] and not row.deleted]

    def seen(self, ticket_id: str) -> Seen:
        row = self.simulator.issue(ticket_id)
        assert row is not None
        return _seen(row)

    def person(self, ticket_id: str, *, status: str | None = None, owner: str | None = None) -> None:
        self.simulator.person(ticket_id, status=status, owner=owner)

    def copy(self, ticket_id: str) -> str:
        row = self.simulator.issue(ticket_id)
        assert row is not None
        number, copied = len(self.simulator.issues) + 1, dict(row.properties)
        second = Issue(
            10_000 + number,
            f"OPS-{number}",
            "OPS",
            dict(row.fields),
            copied,
            row.status,
            row.creator,
            None,
            row.seen_at,
            row.indexed_labels,
        )
        self.simulator.issues.append(second)
        return second.key


def _seen(row: Issue) -> Seen:
    ended = "rejected" if row.resolution == "Won't Do" else "resolved"
    status = "open" if row.status in ("To Do", "Open", "In Progress") else ended
    severity = SEVERITIES[row.fields.get("priority", {"name": "Low"})["name"]]
    return Seen(row.key, row.fields["summary"], status, severity, tuple(row.texts))


def options_of(simulator: JiraSimulator, project: str = "OPS", **options: Any) -> dict[str, Any]:
    kind = "cloud" if simulator.cloud else "datacenter"
    base = {"api_url": f"{simulator.url}/rest/api/2/", "api_type": kind, "project": project, "issue_type": "Task"}
    return {**base, "http_config": LOGIN, **options}


def bench_of(simulator: JiraSimulator) -> Bench:
    def make(**options: Any) -> Channel:
        clock = ManualClock(NOW)
        clock.advance(1)
        return channel("jira", clock, **options_of(simulator, **options))

    return Bench("jira", make, SimulatedDesk(simulator), "/browse/{id}", WRONG, WEAK)


@pytest.fixture(params=[True, False], ids=["cloud", "datacenter"])
def simulator(request: pytest.FixtureRequest) -> Generator[JiraSimulator]:
    with JiraSimulator(NOW, cloud=request.param) as made:
        yield made


@pytest.fixture
def cloud() -> Generator[JiraSimulator]:
    with JiraSimulator(NOW) as made:
        yield made


@pytest.fixture
def bench(simulator: JiraSimulator) -> Bench:
    return bench_of(simulator)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_on_the_simulator(case: Callable[[Bench, str], None], bench: Bench) -> None:
    case(bench, "e1")


# -- what is sent -------------------------------------------------------------------------------------------------


def test_an_issue_shows_what_a_fixer_needs(bench: Bench, simulator: JiraSimulator) -> None:
    bench.tell(notice(), labels=["watchtower"], components=["pipelines"], fields={"customfield_10042": {"value": "x"}})

    [issue] = simulator.issues
    text = plain(issue.fields["description"])
    for told in (
        "Attempt: 3 of 3",
        "ZeroDivisionError: division by zero",
        'File "orders.py", line 7, in load',
        "https://airflow.example.com/dags/orders_daily/runs/1/tasks/load?try=3",
        "https://wiki.example.com/runbooks/orders",
        "https://watchtower.example.com/incidents/inc-7",
        "data-lead",
    ):
        assert told in text
    assert issue.fields["labels"] == ["watchtower", "wt-e1"]
    assert issue.fields["components"] == [{"name": "pipelines"}]
    assert issue.fields["customfield_10042"] == {"value": "x"}
    assert issue.properties == {"watchtower": {"notice": "wt-e1-1"}}


def test_addresses_are_links_and_a_trace_is_code_in_a_document(cloud: JiraSimulator) -> None:
    bench_of(cloud).tell(notice())

    nodes = cloud.issues[0].fields["description"]["content"]
    links = [
        mark["attrs"]["href"] for node in nodes for inner in node["content"] for mark in inner.get("marks", ())
        if mark["type"] == "link"
    ]  # fmt: skip
    assert "https://wiki.example.com/runbooks/orders" in links
    [code] = [node for node in nodes if node["type"] == "codeBlock"]
    assert code["content"][0]["text"].endswith("ZeroDivisionError: division by zero")
    assert '\n  File "orders.py"' in code["content"][0]["text"]


def test_data_can_form_no_markup_in_wiki_text() -> None:
    odd = "{code} [~root] !x.png! h1. *b* -- |t| {noformat} [x|javascript:alert(1)] &lt; \\\\"
    with JiraSimulator(NOW, cloud=False) as simulator:
        bench_of(simulator).tell(notice(alert(annotations={"summary": odd}, evidence={"error": odd, "stack": odd})))
        text = simulator.issues[0].fields["description"]

    outside = "".join(text.split("{noformat}\n")[0::2])
    assert text.count("{noformat}") == 2
    assert not any(sign in outside for sign in ("{", "[~", "!x", "|t", "[x|", "&lt;", "\\"))
    assert "&#91;&#126;root&#93;" in outside


def test_the_longest_notice_fits_into_a_field(bench: Bench, simulator: JiraSimulator) -> None:
    errors = [{"task": f"t{number}", "error": "[*{!" * 100} for number in range(60)]
    stack = "\n".join(["[*{ ü"] * 5000)
    many = [alert(f"orders_{number}", evidence={"tasks": errors, "stack": stack}) for number in range(60)]
    bench.tell(notice(*many))

    assert len(plain(simulator.issues[0].fields["description"])) > 2_000


@pytest.mark.parametrize("text", ["[{*" * 9_000, "\n".join(["a", "    b"] * 2_500), "ü\n\n" * 5_000])
def test_markup_that_grows_is_cut_to_what_a_field_takes(text: str) -> None:
    assert len(wiki(text)) <= MAX_FIELD
    assert 1000 < len(json.dumps(document(text), ensure_ascii=False)) <= MAX_FIELD


@given(st.text(alphabet=st.sampled_from("ab {}[]*_-\n#:!|\\&;()~h1.q?/") | st.characters(codec="utf-8"), max_size=300))
def test_any_text_is_a_document_that_jira_takes_and_reads_as_it_was(text: str) -> None:
    text = clean(text)
    assert is_document(document(text))
    assert _words(plain(document(text))) == _words(text)
    assert _words(plain(wiki(text))) == _words(text.replace("{noformat", "{ noformat"))


def _words(text: str) -> str:
    return "".join(text.split())


def test_comments_are_for_the_team_unless_configured_otherwise(cloud: JiraSimulator) -> None:
    bench = bench_of(cloud)
    ref = bench.tell(notice())
    bench.tell(notice(reason=NoticeReason.REPEAT, seq=2, ref=ref))
    bench.tell(notice(reason=NoticeReason.REPEAT, seq=3, ref=ref), public_comments=True)

    shown = [{item["key"]: item["value"] for item in each["properties"]} for each in cloud.issues[0].comments]
    assert [each.get("sd.public.comment") for each in shown] == [{"internal": True}, None]
    assert [each["watchtower"] for each in shown] == [{"notice": "wt-e1-2"}, {"notice": "wt-e1-3"}]


def test_a_bearer_token_is_as_good_as_a_password() -> None:
    with JiraSimulator(NOW, cloud=False) as simulator:
        bench_of(simulator).tell(notice(), http_config={"authorization": {"credentials": BEARER}})
        assert len(simulator.issues) == 1


# -- transitions --------------------------------------------------------------------------------------------------


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


# -- a search that is late ----------------------------------------------------------------------------------------


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


# -- people and projects ------------------------------------------------------------------------------------------


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


# -- configuration ------------------------------------------------------------------------------------------------

BASE = {"api_url": "https://acme.atlassian.net", "project": "OPS", "issue_type": "Task", "http_config": LOGIN}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"http_config": {}}, "a login is needed"),
        ({"project": "{{ .x }}"}, "Go template"),
        ({"project": "a b"}, "key of a project"),
        ({"issue_type": "{{ .x }}"}, "Go template"),
        ({"labels": ["a b"]}, "holds no blanks"),
        ({"fields": {"labels": ["x"]}}, "use the key labels"),
        ({"fields": {"summary": "x"}}, "own text"),
        ({"fields": {"customfield_1": {"value": ["{{ .x }}"]}}}, "customfield_1 holds a Go template"),
        ({"reopen_duration": "1d", "reopen_within": "2d"}, "keep one"),
        ({"priorities": {"urgent": "High"}}, "page"),
        ({"api_type": "server"}, "datacenter"),
    ],
)
def test_a_faulty_config_is_refused_with_the_remedy(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        JiraConfig.model_validate({**BASE, **change})


def test_what_alertmanager_s_file_says_is_kept_or_named() -> None:
    config = JiraConfig.model_validate(
        {
            **BASE,
            "api_url": "https://acme.atlassian.net/rest/api/2/",
            "send_resolved": True,
            "summary": {"template": '{{ template "jira.default.summary" . }}', "enable_update": True},
            "description": '{{ template "jira.default.description" . }}',
            "priority": '{{ template "jira.default.priority" . }}',
            "labels": ["alertmanager", "{{ .CommonLabels.team }}"],
            "reopen_transition": "Reopen",
            "resolve_transition": "Done",
            "wont_fix_resolution": "Won't do",
            "reopen_duration": "10d",
        }
    )

    assert [warning.path for warning in config.warnings()] == ["description", "summary", "labels", "priority"]
    assert (config.reopen_within, config.wont_fix_resolution, config.plain_labels) == (
        864_000,
        ("Won't do",),
        ("alertmanager",),
    )


@pytest.mark.parametrize(
    ("url", "kind", "cloud"),
    [
        ("https://acme.atlassian.net/rest/api/2/", "auto", True),
        ("https://api.atlassian.com/ex/jira/1-2/rest/api/3", "auto", True),
        ("https://jira.example.com/rest/api/2", "auto", False),
        ("https://jira.example.com/jira", "auto", False),
        ("https://jira.example.com", "cloud", True),
        ("https://acme.atlassian.net", "datacenter", False),
    ],
)
def test_the_kind_of_jira_follows_from_its_address(url: str, kind: str, cloud: bool) -> None:
    config = JiraConfig.model_validate({**BASE, "api_url": url, "api_type": kind})
    assert (config.is_cloud, "/rest/api" in config.root) == (cloud, False)
