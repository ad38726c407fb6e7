"""All tables of the store, by theme. Importing this package registers every one of them."""

from watchtower.store.schema import (
    access,
    alerting,
    backtests,
    budgets,
    changes,
    costs,
    observed,
    series,
    slos,
    sources,
    traces,
)
from watchtower.store.schema.base import metadata

__all__ = [
    "access",
    "alerting",
    "backtests",
    "budgets",
    "changes",
    "costs",
    "metadata",
    "observed",
    "series",
    "slos",
    "sources",
    "traces",
]
