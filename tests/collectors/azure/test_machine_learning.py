"""Jobs of Azure Machine Learning, after Microsoft's published run history API; the service itself was never reached."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.azure.machine_learning import AzureMlConfig, PolledAzureMl
from tests.app.polls import context
from tests.collectors.folding import assert_orderless, line
from tests.simulators.azure import APPLICATION, EntraSimulator
from tests.simulators.faults import Fault
from tests.simulators.http import Recorded, Reply
from watchtower.clock import ManualClock
from watchtower.errors import Permanent, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import RunPatch, RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Received

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
WORKSPACE = "subscriptions/sub/resourceGroups/rg-ml/providers/Microsoft.MachineLearningServices/workspaces/ml-prod"


def at(minute: float) -> str:
    return (NOW + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "7+00:00"


def run(ident: str, status: str, minutes: tuple[float, ...] = (-30, -29, -5), **more: Any) -> dict[str, Any]:
    times = dict(zip(("createdUtc", "startTimeUtc", "endTimeUtc"), map(at, minutes), strict=False))
    return {
        "runId": ident,
        "rootRunId": ident,
        "parentRunId": None,
        "experimentId": "e-1",
        "displayName": f"musing_{ident}",
        "runType": "azureml.PipelineRun",
        "status": status,
        "target": "cpu-cluster",
        "tags": {"team": "shop", "azureml.nodeid": "n1"},
        "properties": {"password": "hunter2"},
        "parameters": {"password": "hunter2"},
        "createdBy": {"userName": "Ada Lovelace"},
        **times,
        **more,
    }


def step(ident: str, name: str, status: str, minutes: tuple[float, ...], **more: Any) -> dict[str, Any]:
    return run(ident, status, minutes, rootRunId="p-1", parentRunId="p-1", displayName=name, **more)


class Workspace(EntraSimulator):
    """One row a page, newest first."""

    def __init__(self) -> None:
        self.experiments = [{"experimentId": "e-1", "name": "train"}, {"experimentId": "e-2", "name": "scratch pad"}]
        self.runs: list[dict[str, Any]] = []
        super().__init__(NOW)

    def asked(self, request: Recorded) -> Reply:
        path = request.path.removeprefix(f"/history/v1.0/{WORKSPACE}/")
        assert request.query["api-version"] == "v1.0"
        if path == "experiments:query":
            return self._page(self.experiments, request.json)
        if path.startswith("experiments/"):
            name = path.split("/")[1].replace("%20", " ")
            (ident,) = [each["experimentId"] for each in self.experiments if each["name"] == name]
            assert request.json["orderBy"] == "CreatedUtc desc"
            rows = [row for row in self.runs if row["experimentId"] == ident]
            return self._page(sorted(rows, key=lambda row: row["createdUtc"], reverse=True), request.json)
        found = [row for row in self.runs if row["runId"] == path.removeprefix("runs/")]
        return Reply.of_json(found[0]) if found else Reply.of_json({"error": {"code": "NotFound"}}, 404)

    def _page(self, rows: list[dict[str, Any]], asked: dict[str, Any]) -> Reply:
        start = int(asked.get("continuationToken") or 0)
        more = str(start + 1) if start + 1 < len(rows) else None
        return Reply.of_json({"value": rows[start : start + 1], "continuationToken": more})


@pytest.fixture
def workspace() -> Generator[Workspace]:
    with Workspace() as simulator:
        yield simulator


def polled(workspace: Workspace, **options: Any) -> PolledAzureMl:
    place = {"subscription": "sub", "resource_group": "rg-ml", "workspace": "ml-prod", "region": "westeurope"}
    urls = {"base_url": workspace.url, "login_url": workspace.url}
    given = {"name": "ml", **place, **urls, **APPLICATION, **options}
    (source,) = AzureMlConfig.model_validate({"sources": [given]}).sources
    return PolledAzureMl(source, context(ManualClock(NOW)))


def window(cursor: str | None = None, minutes: float = 60.0) -> Window:
    return Window(NOW - timedelta(minutes=minutes), NOW, cursor=cursor)


def decoded(source: PolledAzureMl, pages: list[Page]) -> list[Fact]:
    facts: list[Fact] = []
    for record in (record for page in pages for record in page.records):
        assert b"hunter2" not in record
        found = source.decode(record, Received(NOW, "ml"))
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts


def runs(facts: list[Fact], name: str) -> list[RunPatch]:
    return [fact.run for fact in facts if fact.run and fact.run.job.name == name]


def test_a_pipeline_and_its_steps_are_a_run_with_attempts(workspace: Workspace) -> None:
    error = {"error": {"code": "UserError", "message": "no such column: amount"}}
    workspace.runs = [
        run("p-1", "Failed", error=error),
        step("s-1", "load", "Completed", (-29, -28, -20)),
        step("s-2", "fit", "Failed", (-20, -19, -6), error=error),
        run("old", "Completed", (-300, -299, -290)),
        run("x-1", "Running", (-3, -2), experimentId="e-2"),
    ]
    source = polled(workspace)
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    assert {line(fact) for fact in facts} == {
        "train Failed=failed actor=Ada Lovelace queued=2026-11-30 09:00:00+00:00 started=2026-11-30 09:01:00+00:00 "
        "ended=2026-11-30 09:25:00+00:00 error=UserError: no such column: amount (0 of stack) "
        "tags={'compute': 'cpu-cluster'}",
        "train.load Completed=succeeded final=True queued=2026-11-30 09:01:00+00:00 "
        "started=2026-11-30 09:02:00+00:00 ended=2026-11-30 09:10:00+00:00 tags={'compute': 'cpu-cluster'}",
        "train.fit Failed=failed final=True queued=2026-11-30 09:10:00+00:00 started=2026-11-30 09:11:00+00:00 "
        "ended=2026-11-30 09:24:00+00:00 error=UserError: no such column: amount (0 of stack) "
        "tags={'compute': 'cpu-cluster'}",
        "scratch pad Running=running actor=Ada Lovelace queued=2026-11-30 09:27:00+00:00 "
        "started=2026-11-30 09:28:00+00:00 tags={'compute': 'cpu-cluster'}",
    }
    (train,) = runs(facts, "train")
    assert {each.parent_alias for each in (*runs(facts, "train.load"), *runs(facts, "train.fit"))} == {train.aliases[1]}
    jobs = {job.ref.name: (job.owner, job.tags) for fact in facts for job in fact.jobs}
    assert jobs["train"] == ("shop", {"team": "shop"})
    assert pages[-1].cursor == '["x-1"]'
    assert set(workspace.ledger) == {"https://ml.azure.com/.default"}
    assert_orderless(facts)


def test_a_run_is_asked_for_until_it_has_ended(workspace: Workspace) -> None:
    workspace.runs = [run("p-1", "Queued", (-30,))]
    source = polled(workspace, experiments=["tr*"])
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    workspace.runs = [run("p-1", "Canceled")]
    pages = list(source.read(window(pages[-1].cursor, minutes=1)))
    facts += decoded(source, pages)
    assert [each.state for each in runs(facts, "train")] == [RunState.QUEUED, RunState.CANCELLED]
    assert pages[-1].cursor == "[]"
    assert not any("scratch" in request.path for request in workspace.requests)
    assert_orderless(facts)
    workspace.runs = []
    assert list(source.read(window('["p-1"]')))[-1].cursor == "[]"


def test_what_goes_wrong_names_the_source(workspace: Workspace) -> None:
    workspace.valid_s = 1
    source = polled(workspace)
    list(source.read(window()))
    workspace.tokens.append("revoked")
    with pytest.raises(Permanent, match=r"azure_ml source 'ml'.*renew `client_secret`"):
        list(source.read(window()))
    with pytest.raises(Permanent, match=r"azure_ml source 'ml': log in to Microsoft Entra ID"):
        list(polled(workspace, client_secret="wrong").read(window()))
    for fault, expected in (
        (Fault.RATE_LIMITED_SECONDS, "HTTP 429"),
        (Fault.BAD_GATEWAY, "HTTP 502"),
        (Fault.INVALID_JSON, "not as expected"),
    ):
        workspace.fail_next(fault)
        with pytest.raises(Transient, match=f"azure_ml source 'ml'.*{expected}"):
            list(polled(workspace).read(window()))
