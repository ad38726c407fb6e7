"""A file is refused as a whole: every fault at once, each with its line, its path, and what to do."""

from pathlib import Path

import pytest

from watchtower.config import examine, load, load_text
from watchtower.config.document import MAX_DEPTH, read
from watchtower.errors import ConfigError, Fault

# Each fault stands at the line that its comment numbers: (line, path, part of the message or remedy).
BROKEN = """\
stor: sqlite:///x.db                                     # 1
server:
  listen: localhost                                      # 3
  external_url: watchtower.example.com                   # 4
outbound:
  allow: [10.0.0.1/8, nowhere]                           # 6 twice
retention: {facts: 5 days, runs: 1h}                     # 7 twice
collectors:
  openlinage: {}                                         # 9
  openlineage: {sources: 7}                              # 10
jobs:
  orders_daily: {schedule: every day, owner: data-lead}  # 12
  payments: {timezone: Berlin}                           # 13
datasets:
  - {dataset: orders, fail_after: 1h, warn_after: 2h}    # 15
ownership:
  - match: {pipline: x}                                  # 17 twice
rules:
  - alert: OrdersLate
    kind: deadlin                                        # 20
    severity: pge                                        # 21
  - alert: Slow
    kind: duration
    match: {pipeline: "~(", job: x}                      # 24 twice
    fro: 5m                                              # 25
    max: soon                                            # 26
    labels: {pipeline: x, 1a: y}                         # 27 twice
    annotations: {summary: "{pipelin} is slow"}          # 28
    runbook_url: see wiki                                # 29
  - kind: orphan                                         # 30
    keep_firing_for: -5m                                 # 31
  - {alert: Twice, kind: orphan}
  - {alert: Twice, kind: orphan}                         # 33
route:
  receiver: teem                                         # 35
  group_by: [pipeline, ...]                              # 36
  matchers: [a="b"]                                      # 37
  group_interval: 0s                                     # 38
  routes:
    - {matchers: [severity], reciever: team}             # 40 twice
    - {receiver: team, mute_time_intervals: [nights]}    # 41
    - match_re: {team: "["}                              # 42
inhibit_rules:
  - {source_matchers: [a=b], target_matcher: [c=d]}      # 44
time_intervals:
  - name: night
    time_intervals:
      - times: [{start_time: "25:00", end_time: "06:00"}]  # 48
        weekdays: ['friday:monday', funday]              # 49 twice
        days_of_month: ['32', '-1:1', '5:1']             # 50 three times
        location: Mars/Base                              # 51
receivers:
  - name: team
    slak_configs: []                                     # 54
    opsgenie_configs: []                                 # 55
    webhook_configs:
      - {ulr: "https://example.com"}                     # 57
      - {url: "vault:hooks/team"}                        # 58
      - {url: "https://example.com", timeout: soon, max_alerts: -1}  # 59 twice
    email_configs:
      - {to: data-lead}                                  # 61 three times
  - {}                                                   # 62
global:
  slack_api_urll: https://example.com                    # 64
heartbeat: {every: 1m}                                   # 65
severity_map: {urgent: wake}                             # 66
"""


def found_at(faults: tuple[Fault, ...]) -> dict[int | None, list[Fault]]:
    lines: dict[int | None, list[Fault]] = {}
    for fault in faults:
        lines.setdefault(fault.line, []).append(fault)
    return lines


def expected_at() -> dict[int, int]:
    """Line → how many faults its comment announces."""
    counts = {"twice": 2, "three times": 3}
    expected: dict[int, int] = {}
    for number, line in enumerate(BROKEN.splitlines(), 1):
        if "  # " in line:
            said, _, times = line.rpartition("  # ")[2].partition(" ")
            assert int(said) == number
            expected[number] = counts.get(times, 1)
    return expected


def test_every_fault_of_a_broken_file_is_found_at_its_line() -> None:
    found = {line: len(faults) for line, faults in found_at(examine(BROKEN).faults).items()}
    assert found == expected_at()
    assert sum(found.values()) >= 50


