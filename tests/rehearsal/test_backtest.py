"""`watchtower backtest`: what it plays, what it counts, and that it leaves everything as it was."""

import json
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alerting.incidents import acknowledge
from tests.app.house import event
from tests.cli.terminal import Watchtower, runner
from tests.rehearsal.living import Life, lived
from watchtower.cli import output
from watchtower.config import load_text
from watchtower.model.alert import Incident, Silence
from watchtower.model.labels import Matcher
from watchtower.store import backtests, incidents
from watchtower.store.database import Database
from watchtower.store.reading.paging import Window

BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
RUN = "00000000-0000-4000-8000-{:012x}"
LOUD = "rules:\n- {alert: Failed, kind: run_failure, severity: page}\n"
ROUTES = "route: {receiver: team, group_wait: 1m}\nreceivers: [{name: team, local_configs: [{}]}]\n"

CALLED = """
server: {external_url: "https://watchtower.example.com"}
oncall:
  people:
    first: {name: First, phone: "+12025550142", methods: [{sms: 0s}]}
    second: {name: Second, phone: "+12025550178", methods: [{sms: 0s}]}
  twilio: {account_sid: AC00000000000000000000000000000000, auth_token: "env:NOT_THERE", from: "+12025550100"}
  escalations: {data: {steps: [{notify: first}, {wait: 5m}, {notify: second}]}}
route: {receiver: on-call, group_wait: 0s}
receivers: [{name: on-call, oncall_configs: [{escalation: data}]}]
"""


