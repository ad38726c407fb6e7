"""The whole road with real parts: real Airflow 3 fails, hangs and never starts; the right person is told, once.

Airflow sends to a freshly started Watchtower; the ticket is read back from a real Request Tracker 5, the messages from
a Slack simulator that keeps a ledger (judged by Slack's published specification where ../shared stands beside the
checkout), the mail from a real SMTP server.
"""

import base64
import json
import urllib.request
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from openapi_core import Config, OpenAPI

from tests.alerting.channels.test_slack_specification import SPECIFICATION, as_specified
from tests.e2e import polled_airflow
from tests.e2e.airflow import DAGS, Airflow, Lineage, ensure_airflow, free_port
from tests.e2e.watchtower_server import WatchtowerServer
from tests.services.debian import Unavailable
from tests.services.request_tracker import RequestTrackerServer, request_tracker
from tests.simulators.slack import TOKEN, SlackSimulator
from tests.simulators.smtp import SmtpSimulator

NAMESPACE = "e2e-airflow"

CONFIG = """
outbound: {{allow: [127.0.0.0/8]}}
jobs:
  - {{pipeline: fx_rates_minutely, namespace: {namespace}, schedule: "* * * * *", timezone: UTC, start_within: 20s}}
ownership:
  - {{match: {{pipeline: "~.*"}}, team: finance}}
rules:
  - {{alert: ImportFailed, kind: run_failure, match: {{pipeline: invoice_import}}, severity: page}}
  - {{alert: VacuumHangs, kind: duration, match: {{pipeline: warehouse_vacuum}}, max: 15s, severity: page}}
route:
  receiver: desk
  group_by: [pipeline]
  group_wait: 0s
receivers:
  - name: desk
    slack_configs:
      - {{app_token: {slack_token}, base_url: "{slack}", channel: "#alerts", send_resolved: true}}
    email_configs:
      - {{to: data-lead@example.com, from: watchtower@example.com, smarthost: "{smtp}", require_tls: false}}
    request_tracker_configs:
      - {{base_url: "{rt}", username: root, password: "{rt_password}", queue: General}}
"""


@pytest.fixture(scope="module")
def desk() -> Generator[RequestTrackerServer]:
    try:
        with request_tracker() as server:
            yield server
    except Unavailable as error:
        pytest.fail(str(error))


