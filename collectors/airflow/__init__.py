"""Apache Airflow 3 and 2, asked by its own REST API: runs, tries, owners, tags, schedules, health (docs/airflow.md).

`poller` is the configuration and puts the others together: `authentication` and `api` ask, `reading` pages, `decode`
turns records into facts, `generations` and `run_ids` give runs the names by which OpenLineage knows them, `terms` has
Airflow's words.
"""

from collectors.airflow.poller import AirflowConfig, AirflowPoller

__all__ = ["AirflowConfig", "AirflowPoller"]
