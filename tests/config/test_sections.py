"""Rules, jobs, datasets, ownership and the plain sections: what the file says is what the program sees."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchtower.config import Config, examine, is_loopback, load, load_text, parse_listen, store_url
from watchtower.config.document import read
from watchtower.config.keys import KEYS, RESERVED
from watchtower.errors import BadInput
from watchtower.model.alert import Severity
from watchtower.model.companion import Companion
from watchtower.model.labels import all_match
from watchtower.model.run import DatasetRef, JobRef

EXAMPLES = Path(__file__).parents[2] / "examples"

PROD = "collectors: {openlineage: {sources: {airflow-prod: [prod]}}}\n"


def test_a_rule_has_the_shared_keys_and_the_options_of_its_kind() -> None:
    (rule,) = load_text(
        """
rules:
  - alert: OrdersLate
    kind: deadline
    match: {pipeline: orders_daily, namespace: ~prod-.*, task: [load, "check.all"], tag_tier: 1}
    finish_by: "07:00"
    timezone: Europe/Berlin
    for: 1m30s
    keep_firing_for: 5m
    severity: page
    labels: {region: eu}
    annotations: {summary: "{pipeline} is late"}
    runbook_url: https://wiki.example.com/late
"""
    ).declared_rules
    assert (rule.name, rule.kind, rule.for_s, rule.keep_firing_for_s) == ("OrdersLate", "deadline", 90, 300)
    assert (rule.severity, rule.labels, rule.declared) == (Severity.PAGE, {"region": "eu"}, True)
    assert rule.annotations == {"summary": "{pipeline} is late"}
    assert (rule.options.finish_by.hour, rule.options.timezone) == (7, "Europe/Berlin")
    labels = {"pipeline": "orders_daily", "namespace": "prod-eu", "task": "check.all", "tag_tier": "1"}
    assert all_match(rule.matchers, labels)
    assert not all_match(rule.matchers, {**labels, "task": "checkXall"})
    assert not all_match(rule.matchers, {**labels, "namespace": "my-prod-eu"})


def test_a_text_alone_matches_the_pipeline() -> None:
    (rule,) = load_text("rules: [{alert: a, kind: orphan, match: ~orders_.*}]").declared_rules
    assert [str(matcher) for matcher in rule.matchers] == ['pipeline=~"orders_.*"']


def test_a_go_template_in_an_annotation_gives_way_to_the_default_text() -> None:
    text = 'rules:\n  - alert: a\n    kind: orphan\n    annotations: {summary: "{{ $labels.x }}", more: "{pipeline}"}'
    config = load_text(text)
    assert config.declared_rules[0].annotations == {"more": "{pipeline}"}
    assert [(warning.line, warning.path) for warning in config.warnings] == [(4, "rules[0].annotations.summary")]


ENTRY = "schedule: '0 5 * * *', timezone: Europe/Berlin, start_within: 10m, finish_within: 2h, team: d"


@pytest.mark.parametrize("text", [f"jobs: {{orders: {{{ENTRY}}}}}", f"jobs: [{{pipeline: orders, {ENTRY}}}]"])
def test_an_entry_of_jobs_is_a_subject_and_its_rules(text: str) -> None:
    config = load_text(PROD + text)
    (job,) = config.jobs
    assert job.ref == JobRef("airflow-prod", "prod", "orders")
    assert (job.schedule, job.timezone, job.start_within_s, job.finish_within_s) == (
        "0 5 * * *",
        "Europe/Berlin",
        600,
        7200,
    )
    missing, late = config.declared_rules
    assert (missing.name, missing.kind, missing.options.start_within) == ("RunMissing", "missing_run", 600)
    assert (late.name, late.kind, late.options.finish_within) == ("RunLate", "deadline", 7200)
    assert {rule.severity for rule in (missing, late)} == {Severity.TICKET}
    assert all_match(missing.matchers, {"pipeline": "orders", "namespace": "staging"})


def test_a_job_has_no_identity_before_its_namespace_is_known() -> None:
    assert load_text("jobs: {orders: {}}").jobs[0].ref is None
    assert load_text("jobs: {orders: {namespace: prod}}").jobs[0].ref == JobRef("openlineage:prod", "prod", "orders")
    two = "collectors: {openlineage: {sources: {a: [x], b: [y]}}}\n"
    assert load_text(two + "jobs: {orders: {}}").jobs[0].ref is None
    assert load_text(two + "jobs: {orders: {namespace: y}}").jobs[0].ref == JobRef("b", "y", "orders")
    assert load_text("jobs: [{match: {pipeline: ~o.*}, namespace: prod}]").jobs[0].ref is None


def test_an_exact_name_in_a_rule_is_a_subject_too() -> None:
    rules = """
