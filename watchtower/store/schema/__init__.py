"""All tables of the store, by theme. Importing this package registers every one of them."""

from watchtower.store.schema import access, alerting, costs, observed, series, traces
from watchtower.store.schema.base import metadata

__all__ = ["access", "alerting", "costs", "metadata", "observed", "series", "traces"]
