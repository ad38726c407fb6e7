"""Pods of Jobs: each try with why it ended, what keeps one from beginning, and whose they are."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from collectors.kubernetes import PolledKubernetes
from rules.kinds.run_failure import RunFailure
from tests.app.polls import ask, polling
from tests.collectors.folding import assert_orderless
from tests.collectors.test_kubernetes import DUE, MINUTE, NOW, Cluster, ended, facts, job, poll, source, text
from tests.rules.timeline import rule
from watchtower.clock import ManualClock
from watchtower.model.fact import Fact
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import RunPatch
from watchtower.model.source import Page, Problem, Window
from watchtower.store.database import Database
from watchtower.store.snapshots.jobs import JobLoader

JOB = f"nightly-{int(DUE.timestamp()) // 60}"


@pytest.fixture
def cluster() -> Generator[Cluster]:
    with Cluster(NOW) as made:
        made.say("ADDED", "jobs", job(active=1))
        yield made


def ran(minutes: float = 2, code: int = 0, reason: str = "Completed", **said: Any) -> dict[str, Any]:
    """A container that ended."""
    began = DUE + MINUTE
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "startedAt": text(began),
            "finishedAt": text(began + timedelta(minutes=minutes)),
            "containerID": "containerd://1",
            **said,
        }
    }


RUNNING: dict[str, Any] = {"running": {"startedAt": text(DUE + MINUTE)}}


def pod(
    number: int = 1, phase: str = "Running", state: dict[str, Any] = RUNNING, *, restarts: int = 0, **said: Any
) -> dict[str, Any]:
    """One of the Job `nightly-…`, as the API shows it (core/v1)."""
    container = {"name": "main", "restartCount": restarts, "state": state, "lastState": said.pop("last", {})}
    spec = {
        "nodeName": "node-7",
        "containers": [
            {
                "name": "main",
                "resources": {"limits": {"memory": "512Mi"}},
                "env": [{"name": "KEY", "value": "s3cret"}],
            }
        ],
    }
    meta = {
        "uid": f"p{number}",
        "name": f"{JOB}-{number}",
        "namespace": "etl",
        "creationTimestamp": text(DUE + number * timedelta(seconds=10)),
        "ownerReferences": [{"kind": "Job", "name": JOB, "uid": "u1", "controller": True}],
        **said.pop("meta", {}),
    }
    status = {"phase": phase, "startTime": text(DUE + MINUTE), "containerStatuses": [container], **said}
    return {"metadata": meta, "spec": spec, "status": status}


def tries(told: list[Fact]) -> list[RunPatch]:
    return [fact.run for fact in told if fact.run and fact.run.job.task]


def pages(polled: PolledKubernetes, cursor: str | None = None, *, deep: bool = False) -> list[Page]:
    return list(polled.read(Window(NOW - MINUTE, NOW, cursor=cursor, deep=deep)))


def test_a_pod_is_a_try_of_its_jobs_work(cluster: Cluster) -> None:
    cluster.say("ADDED", "pods", pod(1, "Failed", ran(2, 1, "Error")))
    cluster.say("ADDED", "pods", pod(2, "Succeeded", ran(3)))
    first, second = tries(poll(source(cluster))[0])
    assert (first.job.name, first.state, first.attempt, first.max_attempts) == ("etl/nightly.main", "failed", 1, 3)
    assert first.error and first.error.message == "container main ended with exit code 1 after 2 min"
    assert (first.tags, first.native_run_id) == ({"pod": f"{JOB}-1", "node": "node-7", "exit_code": "1"}, JOB)
    assert (second.state, second.attempt, second.final) == ("succeeded", 2, True)
    assert (second.started_at, second.ended_at) == (DUE + MINUTE, DUE + 4 * MINUTE)


@pytest.mark.parametrize(
    ("said", "state", "kind", "message"),
    [
        (
            pod(1, "Failed", ran(2, 137, "OOMKilled")),
            "crashed",
            "OOMKilled",
            "container main was killed: out of memory, over its limit of 512Mi (exit code 137)",
        ),
        (
            pod(1, "Failed", ran(2, 137, "Error")),
            "failed",
            "Error",
            "container main ended with exit code 137 (killed) after 2 min",
        ),
        (
            pod(1, "Failed", ran(2, 3, "Error", message="no such table")),
            "failed",
            "Error",
            "container main ended with exit code 3 after 2 min: no such table",
        ),
        (
            pod(1, "Failed", {}, reason="Evicted", message="The node was low on resource: memory."),
            "crashed",
            "Evicted",
            f"Pod etl/{JOB}-1 was evicted on node node-7: The node was low on resource: memory.",
        ),
        (
            pod(
                1,
                "Failed",
                {},
                conditions=[
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "DeletionByTaintManager",
                        "message": "Taint manager: deleting due to NoExecute taint",
                        "lastTransitionTime": text(DUE + 5 * MINUTE),
                    }
                ],
            ),
            "crashed",
            "DeletionByTaintManager",
            f"Pod etl/{JOB}-1 was taken away by the cluster on node node-7: "
            "Taint manager: deleting due to NoExecute taint",
        ),
    ],
    ids=["out of memory", "killed", "its own words", "evicted", "its node was lost"],
)
def test_why_it_ended_is_told(cluster: Cluster, said: dict[str, Any], state: str, kind: str, message: str) -> None:
    cluster.say("ADDED", "pods", said)
    (attempt,) = tries(poll(source(cluster))[0])
    assert attempt.error
    assert (attempt.state, attempt.error.type, attempt.error.message) == (state, kind, message)


def test_each_restart_of_a_container_is_a_try(cluster: Cluster) -> None:
    cluster.say("ADDED", "pods", pod(1))
    polled = source(cluster)
    told, cursor = poll(polled)
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}}
    for restarts, state in ((1, waiting), (1, RUNNING), (2, ran(1))):
        phase = "Succeeded" if "terminated" in state else "Running"
        cluster.say("MODIFIED", "pods", pod(1, phase, state, restarts=restarts, last=ran(2, 1, "Error")))
        found, cursor = poll(polled, cursor)
        told += found
    whole = assert_orderless([fact for fact in told if fact.run and fact.run.job.task])
    assert sorted((one["attempt"], one["state"]) for one in whole.values()) == [
        (1, "failed"),
        (2, "failed"),
        (3, "succeeded"),
    ]


def test_what_keeps_a_container_from_beginning_is_a_problem_of_its_pipeline_until_it_begins(cluster: Cluster) -> None:
    image = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "etl:1.5"'}}
    cluster.say("ADDED", "pods", pod(1, "Pending", image, startTime=None))
    polled = source(cluster)
    *_, last = first = pages(polled)
    said = f'container main of Pod etl/{JOB}-1 cannot begin: ImagePullBackOff: Back-off pulling image "etl:1.5"'
    assert last.problems == (Problem("pod:p1", said, concerns=("pipeline:etl/nightly",)),)
    (attempt,) = tries([fact for page in first for record in page.records for fact in facts(polled, record)])
    assert (attempt.state, attempt.started_at) == ("queued", None)
    assert pages(polled, last.cursor)[-1].problems == last.problems, "also where nothing changed"
    cluster.say("MODIFIED", "pods", pod(1))
    assert pages(polled, last.cursor)[-1].problems == ()


def test_one_that_is_deleted_under_way_was_cancelled(cluster: Cluster) -> None:
    cluster.say("ADDED", "pods", pod(1))
    polled = source(cluster)
    _, cursor = poll(polled)
    cluster.say("DELETED", "pods", pod(1, meta={"deletionTimestamp": text(DUE + 9 * MINUTE)}))
    (attempt,) = tries(poll(polled, cursor)[0])
    assert (attempt.state, attempt.ended_at) == ("cancelled", DUE + 9 * MINUTE)


def test_completions_of_an_indexed_job_are_instances_with_tries_of_their_own(cluster: Cluster) -> None:
    cluster.say("MODIFIED", "jobs", job(spec={"completions": 2, "completionMode": "Indexed"}))
    for number, index in ((1, "0"), (2, "1"), (3, "1")):
        told = {"annotations": {"batch.kubernetes.io/job-completion-index": index}}
        cluster.say("ADDED", "pods", pod(number, "Failed", ran(1, 1, "Error"), meta=told))
    found = [(each.map_index, each.attempt, each.max_attempts) for each in tries(poll(source(cluster))[0])]
    assert found == [(0, 1, None), (1, 1, None), (1, 2, None)]


def test_a_process_that_goes_on_from_a_cursor_lists_pods_and_asks_for_the_jobs_that_it_has_not_seen(
    cluster: Cluster,
) -> None:
    cluster.say("ADDED", "pods", pod(1, "Failed", ran(1, 1, "Error")))
    _, cursor = poll(source(cluster))
    cluster.say("ADDED", "pods", pod(2))
    polled = source(cluster)
    assert [each.attempt for each in tries(poll(polled, cursor)[0])] == [1, 2]
    asked = [query.get("fieldSelector") for _, query in cluster.ledger if query.get("fieldSelector")]
    assert asked == [f"metadata.name={JOB}"]


def test_pods_of_jobs_that_are_not_watched_are_nobodys(cluster: Cluster) -> None:
    stray = pod(1, meta={"ownerReferences": [{"kind": "Job", "name": "other", "uid": "u9"}]})
    alone = pod(2, meta={"ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "u8"}]})
    for each in (stray, alone):
        cluster.say("ADDED", "pods", each)
    assert tries(poll(source(cluster))[0]) == []


def test_where_pods_may_not_be_read_jobs_are_and_the_source_says_what_to_do(cluster: Cluster) -> None:
    cluster.closed = {"pods"}
    polled = source(cluster)
    *_, last = found = pages(polled)
    assert [fact.run.state for page in found for each in page.records for fact in facts(polled, each) if fact.run]
    assert last.problems
    assert "let the role get, list and watch pods" in last.problems[0].summary
    assert pages(source(cluster, pods=False))[-1].problems == ()


def test_nothing_of_what_a_container_is_given_is_kept(cluster: Cluster) -> None:
    cluster.say("ADDED", "pods", pod(1))
    records = [record for page in pages(source(cluster)) for record in page.records]
    assert any(b'"pod"' in record for record in records)
    assert not any(b"s3cret" in record for record in records)


def test_the_alert_of_a_failed_job_says_that_its_container_was_out_of_memory(
    cluster: Cluster, database: Database
) -> None:
    clock = ManualClock(NOW)
    failed = ended("Failed", DUE + 9 * MINUTE, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    cluster.say("MODIFIED", "jobs", job(**failed, failed=1, spec={"backoffLimit": 0}))
    cluster.say("ADDED", "pods", pod(1, "Failed", ran(7, 137, "OOMKilled")))
    ask(polling(database, clock), source(cluster))
    with database.read() as connection:
        found = JobLoader().load(connection, JobLoader().ids(connection, "etl/nightly"))
    (snapshot,) = (each for each in found.values() if isinstance(each, JobSnapshot) and each.job.ref.task is None)
    (violation,) = RunFailure().evaluate(rule(RunFailure()), snapshot, NOW).violations
    assert violation.summary == (
        "etl/nightly failed (run for 2026-03-02 07:30 UTC) at task main (attempt 1 of 1): OOMKilled: "
        "container main was killed: out of memory, over its limit of 512Mi (exit code 137)"
    )


def test_odd_pods_cost_only_themselves(cluster: Cluster) -> None:
    odd: list[dict[str, Any]] = [
        pod(2, containerStatuses=None),
        pod(3, containerStatuses=[{"name": 7, "restartCount": "x", "state": []}]),
        {**pod(4), "status": None},
        {**pod(5), "spec": []},
    ]
    for each in [*odd, pod(1, "Succeeded", ran())]:
        cluster.say("ADDED", "pods", each)
    assert "succeeded" in [each.state for each in tries(poll(source(cluster))[0])]
