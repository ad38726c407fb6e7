"""Each command against a running Watchtower: what it prints for people and for programs, and how it ends."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.app.house import HTTP, House, event, running, until
from tests.cli.terminal import Watchtower
from watchtower.cli import output
from watchtower.clock import SystemClock
from watchtower.model.access import Scope


@pytest.fixture
def here(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The command line means the Watchtower of this machine."""
    monkeypatch.setenv("WATCHTOWER_STATE", str(house.instance.state.path))
    monkeypatch.setenv("WATCHTOWER_CONFIG", str(house.config))
    until(lambda: house.items("/api/v1/incidents"), "the incident is there")
    return house


def test_a_table_on_a_terminal_and_json_in_a_pipe(here: House, watchtower: Watchtower) -> None:
    piped = watchtower("runs")
    [run] = json.loads(piped.out)
    assert (piped.code, run["pipeline"], run["state"]) == (0, "orders_daily", "failed")
    shown = watchtower("runs", terminal=True)
    assert re.search(rf"^{run['id'][:8]} +orders_daily +failed", shown.out, re.MULTILINE), shown.out
    assert json.loads(watchtower("runs", "--output", "json", terminal=True).out) == [run]
    assert watchtower("runs", "-o", "table").out == shown.out


def test_a_narrow_terminal_costs_spare_columns_never_the_essential(
    here: House, watchtower: Watchtower, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on(columns: int) -> str:
        # A console takes its width when it is made, which another test of this process may have done.
        monkeypatch.setattr(output, "out", Console(highlight=False, width=columns))
        return watchtower("deliveries", terminal=True).out

    narrow = on(72)
    assert all(len(line) <= 72 for line in narrow.splitlines())
    assert "state" in narrow and "proof" not in narrow
    assert "proof" in on(160)


def test_one_thing_is_named_by_the_beginning_of_its_id(here: House, watchtower: Watchtower) -> None:
    [incident] = json.loads(watchtower("incidents").out)
    shown = watchtower("incidents", "show", incident["id"][:6], terminal=True)
    assert shown.code == 0
    for part in ("OrdersFailed: orders_daily", "alerts", "deliveries", "timeline"):
        assert part in shown.out
    assert json.loads(watchtower("incidents", "show", incident["id"]).out)["id"] == incident["id"]
    missing = watchtower("incidents", "show", "zzz")
    assert (missing.code, "there is no incident 'zzz'" in missing.said) == (2, True)
    [run] = json.loads(watchtower("runs").out)
    assert "orders_daily" in watchtower("runs", run["id"][:6], terminal=True).out


def test_open_incidents_are_findings(here: House, watchtower: Watchtower) -> None:
    assert watchtower("incidents").code == 1
    [incident] = json.loads(watchtower("incidents").out)
    acked = watchtower("incidents", "ack", incident["id"][:8], "--hours", 2, terminal=True)
    assert acked.code == 0 and "acknowledged until" in acked.said
    assert json.loads(watchtower("incidents").out)[0]["status"] == "acknowledged"
    assert json.loads(watchtower("incidents", "unack", incident["id"]).out)["status"] == "triggered"


def test_a_dataset_is_named_by_a_part_of_its_name_and_late_data_is_a_finding(
    watchtower: Watchtower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = (
        "datasets: [{dataset: marts.orders, namespace: dwh, fail_after: 1h}, {dataset: marts.visits, namespace: dwh}]"
    )
    with running(tmp_path, config, live=False) as house:
        monkeypatch.setenv("WATCHTOWER_STATE", str(house.instance.state.path))
        assert [each["name"] for each in json.loads(watchtower("datasets").out)] == ["marts.orders", "marts.visits"]
        shown = watchtower("datasets", "orders", terminal=True)
        assert (shown.code, "marts.orders was never seen to be written." in shown.out) == (0, True)
        several = watchtower("datasets", "marts")
        assert (several.code, "'marts' may be one of several datasets: marts.orders (dwh, " in several.said) == (
            2,
            True,
        )
        assert (none := watchtower("datasets", "nope")).code == 2
        assert "there is no dataset 'nope'" in none.said
        [visits] = json.loads(watchtower("datasets").out)[1:]
        assert json.loads(watchtower("datasets", visits["id"][:8]).out)["name"] == "marts.visits"


def test_a_silence_is_added_listed_and_ended(here: House, watchtower: Watchtower) -> None:
    added = watchtower(
        "silence", "add", "pipeline=x", 'team=~"a|b"', "--for", "2h", "-m", "being mended", terminal=True
    )
    assert added.code == 0
    command = added.out.strip().splitlines()[-1].split()
    assert 'pipeline="x" team=~"a|b"' in watchtower("silence", terminal=True).out
    assert watchtower(*command[1:]).code == 0
    assert json.loads(watchtower("silence").out) == []
    assert len(json.loads(watchtower("silence", "--all").out)) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x=y"], "a silence needs a reason"),
        (["x~y", "-m", "why"], "matcher 'x~y' is not of the form"),
        (["x=y", "-m", "why", "--for", "soon"], "duration 'soon' is not understood"),
        ([], "Missing argument"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(
    here: House, watchtower: Watchtower, arguments: list[str], says: str
) -> None:
    answer = watchtower("silence", "add", *arguments)
    assert (answer.code, says in answer.said) == (2, True), answer.said


def test_a_token_is_printed_alone_so_that_a_script_can_keep_it(here: House, watchtower: Watchtower) -> None:
    made = watchtower("token", "create", "ci", "--scope", "read", "--for", "90d")
    assert re.fullmatch(r"wt_\w+\n", made.out)
    [listed] = [token for token in json.loads(watchtower("token").out) if token["name"] == "ci"]
    assert (listed["scopes"], listed["expires_at"] is not None) == (["read"], True)
    assert watchtower("token", "revoke", listed["id"]).code == 0
    assert "ci" not in [token["name"] for token in json.loads(watchtower("token").out)]
    assert "ci" in [token["name"] for token in json.loads(watchtower("token", "--all").out)]


def test_a_link_signs_the_operator_in(house: House, watchtower: Watchtower) -> None:
    house.instance.first_access.one_time_link()  # `serve` prints the first one, and makes the operator
    made = watchtower("token", "link", "--state", house.instance.state.path)
    page = HTTP.request("GET", made.out.strip())
    assert (made.code, page.status, b"form" in page.data) == (0, 200, True)
    unknown = watchtower("token", "link", "nobody", "--state", house.instance.state.path)
    assert (unknown.code, "there is no person 'nobody'" in unknown.said) == (2, True)


def test_options_stand_before_or_behind_a_subcommand(house: House, watchtower: Watchtower) -> None:
    at = ["--state", house.instance.state.path]
    assert watchtower("silence", *at, "add", "a=b", "-m", "why").code == 0
    assert watchtower("silence", "add", "a=b", "-m", "why", *at).code == 0
    assert watchtower("silence", "--state", "/nowhere", "add", "a=b", "-m", "why", *at).code == 0
    url = ["--url", house.instance.url, "--token", house.instance.first_access.new_token("x", [Scope.ADMIN])]
    assert watchtower("token", *url, "create", "a").code == 0
    assert watchtower("token", "create", "b", *url).code == 0
    assert watchtower("incidents", "--output", "json", *at, terminal=True).out.startswith("[")


def test_what_the_environment_says_gives_way_to_the_command_line(
    house: House, watchtower: Watchtower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHTOWER_URL", "http://127.0.0.1:1")
    assert "cannot be reached" in watchtower("runs").said
    assert watchtower("runs", "--state", house.instance.state.path).code == 0
    both = watchtower("runs", "--state", house.instance.state.path, "--url", "http://127.0.0.1:1")
    assert (both.code, "name two Watchtowers" in both.said) == (2, True)


def test_files_of_every_form_are_sent_and_a_repeat_changes_nothing(
    here: House, watchtower: Watchtower, tmp_path: Path
) -> None:
    events = [event(SystemClock().now(), "START", "copied", f"r{number}") for number in range(3)]
    lines = "\n".join(json.dumps(each) for each in events)
    files: dict[str, bytes] = {
        "list.json": json.dumps(events).encode(),
        "one.json": json.dumps(events[0]).encode(),
        "lines.jsonl": lines.encode(),
        "lines.jsonl.gz": gzip.compress(lines.encode()),
    }
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
        sent = watchtower("ingest", "openlineage", tmp_path / name)
        count = 1 if name == "one.json" else 3
        assert json.loads(sent.out) == {"requests": count, "events": count, "failed": 0}
    assert len(json.loads(watchtower("runs", "--pipeline", "copied").out)) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name one thing to send"),
        (["openlineage"], "name the files"),
        (["openlinage", "x"], "unknown collector 'openlinage'; known: data_factory, dbt, "),
        (["openlineage", "nowhere.json"], "nowhere.json cannot be read: No such file"),
        (["openlineage", "bad.jsonl"], "bad.jsonl, line 2: not JSON"),
        (["openlineage", "cut.gz"], "cut.gz cannot be read"),
        (["--spool", "."], "holds no spool segment"),
        (["--spool", ".", "--quarantine"], "name one thing to send"),
    ],
)
def test_what_cannot_be_sent_is_named(
    here: House, watchtower: Watchtower, tmp_path: Path, arguments: list[str], says: str
) -> None:
    (tmp_path / "bad.jsonl").write_text(json.dumps(event(SystemClock().now(), "START", "p", "r")) + "\nnonsense\n")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"{}" * 1000)[:20])
    answer = watchtower("ingest", *arguments)
    assert (answer.code, says in answer.said) == (2, True), answer.said


