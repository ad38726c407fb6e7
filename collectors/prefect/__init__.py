"""Prefect 3: flow runs, task runs, deployments and events, asked of its REST API or told by its automations."""

from collectors.prefect.config import PrefectConfig
from collectors.prefect.source import Prefect

__all__ = ["Prefect", "PrefectConfig"]
