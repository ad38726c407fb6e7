"""Alerts and notices that tell a plausible story. Times are aware UTC; the first alert began at 08:00."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from watchtower.model.alert import Alert, AlertState, Notice, NoticeReason
from watchtower.model.labels import fingerprint

BEGAN = datetime(2026, 3, 2, 8, tzinfo=UTC)
NOW = BEGAN + timedelta(minutes=5)

FAILED: Mapping[str, Any] = {
    "run_id": "5f0e9c1a",
    "native_run_id": "scheduled__2026-03-02T07:00:00+00:00",
    "run_state": "failed",
    "attempt": 3,
    "max_attempts": 3,
    "error": "division by zero",
    "error_type": "ZeroDivisionError",
    "stack": 'Traceback (most recent call last):\n  File "orders.py", line 7, in load\n    rows / 0\n'
    "ZeroDivisionError: division by zero",
    "tasks": [
        {"task": "load", "attempt": 3, "max_attempts": 3, "error": "division by zero"},
        {"task": "check", "map_index": 4, "attempt": 1, "max_attempts": 1, "error": "no rows", "error_type": "Empty"},
    ],
    "external_url": "https://airflow.example.com/dags/orders_daily/runs/1",
    "log_url": "https://airflow.example.com/dags/orders_daily/runs/1/tasks/load?try=3",
    "timezone": "Europe/Berlin",
}
EXPLAINED: Mapping[str, Any] = {
    **FAILED,
    "cause": "failed at load: GET /orders took 3,000 ms at p95 against 200 ms, 15 % of calls",
    "cause_evidence": {"operation": "GET /orders", "task": "load", "p95_ms": 3004.006, "usual_p95_ms": 197.816},
}


def alert(pipeline: str = "orders_daily", **changes: Any) -> Alert:
    labels = {
        "alertname": "RunFailed",
        "kind": "run_failure",
        "source": "airflow-prod",
        "namespace": "prod",
        "pipeline": pipeline,
        "owner": "data-lead",
        "team": "commerce",
        "severity": "page",
        **changes.pop("labels", {}),
    }
    made = Alert(
        id=f"alert-{pipeline}-{labels['alertname']}",
        fingerprint=fingerprint(labels),
        rule=labels["alertname"],
        subject=f"job:{pipeline}",
        labels=labels,
        annotations={
            "summary": f"{pipeline}: task load failed on its last attempt: division by zero",
            "description": f"{pipeline}: alert when a run fails, until a newer run succeeds.",
            "runbook_url": "https://wiki.example.com/runbooks/orders",
        },
        state=AlertState.FIRING,
        active_since=BEGAN,
        starts_at=BEGAN,
        evidence=FAILED,
    )
    return replace(made, **changes)


def late(pipeline: str = "orders_daily", **changes: Any) -> Alert:
    labels = {"alertname": "FinishedLate", "kind": "deadline", "severity": "ticket"}
    annotations = {"summary": f"{pipeline} has not finished by 07:00 Europe/Berlin"}
    evidence = {"expected": "2026-03-02T06:00:00Z", "limit": 5400.0, "timezone": "Europe/Berlin"}
    return alert(pipeline, **{"labels": labels, "annotations": annotations, "evidence": evidence, **changes})


def resolved(one: Alert, after_s: float = 720.0) -> Alert:
    began = one.starts_at or one.active_since
    return replace(one, state=AlertState.RESOLVED, ends_at=began + timedelta(seconds=after_s))


def notice(*alerts: Alert, **changes: Any) -> Notice:
    """The first notice of a group. seq numbers the notices of one episode; the keys follow from it."""
    seq, episode = int(changes.get("seq", 1)), str(changes.pop("episode", "e1"))
    made = Notice(
        id=f"notice-{episode}-{seq}",
        key=f"wt-{episode}-{seq}",
        episode_key=f"wt-{episode}",
        group_hash="wt-group",
        destination="team/x[0]",
        receiver="team",
        reason=NoticeReason.FIRST,
        seq=seq,
        attempt=1,
        first_attempt_at=NOW,
        now=NOW,
        group_labels={"pipeline": "orders_daily"},
        alerts=alerts or (alert(),),
        incident_id="inc-7",
        ref={},
        previous_ref=None,
        external_url="https://watchtower.example.com/",
        group_key='{}:{pipeline="orders_daily"}',
    )
    return replace(made, **changes)


def all_resolved(*alerts: Alert, **changes: Any) -> Notice:
    ended = tuple(resolved(one) for one in (alerts or (alert(),)))
    told = {"reason": NoticeReason.ALL_RESOLVED, "seq": 2, "now": BEGAN + timedelta(minutes=13)}
    return notice(*ended, **{**told, **changes})
