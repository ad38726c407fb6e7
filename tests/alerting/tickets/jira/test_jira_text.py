"""What an issue of Jira shows: a document on Cloud, wiki text on Data Center, whatever the data holds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.escaping import clean
from alerting.tickets.jira_text import MAX_FIELD, document, wiki
from tests.alerting.notices import NOW, alert, notice
from tests.alerting.tickets.cases import Bench
from tests.alerting.tickets.jira.benches import bench_of
from tests.simulators.jira import BEARER, JiraSimulator, is_document, plain
from watchtower.model.alert import NoticeReason


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
