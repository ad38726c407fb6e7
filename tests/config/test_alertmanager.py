"""Alertmanager's own keys keep Alertmanager's meaning and defaults: an existing file can be pasted in."""

from pathlib import Path

import pytest

from watchtower.config import Config, examine, load, load_text
from watchtower.config.alerting import Route, TimeRange
from watchtower.config.intervals import day_range, minute_of
from watchtower.errors import BadInput
from watchtower.model.alert import Severity

EXAMPLES = Path(__file__).parents[2] / "examples"


def route_of(text: str) -> Route:
    return load_text(f"receivers: [{{name: a}}, {{name: b}}]\n{text}").route


def test_the_example_of_its_documentation_loads_and_names_what_is_not_honoured() -> None:
    config = load(EXAMPLES / "alertmanager.yaml")
    assert [(warning.line, warning.path) for warning in config.warnings] == [
        (6, "global.smtp_auth_password"),
        (7, "templates"),
        (20, "route.routes[0].routes[0].matchers"),
        (33, "inhibit_rules[0].source_matchers"),
        (34, "inhibit_rules[0].target_matchers"),
        (51, "receivers[0].email_configs[0].html"),
        (63, "receivers[2].webhook_configs[0].http_config.authorization.credentials"),
    ]
    assert 'write severity="page"' in str(config.warnings[2])
    assert list(config.receivers) == ["team-X-mails", "team-Y-mails", "team-X-hooks", "local"]
    mail, hook = (config.receivers[name].destinations[0] for name in ("team-Y-mails", "team-X-hooks"))
    assert (mail.name, mail.send_resolved, mail.options.smarthost) == ("team-Y-mails/email[0]", True, "localhost:25")
    assert config.receivers["team-X-mails"].destinations[0].send_resolved is False
    assert (hook.options.max_alerts, hook.options.timeout, hook.send_resolved) == (10, 5.0, True)
    assert hook.options.http_config.authorization.credentials.reveal() == "hunter2"


def test_waits_have_the_defaults_of_alertmanager() -> None:
    route = route_of("route: {receiver: a}")
    assert (route.group_wait_s, route.group_interval_s, route.repeat_interval_s) == (30, 300, 14_400)
    assert (route.group_by, route.continue_, route.page_at_once) == ((), False, False)


def test_children_inherit_all_but_the_intervals_and_continue() -> None:
    root = route_of(
        """
time_intervals: [{name: n}]
route:
  receiver: a
  group_by: [x]
  group_wait: 1s
  routes:
    - {match: {k: v}, mute_time_intervals: [n], continue: true, group_wait: 0s, routes: [{receiver: b, group_by: []}]}
"""
    )
    child = root.routes[0]
    grandchild = child.routes[0]
    assert (child.receiver, child.group_by, child.group_wait_s, child.continue_) == ("a", ("x",), 0, True)
    assert child.mute_time_intervals == ("n",)
    assert (grandchild.receiver, grandchild.group_by, grandchild.group_wait_s) == ("b", (), 0)
    assert (grandchild.mute_time_intervals, grandchild.continue_) == ((), False)
    assert grandchild.path == "route.routes[0].routes[0]"


def test_the_three_ways_to_write_matchers_are_one() -> None:
    text = 'routes: [{matchers: [\'a="1"\', \'{b!="2", c=~"x|y"}\'], match: {d: 3}, match_re: {e: z.*}}]'
    child = route_of(f"route: {{receiver: a, {text}}}").routes[0]
    assert [str(matcher) for matcher in child.matchers] == ['a="1"', 'b!="2"', 'c=~"x|y"', 'd="3"', 'e=~"z.*"']


def test_without_a_route_everything_goes_to_local_and_pages_at_once() -> None:
    config = Config()
    for each in (config, load_text("")):
        assert (each.route.receiver, each.route.page_at_once, each.has_file_route) == ("local", True, False)
    destination = load_text("").receivers["local"].destinations[0]
    assert (destination.name, destination.kind) == ("local", "local")


def test_a_route_can_name_the_built_in_receiver() -> None:
    config = load_text("route: {receiver: local}")
    assert (config.has_file_route, config.receivers["local"].destinations[0].kind) == (True, "local")


def test_inhibit_rules_read_the_older_keys_too() -> None:
    text = "inhibit_rules: [{source_match: {a: b}, target_match_re: {c: d|e}, target_matchers: [f!=g], equal: [h]}]"
    rule = load_text(text).inhibit_rules[0]
    assert ([str(m) for m in rule.source], [str(m) for m in rule.target]) == (['a="b"'], ['f!="g"', 'c=~"d|e"'])
    assert rule.equal == ("h",)


