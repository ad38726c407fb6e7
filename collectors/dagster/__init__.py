"""Dagster: runs, steps, assets, checks, schedules and daemons, asked of its GraphQL API."""

from collectors.dagster.config import DagsterConfig
from collectors.dagster.source import Dagster

__all__ = ["Dagster", "DagsterConfig"]
