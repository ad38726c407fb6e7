"""Snapshots of subjects for the rules engine: one loader for each kind of subject, all of bounded reads.

A loader reads a whole batch of subjects in a handful of set-based queries, the newest of each by index, so that an
evaluation costs the same whatever the length of the history. A new kind of subject is a file here and a line below.
"""

from collections.abc import Callable, Mapping

from watchtower.store.snapshots.budgets import BudgetLoader
from watchtower.store.snapshots.datasets import DatasetLoader
from watchtower.store.snapshots.jobs import JobLoader
from watchtower.store.snapshots.loader import Loader
from watchtower.store.snapshots.round_trips import RoundTripLoader
from watchtower.store.snapshots.series import SeriesLoader
from watchtower.store.snapshots.slos import SloLoader
from watchtower.store.snapshots.sources import SourceLoader

LOADERS: Mapping[str, Loader] = {
    "job": JobLoader(),
    "dataset": DatasetLoader(),
    "budget": BudgetLoader(),
    "slo": SloLoader(),
    "series": SeriesLoader(),
    "round_trip": RoundTripLoader(),
    "source": SourceLoader(),
}


def loaders(derived: Callable[[], frozenset[str]]) -> Mapping[str, Loader]:
    """LOADERS, and with them the series that are worked out because rules watch them: derived, their names."""
    return {**LOADERS, "series": SeriesLoader(derived)}
