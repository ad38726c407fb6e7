"""Companions of subjects: the jobs and datasets that rules look at beside them, found by their names."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from watchtower.model.companion import Beside, Companion
from watchtower.model.past import WINDOW
from watchtower.store import datasets, dialect, driver, runs

UPDATES = 200  # of a dataset

_JOBS = "SELECT id, namespace FROM jobs WHERE pipeline = {mark} AND coalesce(task, '') = {mark} ORDER BY namespace, id"
_DATASETS = "SELECT id, namespace FROM datasets WHERE name = {mark} ORDER BY namespace, id"


def companions(
    connection: Connection, wanted: Collection[tuple[Companion, str]]
) -> dict[tuple[Companion, str], Beside]:
    """wanted: each with the namespace of the subject beside which it is looked at. A few seeks for each."""
    return {each: _beside(connection, *each) for each in set(wanted)}


def _beside(connection: Connection, companion: Companion, namespace: str) -> Beside:
    found = _chosen(_candidates(connection, companion), companion.namespace, namespace)
    if not found:
        return Beside(problem=f"{companion} was never heard of")
    if len(found) > 1:
        places = ", ".join(sorted({place for _, place in found})[:5])
        return Beside(problem=f"{companion} is known more than once ({places}); name the namespace that is meant")
    ident = found[0][0]
    if companion.kind == "job":
        return Beside(past=runs.past(connection, ident, WINDOW))
    return Beside(updates=datasets.updates_of(connection, ident, UPDATES))


def _candidates(connection: Connection, companion: Companion) -> list[tuple[str, str]]:
    mark = dialect.mark(connection)
    if companion.kind == "job":
        rows = driver.rows(connection, _JOBS.format(mark=mark), (companion.name, companion.task or ""))
    else:
        rows = driver.rows(connection, _DATASETS.format(mark=mark), (companion.name,))
    return [(ident, place) for ident, place in rows]


def _chosen(found: Sequence[tuple[str, str]], named: str | None, own: str) -> list[tuple[str, str]]:
    if named is not None:
        return [each for each in found if each[1] == named]
    return [each for each in found if each[1] == own] or list(found)