rules:
  - {alert: a, kind: deadline, finish_by: "07:00", match: {pipeline: orders}}
  - {alert: b, kind: run_failure, match: {pipeline: orders, task: load, namespace: eu}}
  - {alert: c, kind: run_failure, match: {pipeline: [x, y]}}
  - {alert: d, kind: run_failure, match: {pipeline: z, task: ~l.*}}
  - {alert: e, kind: run_failure, match: {pipeline: z, namespace: ~eu.*}}
  - {alert: f, kind: freshness, fail_after: 1d, match: {dataset: shop.orders, namespace: "pg://w"}}
"""
    orders, load = JobRef("airflow-prod", "prod", "orders"), JobRef("openlineage:eu", "eu", "orders", "load")
    config = load_text(PROD + "jobs: {orders: {}, bills: {}}" + rules)
    assert config.job_refs == (orders, JobRef("airflow-prod", "prod", "bills"), load)
    assert config.dataset_refs == (DatasetRef("pg://w", "shop.orders"),)
    assert load_text(rules).job_refs == (load,)


def test_the_example_of_the_plan_loads() -> None:
    config = load_text(
        """
store: sqlite:///watchtower.db      # relative to this file; without it, the state directory
server: {listen: 127.0.0.1:8642}
outbound: {allow: [127.0.0.0/8]}
rules:
  - {alert: OrdersLate, kind: deadline, match: {pipeline: orders_daily}, finish_by: "07:00", timezone: Europe/Berlin,
     for: 0s, severity: page}
budgets:
  - {name: ml-daily, scope: {tag: {Environment: prod-data-pipeline}}, period: day,
     limit: {amount: "100", currency: USD}, thresholds: [0.8, 1.0]}
route: {receiver: team, group_by: [pipeline], group_wait: 0s}
receivers:
  - name: team
    webhook_configs: [{url: "http://127.0.0.1:9000/hook", send_resolved: true}]
"""
    )
    assert config.warnings == ()
    assert [(budget.name, str(budget.limit.amount)) for budget in config.budgets] == [("ml-daily", "100")]
    assert (config.route.group_wait_s, config.receivers["team"].destinations[0].name) == (0, "team/webhook[0]")


def test_an_entry_of_datasets_is_a_subject_and_its_rule() -> None:
    config = load_text("datasets: [{dataset: shop.orders, namespace: 'pg://w', fail_after: 30h, severity: page}]")
    assert config.datasets[0].ref == DatasetRef("pg://w", "shop.orders")
    (rule,) = config.declared_rules
    assert (rule.name, rule.kind, rule.options.fail_after, rule.severity) == (
        *("DatasetStale", "freshness", 108_000, Severity.PAGE),
    )


def test_owner_and_team_come_from_the_first_entry_that_names_them() -> None:
    config = load_text(
        """
jobs: {orders: {owner: orders-lead}}
ownership:
  - {match: {pipeline: ~o.*}, owner: data-lead}
  - {match: {namespace: prod}, team: data}
  - {owner: nobody, team: platform}
