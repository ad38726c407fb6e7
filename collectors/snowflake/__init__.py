"""Snowflake: tasks and their graphs, asked through its SQL API."""

from collectors.snowflake.source import PolledSnowflake, Snowflake, SnowflakeConfig

__all__ = ["PolledSnowflake", "Snowflake", "SnowflakeConfig"]
