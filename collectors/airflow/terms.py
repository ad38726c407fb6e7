"""Airflow's words for states and triggers, in ours. Shared by everything that reads Airflow.

Source: `TaskInstanceState` and `DagRunState` in airflow/utils/state.py, `DagRunType` and `DagRunTriggeredByType` in
airflow/utils/types.py (2.11 and 3.3).
"""

from watchtower.model.run import RunState, Trigger

# A task that waits for a reschedule, a trigger or a person has begun and is not over: running.
STATES = {
    "success": RunState.SUCCEEDED,
    "failed": RunState.FAILED,
    "skipped": RunState.SKIPPED,
    "removed": RunState.SKIPPED,
    "upstream_failed": RunState.UPSTREAM_FAILED,
    "running": RunState.RUNNING,
    "deferred": RunState.RUNNING,
    "up_for_reschedule": RunState.RUNNING,
    "awaiting_input": RunState.RUNNING,
    "restarting": RunState.RETRY_WAIT,
    "up_for_retry": RunState.RETRY_WAIT,
    "queued": RunState.QUEUED,
    "scheduled": RunState.QUEUED,
}
FORGOTTEN = "forgotten"  # our own word: a try that Airflow no longer lists, although it went before others

TRIGGERS = {
    "scheduled": Trigger.SCHEDULE,
    "manual": Trigger.MANUAL,
    "asset_triggered": Trigger.EVENT,
    "dataset_triggered": Trigger.EVENT,
    "operator_triggered": Trigger.EVENT,
    "asset_materialization": Trigger.MANUAL,
    "backfill": Trigger.BACKFILL,
}


def trigger(run_type: str | None, triggered_by: str | None) -> Trigger | None:
    """A DAG run started by another DAG's TriggerDagRunOperator says `manual` in Airflow 3.0 to 3.2: it is an event."""
    if run_type == "manual" and triggered_by == "operator":
        return Trigger.EVENT
    return TRIGGERS.get(run_type) if run_type else None
