"""Clusters and steps of EMR as moto keeps them, and their ends as AWS documents its answers."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.aws.emr import EmrConfig, PolledEmr
from tests.collectors.aws.asked import REGION, client, context, decoded, runs, window
from tests.collectors.folding import assert_orderless, line
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.model.run import RunState

START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=40)


def polled(url: str, **options: Any) -> PolledEmr:
    given = {"name": "shop", "region": REGION, "endpoint_url": url, **options}
    (source,) = EmrConfig.model_validate({"sources": [given]}).sources
    return PolledEmr(source, context())


def make_cluster(url: str, name: str, *, keep: bool) -> tuple[Any, str]:
    emr = client("emr", url)
    instances = {"InstanceCount": 1, "MasterInstanceType": "m5.large", "KeepJobFlowAliveWhenNoSteps": keep}
    made = emr.run_job_flow(
        Name=name,
        Instances={**instances, "Placement": {"AvailabilityZone": f"{REGION}a"}},
        JobFlowRole="EMR_EC2_DefaultRole",
        ServiceRole="EMR_DefaultRole",
        ReleaseLabel="emr-7.3.0",
        VisibleToAllUsers=True,
        Tags=[{"Key": "team", "Value": "shop"}],
    )
    return emr, made["JobFlowId"]


def test_steps_of_a_cluster_that_stays_are_runs_and_those_of_another_are_tasks_of_its_run(aws: str) -> None:
    step = {"ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["hunter2"]}}
    for name, keep in (("shared", True), ("nightly", False)):
        emr, ident = make_cluster(aws, name, keep=keep)
        emr.add_job_flow_steps(JobFlowId=ident, Steps=[{"Name": each, **step} for each in ("load", "report")])
    source = polled(aws)
    pages = list(source.read(window()))
    assert not any(b"hunter2" in record for page in pages for record in page.records)
    facts = decoded(source, pages)
    (load,) = runs(facts, "load")
    assert (load.state, load.tags, load.native_run_id) == (RunState.RUNNING, {"cluster": "shared"}, load.native_run_id)
    assert [run.state for run in runs(facts, "report")] == [RunState.QUEUED]
    (nightly,) = runs(facts, "nightly")
    assert [run.parent_alias for run in runs(facts, "nightly.load")] == [nightly.aliases[1]]
    assert {job.ref.name: job.owner for fact in facts for job in fact.jobs}["nightly"] == "shop"
    assert not runs(facts, "shared")
    assert pages[-1].mark
    assert pages[-1].cursor and pages[-1].cursor.count("j-") == 6  # two clusters, four steps


def test_only_clusters_that_are_wanted_are_asked_for(aws: str) -> None:
    make_cluster(aws, "nightly", keep=False)
    make_cluster(aws, "scratch", keep=False)
    source = polled(aws, clusters=["night*"])
    facts = decoded(source, list(source.read(window())))
    assert {fact.run.job.name for fact in facts if fact.run} == {"nightly"}


class Emr(HttpSimulator):
    """The calls that are made, over rows as the API documents them; one step a page."""

    def __init__(self, clusters: list[dict[str, Any]], steps: dict[str, list[dict[str, Any]]]) -> None:
        self.clusters, self.steps = clusters, steps
        super().__init__(START)

    def answer(self, request: Recorded) -> Reply:
        asked, operation = request.json, request.headers["x-amz-target"].partition(".")[2]
        if operation == "ListClusters":
            fit = [each for each in self.clusters if self._fits(each, asked)]
            return Reply.of_json({"Clusters": fit})
        if operation == "ListSteps":
            at = int(asked.get("Marker", 0))
            rows = self.steps.get(asked["ClusterId"], [])
            more = {"Marker": str(at + 1)} if at + 1 < len(rows) else {}
            return Reply.of_json({"Steps": rows[at : at + 1], **more})
        found = [each for each in self.clusters if each["Id"] == asked["ClusterId"]]
        if not found:
            return Reply.of_json(
                {"__type": "InvalidRequestException", "Message": "Cluster id 'j-1' is not valid."}, 400
            )
        if operation == "DescribeCluster":
            return Reply.of_json({"Cluster": found[0]})
        step = [each for each in self.steps[asked["ClusterId"]] if each["Id"] == asked["StepId"]]
        if not step:
            return Reply.of_json({"__type": "InvalidRequestException", "Message": "Step id is not valid."}, 400)
        return Reply.of_json({"Step": step[0]})

    @staticmethod
    def _fits(cluster: dict[str, Any], asked: dict[str, Any]) -> bool:
        status = cluster["Status"]
        if "ClusterStates" in asked:
            return status["State"] in asked["ClusterStates"]
        return status["Timeline"]["CreationDateTime"] >= asked["CreatedAfter"]


def at(minute: float) -> float:
    return (START + timedelta(minutes=minute)).timestamp()


def row(ident: str, name: str, state: str, minutes: tuple[float, ...], **status: Any) -> dict[str, Any]:
    names = ("CreationDateTime", "ReadyDateTime" if ident.startswith("j") else "StartDateTime", "EndDateTime")
    timeline = dict(zip(names, map(at, minutes), strict=False))
    of = {"AutoTerminate": True} if ident.startswith("j") else {}
    return {"Id": ident, "Name": name, "Status": {"State": state, "Timeline": timeline, **status}, **of}


@pytest.fixture
def emr(monkeypatch: pytest.MonkeyPatch) -> Generator[Emr]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    cluster = row("j-1", "nightly", "RUNNING", (0, 4))
    steps = [row("s-2", "report", "PENDING", (1,)), row("s-1", "load", "RUNNING", (0, 5))]
    with Emr([cluster], {"j-1": steps}) as simulator:
        yield simulator


def test_a_cluster_and_its_steps_are_asked_for_until_they_have_ended(emr: Emr) -> None:
    source = polled(emr.url)
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    failure = {"FailureDetails": {"Reason": "Unknown Error.", "Message": "no such column: amount"}}
    emr.steps["j-1"] = [
        row("s-2", "report", "CANCELLED", (1,), StateChangeReason={"Message": "Job terminated"}),
        row("s-1", "load", "FAILED", (0, 5, 9), **failure),
    ]
    why = {"StateChangeReason": {"Code": "STEP_FAILURE", "Message": "Shut down as step failed"}}
    emr.clusters = [row("j-1", "nightly", "TERMINATED_WITH_ERRORS", (0, 4, 12), **why)]
    later = window(pages[-1].cursor)
    later = type(later)(START + timedelta(minutes=20), later.until, cursor=later.cursor, deep=False)
    pages = list(source.read(later))
    assert pages[-1].cursor == "[]"
    facts += decoded(source, pages)
    shown = [line(fact).replace(START.strftime("%Y-%m-%d %H:%M:%S+00:00"), "T") for fact in facts[-3:]]
    ended = [str(START + timedelta(minutes=minute)) for minute in (4, 12, 5, 9)]
    assert shown == [
        f"nightly TERMINATED_WITH_ERRORS=failed queued=T started={ended[0]} ended={ended[1]} "
        "error=STEP_FAILURE: Shut down as step failed (0 of stack)",
        "nightly.report CANCELLED=cancelled final=True queued=" + str(START + timedelta(minutes=1)),
        f"nightly.load FAILED=failed final=True queued=T started={ended[2]} ended={ended[3]} "
        "error=Unknown Error.: no such column: amount (0 of stack)",
    ]
    assert_orderless(facts)


def test_a_cluster_that_is_forgotten_is_let_go(emr: Emr) -> None:
    emr.clusters = []
    assert list(polled(emr.url).read(window('["j-1","j-1/s-1"]')))[-1].cursor == "[]"


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("ALL_STEPS_COMPLETED", RunState.SUCCEEDED),
        ("USER_REQUEST", RunState.CANCELLED),
        ("INSTANCE_FAILURE", RunState.CRASHED),
        ("BOOTSTRAP_FAILURE", RunState.FAILED),
    ],
)
def test_what_ended_a_cluster_says_how_it_ended(emr: Emr, code: str, state: RunState) -> None:
    emr.steps = {}
    emr.clusters = [row("j-1", "nightly", "TERMINATED", (0, 4, 12), StateChangeReason={"Code": code})]
    source = polled(emr.url)
    assert [run.state for run in runs(decoded(source, list(source.read(window()))), "nightly")] == [state]


@pytest.mark.parametrize(
    ("kind", "detail", "wanted"),
    [
        ("EMR Step Status Change", {"clusterId": "j-1", "stepId": "s-1", "state": "RUNNING"}, ("j-1/s-1",)),
        ("EMR Cluster State Change", {"clusterId": "j-1", "state": "STARTING"}, ("j-1",)),
        ("EMR Step Status Change", {"clusterId": "j-9", "stepId": "s-1"}, ()),
        ("EMR Step Status Change", {"clusterId": "j-1"}, None),
        ("EMR Step Status Change", {"clusterId": "j-1/../x", "stepId": "s-1"}, None),
        ("Glue Job State Change", {"clusterId": "j-1"}, None),
    ],
    ids=["a step", "a cluster", "forgotten", "no step", "no id", "of another service"],
)
def test_an_event_is_a_reason_to_ask_for_what_it_names(
    emr: Emr, kind: str, detail: dict[str, str], wanted: tuple[str, ...] | None
) -> None:
    source = polled(emr.url)
    found = source.hint({"detail-type": kind, "detail": detail})
    assert found == wanted
    for reference in found or ():
        seen = source.again(reference)
        assert seen and seen.record and seen.is_open


def test_an_event_of_a_cluster_that_is_not_wanted_asks_for_nothing(emr: Emr) -> None:
    event = {"detail-type": "EMR Step Status Change", "detail": {"clusterId": "j-1", "stepId": "s-1"}}
    assert polled(emr.url, clusters=["other"]).hint(event) == ()
