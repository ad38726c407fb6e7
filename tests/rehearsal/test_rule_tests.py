"""`watchtower test`: what it plays, what it says of what did not hold, and that it reaches nobody."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.terminal import Watchtower, runner
from watchtower.cli import output
from watchtower.config import Config, load, load_text
from watchtower.config.rule_tests import RuleTests, load_tests
from watchtower.errors import ConfigError
from watchtower.rehearsal.playing import play

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tests" / "team.yaml"

RULES = """
store: {store}
outbound: {{allow: [127.0.0.0/8]}}
rules:
  - {{alert: ModelWorse, kind: threshold, match: {{pipeline: train}}, series: score, below: 0.95, severity: page}}
route: {{receiver: hook, group_by: [alertname], group_wait: 0s}}
receivers:
  - name: hook
    webhook_configs: [{{url: "http://127.0.0.1:1/hook", signing_secrets: ["env:NOT_THERE"]}}]
"""


@pytest.fixture
def watchtower(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Watchtower:
    monkeypatch.setattr(output.out, "width", 200)
    monkeypatch.chdir(tmp_path)
    return runner(monkeypatch, capsys)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_text(RULES.format(store=f"sqlite:///{tmp_path}/real.db"), tmp_path)


def written(folder: Path, text: str) -> Path:
    file = folder / "tests.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def read(folder: Path, given: str, expect: str, more: str = "") -> RuleTests:
    return load_tests(written(folder, f"tests:\n- name: a case\n{more}  given: [{given}]\n  expect: [{expect}]\n"))


def failures(config: Config, folder: Path, given: str, expect: str, more: str = "") -> tuple[str, ...]:
    [test] = read(folder, given, expect, more).tests
    return play(test, config).failures


def test_the_example_holds_and_the_page_shows_it(watchtower: Watchtower) -> None:
    shown = watchtower("test", EXAMPLE, terminal=True)
    assert (shown.code, shown.out.splitlines()[-1]) == (0, "2 of 2 held")
    [block] = re.findall(r"```yaml tests\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)
    for line in block.splitlines():
        assert line.split(" #")[0].strip() in EXAMPLE.read_text(), line


@pytest.mark.parametrize("file", sorted((ROOT / "examples" / "tests").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_example_holds(file: Path) -> None:
    tests = load_tests(file)
    config = load(file.parent / (tests.config or ""))
    assert [(test.name, play(test, config).failures) for test in tests.tests] == [
        (test.name, ()) for test in tests.tests
    ]


def test_a_score_below_its_limit_is_told_and_the_limit_itself_is_not(config: Config, tmp_path: Path) -> None:
    def value(number: float, at: str) -> str:
        return f"{{value: {{series: score, pipeline: train, namespace: ml, at: {at}, value: {number}}}}}"

    run = "{run: {pipeline: train, namespace: ml, takes: 1m}}"
    quiet = "{at: 5m, alerts: [], told: []}"
    loud = "{at: 15m, alerts: [{alertname: ModelWorse, says: '0.949'}], told: [{receiver: hook}]}"
    given = f"{run}, {value(0.95, '2m')}, {value(0.949, '10m')}"
    assert failures(config, tmp_path, given, f"{quiet}, {loud}") == ()


def test_nothing_leaves_and_the_real_store_is_not_opened(config: Config, tmp_path: Path) -> None:
    value = "{value: {series: score, pipeline: train, namespace: ml, value: 0.1}}"
    run = "{run: {pipeline: train, namespace: ml, takes: 1m}}"
    assert failures(config, tmp_path, f"{run}, {value}", "{at: 5m, told: [{receiver: hook}]}") == ()
    assert not (tmp_path / "real.db").exists()


def test_what_did_not_come_and_what_was_not_expected_are_both_said(config: Config, tmp_path: Path) -> None:
    given = "{run: {pipeline: load, takes: 1m, ends: failed, task: copy, error: disk full}}"
    expect = (
        "{at: 5m, alerts: [{alertname: RunMissing}], told: [{receiver: nobody, about: [RunMissing], reason: first}]}"
    )
    assert failures(config, tmp_path, given, expect) == (
        "at 5m: expected RunMissing firing, which is not there",
        "at 5m: not expected: RunFailed namespace=test pipeline=load severity=ticket firing: load failed (run for "
        "2026-03-02 00:00 UTC) at task copy (attempt 1 of 1): disk full",
        "at 5m: expected a message to nobody about RunMissing (first), which was not sent",
        "at 5m: not expected: a message to hook about RunFailed (first) at 2026-03-02 00:01:00 UTC",
    )


def test_of_two_alerts_of_one_name_the_particular_one_is_matched_first(config: Config, tmp_path: Path) -> None:
    given = "{run: {pipeline: a, takes: 1m, ends: failed}}, {run: {pipeline: b, takes: 1m, ends: failed}}"
    expect = "{at: 5m, alerts: [{alertname: RunFailed}, {alertname: RunFailed, labels: {pipeline: a}}]}"
    assert failures(config, tmp_path, given, expect) == ()


def test_only_leaves_the_rest_out_of_sight(config: Config, tmp_path: Path) -> None:
    given = "{run: {pipeline: a, takes: 1m, ends: failed}}, {run: {pipeline: b, takes: 1m, ends: failed}}"
    expect = "{at: 7m, alerts: [{alertname: RunFailed}], told: [{receiver: hook, about: [RunFailed]}]}"
    assert failures(config, tmp_path, given, expect, "  only: {pipeline: b}\n") == ()


def test_history_is_learned_and_a_run_that_is_planned_and_late_is_missed(config: Config, tmp_path: Path) -> None:
    past = "{run: {pipeline: a, every: 1h, count: 14, takes: 5m}}"
    late = "{run: {pipeline: a, planned: 14h, at: 14h30m, takes: 5m}}"
    missed = "{at: 14h20m, alerts: [{alertname: RunMissing, labels: {pipeline: a}}]}"
    over = "{at: 14h40m, alerts: []}"
    assert failures(config, tmp_path, f"{past}, {late}", f"{{at: 13h30m, alerts: []}}, {missed}, {over}") == ()


def test_few_rows_are_found(config: Config, tmp_path: Path) -> None:
    def run(rows: int, at: str, count: int = 1) -> str:
        writes = f"writes: [{{dataset: shop.orders, rows: {rows}}}]"
        return f"{{run: {{pipeline: a, at: {at}, every: 1h, count: {count}, takes: 5m, {writes}}}}}"

    given = f"{run(5_000, '0s', 14)}, {run(0, '14h')}"
    expect = "{at: 14h10m, alerts: [{alertname: VolumeLow, labels: {dataset: shop.orders}, says: no rows}]}"
    assert failures(config, tmp_path, given, expect) == ()


def test_a_bill_is_heard_when_its_day_is_over_and_its_last_word_counts(tmp_path: Path) -> None:
    budget = "budgets:\n- {name: prod, scope: {tag: {Env: prod}}, period: day, limit: {amount: 10, currency: USD}}\n"
    given = (
        '{charge: {cost: "10.01", tags: {Env: prod}}}, {charge: {cost: "99", tags: {Env: dev}}}, '
        '{charge: {cost: "8", tags: {Env: prod}, billed_after: 12h}}'
    )
    quiet, over = "{at: 29h59m, alerts: []}", "{at: 30h, alerts: [{alertname: BudgetExceeded, labels: {budget: prod}}]}"
    restated = "{at: 36h, alerts: []}"
    assert failures(load_text(budget), tmp_path, given, f"{quiet}, {over}, {restated}") == ()


RENAMED = "jobs:\n- {pipeline: orders_v2, renamed_from: orders}\n"


@pytest.mark.parametrize("said", [True, False], ids=["said", "not said"])
def test_what_was_usual_of_a_pipeline_goes_on_under_its_new_name(tmp_path: Path, said: bool) -> None:
    """Its second run takes eight times as long, and its third never comes: both are known from before."""
    old = "{run: {pipeline: orders, every: 1h, count: 14, takes: 5m}}"
    new = "{run: {pipeline: orders_v2, at: 14h, takes: 5m}}, {run: {pipeline: orders_v2, at: 15h, takes: 40m}}"
    slow = "{alertname: RunSlow, says: usually 5m}" if said else ""
    missing = f"{slow}, {{alertname: RunMissing}}" if said else ""
    expect = f"{{at: 15h30m, alerts: [{slow}]}}, {{at: 16h30m, alerts: [{missing}]}}"
    config = load_text(RENAMED if said else "")
    assert failures(config, tmp_path, f"{old}, {new}", expect, "  only: {pipeline: orders_v2}\n") == ()


SLO = """
slos:
- apiVersion: openslo/v1
  kind: SLO
  metadata: {name: orders-gb}
  spec:
    service: shop
    indicator:
      metadata: {name: gigabytes}
      spec:
        thresholdMetric:
          metricSource:
            type: watchtower
            spec: {sli: unit_cost, match: {pipeline: a}, per: gb, scope: {tag: {Pipeline: a}}}
    timeWindow: [{duration: 30d, isRolling: true}]
    budgetingMethod: Occurrences
    objectives: [{op: lte, value: 0.03, target: 0.9}]
