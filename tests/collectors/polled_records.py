"""A record of each source that is asked, as a poll keeps it of one run, with what decodes it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from collectors.aws import emr, glue, lambda_functions
from collectors.azure import factory_runs, machine_learning, power_bi
from collectors.databricks import decode as databricks
from collectors.google import dataproc, vertex_ai
from collectors.snowflake.decode import decode as snowflake
from collectors.tableau import decode as tableau
from watchtower.ports import Decoded, Received

RECEIVED = Received(datetime(2026, 11, 30, 9, 30, tzinfo=UTC), "prod")
T0, T1, T2 = (f"2026-11-30T09:{minute:02}:00.000Z" for minute in (0, 1, 9))
MS = 1_796_029_200_000
_RUNNING = ("PENDING", T0), ("RUNNING", T1)
_HISTORY = [{"state": state, "stateStartTime": at} for state, at in _RUNNING]
_LINE = {"CreationDateTime": T0, "StartDateTime": T1, "EndDateTime": T2}
_DONE = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}
_TIMES = {"start_time": MS, "end_time": MS + 500_000, "state": _DONE}
_RAN = {"state": "SUCCEEDED", "scheduled": T0, "started": T1, "completed": T2}
_VERTEX = {"createTime": T0, "startTime": T1, "endTime": T2}
_ADF = {"activityRunStart": T1, "activityRunEnd": T2, "status": "Succeeded", "output": {"rowsCopied": 1200}}

Decoder = Callable[[bytes], Decoded]
SOURCES: Mapping[str, tuple[Any, Decoder]] = {
    "glue": (
        {"run": {"Id": "jr_1", "JobName": "orders", "JobRunState": "SUCCEEDED", "StartedOn": T1, "CompletedOn": T2}},
        lambda body: glue.decode(body, RECEIVED, namespace="prod", region="eu-west-1"),
    ),
    "emr": (
        {"step": {"Id": "s-1", "Name": "load", "State": "COMPLETED", "Timeline": _LINE}, "of": {"Id": "j-1"}},
        lambda body: emr.decode(body, RECEIVED, namespace="prod", region="eu-west-1"),
    ),
    "lambda, an invocation": (
        {"function": "orders", "invocation": {"id": "r-1", "at": MS, "status": "success", "duration": 120.5}},
        lambda body: lambda_functions.decode(body, RECEIVED, namespace="prod", region="eu-west-1"),
    ),
    "lambda, a minute of figures": (
        {"minute": T0, "function": "orders", "values": {name: 3.0 for _, _, name, _ in lambda_functions.METRICS}},
        lambda body: lambda_functions.decode(body, RECEIVED, namespace="prod", region="eu-west-1"),
    ),
    "databricks, 5 tasks": (
        {
            "run": {"run_id": 1, "run_name": "orders", **_TIMES},
            "tasks": [{"run_id": 10 + at, "task_key": f"t{at}", "attempt_number": 0, **_TIMES} for at in range(5)],
        },
        lambda body: databricks(body, RECEIVED, namespace="prod"),
    ),
    "data_factory, 5 activities": (
        {
            "run": {"runId": "r-1", "pipelineName": "orders", "status": "Succeeded", "runStart": T1, "runEnd": T2},
            "activities": [{"activityRunId": f"a-{at}", "activityName": f"Copy{at}", **_ADF} for at in range(5)],
        },
        lambda body: factory_runs.decode(body, RECEIVED, namespace="prod"),
    ),
    "snowflake, 5 tasks": (
        {
            "graph": {
                **{"root": "SHOP.PUBLIC.ROOT", "id": "g1", "attempt": "1", "state": "SUCCEEDED", "whole": True},
                **{"scheduled": T0, "started": T1, "ended": T2, "from": "SCHEDULE"},
            },
            "tasks": [{"name": f"T{at}", "query_id": f"q-{at}", **_RAN} for at in range(5)],
        },
        lambda body: snowflake(body, RECEIVED, namespace="prod", account="myorg-prod"),
    ),
    "dataproc": (
        {
            "job": {
                **{"id": "load-3f2a9c11", "uuid": "u-1", "cluster": "shared", "kind": "pyspark", "history": _HISTORY},
                "status": {"state": "DONE", "stateStartTime": T2},
                "labels": {"team": "shop"},
            }
        },
        lambda body: dataproc.decode(body, RECEIVED, namespace="prod", label=None),
    ),
    "vertex_ai, 5 tasks": (
        {
            "run": {
                "name": "projects/1/locations/r/pipelineJobs/a",
                "pipeline": "train",
                "state": "SUCCEEDED",
                **_VERTEX,
            },
            "tasks": [{"taskId": str(at), "taskName": f"t{at}", "state": "SUCCEEDED", **_VERTEX} for at in range(5)],
        },
        lambda body: vertex_ai.decode(body, RECEIVED, namespace="prod", project="shop-prod"),
    ),
    "azure_ml": (
        {
            "run": {
                **{"runId": "p-1", "status": "Completed", "experiment": "train", "tags": {"team": "shop"}},
                **{"createdUtc": T0, "startTimeUtc": T1, "endTimeUtc": T2},
            }
        },
        lambda body: machine_learning.decode(body, RECEIVED, namespace="prod", workspace="w"),
    ),
    "power_bi": (
        {
            "refresh": {"requestId": "q-1", "status": "Completed", "startTime": T1, "endTime": T2},
            **{"model": "Sales/Orders", "ids": ["w-1", "m-1"]},
        },
        lambda body: power_bi.decode(body, RECEIVED, namespace="prod"),
    ),
    "tableau": (
        {
            "job": {
                **{"id": "j-1", "kind": "workbook", "name": "Orders", "finishCode": "0"},
                **{"createdAt": T0, "startedAt": T1, "completedAt": T2},
            }
        },
        lambda body: tableau(body, RECEIVED, namespace="prod", url="https://bi.example.com"),
    ),
}
