"""A collector of somebody else's package is fed by its own path, and from files that only it can read."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel, ConfigDict

from tests.app.house import HTTP, running
from tests.cli.terminal import Watchtower
from watchtower.model.fact import Fact, fact_key
from watchtower.model.run import JobRef, RunPatch, RunState
from watchtower.ports import Decoded, Received, Reject
from watchtower.registry import COLLECTORS

LINES = b"done orders\nnonsense\ndone invoices\n"


class LinesConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Lines:
    """`done JOB`, a line each."""

    kind: ClassVar[str] = "lines"
    Config: ClassVar[type[LinesConfig]] = LinesConfig

    def __init__(self, config: LinesConfig) -> None:
        pass

    def decode(self, body: bytes, received: Received) -> Decoded:
        words = [line.decode().split() for line in body.splitlines()]
        facts = tuple(self._fact(name, received) for event, *rest in words if event == "done" for name in rest)
        return Decoded(facts, tuple(Reject("unreadable_line", word[0], b"") for word in words if word[0] != "done"))

    def _fact(self, name: str, received: Received) -> Fact:
        at = received.received_at
        job = JobRef("lines:shell", "shell", name)
        run = RunPatch(
            aliases=(f"lines|{name}",), job=job, event_type="COMPLETE", state=RunState.SUCCEEDED, ended_at=at
        )
        key = fact_key(at, job.source, name.encode())
        return Fact(key, job.source, "run", at, at, name.encode(), received.replay, run=run)


@pytest.fixture(autouse=True)
def _an_outsider(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("lines", f"{__name__}:Lines", "watchtower.collectors")
    monkeypatch.setitem(COLLECTORS.__dict__, "_outsiders", {"lines": point})
    monkeypatch.setattr(COLLECTORS, "_loaded", dict(COLLECTORS._loaded))  # pyright: ignore[reportPrivateUsage]


def test_a_file_is_handed_over_as_it_is(watchtower: Watchtower, tmp_path: Path) -> None:
    (tmp_path / "run.log").write_bytes(LINES)
    sent = watchtower("ingest", "lines", "run.log", "--state", tmp_path / "state")
    assert (sent.code, json.loads(sent.out)) == (1, {"requests": 1, "events": 3, "failed": 1})
    ran = json.loads(watchtower("runs", "--state", tmp_path / "state").out)
    assert {run["job"]["name"] for run in ran} == {"orders", "invoices"}


def test_its_path_takes_what_a_token_may_write_and_no_other_kind_has_one(tmp_path: Path) -> None:
    with running(tmp_path) as house:
        path = f"{house.instance.url}/api/v1/ingest/"
        sent = HTTP.request("POST", f"{path}lines", body=LINES, headers={"Authorization": f"Bearer {house.ingest}"})
        assert (sent.status, sent.json()["summary"]["successful"]) == (200, 2)
        assert HTTP.request("POST", f"{path}lines", body=LINES).status == 401
        for kind in ("openlineage", "pings", "ci", "round_trip", "nobody"):
            answer = HTTP.request("POST", path + kind, body=LINES, headers={"Authorization": f"Bearer {house.ingest}"})
            assert answer.status == 404, kind
