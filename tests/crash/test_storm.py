"""Ten thousand alerts of fifty groups within a minute: few messages, nothing lost, and another team is told in time.

In virtual time with all 10,000 (`STORM=…`). With a real process and fewer (`LIVE_STORM=…`): one provider hangs for
twenty seconds at each request, and neither the fast one beside it nor another team waits for it. The other team fails
ten times in the midst of it, and each time is told within the longest wait of promise P11; how long it took stands in
the test's output (`-s`).
"""

import json
import os
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert
from tests.alerting.routes import node, pipeline
from tests.app.house import event, until
from tests.cli.process import Served
from tests.crash.conftest import Record
from tests.crash.desks import KINDS, Desk, configured
from tests.crash.verdict import ENDED, Figures, beyond, kept_in, missing, twice
from tests.simulators.http import Recorded, Reply
from tests.simulators.provider import Provider
from tests.simulators.webhook import WebhookSimulator
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.model.alert import Call
from watchtower.store import ledger
from watchtower.store.database import Database

STORM = int(os.environ.get("STORM", "10000"))
LIVE_STORM = int(os.environ.get("LIVE_STORM", "500"))
GROUPS, WITHIN_S = 50, 300.0
DESK, CHAT, OTHER = "team/jira[0]", "team/slack[0]", "other/slack[0]"
SMS, VOICE = "team/oncall[0]/1/primary/sms", "team/oncall[0]/1/primary/voice"
_WAKES = Call("primary", severities=("page",), daily_cap=200)
HANGS_S, PLENTY_S = 20.0, 240.0 * max(1, LIVE_STORM // 2_000)
OTHERS, LONGEST_S = 10, 60.0  # failures of another team, and how long each may wait to be told (promise P11)

_other = node("other", matchers="team=other", parent_key="{}", wait=0)
POLICY = pipeline(
    node("team", _other),
    receivers={
        "other": [Destination(OTHER)],
        "team": [
            Destination(DESK),
            Destination(CHAT),
            Destination(SMS, send_resolved=False, call=replace(_WAKES, burst=3)),
            Destination(VOICE, send_resolved=False, call=replace(_WAKES, last_resort=True, burst=1)),
        ],
    },
)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_storm_is_few_messages_and_another_team_is_told_through_it(
    database: Database, clock: ManualClock, record: Record
) -> None:
    names = (DESK, CHAT, SMS, VOICE, OTHER)
    line = Timeline(database, clock, POLICY, {name: Provider.like(clock, rings="oncall" in name) for name in names})
    for second in range(60):
        made = range(STORM * second // 60, STORM * (second + 1) // 60)
        alerts = [
            firing_alert(line.at(second), pipeline=f"p{n % GROUPS:02}", task=f"t{n // GROUPS}", severity="page")
            for n in made
        ]
        line.push(second, fires(line.pipeline, *alerts))
    urgent = firing_alert(line.at(45), pipeline="payments", team="other", severity="page")
    line.push(45, fires(line.pipeline, urgent))
    line.play(2 * WITHIN_S)
    told = {name: provider.effects for name, provider in line.providers.items()}
    with database.read() as connection:
        entries = [ledger.to_entry(row) for row in connection.execute(ledger.entries())]
    figures = Figures(obligations=len(entries), lost=sum(entry.state not in ENDED for entry in entries))
    figures.duplicates = sum(len(twice([one.key for one in effects])) for effects in told.values())
    figures.pages_beyond = beyond([one.at for one in told[SMS]], 3, WITHIN_S)
    figures.pages_beyond += beyond([one.at for one in told[VOICE]], 1, WITHIN_S)
    record(figures)
    assert (figures.lost, figures.duplicates, figures.pages_beyond) == (0, 0, 0), line.told()
    assert len(entries) == 4 * STORM + 1
    assert len({one.episode for one in told[DESK]}) == GROUPS
    assert len(told[CHAT]) <= 2 * GROUPS
    assert sorted({ident for one in told[CHAT] for ident in one.firing}) == sorted(
        {entry.alert_id for entry in entries if entry.destination == CHAT}
    )
    assert [one.at for one in told[OTHER]] == [line.at(45)]


class Hanging(WebhookSimulator):
    """Answers each request twenty seconds late, until `mended`."""

    mended: threading.Event

    def __init__(self, now: datetime) -> None:
        self.mended = threading.Event()
        super().__init__(now)

    def answer(self, request: Recorded) -> Reply:
        self.mended.wait(HANGS_S)
        return super().answer(request)


def test_a_provider_that_hangs_in_a_storm_holds_up_nobody_else(tmp_path: Path, record: Record) -> None:
    now = datetime.now(UTC)
    with ExitStack() as opened:
        slow = opened.enter_context(Hanging(now))
        opened.callback(slow.mended.set)
        fast, other = (opened.enter_context(KINDS["webhook"].open(now)) for _ in range(2))
        team = {"webhook_configs": [{"url": slow.url}, *fast.config["webhook_configs"]]}
        (tmp_path / "watchtower.yaml").write_text(_with_other(configured(team), other.config))
        server = Served(tmp_path, "--listen", "127.0.0.1:0")
        opened.callback(lambda: server.end() if server.process.poll() is None else None)
        acknowledged: set[str] = set()
        waits: list[float] = []
        others = iter(range(OTHERS))
        for first in range(0, LIVE_STORM, GROUPS):  # one of each group
            acknowledged |= _failed(server, {f"orders_{first + n}": f"n{n}" for n in range(GROUPS)})
            if first * OTHERS // LIVE_STORM > len(waits):
                acknowledged |= _failed_and_told(server, next(others), other, waits)
        until(lambda: slow.requests, "the provider that hangs is asked", PLENTY_S)
        for number in others:
            acknowledged |= _failed_and_told(server, number, other, waits)
        print(f"another team was told after {median(waits):.2f} s (median), {max(waits):.2f} s (longest)")
        assert max(waits) <= LONGEST_S, waits
        until(lambda: len(fast.seen()) >= GROUPS, "the provider beside the one that hangs is told all", PLENTY_S)
        assert len(slow.ledger) < GROUPS, "it did not hang"
        slow.mended.set()
        store = f"sqlite:///{server.state / 'watchtower.db'}"
        until(lambda: not kept_in(store).unfinished and len(slow.ledger) >= GROUPS, "all has ended", PLENTY_S)
        assert server.end() == 0
        kept = kept_in(store)
        lost = len(missing(acknowledged, kept.runs)) + len(kept.unfinished)
        seen = [*fast.seen(), *other.seen(), *slow.ledger]
    record(Figures(events=2 * len(acknowledged), obligations=kept.obligations, lost=lost, duplicates=len(twice(seen))))
    assert (lost, twice(seen)) == (0, [])


def _failed_and_told(server: Served, number: int, other: Desk, waits: list[float]) -> set[str]:
    """Another team's pipeline fails, and its people are waited for; how long it took is added to waits."""
    before = len(other.seen())
    acknowledged = _failed(server, {f"payments_{number}": f"other{number}"})
    began = time.monotonic()
    until(lambda: len(other.seen()) > before, "another team is told", PLENTY_S)
    waits.append(time.monotonic() - began)
    return acknowledged


def _with_other(text: str, config: dict[str, Any]) -> str:
    whole = json.loads(text)
    whole["rules"].append({"alert": "OtherFailed", "kind": "run_failure", "match": {"pipeline": "~payments_.*"}})
    whole["rules"][-1]["severity"] = "page"
    whole["receivers"].append({"name": "other", **config})
    whole["route"]["group_by"] = ["namespace"]
    whole["route"]["routes"] = [{"receiver": "other", "matchers": ['pipeline=~"payments_.*"']}]
    return json.dumps(whole)


def _failed(server: Served, pipelines: Mapping[str, str]) -> set[str]:
    """Their namespaces are the groups."""
    now, events = datetime.now(UTC), list[dict[str, Any]]()
    for name, namespace in pipelines.items():
        run, job = str(uuid.uuid4()), {"namespace": namespace, "name": name}
        events += [event(now, kind, name, run, job=job) for kind in ("START", "FAIL")]
    status, answer = server.post(server.token, *events)
    assert status in (200, 202), answer
    return {str(one["run"]["runId"]) for one in events}