@pytest.fixture(scope="module")
def slack() -> Generator[SlackSimulator]:
    with SlackSimulator(datetime.now(UTC)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def smtp() -> Generator[SmtpSimulator]:
    with SmtpSimulator(starttls=False) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def watchtower(
    tmp_path_factory: pytest.TempPathFactory, desk: RequestTrackerServer, slack: SlackSimulator, smtp: SmtpSimulator
) -> Generator[WatchtowerServer]:
    config = CONFIG.format(
        namespace=NAMESPACE,
        slack_token=TOKEN,
        slack=slack.api_url,
        smtp=smtp.smarthost,
        rt=desk.base_url,
        rt_password=desk.passwords["root"],
    )
    folder: Path = tmp_path_factory.mktemp("spine")
    with WatchtowerServer(folder, free_port(), config) as server:
        yield server


@pytest.fixture(scope="module")
def airflow(watchtower: WatchtowerServer) -> Generator[Airflow]:
    token = watchtower.command("token", "create", "airflow").strip()
    lineage = Lineage(watchtower.url, token, namespace=NAMESPACE)
    with Airflow(ensure_airflow(), dags=DAGS / "cases", lineage=lineage) as running:
        for dag_id in ("ledger_export", "invoice_import", "warehouse_vacuum"):
            running.unpause(dag_id)
            running.trigger(dag_id, "first")
        yield running


def open_incidents(watchtower: WatchtowerServer) -> dict[str, dict[str, Any]]:
    items: list[dict[str, Any]] = watchtower.get("/api/v1/incidents?limit=50")["items"]
    return {item["labels"].get("pipeline", item["title"]): item for item in items if item["status"] != "resolved"}


def tickets(desk: RequestTrackerServer) -> list[dict[str, Any]]:
    """All tickets, as RT itself tells of them."""
    login = base64.b64encode(f"root:{desk.passwords['root']}".encode()).decode()
    query = quote("Queue = 'General'")
    url = f"{desk.base_url}/REST/2.0/tickets?query={query}&fields=Subject,Status&per_page=100&orderby=id"
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["items"]


def text_of(desk: RequestTrackerServer, ticket_id: str) -> str:
    login = base64.b64encode(f"root:{desk.passwords['root']}".encode()).decode()
    url = f"{desk.base_url}/REST/2.0/ticket/{ticket_id}/attachments?fields=Content&per_page=50"
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        items: list[dict[str, Any]] = json.loads(answer.read())["items"]
    return "\n".join(str(item["Content"]) for item in items if item.get("Content"))


def test_a_real_day_at_the_desk(
    watchtower: WatchtowerServer,
    airflow: Airflow,
    desk: RequestTrackerServer,
    slack: SlackSimulator,
    smtp: SmtpSimulator,
) -> None:
    """One story, told in order, since each step stands on the one before."""
    airflow.wait_for_state("ledger_export", "first", "success", timeout_s=180)
    airflow.wait_for_state("invoice_import", "first", "failed", timeout_s=180)

    # Exactly the right incidents: what failed, what hangs, what never started; not what went well.
    def all_three() -> dict[str, dict[str, Any]] | None:
        found = open_incidents(watchtower)
        return found if {"invoice_import", "warehouse_vacuum", "fx_rates_minutely"} <= found.keys() else None

    found = watchtower.wait_for("the three incidents", all_three, timeout_s=120)
    assert set(found) == {"invoice_import", "warehouse_vacuum", "fx_rates_minutely"}
    kinds = {item["labels"]["pipeline"]: item["labels"]["kind"] for item in firing(watchtower)}
    assert kinds == {
        "invoice_import": "run_failure",
        "warehouse_vacuum": "duration",
        "fx_rates_minutely": "missing_run",
    }

    # The reason is there: the task, its attempts, the error that Python raised, the owner.
    alert = next(item for item in firing(watchtower) if item["labels"]["pipeline"] == "invoice_import")
    evidence = json.dumps(alert["evidence"])
    assert "parse_invoices" in evidence
    assert "invalid literal for int()" in evidence
    assert (alert["labels"]["owner"], alert["labels"]["team"]) == ("finance-data", "finance")

    # Everything owed was delivered, once, with the provider's own id.
    def all_delivered() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = watchtower.get("/api/v1/ledger?limit=200")["items"]
        return items if len(items) >= 9 and all(item["state"] == "delivered" for item in items) else None

    ledger = watchtower.wait_for("all deliveries", all_delivered, timeout_s=60)
    assert all(item["provider_id"] for item in ledger)

    opened = tickets(desk)
    assert len(opened) == 3, opened
    ticket = next(item for item in opened if "invoice_import" in item["Subject"])
    text = text_of(desk, ticket["id"])
    assert "invalid literal for int()" in text
    assert "finance-data" in text

    assert sum("invoice_import" in json.dumps(message.content) for message in slack.ledger) == 1
    mails = [mail for mail in smtp.inbox("data-lead@example.com") if "invoice_import" in str(mail.message["Subject"])]
    assert len(mails) == 1
    specification_holds(slack)

    # The plug is pulled in the middle of it, and nothing is told twice.
    watchtower.kill()
    watchtower.start()
    before = len(slack.ledger), len(tickets(desk)), len(smtp.ledger)
    # The pipeline is mended by a person: a new run of a run that succeeds resolves what it can.
    airflow.trigger("ledger_export", "second")
    airflow.wait_for_state("ledger_export", "second", "success", timeout_s=120)

    def heard() -> bool | None:
        items = watchtower.get("/api/v1/runs?pipeline=ledger_export&top_level=true")["items"]
        return True if len(items) == 2 and all(item["state"] == "succeeded" for item in items) else None

    watchtower.wait_for("the second run", heard, timeout_s=60)
    assert (len(slack.ledger), len(tickets(desk)), len(smtp.ledger)) == before


def test_airflow_is_asked_for_what_nobody_told(watchtower: WatchtowerServer, airflow: Airflow, tmp_path: Path) -> None:
    """The same Airflow, by its API: a Watchtower without events, and then the one that gets them."""
    with polled_airflow.only_asking(tmp_path / "asking", airflow) as asking:
        asks_alone(asking, airflow)
        airflow.unpause("ledger_report")
        airflow.trigger("ledger_export", "reported")
        airflow.wait_for_state("ledger_export", "reported", "success", timeout_s=180)
        (report,) = airflow.wait_for("the report", lambda: airflow.dag_runs("ledger_report"), timeout_s=180)
        airflow.wait_for_state("ledger_report", report.run_id, "failed", timeout_s=180)
        polled_airflow.what_set_it_off_is_known(asking, "reported")
        polled_airflow.its_alert_says_what_set_it_off(asking, "reported")
        found_what_was_killed(asking, airflow)
        was_away_and_missed_nothing(asking, airflow)
    hears_and_asks(watchtower, airflow)


def asks_alone(asking: WatchtowerServer, airflow: Airflow) -> None:
    tries: dict[polled_airflow.Try, str] = {("parse_invoices", "first", number): "failed" for number in (1, 2, 3)}
    tries[None, "first", 1] = "failed"
    polled_airflow.wait_until(asking, "invoice_import", tries)
    polled_airflow.wait_until(asking, "ledger_export", {(None, "first", 1): "succeeded"})
    finals = {
        each["attempt"]: each["final"]
        for each in polled_airflow.runs(asking, "invoice_import")
        if each["task"] == "parse_invoices"
    }
    assert finals == {1: False, 2: False, 3: True}
    (job,) = [each for each in asking.get("/api/v1/jobs?pipeline=fx_rates_minutely")["items"] if not each["task"]]
    assert (job["owner"], job["schedule"], job["timezone"]) == ("finance-data", "* * * * *", "UTC")
    assert job["tags"] == {"tier": "1", "team": "finance"}
    polled_airflow.the_schedule_is_known_in_its_zone(asking)

    def told() -> dict[str, Any] | None:
        found = [each for each in firing(asking) if each["labels"].get("pipeline") == "invoice_import"]
        return found[0] if found else None

    alert = asking.wait_for("the alert", told, timeout_s=polled_airflow.POLLS_S)
    assert "parse_invoices" in json.dumps(alert["evidence"])


def found_what_was_killed(asking: WatchtowerServer, airflow: Airflow) -> None:
    polled_airflow.wait_until(asking, "warehouse_vacuum", {("vacuum_tables", "first", 1): "running"})
    polled_airflow.kill_task(airflow, "warehouse_vacuum", "first", "vacuum_tables")
    airflow.wait_for_state("warehouse_vacuum", "first", "failed", timeout_s=180)
    ended: dict[polled_airflow.Try, str] = {(None, "first", 1): "failed", ("vacuum_tables", "first", 1): "failed"}
    polled_airflow.wait_until(asking, "warehouse_vacuum", ended)


def was_away_and_missed_nothing(asking: WatchtowerServer, airflow: Airflow) -> None:
    asking.stop()
    airflow.trigger("ledger_export", "meanwhile")
    airflow.wait_for_state("ledger_export", "meanwhile", "success", timeout_s=120)
    asking.start()
    written: dict[polled_airflow.Try, str] = {
        ("write_entries", "meanwhile", 1): "succeeded",
        (None, "meanwhile", 1): "succeeded",
    }
    polled_airflow.wait_until(asking, "ledger_export", written)
    polled_airflow.reconciled(asking, airflow, ["ledger_export", "invoice_import", "warehouse_vacuum"])


def hears_and_asks(watchtower: WatchtowerServer, airflow: Airflow) -> None:
    """What was pushed is polled, too, and nothing is there twice."""
    config = watchtower.config + polled_airflow.source(airflow)
    watchtower.reload(config)

    def asked() -> bool | None:
        items = watchtower.get("/api/v1/sources")["items"]
        return True if any(each["last_success"] for each in items) else None

    watchtower.wait_for("a whole poll", asked, timeout_s=polled_airflow.POLLS_S)
    polled_airflow.reconciled(watchtower, airflow, ["ledger_export", "invoice_import", "warehouse_vacuum"])
    polled_airflow.what_set_it_off_is_known(watchtower, "reported")
    killed = polled_airflow.states(watchtower, "warehouse_vacuum")
    assert killed == {(None, "first", 1): "failed", ("vacuum_tables", "first", 1): "failed"}
    errors = [each["error"] for each in polled_airflow.runs(watchtower, "invoice_import") if each["attempt"] == 3]
    assert "invalid literal for int()" in json.dumps(
        errors
    )  # only the event had it, and the poll has not taken it away


def firing(watchtower: WatchtowerServer) -> list[dict[str, Any]]:
    return watchtower.get("/api/v1/alerts?state=firing&limit=100")["items"]


def specification_holds(slack: SlackSimulator) -> None:
    """Slack's own published specification judges what was sent, where it stands beside the checkout."""
    if SPECIFICATION.exists():
        judge = OpenAPI.from_dict(
            json.loads(SPECIFICATION.read_text()), config=Config(spec_validator_cls=cast(Any, None))
        )
        for request in slack.requests:
            judge.validate_request(as_specified(request))