"""


def test_an_objective_of_what_a_gb_costs_burns_when_two_days_in_a_row_are_too_dear(tmp_path: Path) -> None:
    runs = "{run: {pipeline: a, every: 1d, count: 12, takes: 1h, writes: [{dataset: t, bytes: 10000000000}]}}"
    charge = "{{charge: {{at: {at}, every: 1d, count: {count}, cost: '{cost}', tags: {{Pipeline: a}}}}}}"
    given = f"{runs}, {charge.format(at='0s', count=10, cost='0.30')}, {charge.format(at='10d', count=2, cost='0.31')}"
    said = "2 of the newest 2 days cost more per unit than the limit"
    expect = f"{{at: 11d12h, alerts: []}}, {{at: 12d6h, alerts: [{{alertname: SloBurn, says: {said}}}]}}"
    assert failures(load_text(SLO), tmp_path, given, expect, "  only: {alertname: SloBurn}\n") == ()


def test_a_bill_of_the_month_before_is_of_that_month(tmp_path: Path) -> None:
    """The last day of February and the first of March: neither takes the other out of force."""
    budget = "budgets:\n- {name: all, period: day, limit: {amount: 10, currency: USD}}\n"
    given = '{charge: {cost: "11", every: 1d, count: 2}}'
    periods = [f"{{alertname: BudgetExceeded, labels: {{period: '{day}'}}}}" for day in ("2026-02-28", "2026-03-01")]
    expect = f"{{at: 30h, alerts: [{periods[0]}]}}, {{at: 54h, alerts: [{', '.join(periods)}]}}"
    assert failures(load_text(budget), tmp_path, given, expect, "  begins: 2026-02-28T00:00:00Z\n") == ()


@pytest.mark.parametrize(
    ("given", "expect", "said"),
    [
        ("{charge: {cost: 1.5}}", "{at: 1m, alerts: []}", "put it in quotes"),
        ("{charge: {cost: '1', currency: usd}}", "{at: 1m, alerts: []}", "did you mean 'USD'"),
        ("{run: {pipeline: a, ends: failed}}", "{at: 1m, alerts: []}", "needs takes"),
        ("{run: {pipeline: a, count: 3}}", "{at: 1m, alerts: []}", "every must say how far apart"),
        ("{}", "{at: 1m, alerts: []}", "say one of them"),
        ("{run: {pipline: a}}", "{at: 1m, alerts: []}", "did you mean 'pipeline'"),
        ("{run: {pipeline: a, takes: soon}}", "{at: 1m, alerts: []}", "'soon'"),
        ("", "{at: 1m}", "expects nothing"),
        ("", "{at: 2m, alerts: []}, {at: 1m, alerts: []}", "not in the order of time"),
        ("", "{at: 1m, alerts: [{alertname: A, state: ringing}]}", "'ringing' is not known"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, given: str, expect: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, given, expect)
    assert said in str(caught.value)
    assert re.search(r"tests\.yaml:\d", str(caught.value))


def test_a_moment_without_a_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no time zone"):
        read(tmp_path, "", "{at: 1m, alerts: []}", "  begins: 2026-03-02T06:00:00\n")


def test_a_number_that_the_server_would_not_take_is_refused(config: Config, tmp_path: Path) -> None:
    [test] = read(tmp_path, "{value: {series: 'no name!', value: 1}}", "{at: 1m, alerts: []}").tests
    with pytest.raises(ConfigError, match=r"test 'a case': .*no name!"):
        play(test, config)


def test_a_failing_test_ends_with_1_and_says_so_to_programs(watchtower: Watchtower, tmp_path: Path) -> None:
    file = written(tmp_path, "tests: [{name: a case, expect: [{at: 1m, alerts: [{alertname: Nothing}]}]}]")
    piped = watchtower("test", file)
    assert piped.code == 1
    [answer] = json.loads(piped.out)
    assert (answer["test"], answer["ok"]) == ("a case", False)
    assert answer["failures"] == ["at 1m: expected Nothing firing, which is not there"]
    assert "0 of 1 held" in watchtower("test", file, terminal=True).out


def test_files_that_cannot_be_used_end_with_2(watchtower: Watchtower, tmp_path: Path) -> None:
    assert watchtower("test", tmp_path / "none.yaml").code == 2
    lost = written(tmp_path, "config: gone.yaml\ntests: [{name: a, expect: [{at: 1m, alerts: []}]}]")
    answer = watchtower("test", lost)
    assert answer.code == 2
    assert "gone.yaml" in answer.err
