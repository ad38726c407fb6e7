"""Snapshots of jobs: the past of each in numbers, and whole only the runs and attempts that may still matter."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain

from sqlalchemy import Connection, select

from watchtower.model.past import WINDOW, PastRun, mattering
from watchtower.model.rule import JobSnapshot, Snapshot, SubjectKey
from watchtower.model.run import Authority, Job, Run, RunState
from watchtower.store import jobs, runs, sources, troubles
from watchtower.store.schema.observed import jobs as table
from watchtower.store.snapshots import traced
from watchtower.store.snapshots.loader import open_alerts

MAX_FORGOTTEN = 50  # open runs beyond the window


class JobLoader:
    def __init__(self, window: int = WINDOW) -> None:
        self._window = window

    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        known = jobs.by_id(connection, ids)
        past = {job_id: runs.past(connection, job_id, self._window) for job_id in known}
        # Where there are fewer runs than are read, none is older than what was read.
        still_open = runs.open_ids(connection, [job_id for job_id in known if len(past[job_id]) >= self._window])
        wanted = {job_id: _wanted(job, past[job_id], still_open.get(job_id, ())) for job_id, job in known.items()}
        whole = runs.whole(connection, [run_id for some in wanted.values() for run_id in some])
        attempts = attempts_of(connection, [run for run in whole.values() if not run.job.task])
        keys = {job_id: SubjectKey("job", job_id) for job_id in known}
        alerts = open_alerts(connection, list(keys.values()))
        troubled = troubles.newest(connection)
        asked = _asked_until(connection, [*whole.values(), *chain.from_iterable(attempts.values())])
        spans = traced.load(connection, {job_id: past[job_id] for job_id, job in known.items() if not job.ref.task})
        return {
            keys[job_id]: JobSnapshot(
                key=keys[job_id],
                job=job,
                past=past[job_id],
                runs=tuple(whole[run_id] for run_id in wanted[job_id]),
                attempts={run_id: attempts[run_id] for run_id in wanted[job_id] if run_id in attempts},
                alerts=alerts[keys[job_id]],
                traces=spans.get(job_id, traced.UNTRACED).traces,
                usual=spans.get(job_id, traced.UNTRACED).usual,
                troubles=tuple(trouble for trouble in troubled if trouble.concerns_pipeline(job.ref.pipeline)),
                asked_until=asked.get(job.ref.namespace),
            )
            for job_id, job in known.items()
        }

    def ids(self, connection: Connection, name: str | None) -> list[str]:
        """A pipeline with its tasks."""
        query = select(table.c.id).order_by(table.c.pipeline, table.c.task)
        return list(connection.scalars(query if name is None else query.where(table.c.pipeline == name)))

    def set_team(self, connection: Connection, teams: Mapping[str, str | None]) -> None:
        jobs.set_team(connection, teams)


def _asked_until(connection: Connection, known: Sequence[Run]) -> dict[str, datetime]:
    """By namespace, where some run is over by one word and not yet by that of its orchestrator: nearly nowhere."""
    unended = {
        run.job.namespace
        for run in known
        if run.state.is_terminal
        and any(word.authority is Authority.API and not word.state.is_terminal for word in run.words)
    }
    return sources.asked_until(connection, unended) if unended else {}


def _wanted(job: Job, past: Sequence[PastRun], still_open: Sequence[str]) -> list[str]:
    """Of a task every run: the same task of one run may be mapped many times, and one success does not speak for the
    others. An open run that is older than all of past still waits for its end."""
    wanted = [run.id for run in past] if job.ref.task else mattering(past)
    return [*wanted, *sorted(set(still_open).difference(wanted))[:MAX_FORGOTTEN]]


def attempts_of(connection: Connection, whole: Sequence[Run]) -> dict[str, tuple[Run, ...]]:
    """Of runs that went well only what is still open, a task that outlived its run, and what had to be tried again."""
    well = [run.id for run in whole if run.state is RunState.SUCCEEDED]
    others = [run.id for run in whole if run.state is not RunState.SUCCEEDED]
    return {
        **runs.attempts_of(connection, well, only_striking=True),
        **runs.attempts_of(connection, others),
    }
