"""Companions of subjects: the jobs and datasets that rules look at beside them, found by their names."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from watchtower.model.companion import Beside, Companion, Wanted, Wrote
from watchtower.model.past import WINDOW
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import RunState
from watchtower.store import datasets, dialect, driver, runs
from watchtower.store.snapshots.jobs import attempts_of

UPDATES = 200  # of a dataset
_THINNED = 10  # of a pipeline that skips nine of ten runs as many are looked at as of one that skips none
_SAYS_NOTHING = frozenset((RunState.SKIPPED.value, RunState.CANCELLED.value, RunState.UPSTREAM_FAILED.value))
_DEPTH = 2  # below a run: its tasks, and what those set off, such as an application of Spark

_JOBS = "SELECT id, namespace FROM jobs WHERE pipeline = {mark} AND coalesce(task, '') = {mark} ORDER BY namespace, id"
_DATASETS = "SELECT id, namespace FROM datasets WHERE name = {mark} ORDER BY namespace, id"
_CHILDREN = "SELECT id, parent_run_id FROM runs WHERE parent_run_id {among}"


def companions(connection: Connection, wanted: Collection[Wanted]) -> dict[Wanted, Beside]:
    """A few seeks for each; of those whose writings are looked at, one more for each run and task of their past."""
    return {each: _beside(connection, each) for each in set(wanted)}


def with_former(connection: Connection, snapshot: JobSnapshot) -> JobSnapshot:
    """With the runs of what the job was before, where its own are too few; none of what is not known."""
    missing = WINDOW - len(snapshot.past)
    if snapshot.formerly is None or not snapshot.past or missing <= 0:
        return snapshot
    first = snapshot.past[-1].position_us
    found = _beside(connection, snapshot.formerly.of(snapshot.job.ref.namespace, snapshot.key.id))
    return replace(snapshot, former=tuple(run for run in found.past if run.position_us < first)[:missing])


def _beside(connection: Connection, wanted: Wanted) -> Beside:
    companion = wanted.companion
    if wanted.subject_id is not None:
        return _job(connection, wanted.subject_id, companion)
    found = _chosen(_candidates(connection, companion), companion.namespace, wanted.namespace)
    if not found:
        return Beside(problem=f"{companion} was never heard of")
    if len(found) > 1:
        places = ", ".join(sorted({place for _, place in found})[:5])
        return Beside(problem=f"{companion} is known more than once ({places}); name the namespace that is meant")
    ident = found[0][0]
    if companion.kind == "job":
        return _job(connection, ident, companion)
    return Beside(updates=datasets.updates_of(connection, ident, UPDATES))


def _job(connection: Connection, ident: str, companion: Companion) -> Beside:
    if companion.whole:
        return _whole(connection, ident, companion.whole)
    past = runs.past(connection, ident, WINDOW)
    return Beside(past, wrote=_wrote(connection, [run.id for run in past]) if companion.writes else {})


def _whole(connection: Connection, ident: str, wanted: int) -> Beside:
    """Runs that say nothing, because they were skipped or called off, do not crowd out those that do."""
    past = runs.past(connection, ident, wanted * _THINNED)
    telling = [run.id for run in past if run.state not in _SAYS_NOTHING][:wanted]
    found = runs.whole(connection, telling)
    known = tuple(found[each] for each in telling)
    return Beside(past, runs=known, attempts=attempts_of(connection, [run for run in known if not run.job.task]))


def _wrote(connection: Connection, run_ids: Sequence[str]) -> dict[str, tuple[Wrote, ...]]:
    """What these runs, and all that ran within them, wrote."""
    belongs = {ident: ident for ident in run_ids}
    level = list(run_ids)
    for _ in range(_DEPTH):
        below = {row[0]: row[1] for row in dialect.rows_among(connection, _CHILDREN, level)} if level else {}
        level = [ident for ident in below if ident not in belongs]
        belongs |= {ident: belongs[below[ident]] for ident in level}
    found: dict[str, list[Wrote]] = {}
    for name, update in datasets.written_by(connection, sorted(belongs)):
        found.setdefault(belongs[update.run_id or ""], []).append(Wrote(name, update))
    return {ident: tuple(some) for ident, some in found.items()}


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
