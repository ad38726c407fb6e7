"""Kubernetes: Jobs and CronJobs are listed once and watched from there; each end is told, also of what was deleted."""

import json
import random
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.kubernetes import KubernetesSource, PolledKubernetes
from tests.app.polls import context
from tests.collectors.folding import folded, line
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.clock import ManualClock
from watchtower.errors import DeliveryError, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Received

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DUE = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def job(number: int = 1, *, at: datetime = DUE, **said: Any) -> dict[str, Any]:
    """A Job that the CronJob `nightly` made, as the API shows it (batch/v1)."""
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "c1", "controller": True}
    container = {"name": "main", "image": "registry.example.com/etl:1.4", "env": [{"name": "KEY", "value": "s3cret"}]}
    meta = {
        "uid": f"u{number}",
        "name": f"nightly-{int(at.timestamp()) // 60}",
        "namespace": "etl",
        "creationTimestamp": text(at),
        "labels": {"team": "data"},
        "ownerReferences": [owner],
        **said.pop("meta", {}),
    }
    spec = {"backoffLimit": 2, "template": {"spec": {"containers": [container]}}, **said.pop("spec", {})}
    return {"metadata": meta, "spec": spec, "status": {"startTime": text(at), **said}}


def ended(kind: str, at: datetime, reason: str = "", message: str = "") -> dict[str, Any]:
    said = {"reason": reason, "message": message}
    condition = {"type": kind, "status": "True", "lastTransitionTime": text(at)}
    return {"conditions": [condition | {name: value for name, value in said.items() if value}]}


def succeeded(number: int = 1, **said: Any) -> dict[str, Any]:
    at = DUE + 9 * MINUTE
    return job(number, **ended("Complete", at), completionTime=text(at), succeeded=1, **said)


CRONJOB: dict[str, Any] = {
    "metadata": {"name": "nightly", "namespace": "etl", "uid": "c1", "annotations": {"owner": "data@example.com"}},
    "spec": {"schedule": "30 7 * * *", "timeZone": "Etc/UTC", "suspend": False, "jobTemplate": {}},
}


@dataclass
class Log:
    """What changed, in order: an event's resource version is its place, from 1."""

    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list[tuple[str, str, dict[str, Any]]])
    compacted: int = 0


class Cluster(HttpSimulator):
    """Lists and watches as "Kubernetes API Concepts" tells: one version for all, 410 for what is compacted away."""

    token = "Bearer right"
    page = 500

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.log = Log()
        self.closed: set[str] = set()  # kinds that may not be read
        self.say("ADDED", "cronjobs", CRONJOB)

    def say(self, event: str, kind: str, item: dict[str, Any]) -> None:
        version = str(len(self.log.events) + 1)
        stamped = {**item, "metadata": {**item["metadata"], "resourceVersion": version}}
        self.log.events.append((event, kind, stamped))

    def answer(self, request: Recorded) -> Reply:
        self.ledger.append((request.path, dict(request.query)))
        if request.headers.get("authorization") != self.token:
            return Reply.of_json({"kind": "Status", "message": "Unauthorized"}, 401)
        kind = request.path.rpartition("/")[2]
        if kind in self.closed:
            return Reply.of_json({"kind": "Status", "message": f"{kind} is forbidden"}, 403)
        if request.query.get("watch"):
            return self._watch(kind, int(request.query["resourceVersion"]))
        return self._list(kind, int(request.query.get("continue", 0)), request.query.get("fieldSelector"))

    def _list(self, kind: str, first: int, field: str | None) -> Reply:
        there: dict[str, dict[str, Any]] = {}
        for event, of, item in self.log.events:
            if of == kind:
                there.pop(item["metadata"]["uid"], None)
                if event != "DELETED":
                    there[item["metadata"]["uid"]] = item
        name = field.partition("=")[2] if field else None
        shown = [item for item in there.values() if name in (None, item["metadata"]["name"])]
        more = {"continue": str(first + self.page)} if len(shown) > first + self.page else {}
        meta = {"resourceVersion": str(len(self.log.events)), **more}
        return Reply.of_json({"metadata": meta, "items": shown[first : first + self.page]})

    def _watch(self, kind: str, version: int) -> Reply:
        if version < self.log.compacted:
            gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
            return Reply(200, json.dumps({"type": "ERROR", "object": gone}).encode())
        news = [
            json.dumps({"type": event, "object": item}) for event, of, item in self.log.events[version:] if of == kind
        ]
        mark = {"metadata": {"resourceVersion": str(len(self.log.events))}}
        return Reply(200, "\n".join([*news, json.dumps({"type": "BOOKMARK", "object": mark})]).encode())


@pytest.fixture
def cluster() -> Generator[Cluster]:
    with Cluster(NOW) as made:
        yield made


def source(cluster: Cluster, **said: Any) -> PolledKubernetes:
    config = {"name": "prod", "base_url": cluster.url, "token": "right\n", **said}
    return PolledKubernetes(KubernetesSource.model_validate(config), context(ManualClock(NOW)))


