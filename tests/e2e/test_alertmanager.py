"""Our routing, grouping and inhibition beside the real Alertmanager's, on the same files and the same alerts."""

import json
import random
import urllib.request
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any

import pytest
import yaml

from alerting.configured import pipeline_of
from alerting.inhibition import inhibited_by
from tests.services import alertmanager
from watchtower.config import load_text
from watchtower.model.delivery import Source

NAMES = ("team", "severity", "pipeline", "env")
VALUES = {
    "team": ("data", "ml", "web", ""),
    "severity": ("page", "ticket", "info"),
    "pipeline": ("orders", "orders_daily", "billing", "a.b"),
    "env": ("prod", "dev", ""),
}
ODD_VALUES = ('quote " inside', "back\\slash", "new\nline", "tab\there", "ünïcode ☃", "a=b, c", "{}", "\u00a0", "\x01")


def _matcher(random_: random.Random) -> str:
    name = random_.choice(NAMES)
    op = random_.choice(("=", "!=", "=~", "!~"))
    if op in ("=", "!="):
        return f'{name}{op}"{random_.choice(VALUES[name])}"'
    return f'{name}{op}"{random_.choice(("data|ml", "orders.*", "o.+", ".*", "", "pr?od", "page|info", "a[.]b"))}"'


def _route(random_: random.Random, depth: int) -> dict[str, Any]:
    route: dict[str, Any] = {"matchers": [_matcher(random_) for _ in range(random_.choice((0, 1, 1, 2)))]}
    if random_.random() < 0.7:
        route["receiver"] = f"r{random_.randrange(6)}"
    if random_.random() < 0.4:
        route["continue"] = True
    if random_.random() < 0.3:
        route["group_by"] = random_.sample(NAMES, random_.randrange(1, 4))
    if depth and random_.random() < 0.7:
        route["routes"] = [_route(random_, depth - 1) for _ in range(random_.randrange(1, 4))]
    return route


def _file(random_: random.Random, hook: str = "http://127.0.0.1:9/") -> str:
    routes = [_route(random_, 3) for _ in range(random_.randrange(1, 5))]
    receivers = [{"name": f"r{index}", "webhook_configs": [{"url": f"{hook}r{index}"}]} for index in range(6)]
    return yaml.safe_dump({"route": {"receiver": "r0", "routes": routes}, "receivers": receivers})


def _labels(random_: random.Random) -> dict[str, str]:
    chosen = random_.sample(NAMES, random_.randrange(1, 5))
    labels = {name: random_.choice(VALUES[name]) for name in chosen}
    return {name: value for name, value in labels.items() if value} or {"team": "data"}


@pytest.mark.parametrize("seed", range(40))
def test_an_alert_goes_to_the_receivers_that_amtool_names(seed: int, tmp_path: Path) -> None:
    random_ = random.Random(seed)
    file = tmp_path / "alertmanager.yml"
    file.write_text(_file(random_))
    router = pipeline_of(load_text(file.read_text())).router
    for _ in range(8):
        labels = _labels(random_)
        assert list(router.explain(labels).receivers) == alertmanager.receivers_of(file, labels), labels


class _Hook(BaseHTTPRequestHandler):
    told: "Queue[dict[str, Any]]"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.told.put(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def hook() -> Generator[tuple[str, "Queue[dict[str, Any]]"]]:
    """The address of a webhook, and what it was told."""
    told: Queue[dict[str, Any]] = Queue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Hook", (_Hook,), {"told": told}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("seed", range(3))
def test_groups_have_the_keys_and_labels_of_a_running_alertmanager(
    seed: int, tmp_path: Path, hook: tuple[str, "Queue[dict[str, Any]]"]
) -> None:
    url, told = hook
    random_ = random.Random(seed)
    text = _file(random_, url)
    document = yaml.safe_load(text)
    document["route"] |= {"group_wait": "100ms", "group_interval": "1h", "group_by": ["pipeline", "team"]}
    document["route"]["routes"].append({"matchers": ['odd="yes"'], "group_by": ["..."]})
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(document))
    router = pipeline_of(load_text(file.read_text())).router
    alerts = [{"alertname": f"A{index}", **_labels(random_)} for index in range(20)]
    alerts += [{"alertname": "Odd", "odd": "yes", "note": value} for value in ODD_VALUES]
    ours = {
        (item.receiver, item.group_key, json.dumps(item.group_labels, sort_keys=True))
        for labels in alerts
        for item in router.plan(labels)
    }
    theirs: set[tuple[str, str, str]] = set()
    with alertmanager.running(file) as address:
        body = json.dumps([{"labels": labels} for labels in alerts]).encode()
        request = urllib.request.Request(f"{address}/api/v2/alerts", body, {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()
        while len(theirs) < len(ours):
            told_one = told.get(timeout=10)
            labels = json.dumps(told_one["groupLabels"], sort_keys=True)
            theirs.add((told_one["receiver"], told_one["groupKey"], labels))
    assert theirs == ours


def _inhibit_rule(random_: random.Random) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "source_matchers": [_matcher(random_) for _ in range(random_.choice((1, 2)))],
        "target_matchers": [_matcher(random_) for _ in range(random_.choice((1, 1, 2)))],
    }
    if random_.random() < 0.7:
        rule["equal"] = random_.sample(NAMES, random_.choice((1, 2)))
    return rule


@pytest.mark.parametrize("seed", range(6))
def test_alerts_are_inhibited_that_a_running_alertmanager_inhibits(seed: int, tmp_path: Path) -> None:
    random_ = random.Random(seed)
    rules = [_inhibit_rule(random_) for _ in range(random_.randrange(1, 4))]
    file = tmp_path / "alertmanager.yml"
    route = {"receiver": "r0", "group_wait": "1h"}
    file.write_text(yaml.safe_dump({"route": route, "receivers": [{"name": "r0"}], "inhibit_rules": rules}))
    made = pipeline_of(load_text(file.read_text()))
    alerts = [{"alertname": f"A{index}", **_labels(random_)} for index in range(12)]
    sources = [Source(labels["alertname"], labels) for labels in alerts]
    ours = {
        labels["alertname"] for labels in alerts if inhibited_by(labels, made.inhibitions, lambda: sources) is not None
    }
    with alertmanager.running(file) as address:
        body = json.dumps([{"labels": labels} for labels in alerts]).encode()
        request = urllib.request.Request(f"{address}/api/v2/alerts", body, {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()
        theirs: set[str] = set()
        for _ in range(50):  # its inhibitor hears of new alerts a moment later
            with urllib.request.urlopen(f"{address}/api/v2/alerts", timeout=10) as answer:
                shown = json.load(answer)
            theirs = {item["labels"]["alertname"] for item in shown if item["status"]["inhibitedBy"]}
            if len(shown) == len(alerts) and theirs == ours:
                break
            Event().wait(0.1)
    assert theirs == ours