def test_the_whole_grammar_of_time_intervals() -> None:
    config = load_text(
        """
mute_time_intervals:
  - {name: old, time_intervals: [{years: ['2026:2027', 2030]}]}
time_intervals:
  - name: whole
    time_intervals:
      - times: [{start_time: 09:00, end_time: 17:30}, {start_time: "00:00", end_time: "24:00"}]
        weekdays: ['monday:friday', Sunday]
        days_of_month: ['1:5', '-3:-1', 15, '1:-1']
        months: ['may:august', december, '1:3', 4]
        location: Europe/Berlin
      - {}
"""
    )
    assert config.time_intervals["old"].ranges == (TimeRange(years=((2026, 2027), (2030, 2030))),)
    whole, anything = config.time_intervals["whole"].ranges
    assert whole == TimeRange(
        minutes=((540, 1050), (0, 1440)),
        weekdays=((1, 5), (0, 0)),
        days_of_month=((1, 5), (-3, -1), (15, 15), (1, -1)),
        months=((5, 8), (12, 12), (1, 3), (4, 4)),
        zone="Europe/Berlin",
    )
    assert anything == TimeRange()


@pytest.mark.parametrize("text", ["0", "32", "-32", "-1:1", "5:1", "-1:-5", "1:2:3", "x", "", "1:"])
def test_days_that_alertmanager_refuses_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        day_range(text)


@pytest.mark.parametrize("text", ["24:01", "9:00", "12:60", "12", "", "25:00", "12:00:00"])
def test_times_that_alertmanager_refuses_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        minute_of(text)


def test_global_gives_defaults_that_a_receiver_can_override() -> None:
    text = """
global: {slack_api_url: "https://hooks.slack.com/services/a", http_config: {tls_config: {ca_file: ca.pem}}}
receivers:
  - name: a
    slack_configs:
      - {channel: "#one"}
      - {app_token: "env:TOKEN", channel: "#two"}
      - {channel: "#three", http_config: {tls_config: {ca_file: /etc/other.pem}}}
route: {receiver: a}
"""
    one, two, three = (each.options for each in load_text(text, Path("/srv/watchtower")).receivers["a"].destinations)
    assert one.api_url.reveal() == "https://hooks.slack.com/services/a"
    assert one.http_config.tls_config.ca_file == "/srv/watchtower/ca.pem"
    assert (two.api_url, three.http_config.tls_config.ca_file) == (None, "/etc/other.pem")


def test_a_fault_in_global_is_told_once_at_its_own_line() -> None:
    text = """global:
  slack_api_url: 7
receivers:
  - {name: a, slack_configs: [{channel: "#one"}, {channel: "#two"}]}
route: {receiver: a}
"""
    assert [(fault.line, fault.path) for fault in examine(text).faults] == [(2, "global.slack_api_url")]


def test_resolve_timeout_and_settings_of_foreign_providers() -> None:
    config = load_text("global: {resolve_timeout: 10m, opsgenie_api_url: 'https://api.example.com'}")
    assert config.global_.resolve_timeout_s == 600
    assert [warning.path for warning in config.warnings] == ["global.opsgenie_api_url"]


def test_secrets_of_receivers_are_read_through_the_file_s_own_folder(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("https://hooks.example.com/x\n")
    text = "receivers: [{name: a, webhook_configs: [{url: 'file:hook'}, {url_file: hook}]}]\nroute: {receiver: a}"
    checked = examine(text, tmp_path)
    assert checked.config is not None
    assert checked.config.receivers["a"].destinations[0].options.url.reveal() == "https://hooks.example.com/x"
    assert [(each.reference, each.line) for each in checked.references] == [("file:hook", 1), ("file:hook", 1)]


def test_words_of_other_tools_are_mapped_to_severities() -> None:
    config = load_text("severity_map: {P1: page, sev3: info}\nrules: [{alert: a, kind: orphan, severity: critical}]")
    words = ("page", "critical", "warning", "p1", "SEV3", "none")
    assert [config.severity(word) for word in words] == [
        *(Severity.PAGE, Severity.PAGE, Severity.TICKET, Severity.PAGE, Severity.INFO, None),
    ]
    assert config.declared_rules[0].severity is Severity.PAGE


def test_a_jira_receiver_is_taken_as_it_is_and_what_is_not_honoured_is_named() -> None:
    config = load_text(
        """
route: {receiver: a}
global: {jira_api_url: "https://acme.atlassian.net/rest/api/2/"}
receivers:
  - name: a
    jira_configs:
      - project: OPS
        issue_type: Bug
        summary: '{{ template "jira.default.summary" . }}'
        priority: '{{ template "jira.default.priority" . }}'
        labels: [alertmanager, '{{ .CommonLabels.team }}']
        resolve_transition: Done
        reopen_duration: 10d
        wont_fix_resolution: Won't Do
        fields: {components: [{name: Monitoring}], customfield_10001: Random}
        http_config: {basic_auth: {username: bot, password: env:JIRA_TOKEN}}
"""
    )
    assert [(warning.line, warning.path.rpartition(".")[2]) for warning in config.warnings] == [
        (9, "summary"),
        (10, "priority"),
        (11, "labels"),
    ]
    [jira] = config.receivers["a"].destinations
    assert (jira.name, jira.send_resolved, jira.options.reopen_within) == ("a/jira[0]", True, 864_000)
    assert jira.options.root == "https://acme.atlassian.net"