@pytest.mark.parametrize(
    ("line", "path", "says"),
    [
        (1, "stor", "did you mean 'store'?"),
        (3, "server.listen", "127.0.0.1:8642"),
        (6, "outbound.allow[0]", "did you mean 10.0.0.0/8?"),
        (7, "retention.facts", "write e.g. 30s, 5m"),
        (9, "collectors.openlinage", "did you mean 'openlineage'?"),
        (12, "jobs.orders_daily.schedule", "no cron expression"),
        (13, "jobs.payments.timezone", "Europe/Berlin"),
        (15, "datasets[0]", "warn_after (7200 s) must be less than fail_after (3600 s)"),
        (17, "ownership[0].match.pipline", "did you mean 'pipeline'?"),
        (20, "rules[0].kind", "did you mean 'deadline'? known: run_failure, missing_run, deadline"),
        (21, "rules[0].severity", "did you mean 'page'?"),
        (25, "rules[1].fro", "did you mean 'for'?"),
        (28, "rules[1].annotations.summary", "template field 'pipelin' is unknown"),
        (30, "rules[2].alert", "is required"),
        (33, "rules[4].alert", "the other at line 32"),
        (35, "route.receiver", "did you mean 'team'?"),
        (40, "route.routes[0].reciever", "did you mean 'receiver'?"),
        (44, "inhibit_rules[0].target_matcher", "did you mean 'target_matchers'?"),
        (49, "time_intervals[0].time_intervals[0].weekdays[1]", "did you mean 'sunday'?"),
        (54, "receivers[0].slak_configs", "did you mean 'slack_configs'?"),
        (55, "receivers[0].opsgenie_configs", "is not supported yet"),
        (57, "receivers[0].webhook_configs[0].ulr", "did you mean 'url'?"),
        (58, "receivers[0].webhook_configs[1].url", "vault: is not available yet; known: env:, file:"),
        (64, "global.slack_api_urll", "did you mean 'slack_api_url'?"),
        (65, "heartbeat.url", "is required"),
    ],
)
def test_a_fault_names_the_path_and_the_remedy(line: int, path: str, says: str) -> None:
    fitting = [fault for fault in examine(BROKEN).faults if fault.path == path]
    assert [fault.line for fault in fitting] == [line]
    assert says in f"{fitting[0].message} {fitting[0].remedy}"


def test_load_raises_all_of_them_with_the_name_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "watchtower.yaml"
    file.write_text(BROKEN)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert len(caught.value.faults) == sum(expected_at().values())
    assert str(caught.value).splitlines()[0] == f"{file}:1: stor: unknown section (did you mean 'store'?)"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("rules:\n\t- x", 2, "indent with blanks"),
        ("a: [1, 2", 1, "not valid YAML"),
        ("rules: []\nroute: {}\nrules: []", 3, "stands twice, first at line 1"),
        ("- a\n- b", 1, "must be a mapping of sections"),
        ("just text", 1, "must be a mapping of sections"),
        (
            "store: !!python/object/apply:os.system [ls]",
            1,
            "the tag tag:yaml.org,2002:python/object/apply:os.system is not known",
        ),
        ("store: !env NAME", 1, "the tag !env is not known"),
        ("? [a, b]\n: c", 1, "a key must be a text"),
        ("a: &a [*a]", None, "does an alias hold itself?"),
        ("server: 7", 1, "must be a mapping"),
        ("rules: {a: b}", 1, "must be a list"),
        ("rules: [7]", 1, "must be a mapping"),
        ("store: mysql://host/db", 1, "is not the address of a store"),
        ("route: {receiver: local, continue: true}", 1, "no siblings"),
        ("receivers: [{name: a}]", 1, "no route leads to the receivers"),
        ("receivers: [{name: a}, {name: a}]\nroute: {receiver: a}", 1, "two receivers are called 'a'"),
        ("scrape_configs: []", 1, "Prometheus' own file"),
        ("prices: 7", 1, "must be a mapping or a list"),
        ("jobs: [{owner: data-lead}]", 1, "needs either pipeline or match"),
        ("jobs: [{pipeline: a}, {pipeline: a}]", 1, "declared twice"),
        ("jobs: {a: {match: {pipeline: b}}}", 1, "needs either"),
        ("jobs: [{pipeline: a, timezone: UTC}]", 1, "says nothing without a schedule"),
        ("ownership: [{match: a}]", 1, "gives neither owner nor team"),
        ("rules: [{alert: a, kind: orphan, match: {pipeline: []}}]", 1, "write a value"),
        ("rules: [{alert: a, kind: orphan, match: {pipeline: ['~a', b]}}]", 1, "a list holds exact values"),
        ("rules: [{alert: a, kind: orphan, labels: {severity: page}}]", 1, "write severity: beside labels"),
        ("route: {receiver: local, group_by: [a, a]}", 1, "stands twice"),
        ("time_intervals: [{name: a}, {name: a}]", 1, "defined twice"),
    ],
)
def test_each_kind_of_nonsense_is_one_plain_fault(text: str, line: int | None, says: str) -> None:
    faults = examine(text).faults
    assert [fault.line for fault in faults if says in str(fault)] == [line], faults