"""
    )
    assert config.owner_of({"pipeline": "orders", "namespace": "prod"}) == ("orders-lead", "data")
    assert config.owner_of({"pipeline": "other", "namespace": "prod"}) == ("data-lead", "data")
    assert config.owner_of({"pipeline": "x"}) == ("nobody", "platform")
    assert Config().owner_of({"pipeline": "x"}) == (None, None)


def test_a_namespace_stands_for_the_first_source_whose_pattern_fits() -> None:
    config = load_text("collectors: {openlineage: {sources: {a: ['prod-*'], b: [prod-eu, x]}}}")
    sources = [config.source_of(namespace) for namespace in ("prod-eu", "x", "y")]
    assert sources == ["a", "b", "openlineage:y"]


def test_reserved_sections_are_accepted_with_a_warning() -> None:
    config = load_text("prices: [{name: ml}]\naccess: {}\n")
    assert [(warning.line, warning.path) for warning in config.warnings] == [
        (1, "prices"),
        (2, "access"),
    ]
    assert config.reserved["prices"] == [{"name": "ml"}]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8642", ("127.0.0.1", 8642)), ("[::1]:1", ("::1", 1)), (":80", ("0.0.0.0", 80)),
        ("localhost:0", ("localhost", 0)), ("wt.example.com:65535", ("wt.example.com", 65535)),
    ],
)  # fmt: skip
def test_listen_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text", ["", "8642", "localhost", "::1:80", "1.2.3.4:65536", "http://x:80", "a b:80", "x:-1", "x:٣"]
)
def test_what_is_no_listen_address_is_shown_the_form(text: str) -> None:
    with pytest.raises(BadInput, match=r"127\.0\.0\.1:8642"):
        parse_listen(text)


def test_only_loopback_is_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1", "example.com")] == [
        *(True, True, True, False, False, False),
    ]


def test_links_begin_with_the_external_url_or_the_address() -> None:
    def url(listen: str, more: str = "") -> str:
        return load_text(f"server: {{listen: '{listen}'{more}}}").server.url

    assert url("127.0.0.1:8642") == "http://127.0.0.1:8642"
    assert url(":80") == "http://127.0.0.1:80"
    assert url("[::1]:80") == "http://[::1]:80"
    assert url(":80", ", external_url: https://wt.example.com/x/") == "https://wt.example.com/x"


@pytest.mark.parametrize(
    ("written", "opened"),
    [
        (None, "sqlite:////state/watchtower.db"),
        ("sqlite:///wt.db", "sqlite:////srv/wt.db"),
        ("sqlite:////var/wt.db", "sqlite:////var/wt.db"),
        ("sqlite:///sub/wt.db?x=1", "sqlite:////srv/sub/wt.db?x=1"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql://wt@db/wt", "postgresql://wt@db/wt"),
        ("env:STORE", "postgresql://wt:secret@db/wt"),
    ],
)
def test_the_store_is_found_beside_the_file_or_in_the_state_directory(written: str | None, opened: str) -> None:
    text = f"store: '{written}'" if written else ""
    config = load_text(text, Path("/srv"), environ={"STORE": "postgresql://wt:secret@db/wt"})
    assert store_url(config, Path("/state")) == opened


def test_a_password_in_the_address_of_the_store_is_warned_about() -> None:
    assert [warning.path for warning in load_text("store: postgresql://wt:secret@db/wt").warnings] == ["store"]
    assert load_text("store: postgresql://wt@db/wt").warnings == ()


def test_the_example_of_a_team_is_without_fault_or_warning() -> None:
    config = load(EXAMPLES / "team.yaml")
    assert config.warnings == ()
    assert [rule.name for rule in config.declared_rules] == [
        *("OrdersLate", "HourlySlow", "PaymentsFailed", "RunMissing", "RunLate", "DatasetStale"),
    ]
    assert config.heartbeat is not None
    assert config.heartbeat.every == 60
    assert (config.retention.days("facts"), config.retention.days("runs")) == (30, 400)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(max_size=60))
def test_no_text_ever_raises_anything_but_faults(text: str) -> None:
    examine(text)


@settings(deadline=None)
@given(st.sampled_from([name for name in KEYS if name not in RESERVED]), JUNK)
def test_no_section_ever_raises_anything_but_faults(section: str, junk: object) -> None:
    text = json.dumps({section: junk})
    assert read(text).faults == [] or examine(text).faults
    examine(text)
    examine(json.dumps({section: [junk]}))
    examine(json.dumps({section: {"x": junk, "name": junk, "match": junk, "routes": [junk], "receiver": junk}}))
    examine(json.dumps({section: [{"name": junk, "alert": junk, "kind": "deadline", "match": junk, "labels": junk,
                                   "annotations": junk, "webhook_configs": [junk], "pipeline": junk}]}))  # fmt: skip


def test_a_job_that_was_renamed_or_moved_says_what_it_was() -> None:
    jobs = "jobs:\n- {pipeline: b, renamed_from: a}\n- {match: {namespace: airflow}, moved_from: cron}\n"
    config = load_text(jobs)
    assert config.former_of({"pipeline": "b", "namespace": "x"}) == Companion("job", "a")
    assert config.former_of({"pipeline": "b", "namespace": "x", "task": "t"}) == Companion("job", "a", "t")
    assert config.former_of({"pipeline": "c", "namespace": "airflow"}) == Companion("job", "c", None, "cron")
    assert config.former_of({"pipeline": "c", "namespace": "x"}) is None
    [fault] = examine("jobs:\n- {pipeline: b, renamed_from: b}\n").faults
    assert (fault.path, fault.message) == ("jobs[0].renamed_from", "is the name that it has")