@pytest.fixture
def watchtower(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Watchtower:
    monkeypatch.setattr(output.out, "width", 200)
    monkeypatch.chdir(tmp_path)
    return runner(monkeypatch, capsys)


@pytest.fixture
def life(tmp_path: Path) -> Generator[Life]:
    """Two weeks of orders: every day it runs, and fails on the 3rd and on the 10th day."""
    with lived(tmp_path, load_text(ROUTES), BEGINS, f"sqlite:///{tmp_path}/life.db") as found:
        for day in range(14):
            at = BEGINS + timedelta(days=day, hours=6)
            end = "FAIL" if day in (2, 9) else "COMPLETE"
            post(found, event(at, "START", "orders", RUN.format(day)), at)
            post(found, event(at + timedelta(minutes=5), end, "orders", RUN.format(day)), at + timedelta(minutes=5))
        yield found


def post(life: Life, told: dict[str, Any], at: datetime) -> None:
    life.post(at, json.dumps(told).encode())


def played(watchtower: Watchtower, life: Life, *more: object) -> dict[str, Any]:
    folder = life.instance.state.path.parent
    config = folder / "watchtower.yaml"
    config.write_text(f"store: sqlite:///{folder}/life.db\n{ROUTES}", encoding="utf-8")
    answer = watchtower("backtest", "--config", config, "--state", folder / "elsewhere", "-o", "json", *more)
    assert answer.code == 0, answer.said
    return json.loads(answer.out)


def file_of(life: Life, text: str, name: str = "tried.yaml") -> Path:
    file = life.instance.state.path.parent / name
    file.write_text(text, encoding="utf-8")
    return file


def test_rules_that_were_not_in_force_say_whom_they_would_have_paged_and_when(
    watchtower: Watchtower, life: Life
) -> None:
    found = played(watchtower, life, "--rules", file_of(life, LOUD))
    assert [(alert["rule"], alert["starts_at"], alert["ends_at"]) for alert in found["alerts"]] == [
        ("Failed", "2026-03-04T06:05:00Z", "2026-03-05T06:05:00Z"),
        ("Failed", "2026-03-11T06:05:00Z", "2026-03-12T06:05:00Z"),
    ]
    pages = [message for message in found["messages"] if message["page"]]
    first = [message["at"] for message in pages if message["reason"] == "first"]
    assert first == ["2026-03-04T06:06:00Z", "2026-03-11T06:06:00Z"]
    assert {message["receiver"] for message in pages} == {"team"}
    assert [(week["begins"], week["alerts"]) for week in found["weeks"]] == [("2026-03-02", 1), ("2026-03-09", 1)]
    assert [(rule["rule"], rule["fired"], rule["firing_s"]) for rule in found["rules"]] == [("Failed", 2, 172_800.0)]


def test_what_the_store_holds_stays_as_it_was(watchtower: Watchtower, life: Life) -> None:
    before = life.alerts()
    played(watchtower, life, "--rules", file_of(life, LOUD))
    assert life.alerts() == before
    assert {alert.rule for alert in before} == {"RunFailed"}


def test_what_is_to_be_kept_is_found_in_the_store(watchtower: Watchtower, tmp_path: Path) -> None:
    here = ("--config", tmp_path / "watchtower.yaml", "--state", tmp_path / "life")
    with lived(tmp_path, load_text(ROUTES), BEGINS, f"sqlite:///{tmp_path}/life.db") as life:
        post(life, event(BEGINS, "START", "orders", RUN.format(0)), BEGINS)
        post(life, event(BEGINS, "FAIL", "orders", RUN.format(0)), BEGINS + timedelta(minutes=5))
        tried = file_of(life, LOUD)
        file_of(life, f"store: sqlite:///{tmp_path}/life.db\n{ROUTES}", "watchtower.yaml")
    answer = watchtower("backtest", *here, "--rules", tried, "--keep", "-o", "json")
    assert answer.code == 0, answer.said
    said = json.loads(answer.out)
    with closing(Database(f"sqlite:///{tmp_path}/life.db")) as database, database.read() as connection:
        [kept] = backtests.kept(connection, Window()).items
        found = backtests.one(connection, kept.id)
    assert f"kept: /backtests/{kept.id}" in answer.said
    assert (kept.rules, kept.against, kept.summary.alerts) == ("tried.yaml", None, 1)
    assert found is not None
    assert msgspec.to_builtins(found[1]) == said


def test_what_fired_before_the_window_is_played_and_not_counted(watchtower: Watchtower, life: Life) -> None:
    found = played(watchtower, life, "--from", "2026-03-05", "--to", "2026-03-12T00:00Z")
    assert [alert["starts_at"] for alert in found["alerts"]] == ["2026-03-11T06:05:00Z"]
    assert (found["from"], found["to"]) == ("2026-03-05T00:00:00Z", "2026-03-12T00:00:00Z")


def test_a_window_that_begins_before_anything_is_kept_says_so(watchtower: Watchtower, life: Life) -> None:
    folder = life.instance.state.path.parent
    config = file_of(life, f"store: sqlite:///{folder}/life.db\n{ROUTES}", "watchtower.yaml")
    answer = watchtower("backtest", "--config", config, "--state", folder / "elsewhere", "--from", "2026-01-01")
    assert "the oldest came in at 2026-03-02 06:00 UTC: the backtest begins there" in answer.said
    assert json.loads(answer.out)["from"] == "2026-03-02T06:00:00Z"


def test_silences_of_the_time_count(watchtower: Watchtower, life: Life) -> None:
    loud = played(watchtower, life, "--rules", file_of(life, LOUD))
    made = BEGINS + timedelta(days=1)
    matchers = (Matcher("pipeline", "=", "orders"),)
    quiet = Silence("s1", matchers, made, BEGINS + timedelta(days=5), "anna", "known", made, made)
    life.instance.alerting.revise_silence(None, lambda _: [quiet])
    hushed = played(watchtower, life, "--rules", file_of(life, LOUD))
    assert len(hushed["alerts"]) == len(loud["alerts"]) == 2
    assert min(message["at"] for message in loud["messages"]) < "2026-03-05"
    assert min(message["at"] for message in hushed["messages"]) > "2026-03-10"


def test_whoever_had_an_incident_then_keeps_others_from_being_called_now(tmp_path: Path) -> None:
    with lived(tmp_path, load_text(LOUD + ROUTES), BEGINS, f"sqlite:///{tmp_path}/life.db") as life:
        for day in range(2):
            at = BEGINS + timedelta(days=day)
            post(life, event(at, "START", "orders", RUN.format(2 * day)), at)
            post(life, event(at, "FAIL", "orders", RUN.format(2 * day)), at + timedelta(seconds=1))
            if day == 0:
                [incident] = incidents_of(life)
                life.until(at + timedelta(minutes=2))
                has = partial(acknowledge, by="anna", now=life.clock.now())
                life.instance.alerting.edit_incident(incident.id, has)
            life.until(at + timedelta(hours=1))
            post(life, event(life.clock.now(), "COMPLETE", "orders", RUN.format(2 * day + 1)), life.clock.now())
        [again] = life.again([load_text(LOUD + CALLED)])
    called = {(told.at.day, told.notice.destination.split("/")[-2]) for told in again.told if told.is_page}
    assert sorted(called) == [(2, "first"), (3, "first"), (3, "second")]


def incidents_of(life: Life) -> list[Incident]:
    with life.instance.database.read() as connection:
        return incidents.list_incidents(connection)


INCIDENTS = """
incidents:
  - {name: first, pipeline: orders, from: 2026-03-04T06:00:00Z, to: 2026-03-04T09:00:00Z}
  - {name: unseen, pipeline: orders, from: 2026-03-07T06:00:00Z, to: 2026-03-07T09:00:00Z}
  - {name: long before, pipeline: orders, from: 2026-01-07T06:00:00Z, to: 2026-01-07T09:00:00Z}
"""


def test_labelled_incidents_tell_what_was_caught_what_was_missed_and_what_was_false(
    watchtower: Watchtower, life: Life
) -> None:
    found = played(
        *(watchtower, life, "--rules", file_of(life, LOUD)),
        *("--labels", file_of(life, INCIDENTS, "incidents.yaml")),
    )["judged"]
    assert found["all"] == {
        **{"alerts": 2, "true": 1, "incidents": 2, "caught": 1, "delay_s": 300.0},
        **{"precision": 0.5, "recall": 0.5},
    }
    assert found["pages"] == found["all"]
    assert [each["name"] for each in found["missed"]] == ["unseen"]
    assert [each["starts_at"] for each in found["false"]] == ["2026-03-11T06:05:00Z"]


def test_two_rule_files_are_told_apart_by_what_they_tell(watchtower: Watchtower, life: Life) -> None:
    patient = LOUD.replace("severity: page", "severity: page, for: 1h")
    more = f"{patient}- {{alert: Odd, kind: duration, max: 1m}}\n"
    found = played(
        *(watchtower, life, "--rules", file_of(life, LOUD)),
        *("--against", file_of(life, more, "other.yaml")),
    )["against"]
    assert (found["same"], found["only_here"]) == (0, [])
    assert {each["rule"] for each in found["only_there"]} == {"Odd"}
    assert [(each["rule"], each["begins_later_s"], each["ends_later_s"]) for each in found["moved"]] == [
        ("Failed", 3_600.0, 0.0),
        ("Failed", 3_600.0, 0.0),
    ]


def test_people_read_what_was_caught_and_what_is_different(watchtower: Watchtower, life: Life) -> None:
    folder = life.instance.state.path.parent
    config = file_of(life, f"store: sqlite:///{folder}/life.db\n{ROUTES}", "watchtower.yaml")
    answer = watchtower(
        *("backtest", "--config", config, "--state", folder / "elsewhere", "--rules", file_of(life, LOUD)),
        *("--labels", file_of(life, INCIDENTS, "incidents.yaml"), "--against", file_of(life, "rules: []", "none.yaml")),
        terminal=True,
    )
    assert (
        "alerts: 1 of 2 incidents caught, 5m after they began (median) (recall 50%); 1 of 2 tell of one" in answer.out
    )
    assert "against the other rules: 0 the same, 0 moved, 2 only here, 2 only there" in answer.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from", "yesterday"], "'yesterday' is not understood; write 2026-03-01, 2026-03-01T06:00Z, or 30d"),
        (["--from", "2026-03-09", "--to", "2026-03-05"], "lies before --from"),
        (["--to", "2026-02-01"], "lies before --from"),
        (["--rules", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_played_is_told(watchtower: Watchtower, life: Life, options: list[str], said: str) -> None:
    folder = life.instance.state.path.parent
    config = file_of(life, f"store: sqlite:///{folder}/life.db\n{ROUTES}", "watchtower.yaml")
    answer = watchtower("backtest", "--config", config, "--state", folder / "elsewhere", *options)
    assert answer.code == 2
    assert said in answer.said


def test_a_store_without_events_has_nothing_to_play(watchtower: Watchtower, tmp_path: Path) -> None:
    with lived(tmp_path, load_text(""), BEGINS, f"sqlite:///{tmp_path}/life.db"):
        config = tmp_path / "watchtower.yaml"
        config.write_text(f"store: sqlite:///{tmp_path}/life.db\n", encoding="utf-8")
        answer = watchtower("backtest", "--config", config, "--state", tmp_path / "elsewhere")
    assert (answer.code, "the store holds no event yet" in answer.said) == (2, True)


def test_people_read_a_table(watchtower: Watchtower, life: Life) -> None:
    folder = life.instance.state.path.parent
    config = file_of(life, f"store: sqlite:///{folder}/life.db\n{ROUTES}", "watchtower.yaml")
    answer = watchtower(
        *("backtest", "--config", config, "--state", folder / "elsewhere", "--rules", file_of(life, LOUD)),
        terminal=True,
    )
    assert answer.out.splitlines()[0].startswith("28 events, 2026-03-02 06:00 to 2026-03-15 06:05 UTC: 2 alerts, ")
    assert "orders failed" in answer.out
