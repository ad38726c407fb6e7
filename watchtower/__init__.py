"""Watchtower: observability and cost governance for data pipelines."""

__version__ = "0.1.0"
