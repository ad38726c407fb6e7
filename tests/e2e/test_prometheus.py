"""A real Prometheus scrapes a real Watchtower after a morning of runs, and every panel of every dashboard shows it."""

import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
import yaml

from dashboards.prometheus import RULES
from tests.charges import Line, bring
from tests.dashboards.grafana_checks import panels
from tests.e2e.watchtower_server import WatchtowerServer
from tests.services import prometheus
from tests.services.ports import free_port
from tests.services.prometheus import Prometheus
from watchtower.clock import SystemClock
from watchtower.store.database import Database
from watchtower.store.migrations import migrate

UNIT_TESTS = Path(__file__).with_name("watchtower_meta.test.yml")
NAMES = ("fleet", "pipeline", "cost")
CONFIG = """
server: {{listen: "127.0.0.1:{port}"}}
outbound: {{allow: [127.0.0.0/8]}}
ownership:
  - {{match: {{namespace: shop}}, team: data}}
budgets:
  - {{name: lake-daily, scope: {{tag: {{Environment: prod-data-pipeline}}}}, period: day,
     limit: {{amount: "100", currency: USD}}, team: data}}
flapping: {{runs: {{changes: 0}}}}  # two failures of one morning are two incidents
route: {{receiver: team, group_by: [pipeline], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: team
    webhook_configs: [{{url: "{hook}", send_resolved: true}}]
"""


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@dataclass
class Morning:
    server: WatchtowerServer
    prometheus: Prometheus
    exported: Path
    metrics_token: str


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Generator[Morning]:
    """Watchtower and Prometheus as a user sets them up, after two rounds of runs with a scrape in between."""
    folder = tmp_path_factory.mktemp("prometheus")
    hook = ThreadingHTTPServer(("127.0.0.1", 0), _Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    port = free_port()
    config = CONFIG.format(port=port, hook=f"http://127.0.0.1:{hook.server_port}/")
    server = WatchtowerServer(folder, port, config)
    _bring_a_bill(folder / "state")
    with server:
        exported = folder / "exported"
        server.command("dashboards", "export", str(exported))
        token = folder / "token"
        token.write_text(server.command("token", "create", "prometheus", "--scope", "metrics"))
        with prometheus.running(_prometheus_config(exported, token)) as scraper:
            _play(server, scraper)
            yield Morning(server, scraper, exported, token.read_text().strip())
    hook.shutdown()
    hook.server_close()


def _bring_a_bill(state: Path) -> None:
    """What an importer has written before the server starts."""
    state.mkdir()
    database = Database(f"sqlite:///{state / 'watchtower.db'}")
    migrate(database, SystemClock())
    now = datetime.now(UTC)
    lines = [
        Line((now - timedelta(days=day)).date(), amount, service=service)
        for day in range(1, 6)
        for service, amount in (("AmazonS3", "12.50"), ("AWSGlue", "70.125"))
    ]
    bring(database, lines, now)
    database.close()


def _prometheus_config(exported: Path, token: Path) -> Path:
    """The exported scrape job, as a user pastes it, only more often; and the exported rules."""
    document = yaml.safe_load((exported / "prometheus" / "scrape.yml").read_text())
    (job,) = document["scrape_configs"]
    job |= {"scrape_interval": "1s", "scrape_timeout": "1s", "authorization": {"credentials_file": str(token)}}
    document["rule_files"] = [str(exported / "prometheus" / "rules" / "*.yml")]
    document["global"] = {"evaluation_interval": "1s"}
    file = exported.parent / "prometheus.yml"
    file.write_text(yaml.safe_dump(document))
    return file


# -- the morning --------------------------------------------------------------------------------------------------


def _play(server: WatchtowerServer, scraper: Prometheus) -> None:
    ingest = server.command("token", "create", "airflow", "--scope", "ingest").strip()
    _run(server, ingest, "customers_sync", 1_000, "COMPLETE")
    for number in range(2):
        for name in ("orders_hourly", "invoices"):
            _run(server, ingest, name, number, "FAIL")
            server.wait_for(f"the incident of {name}", lambda name=name: _incident(server, name), timeout_s=60)
            server.command("ack", _incident(server, name)["id"])
            _run(server, ingest, name, number + 100, "COMPLETE")
            server.wait_for(
                f"the end of {name}", lambda name=name: None if _incident(server, name) else True, timeout_s=60
            )
        _run(server, ingest, "customers_sync", number, "FAIL")
        ended = 1 + 5 * (number + 1)
        server.wait_for(
            f"Prometheus to have seen {ended} ends",
            lambda ended=ended: _seen(scraper, "sum(watchtower_pipeline_runs_total)", ended),
            timeout_s=60,
        )
    firing = 'sum(watchtower_alerts{kind="run_failure", state="firing"})'
    server.wait_for("Prometheus to see what is left", lambda: _seen(scraper, firing, 1), timeout_s=60)


def _run(server: WatchtowerServer, token: str, name: str, number: int, end: str) -> None:
    now = datetime.now(UTC)
    for event_type, at in (("START", now - timedelta(seconds=42)), (end, now)):
        written = [{"namespace": "s3://lake", "name": f"{name}_table"}] if event_type == "COMPLETE" else []
        event = {
            "eventType": event_type,
            "eventTime": at.isoformat(),
            "producer": "https://example.org/e2e",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": str(uuid5(NAMESPACE_URL, f"{name}/{number}"))},
            "job": {"namespace": "shop", "name": name},
            "inputs": [],
            "outputs": written,
        }
        request = urllib.request.Request(
            f"{server.url}/api/v1/lineage",
            json.dumps(event).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        urllib.request.urlopen(request, timeout=10).close()


def _incident(server: WatchtowerServer, pipeline: str) -> Any:
    found = server.get("/api/v1/incidents?status=triggered&status=acknowledged")["items"]
    return next((each for each in found if each["labels"].get("pipeline") == pipeline), None)


def _seen(scraper: Prometheus, expression: str, value: float) -> bool | None:
    return True if any(float(item["value"][1]) == value for item in scraper.query(expression)) else None


# -- what must hold -----------------------------------------------------------------------------------------------


def _substituted(text: str) -> str:
    values = {
        "$__rate_interval": "1m",
        "$__range": "10m",
        "$pipeline": "orders_hourly",
        "$currency": "USD",
        **dict.fromkeys(("$job", "$namespace", "$team", "$bill"), ".*"),
    }
    for name, value in values.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def _dashboard(morning: Morning, name: str) -> Any:
    return json.loads((morning.exported / "grafana" / "dashboards" / f"watchtower-{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_is_empty_and_none_is_faulty(morning: Morning, name: str) -> None:
    asked = [
        (panel["title"], _substituted(target["expr"]))
        for panel in panels(_dashboard(morning, name))
        for target in panel["targets"]
    ]
    empty = asked
    deadline = time.monotonic() + 15  # the second scrape of what was observed last
    while empty and time.monotonic() < deadline:
        empty = [(title, expr) for title, expr in empty if not morning.prometheus.query(expr)]
        time.sleep(0.5 if empty else 0)
    assert empty == []
    assert len(asked) >= 9


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_has_values(morning: Morning, name: str) -> None:
    for variable in _dashboard(morning, name)["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", _substituted(variable["query"]))
            assert found, variable["query"]
            values = {item["metric"].get(found[2]) for item in morning.prometheus.query(found[1])}
            assert values - {None}, variable["name"]


def test_the_numbers_on_the_fleet_dashboard_are_those_of_the_morning(morning: Morning) -> None:
    shown = {panel["title"]: panel["targets"][0]["expr"] for panel in panels(_dashboard(morning, "fleet"))}

    def number(title: str) -> float:
        (item,) = morning.prometheus.query(_substituted(shown[title]))
        return float(item["value"][1])

    assert number("Broken pipelines") == 1
    budget = [item for item in morning.prometheus.query("watchtower_alerts") if item["metric"]["kind"] == "budget"]
    assert number("Alerts that fire") == 1 + sum(float(item["value"][1]) for item in budget)
    assert number("Alerts that page") == 0
    assert number("Incidents nobody has") == len(morning.server.get("/api/v1/incidents?status=triggered")["items"])
    assert number("Given up") == 0
    assert 0.3 < number("Runs that failed") < 0.9
    assert 0 < number("Mean time to acknowledge") < 60
    assert number("Mean time to acknowledge") < number("Mean time to resolve") < 120
    (broken,) = morning.prometheus.query(_substituted(shown["State of the newest run"]) + " >= 7")
    assert broken["metric"]["pipeline"] == "customers_sync"
    assert broken["metric"]["namespace"] == "shop"


def test_the_numbers_on_the_cost_dashboard_are_those_of_the_bill(morning: Morning) -> None:
    shown = {panel["title"]: panel["targets"][0]["expr"] for panel in panels(_dashboard(morning, "cost"))}
    services = morning.prometheus.query(_substituted(shown["By service"]))
    assert {item["metric"]["service"]: float(item["value"][1]) for item in services} == {
        "AmazonS3": 62.5,
        "AWSGlue": 350.625,
    }
    (share,) = morning.prometheus.query(_substituted(shown["Share of each budget"]))
    assert float(share["value"][1]) == pytest.approx(0.82625, abs=1e-4)


def test_a_duration_leads_to_its_run(morning: Morning) -> None:
    now = time.time()
    found = morning.prometheus.get(
        "query_exemplars", query="watchtower_run_seconds_bucket", start=str(now - 600), end=str(now + 60)
    )
    runs = {exemplar["labels"]["run_id"] for series in found for exemplar in series["exemplars"]}
    assert runs
    assert morning.server.get(f"/api/v1/runs/{runs.pop()}")["job"]["namespace"] == "shop"


def test_the_token_of_prometheus_opens_metrics_and_nothing_else(morning: Morning) -> None:
    request = urllib.request.Request(
        f"{morning.server.url}/api/v1/runs", headers={"Authorization": f"Bearer {morning.metrics_token}"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 403


def test_promtool_finds_nothing_to_say_of_the_metrics(morning: Morning) -> None:
    request = urllib.request.Request(
        f"{morning.server.url}/metrics", headers={"Authorization": f"Bearer {morning.metrics_token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        body = answer.read()
    checked = prometheus.promtool("check", "metrics", given=body)
    said = (checked.stdout + checked.stderr).decode()
    assert (checked.returncode, said) == (0, "")


def test_prometheus_loads_the_rules_and_none_of_them_fails(morning: Morning) -> None:
    (group,) = morning.prometheus.get("rules")["groups"]
    assert len(group["rules"]) == len(yaml.safe_load(RULES.read_text())["groups"][0]["rules"])
    assert {rule["health"] for rule in group["rules"]} == {"ok"}, [rule.get("lastError") for rule in group["rules"]]
    firing = {rule["name"] for rule in group["rules"] if rule["state"] == "firing"}
    assert firing == set()


def test_promtool_takes_what_is_exported(morning: Morning) -> None:
    folder = morning.exported / "prometheus"
    assert prometheus.promtool("check", "rules", str(folder / "rules" / RULES.name)).returncode == 0
    checked = prometheus.promtool("check", "config", "--syntax-only", str(folder / "scrape.yml"))
    assert checked.returncode == 0, checked.stderr


def test_the_rules_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    file = tmp_path / "rules.test.yml"
    file.write_text(UNIT_TESTS.read_text().replace("RULES", str(RULES)))
    tested = prometheus.promtool("test", "rules", str(file))
    assert tested.returncode == 0, (tested.stdout + tested.stderr).decode()