def poll(polled: PolledKubernetes, cursor: str | None = None, *, deep: bool = False) -> tuple[list[Fact], str | None]:
    pages: list[Page] = list(polled.read(Window(NOW - MINUTE, NOW, cursor=cursor, deep=deep)))
    return [fact for page in pages for record in page.records for fact in facts(polled, record)], pages[-1].cursor


def facts(polled: PolledKubernetes, record: bytes) -> tuple[Fact, ...]:
    decoded = polled.decode(record, Received(NOW, "prod"))
    assert decoded.rejects == ()
    return decoded.facts


def test_a_list_is_followed_by_watches_from_its_version_on(cluster: Cluster) -> None:
    polled = source(cluster)
    cluster.say("ADDED", "jobs", job())
    told, cursor = poll(polled)
    assert [line(fact) for fact in told if fact.run] == [
        "etl/nightly RUNNING=running attempt=1/3 trigger=schedule version=registry.example.com/etl:1.4 "
        "nominal=2026-03-02 07:30:00+00:00 queued=2026-03-02 07:30:00+00:00 started=2026-03-02 07:30:00+00:00 "
        "tags={'team': 'data'}"
    ]
    assert poll(polled, cursor)[0] == []
    cluster.say("MODIFIED", "jobs", succeeded())
    (fact,), cursor = poll(polled, cursor)
    assert fact.run is not None
    assert (fact.run.state, fact.run.ended_at) == ("succeeded", DUE + 9 * MINUTE)
    assert [path for path, query in cluster.ledger if not query.get("watch")] == [
        "/apis/batch/v1/cronjobs",
        "/apis/batch/v1/jobs",
        "/api/v1/pods",
    ]
    assert poll(polled, cursor)[0] == []


@pytest.mark.parametrize(
    ("item", "state", "error", "attempt"),
    [
        (job(spec={"suspend": True}), "queued", None, 1),
        (job(startTime=None), "queued", None, 1),
        (job(active=1, failed=1), "running", None, 2),
        (succeeded(failed=1), "succeeded", None, 2),
        (
            job(**ended("Failed", DUE + MINUTE, "BackoffLimitExceeded", "Job has reached the backoff limit"), failed=3),
            "failed",
            ("BackoffLimitExceeded", "Job has reached the backoff limit"),
            3,
        ),
        (
            job(**ended("Failed", DUE + MINUTE, "DeadlineExceeded", "Job was active longer than specified deadline")),
            "timed_out",
            ("DeadlineExceeded", "Job was active longer than specified deadline"),
            1,
        ),
    ],
    ids=["suspended", "waiting", "retried", "well", "failed", "timed out"],
)
def test_a_job_is_a_run_with_its_state_its_tries_and_why(
    cluster: Cluster, item: dict[str, Any], state: str, error: tuple[str, str] | None, attempt: int
) -> None:
    cluster.say("ADDED", "jobs", item)
    (fact,) = (each for each in poll(source(cluster))[0] if each.run)
    assert fact.run is not None
    told = fact.run.error
    assert (fact.run.state, (told.type, told.message) if told else None, fact.run.attempt) == (state, error, attempt)


def test_one_that_is_deleted_before_it_ended_was_cancelled_and_one_that_had_ended_was_not(cluster: Cluster) -> None:
    polled = source(cluster)
    cluster.say("ADDED", "jobs", job(1))
    _, cursor = poll(polled)
    cluster.say("DELETED", "jobs", job(1, meta={"deletionTimestamp": text(DUE + MINUTE)}))
    cluster.say("ADDED", "jobs", job(2))
    cluster.say("DELETED", "jobs", succeeded(2))  # by its time to live, between two polls
    told, _ = poll(polled, cursor)
    assert folded(told)["native|prod|prod|etl/nightly|u2|0"]["state"] == "succeeded"
    assert folded(told)["native|prod|prod|etl/nightly|u1|0"]["state"] == "cancelled"


def test_a_cronjob_tells_its_schedule_its_zone_and_its_owner(cluster: Cluster) -> None:
    polled = source(cluster)
    (fact, *_), cursor = poll(polled)
    (patch,) = fact.jobs
    assert (patch.ref.pipeline, patch.schedule, patch.timezone, patch.owner, patch.paused) == (
        "etl/nightly",
        "30 7 * * *",
        "Etc/UTC",
        "data@example.com",
        False,
    )
    cluster.say("MODIFIED", "cronjobs", {**CRONJOB, "spec": {**CRONJOB["spec"], "suspend": True}})
    (fact,), _ = poll(polled, cursor)
    assert (fact.jobs[0].schedule, fact.jobs[0].paused) == ("", True)


@pytest.mark.parametrize(
    ("said", "schedule"), [("@daily", "0 0 * * *"), ("0 7 * * 0", "0 7 * * 0"), ("@every 5m", ""), ("nonsense", "")]
)
def test_a_schedule_counts_days_as_a_crontab_does(cluster: Cluster, said: str, schedule: str) -> None:
    cluster.say("MODIFIED", "cronjobs", {**CRONJOB, "spec": {"schedule": said}})
    assert poll(source(cluster))[0][0].jobs[0].schedule == schedule