def test_events_that_are_not_understood_are_findings_and_can_be_tried_again(
    watchtower: Watchtower, tmp_path: Path
) -> None:
    (tmp_path / "odd.json").write_text('{"eventType": "START"}')
    state = ["--state", tmp_path / "state"]
    sent = watchtower("ingest", "openlineage", "odd.json", *state)
    assert (sent.code, json.loads(sent.out)["failed"]) == (1, 1)
    assert json.loads(watchtower("ingest", "--quarantine", *state).out) == {"kept": 1, "understood": 0}


def test_evaluate_says_what_every_rule_says(here: House, watchtower: Watchtower) -> None:
    answer = watchtower("evaluate", "orders_daily")
    said = {row["rule"]: row["result"] for row in json.loads(answer.out)}
    assert (answer.code, said["OrdersFailed"], said["RunSlow"]) == (1, "violation", "learning")
    assert "no pipeline, dataset or series called 'nobody' is known" in watchtower("evaluate", "nobody").said


def test_route_test_shows_the_way_of_an_alert(watchtower: Watchtower, tmp_path: Path) -> None:
    (tmp_path / "watchtower.yaml").write_text(
        """
route: {receiver: team, routes: [{matchers: ['severity="page"'], receiver: oncall, group_wait: 0s}]}
receivers:
  - {name: team, webhook_configs: [{url: "https://example.com/a"}]}
  - {name: oncall, webhook_configs: [{url: "https://example.com/b"}]}
"""
    )
    paged = json.loads(watchtower("route", "test", "severity=page", "pipeline=x").out)
    assert paged["receivers"] == ["oncall"]
    shown = watchtower("route", "test", "severity=ticket", terminal=True).out
    assert "team/webhook[0]" in shown and "after 30s" in shown
    assert "'page' is not LABEL=VALUE" in watchtower("route", "test", "page").said


