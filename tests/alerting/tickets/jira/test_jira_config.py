"""What may be configured for Jira, and what Alertmanager's file may say of it."""

from typing import Any

import pytest
from pydantic import ValidationError

from alerting.tickets.jira import JiraConfig
from tests.alerting.tickets.jira.benches import BASE


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
