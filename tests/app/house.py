"""A whole Watchtower in the test's own process: real store, real HTTP, real threads, and a way to wait for them."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import urllib3

from watchtower.app import Instance, Options
from watchtower.app.watch import PACE, Pace
from watchtower.clock import ManualClock, SystemClock
from watchtower.config import load
from watchtower.model.access import Scope
from watchtower.ports import Clock

T = TypeVar("T")

HTTP = urllib3.PoolManager(retries=False, timeout=20.0)


@dataclass
class House:
    """config: the file it was started with, for `rewrite`."""

    instance: Instance
    config: Path
    ingest: str
    reader: str

    def post(self, *events: dict[str, Any]) -> tuple[int, Any]:
        """Status and answer of events sent in one request."""
        answer = HTTP.request(
            "POST",
            f"{self.instance.url}/api/v1/lineage/batch",
            body=json.dumps(events).encode(),
            headers={"Authorization": f"Bearer {self.ingest}", "Content-Type": "application/json"},
        )
        return answer.status, json.loads(answer.data)

    def store(self, *events: dict[str, Any]) -> None:
        """As post, and back when they are in the store: a slow one leaves them to the spool first."""
        status, answer = self.post(*events)
        assert status in (200, 202), answer
        if status == 202:
            until(lambda: self.instance.spool.size_bytes == 0, "what waits in the spool is stored")

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.reader}"}
        answer = HTTP.request("GET", self.instance.url + path, headers=headers)
        assert answer.status == 200, answer.data
        return json.loads(answer.data)

    def page(self, path: str) -> str:
        """A page, as a browser gets it."""
        headers = {"Authorization": f"Bearer {self.reader}"}
        answer = HTTP.request("GET", self.instance.url + path, headers=headers)
        assert answer.status == 200, answer.data
        return answer.data.decode()

    def send(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What a POST of body is answered."""
        headers = {"Authorization": f"Bearer {self.reader}", "Content-Type": "application/json"}
        answer = HTTP.request("POST", self.instance.url + path, body=json.dumps(body or {}).encode(), headers=headers)
        assert answer.status == 200, answer.data
        return json.loads(answer.data)

    def items(self, path: str) -> list[dict[str, Any]]:
        return self.get(path)["items"]

    def event(self, event_type: str, pipeline: str, run: str, **changes: Any) -> dict[str, Any]:
        return event(self.instance.clock.now(), event_type, pipeline, run, **changes)

    def fail(self, pipeline: str, run: str = "") -> None:
        """A run of pipeline that starts and fails."""
        run = run or str(uuid.uuid4())
        self.store(self.event("START", pipeline, run), self.event("FAIL", pipeline, run))

    def rewrite(self, text: str) -> None:
        self.config.write_text(text)


@contextmanager
def running(
    folder: Path,
    config: str = "",
    *,
    clock: Clock | None = None,
    live: bool = True,
    state: str = "state",
    pace: Pace = PACE,
) -> Generator[House]:
    """config: the text of the file; its store is in folder unless it names another."""
    file = folder / "watchtower.yaml"
    file.write_text(config)
    options = Options(folder / state, ("127.0.0.1", 0), live=live, pace=pace)
    instance = Instance(load(file), options, clock or SystemClock(), load=lambda: load(file))
    try:
        instance.start()
        tokens = [instance.first_access.new_token("test", [scope]) for scope in (Scope.INGEST, Scope.ADMIN)]
        yield House(instance, file, *tokens)
    finally:
        instance.stop()


def step_until(house: House, clock: ManualClock, end: datetime) -> None:
    """What is due until end, each at its own moment, of a house that does not live."""
    while True:
        while house.instance.step():
            pass
        following = house.instance.next_due()
        if following is None or following > end:
            break
        clock.set(max(following, clock.now()))
    clock.set(end)


def event(when: datetime, event_type: str, pipeline: str, run: str, **changes: Any) -> dict[str, Any]:
    return {
        "eventType": event_type,
        "eventTime": when.isoformat(),
        "producer": "https://example.org/producer",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run},
        "job": {"namespace": "prod", "name": pipeline},
        "inputs": [],
        "outputs": [],
        **changes,
    }


def until(probe: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """The first answer of probe that is something; a machine that does much else may take long for it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        threading.Event().wait(0.02)
    raise AssertionError(f"waited {seconds:g} s in vain: {what}")
