"""OpenLineage run, job and dataset events, as Airflow, dbt, Dagster, Spark and the client libraries send them.

`decode` is the collector; `reading` takes bytes apart, `wire` is the form, the others say what it means.
"""

from collectors.openlineage.decode import CLOCK_AHEAD, OpenLineage, OpenLineageConfig, RejectReason

__all__ = ["CLOCK_AHEAD", "OpenLineage", "OpenLineageConfig", "RejectReason"]