def test_route_test_adds_whom_the_configuration_names(watchtower: Watchtower, tmp_path: Path) -> None:
    teams = [f"team{number:02d}" for number in range(30)]
    (tmp_path / "watchtower.yaml").write_text(
        "collectors: {openlineage: {sources: {airflow: [prod]}}}\nownership:\n"
        + "".join(f"  - {{match: {{pipeline: '~{team}_.*', source: airflow}}, team: {team}}}\n" for team in teams)
        + "route:\n  receiver: local\n  routes:\n"
        + "".join(f"    - {{matchers: ['team=\"{team}\"'], receiver: {team}}}\n" for team in teams)
        + "receivers:\n"
        + "".join(f"  - {{name: {team}, local_configs: [{{}}]}}\n" for team in teams)
    )
    told = json.loads(watchtower("route", "test", "pipeline=team07_orders", "namespace=prod").out)
    assert (told["added"], told["receivers"]) == ({"source": "airflow", "team": "team07"}, ["team07"])
    named = json.loads(watchtower("route", "test", "pipeline=team07_orders", "namespace=prod", "team=team08").out)
    assert named["receivers"] == ["team08"]
    shown = watchtower("route", "test", "pipeline=team07_orders", "namespace=prod", terminal=True).out
    assert "by the configuration also source=airflow team=team07" in shown
    assert "29 further routes do not take it" in shown
    assert "team12" not in shown
    said = watchtower("notify", "test", "team7").said
    assert "unknown receiver 'team7'; did you mean 'team07' or 'team17' or 'team27'?" in said


