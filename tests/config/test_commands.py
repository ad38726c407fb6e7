"""`init`, `check` and the JSON schema: what a beginner meets first."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

from tests.config.test_faults import BROKEN
from watchtower.cli.config_commands import check_config, schema_text, write_config
from watchtower.clock import ManualClock
from watchtower.config import examine
from watchtower.config.document import dotted, parts, read
from watchtower.config.schema import json_schema
from watchtower.config.starter import init_text
from watchtower.errors import UsageError
from watchtower.registry import Registries

EXAMPLES = Path(__file__).parents[2] / "examples"
ENVIRONMENT = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "HEARTBEAT_URL": "https://hc.example.com/x",
    "SMTP_PASSWORD": "hunter2-hunter2",
}


def uncommented(text: str) -> str:
    """The starter with every suggestion switched on: lines that begin like a key, or are indented below one."""
    suggestion = re.compile(r"# ?(?=[a-z_]+:|  +[^\s$])")
    lines = [suggestion.sub("", line) if suggestion.match(line) else line for line in text.splitlines()]
    return "\n".join("" if line.startswith("#") else line for line in lines)


@cache
def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def complaints(text: str) -> list[str]:
    errors = cast("Iterator[Any]", validator().iter_errors(read(text).data))
    return [f"{error.json_path}: {error.message}" for error in errors]


# -- init ---------------------------------------------------------------------------------------------------------


def test_the_first_file_loads_as_it_is_and_with_every_suggestion_switched_on() -> None:
    for text in (init_text(), uncommented(init_text())):
        checked = examine(text)
        assert (checked.faults, checked.warnings) == ((), ())
    config = examine(uncommented(init_text())).config
    assert config is not None
    assert [rule.name for rule in config.declared_rules] == ["OrdersLate", "RunMissing"]
    assert (config.has_file_route, list(config.receivers), len(config.jobs)) == (True, ["team", "on-call", "local"], 1)
    assert all(len(line) <= 120 for line in init_text().splitlines())


def test_init_writes_a_file_once(tmp_path: Path) -> None:
    file = tmp_path / "watchtower.yaml"
    assert str(file) in write_config(file)
    file.write_text("mine: true")
    with pytest.raises(UsageError, match="is there already"):
        write_config(file)
    assert file.read_text() == "mine: true"
    write_config(file, force=True)
    assert file.read_text() == init_text()
    with pytest.raises(UsageError, match="cannot be written"):
        write_config(tmp_path / "absent" / "watchtower.yaml")


# -- check --------------------------------------------------------------------------------------------------------


def test_check_reports_every_fault_and_what_the_rules_mean(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "watchtower.yaml"
    file.write_text(BROKEN)
    report = check_config(file, clock)
    assert report.exit_code == 1
    assert len(report.faults) == len(examine(BROKEN).faults)
    assert json.loads(json.dumps(report.as_json()))["faults"][0]["line"] == 1
    file.write_text(uncommented(init_text()))
    report = check_config(file, clock, environ=ENVIRONMENT, addresses=False)
    assert (report.exit_code, report.faults, report.warnings) == (0, (), ())
    means = dict(report.rules)
    assert "must have succeeded by 07:00 Europe/Berlin" in means["OrdersLate"]
    assert "10m (600 s)" in means["RunMissing"]
    assert list(report.lines())[-1] == f"{file}: good: 0 faults, 0 warnings, 2 rules"
    file.write_text("templates: [x.tmpl]\nrules: [{alert: A, kind: run_failure, match: a}]\n")
    words = [line.split()[0] for line in check_config(file, clock).lines()]
    assert words[:-1] == ["rule", "warning"], "what a terminal shows last is what is wrong"


def test_check_reads_secrets_as_a_start_would(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "watchtower.yaml"
    file.write_text(
        "receivers:\n  - name: a\n    slack_configs:\n      - {app_token: 'env:ABSENT', channel: '#a'}\n"
        "      - {api_url_file: hook, channel: '#a'}\nroute: {receiver: a}\n"
    )
    (tmp_path / "hook").write_text("https://hooks.example.com/s3cret")
    (tmp_path / "hook").chmod(0o644)
    report = check_config(file, clock, environ={})
    assert [(each.line, each.path) for each in report.faults] == [(4, "receivers[0].slack_configs[0].app_token")]
    assert "ABSENT is not set" in str(report.faults[0])
    assert [(each.line, each.path) for each in report.warnings] == [(5, "receivers[0].slack_configs[1].api_url_file")]
    assert "mode 644" in str(report.warnings[0])
    assert check_config(file, clock, environ={}, secrets=False).exit_code == 0
    assert "s3cret" not in "\n".join(report.lines())


def test_check_asks_the_guard_before_the_first_notice_does(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "watchtower.yaml"
    hook = (
        "receivers:\n  - name: a\n    webhook_configs: [{url: 'http://127.0.0.1:9000/s3cret'}]\nroute: {receiver: a}\n"
    )
    file.write_text(hook)
    (fault,) = check_config(file, clock).faults
    assert (fault.line, fault.path) == (3, "receivers[0].webhook_configs[0].url")
    assert "outbound: {allow: [127.0.0.1/32]}" in str(fault)
    assert "s3cret" not in str(fault)
    file.write_text(hook + "outbound: {allow: [127.0.0.1/32]}\n")
    assert check_config(file, clock).exit_code == 0


def test_check_finds_what_a_start_would_refuse_of_sources_and_feeds(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "watchtower.yaml"
    sources = (
        "collectors:\n  prefect:\n    sources:\n      - {name: flows, base_url: 'http://127.0.0.1:4200'}\n"
        "  airflow:\n    sources:\n      - name: dags\n        base_url: http://169.254.169.254\n        token: x\n"
        "  focus:\n    sources:\n      - {name: bill, path: 's3://bills/focus/', endpoint_url: 'http://127.0.0.1:9000'}\n"
    )
    file.write_text(sources)
    found = {(fault.line, fault.path) for fault in check_config(file, clock).faults}
    assert found == {
        (4, "collectors.prefect.sources[0].base_url"),
        (8, "collectors.airflow.sources[0].base_url"),
        (12, "collectors.focus.sources[0].endpoint_url"),
    }
    assert all(fault.file == str(file) for fault in check_config(file, clock).faults)
    assert check_config(file, clock, addresses=False).faults == ()
    file.write_text(sources + "outbound: {allow: [127.0.0.1/32, 169.254.169.254/32]}\n")
    assert check_config(file, clock).exit_code == 0


def test_a_path_that_is_told_leads_back_to_its_place() -> None:
    for path in (("rules", 0, "for"), ("collectors", "airflow", "sources", 12, "base_url"), ("route",)):
        assert parts(dotted(path)) == path
    assert parts("collectors.snowflake.sources[prod].token") == ("collectors", "snowflake", "sources", "prod", "token")


def test_check_of_a_missing_file_says_how_to_make_one(tmp_path: Path, clock: ManualClock) -> None:
    (fault,) = check_config(tmp_path / "absent.yaml", clock).faults
    assert "watchtower init" in str(fault)


# -- schema -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
def test_the_schema_accepts_each_example(file: Path) -> None:
    assert complaints(file.read_text(encoding="utf-8")) == []


def test_each_source_that_can_be_asked_stands_in_an_example() -> None:
    found: set[str] = set()
    for file in EXAMPLES.glob("*.yaml"):
        found |= set(read(file.read_text(encoding="utf-8")).data.get("collectors", {}))
    assert set(Registries().pollers) - found == set()


def test_the_schema_accepts_the_starter_with_every_suggestion() -> None:
    assert complaints(init_text()) == []
    assert complaints(uncommented(init_text())) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("stor: x", "$"),
        ("server: {listn: x}", "$.server"),
        ("rules: [{alert: a, kind: deadlin}]", "$.rules"),
        ("rules: [{alert: a, kind: duration, finish_by: x}]", "$.rules"),
        ("rules: [{alert: a, kind: duration, max: {}}]", "$.rules"),
        ("rules: [{kind: orphan}]", "$.rules"),
        ("route: {reciever: x}", "$.route"),
        ("route: {receiver: x, routes: [{recever: x}]}", "$.route"),
        ("receivers: [{name: a, slak_configs: []}]", "$.receivers"),
        ("receivers: [{name: a, webhook_configs: [{ulr: x}]}]", "$.receivers"),
        ("collectors: {openlinage: {}}", "$.collectors"),
        ("severity_map: {x: wake}", "$.severity_map"),
        ("jobs: {a: {schedul: x}}", "$.jobs"),
        ("time_intervals: [{name: a, time_intervals: [{weekday: []}]}]", "$.time_intervals"),
    ],
)
def test_the_schema_marks_what_the_loader_refuses(text: str, where: str) -> None:
    assert examine(text).faults
    found = complaints(text)
    assert found, "the schema accepts it"
    assert found[0].startswith(where)


@pytest.mark.parametrize(
    "text",
    [
        "rules: [{alert: a, kind: duration, max: 5m, for: 90, min: 1.5}]",
        "rules: [{alert: a, kind: duration, over: {quantile: 0.95, by: 200%}}]",
        "rules: [{alert: a, kind: deadline, finish_by: '07:00', days: [mon, sat-sun]}]",
        "rules: [{alert: a, kind: orphan, match: {pipeline: [a, b], tag_x: 1}}]",
        "rules:\nroute: {receiver: local, routes: [{match: {code: 7}, group_by: [...]}]}",
        "global: {resolve_timeout: 5m, smtp_smarthost: 'mail:25', opsgenie_api_url: 'https://x.example'}",
        "budgets: []\naccess: {}\nslos:",
        "budgets: [{name: a, limit: {amount: '1.5', currency: USD}, thresholds: [0.8, 90%, {at: 1, severity: page}]}]",
    ],
)
def test_the_schema_accepts_what_the_loader_accepts(text: str) -> None:
    assert examine(text).faults == ()
    assert complaints(text) == []


def test_every_plug_in_is_in_the_schema() -> None:
    text = schema_text()
    schema = json.loads(text)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    known = Registries()
    for name in known.destinations:
        assert f'"{name}_configs"' in text
    for name in known.rule_kinds:
        assert f'"const": "{name}"' in text
    assert not re.search(r"/work|/home", text)
