"""A small morning, told through the real store and the real outbox: one incident that rings, one ticket, one resolved.

`tell` leaves the clock at the end of it.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.builders import complete, fail, start, task_of, writes
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert
from watchtower.model.fact import Fact, fact_key
from watchtower.model.run import DatasetIO, DatasetRef, JobPatch, JobRef
from watchtower.store import facts, jobs
from watchtower.store.database import Connection, Database
from watchtower.store.facts import Intake

ORDERS = JobRef("airflow-prod", "prod", "orders_hourly")
REVENUE = JobRef("airflow-prod", "prod", "revenue_daily")
CLICKS = JobRef("airflow-prod", "prod", "clicks_ingest")
MODEL = JobRef("airflow-ml", "ml", "train_ranker")
TABLE = DatasetRef("postgres://warehouse:5432", "shop.public.orders")
TRACE = (
    'Traceback (most recent call last):\n  File "/srv/dags/orders.py", line 46, in load\nValueError: amount is missing'
)


def tell(database: Database, clock: ManualClock) -> Timeline:
    beginning = clock.now()
    hour = timedelta(hours=1)
    told: list[Fact] = []
    for number in range(30):
        told += run(ORDERS, beginning - hour * (30 - number), 240 + 11 * (number % 7), number)
        if number % 3 == 0:
            told += run(CLICKS, beginning - hour * (30 - number), 900 + 40 * (number % 5), number)
    told += [reads(REVENUE, TABLE, beginning - hour * 20), *run(REVENUE, beginning - hour * 20, 3_000, 0)]
    told += run(MODEL, beginning - hour * 9, 7_000, 0)
    told += failing(beginning)
    told += [described(ref, owner, beginning) for ref, owner in ((ORDERS, "data-lead"), (REVENUE, "finance-primary"))]
    facts.append(database, Intake(told)).result(10)
    database.write(set_teams)
    broken = Provider(clock)
    broken.faults.extend([Fault.PERMANENT] * 3)
    story = Timeline(
        database,
        clock,
        pipeline(
            node("team", wait=0, goes_on=False, group_by=("pipeline",)),
            receivers={"team": [Destination("team/webhook[0]"), Destination("team/email[0]")]},
        ),
        {"team/webhook[0]": Provider(clock), "team/email[0]": broken},
    )
    story.push(60, fires(story.pipeline, failed(story.at(60))))
    story.push(120, fires(story.pipeline, late(story.at(120))))
    passing = slow(story.at(200))
    story.push(200, fires(story.pipeline, passing))
    story.push(1_400, resolves(story.pipeline, resolved_alert(passing, story.at(1_400))))
    story.play(2_300)
    return story


def set_teams(connection: Connection) -> None:
    jobs.set_team(connection, {ORDERS.id: "data", CLICKS.id: "data", REVENUE.id: "finance", MODEL.id: "ml"})


def run(job: JobRef, at: datetime, seconds: int, number: int) -> list[Fact]:
    name = f"{job.pipeline}-{number}"
    return [
        start(name, at, job=job, nominal_start=at),
        complete(
            name,
            at + timedelta(seconds=seconds),
            job=job,
            datasets=(writes(TABLE, 12_000 + number),) if job is ORDERS else (),
        ),
    ]


def failing(at: datetime) -> list[Fact]:
    """The newest run of ORDERS: a task fails twice, then the run."""
    load = task_of(ORDERS, "load")
    end = at + timedelta(seconds=58)
    facts_of_run = [start("orders-broken", at, job=ORDERS, nominal_start=at)]
    for attempt in (1, 2):
        begun = at + timedelta(seconds=20 * attempt)
        name, ended = f"load-{attempt}", begun + timedelta(seconds=9)
        said: dict[str, Any] = {"attempt": attempt, "max_attempts": 2, "parent": "orders-broken"}
        facts_of_run.append(start(name, begun, job=load, **said))
        last: dict[str, Any] = {"message": "amount is missing", "final": attempt == 2}
        facts_of_run.append(fail(name, ended, job=load, **last, **said))
    return [*facts_of_run, fail("orders-broken", end, job=ORDERS, message="task load failed")]


def reads(job: JobRef, ref: DatasetRef, at: datetime) -> Fact:
    return start(f"{job.pipeline}-reads", at, job=job, datasets=(DatasetIO(ref, "in"),))


def described(ref: JobRef, owner: str, at: datetime) -> Fact:
    return Fact(
        key=fact_key(at, ref.id, "job"),
        source=ref.source,
        kind="job",
        event_time=at,
        received_at=at,
        body=b"{}",
        jobs=(JobPatch(ref, owner=owner, schedule="0 * * * *", timezone="Europe/Berlin"),),
    )


def failed(at: datetime) -> Alert:
    return about(
        ORDERS,
        firing_alert(
            at,
            name="RunFailed",
            summary="The run of 08:00 failed: load ended with ValueError after 2 of 2 attempts.",
            kind="run_failure",
            pipeline="orders_hourly",
            owner="data-lead",
            team="data",
            severity="page",
        ),
        {
            "native_run_id": "scheduled__2026-03-02T08:00:00+00:00",
            "attempt": 2,
            "max_attempts": 2,
            "error": "amount is missing",
            "error_type": "ValueError",
            "stack": TRACE,
            "tasks": [{"task": "load", "attempt": 2, "max_attempts": 2, "error": "amount is missing"}],
            "run_url": "https://airflow.example.org/dags/orders_hourly",
        },
    )


def late(at: datetime) -> Alert:
    return about(
        REVENUE,
        firing_alert(
            at,
            name="RunMissing",
            summary="No run began since 12:00 yesterday; one was expected by 07:30, learned from 14 runs.",
            kind="missing_run",
            pipeline="revenue_daily",
            owner="finance-primary",
            team="finance",
            severity="ticket",
        ),
        {"expected_at": "2026-03-02T07:30:00Z", "usual_runs": 14, "timezone": "Europe/Berlin"},
    )


def slow(at: datetime) -> Alert:
    return about(
        CLICKS,
        firing_alert(
            at,
            name="RunSlow",
            summary="The run took 41 min; usual are 15 min (p95 18 min).",
            kind="duration",
            pipeline="clicks_ingest",
            team="data",
            severity="ticket",
        ),
        {"duration_s": 2460.0, "usual_p95_s": 1080.0},
    )


def about(job: JobRef, alert: Alert, evidence: dict[str, Any]) -> Alert:
    return replace(alert, subject=f"job:{job.id}", evidence=evidence)