def test_one_that_a_person_started_and_one_that_no_cronjob_made(cluster: Cluster) -> None:
    by_hand = {"annotations": {"cronjob.kubernetes.io/instantiate": "manual"}, "name": "nightly-manual-x7k"}
    alone: dict[str, Any] = {"ownerReferences": [], "name": "backfill-b2xqp", "generateName": "backfill-"}
    cluster.say("ADDED", "jobs", job(1, meta=by_hand))
    cluster.say("ADDED", "jobs", job(2, meta=alone))
    runs = [fact.run for fact in poll(source(cluster))[0] if fact.run]
    assert [(run.job.pipeline, run.trigger, run.nominal_start) for run in runs] == [
        ("etl/nightly", "manual", None),
        ("etl/backfill", None, None),
    ]


def test_no_environment_of_a_container_is_kept(cluster: Cluster) -> None:
    cluster.say("ADDED", "jobs", job())
    records = [record for page in source(cluster).read(Window(NOW, NOW)) for record in page.records]
    assert records
    assert not any(b"s3cret" in record for record in records)


def test_a_version_that_is_too_old_begins_with_a_list_again(cluster: Cluster) -> None:
    polled = source(cluster)
    _, cursor = poll(polled)
    cluster.say("ADDED", "jobs", succeeded())
    cluster.log.compacted = 2
    told, cursor = poll(polled, cursor)
    assert [fact.run.state for fact in told if fact.run] == ["succeeded"]
    assert poll(polled, cursor)[0] == []


def test_a_long_list_is_read_page_by_page_at_one_version(cluster: Cluster) -> None:
    cluster.page = 2
    for number in range(5):
        cluster.say("ADDED", "jobs", succeeded(number))
    told, cursor = poll(source(cluster))
    assert len([fact for fact in told if fact.run]) == 5
    assert json.loads(cursor or "{}") == dict.fromkeys(
        ("api/v1/pods", "apis/batch/v1/cronjobs", "apis/batch/v1/jobs"), "6"
    )


def test_only_the_namespaces_and_labels_that_are_named_are_asked_for(cluster: Cluster) -> None:
    poll(source(cluster, namespaces=["etl"], label_selector="team=data"))
    assert {path for path, _ in cluster.ledger} == {
        "/apis/batch/v1/namespaces/etl/cronjobs",
        "/apis/batch/v1/namespaces/etl/jobs",
        "/api/v1/namespaces/etl/pods",
    }
    assert [query["labelSelector"] for _, query in cluster.ledger] == ["team=data", "team=data", "job-name"]


def test_a_token_that_is_refused_is_told_with_the_remedy(cluster: Cluster) -> None:
    cluster.token = "Bearer other"
    with pytest.raises(DeliveryError, match="get, list and watch on jobs, cronjobs and pods"):
        poll(source(cluster))


@pytest.mark.parametrize(
    "line",
    [
        b"<html>Bad Gateway</html>",
        b'{"type": "MODIFIED", "object',
        b"[]",
        b'{"type": "ERROR", "object": {"code": 500}}',
    ],
    ids=["HTML", "cut", "a list", "an error"],
)
def test_a_watch_that_breaks_is_told_and_goes_on_from_its_version(cluster: Cluster, line: bytes) -> None:
    polled = source(cluster)
    _, cursor = poll(polled)
    cluster.say("ADDED", "jobs", succeeded())
    answer = cluster.answer

    def broken(request: Recorded) -> Reply:
        reply = answer(request)
        is_watch = request.query.get("watch") and request.path.endswith("/jobs")
        return Reply(200, reply.body + line + b"\n", reply.headers) if is_watch else reply

    cluster.answer = broken
    with pytest.raises(Transient, match=r"kubernetes source 'prod': GET /apis/batch/v1/jobs"):
        poll(polled, cursor)
    cluster.answer = answer
    assert [fact.run.state for fact in poll(polled, cursor)[0] if fact.run] == [RunState.SUCCEEDED]


def test_order_and_repetition_do_not_matter(cluster: Cluster) -> None:
    """Promise T8."""
    polled = source(cluster)
    cursor: str | None = None
    told: list[Fact] = []
    story = [
        job(1, startTime=None), job(1, active=1), job(1, active=1, failed=1), succeeded(1, failed=1), job(2),
        job(2, **ended("Failed", DUE + MINUTE, "BackoffLimitExceeded"), failed=3), job(3),
    ]  # fmt: skip
    for item in story:
        cluster.say("MODIFIED", "jobs", item)
        found, cursor = poll(polled, cursor)
        told += found
    wanted = folded(told)
    assert len(wanted) == 4  # three runs, and the CronJob
    for seed in range(20):
        dice = random.Random(seed)
        shuffled = [*told, *dice.sample(told, 3)]
        dice.shuffle(shuffled)
        assert folded(shuffled) == wanted, f"seed {seed}"