def test_a_bomb_of_aliases_is_refused_quickly() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
    )
    assert "does an alias repeat itself" in str(read(bomb).faults[0])
    assert "nested deeper" in str(read("a: " + "[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5)).faults[0])


def test_scalars_are_what_people_mean() -> None:
    data = read(
        "a: 12:30\nb: on\nc: no\nd: 2026-01-02\ne: 0123\nf: 0o17\ng: 1_000\nh: true\ni: 1.5\nj: ~\nk:\nl: 7"
    ).data
    assert data == {
        "a": "12:30", "b": "on", "c": "no", "d": "2026-01-02", "e": "0123", "f": 15, "g": "1_000", "h": True, "i": 1.5,
        "j": None, "k": None, "l": 7,
    }  # fmt: skip


def test_anchors_and_merge_keys_work_and_own_keys_win() -> None:
    data = read("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [{a: 9}, *x]}").data
    assert data["y"] == {"a": 1, "b": 3}
    assert data["z"] == {"a": 9, "b": 2}


@pytest.mark.parametrize("text", ["", "---\n", "# only a comment\n", "rules:\nroute:\n".replace("route:\n", "")])
def test_an_empty_file_is_the_built_in_configuration(text: str) -> None:
    config = load_text(text)
    assert (config.declared_rules, config.has_file_route, list(config.receivers)) == ((), False, ["local"])


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: No such file.*watchtower init"):
        load(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"store: caf\xe9")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin.yaml")


def test_no_secret_stands_in_any_message() -> None:
    text = """
receivers:
  - name: a
    slack_configs:
      - {api_url: [s3cret-s3cret], channel: 7}
      - {app_token: {s3cret: s3cret}, chanel: s3cret}
    webhook_configs:
      - {url: "https://example.com/s3cret", signing_secrets: s3cret}
      - {url: "https://example.com/s3cret", http_config: {authorization: {credentials: 7, s: s3cret}}}
    request_tracker_configs:
      - {base_url: "https://rt.example.com", token: 7, password: s3cret, queue: Data}
store: mysql://user:s3cret@host/db
heartbeat: {url: [s3cret]}
route: {receiver: a}
"""
    checked = examine(text)
    assert len(checked.faults) >= 8
    assert "s3cret" not in "\n".join(map(str, (*checked.faults, *checked.warnings))).replace(".s3cret", "")


def test_of_a_librarys_options_those_that_are_secrets_are_warned_about() -> None:
    options = "{security.protocol: SASL_SSL, sasl.username: watchtower, sasl.password: s3cret}"
    source = f"{{name: lineage, brokers: ['kafka.example.com:9093'], options: {options}}}"
    (warning,) = examine(f"collectors: {{kafka: {{sources: [{source}]}}}}\n").warnings
    assert "sasl.password" in str(warning)


@pytest.mark.parametrize(
    ("option", "message", "remedy"),
    [
        ("kind: threshold, series: s, below: .nan", "must be a finite number: nothing is above or below nan", ""),
        ("kind: volume, min: '10,000'", "must be a number, and '10,000' is none", "write digits alone"),
        ("kind: volume, min: -5", "must be at least 0, and is -5", ""),
        ("kind: duration, over: {quantile: 95}", "must be at most 1, and is 95", ""),
        ("kind: run_failure, fail_after: 2.5", "must be a whole number, and 2.5 is none", ""),
        ("kind: volume, min: [1]", "must be a number, and this is none", "write digits alone"),
    ],
)
def test_a_number_that_is_none_is_shown_with_what_was_wanted(option: str, message: str, remedy: str) -> None:
    [fault] = examine(f"rules:\n- {{alert: A, {option}}}\n").faults
    assert (fault.line, fault.message) == (2, message)
    assert fault.remedy.startswith(remedy)


def test_of_names_that_are_as_close_each_is_offered() -> None:
    teams = "".join(f"  - {{name: team{number:02d}, local_configs: [{{}}]}}\n" for number in range(30))
    [fault] = examine(f"receivers:\n{teams}route: {{receiver: team3}}\n").faults
    assert fault.remedy == "did you mean 'team03' or 'team13' or 'team23'?"
    [fault] = examine("receivers: [{name: shop, local_configs: [{}]}]\nroute: {receiver: shops}\n").faults
    assert fault.remedy == "did you mean 'shop'?"


def test_a_zone_that_is_unknown_is_told_once() -> None:
    job = "jobs: {orders: {schedule: 0 5 * * *, finish_within: 1h, timezone: Europe/Berln}}"
    [fault] = examine(job).faults
    assert fault.path == "jobs.orders.timezone"


def test_a_variable_that_nothing_fills_in_is_doubted_where_it_stands() -> None:
    text = "receivers:\n  - name: a\n    webhook_configs: [{url: '${HOOK_URL}/x'}]\nroute: {receiver: a}\n"
    [doubt] = [each for each in examine(text).warnings if "HOOK_URL" in each.message]
    assert (doubt.line, doubt.path) == (3, "receivers[0].webhook_configs[0].url")
    assert doubt.message == "${HOOK_URL} is taken as it is written: no variable is filled in"
    pattern = "rules: [{alert: A, kind: run_failure, match: {pipeline: '~a{2}$'}}]"
    assert examine(pattern).warnings == ()


def test_a_section_of_ones_own_holds_what_aliases_name() -> None:
    text = "x-loud: &loud {severity: page, for: 5m}\nrules: [{<<: *loud, alert: A, kind: run_failure, match: a}]\n"
    checked = examine(text)
    assert checked.config is not None
    assert checked.config.declared_rules[0].for_s == 300


def test_an_address_below_a_path_is_doubted() -> None:
    [doubt] = examine("server: {external_url: https://example.com/watchtower/}").warnings
    assert "not below a path" in doubt.message
    assert examine("server: {external_url: https://watchtower.example.com/}").warnings == ()