def test_reading_where_there_is_no_store_makes_none(watchtower: Watchtower, tmp_path: Path) -> None:
    for command in (["runs"], ["incidents"], ["evaluate"], ["migrate"], ["ingest", "--quarantine"]):
        answer = watchtower(*command)
        assert (answer.code, "there is no store at" in answer.said) == (2, True), answer.said
    assert not list((tmp_path / "xdg").rglob("*.db"))


def test_commands_open_the_store_themselves_while_no_server_runs(watchtower: Watchtower, tmp_path: Path) -> None:
    with running(tmp_path) as house:
        house.fail("orders_daily")
    assert json.loads(watchtower("runs", "--state", tmp_path / "state").out)[0]["pipeline"] == "orders_daily"
    assert watchtower("token", "create", "x", "--state", tmp_path / "state").code == 0
    assert "step 1 of 1" in watchtower("migrate", "--state", tmp_path / "state").said


def test_doctor_is_content_with_what_is_sound(here: House, watchtower: Watchtower) -> None:
    found: list[dict[str, Any]] = json.loads(watchtower("doctor", "--deep").out)
    said = {item["check"]: item["status"] for item in found if item["status"] != "ok"}
    assert said in ({"watched": "warn"}, {"watched": "warn", "disk": "warn"})
    assert "integrity_check: ok" in watchtower("doctor", "--deep", terminal=True).said


def test_init_writes_what_check_finds_good(watchtower: Watchtower, tmp_path: Path) -> None:
    assert "wrote watchtower.yaml" in watchtower("init").said
    good = watchtower("check", terminal=True)
    assert (good.code, "good: 0 faults" in good.said) == (0, True)
    again = watchtower("init")
    assert (again.code, "is there already" in again.said) == (2, True)
    assert watchtower("init", "--force").code == 0
    assert watchtower("init", "--config", tmp_path / "other.yaml").code == 0
    assert watchtower("check", tmp_path / "other.yaml").code == 0
    assert json.loads(watchtower("schema").out)["properties"]["route"]


def test_check_warns_of_a_star_in_a_name(watchtower: Watchtower, tmp_path: Path) -> None:
    (tmp_path / "watchtower.yaml").write_text("ownership: [{match: {pipeline: 'orders_*'}, owner: data-lead}]")
    answer = watchtower("check", terminal=True)
    assert answer.code == 0 and "as a pattern it is ~orders_.*" in answer.said


def test_check_doubts_a_target_that_the_first_failure_misses(watchtower: Watchtower, tmp_path: Path) -> None:
    (tmp_path / "watchtower.yaml").write_text(_DEMANDING)
    answer = watchtower("check", terminal=True)
    assert answer.code == 0 and "so the first one is too many (write target: 0.85 or less" in answer.said


_DEMANDING = """
jobs: [{match: {pipeline: orders_daily}, schedule: 0 6 * * *}]
slos:
  - apiVersion: openslo/v1
    kind: SLO
    metadata: {name: orders}
    spec:
      service: shop
      indicator:
        metadata: {name: runs}
        spec:
          ratioMetric:
            rawType: success
            raw: {metricSource: {type: watchtower, spec: {sli: success, match: {pipeline: orders_daily}}}}
      timeWindow: [{duration: 7d, isRolling: true}]
      budgetingMethod: Occurrences
      objectives: [{target: 0.99}]
"""


def test_a_reader_that_has_read_enough_ends_a_command_quietly(here: House) -> None:
    environment = {"WATCHTOWER_STATE": str(here.instance.state.path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["/bin/sh", "-c", f"'{sys.executable}' -m watchtower runs | true"],
        capture_output=True, text=True, env=environment, check=False, timeout=120,
    )  # fmt: skip
    assert done.stderr == ""
