"""What a configuration names is known before anything of it ran."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from watchtower.app.parts import Parts
from watchtower.app.polling import declared
from watchtower.config.maintenance import corrections_of
from watchtower.config.polled import PushedConfig
from watchtower.store import budgets, datasets, due, jobs, slos, sources
from watchtower.store.database import Database


def declare(database: Database, parts: Parts, now: datetime) -> None:
    """Create the subjects that the configuration names exactly, so that a run can be missed before any ran, and the
    budgets and SLOs; those that it no longer names end."""
    config = parts.config
    job_refs, dataset_refs = config.job_refs, config.dataset_refs
    pushing = {each.name for each in config.polled if isinstance(each, PushedConfig) and each.pushes}
    polled = [replace(each, pushes=each.name in pushing) for each in declared(parts.polled)]

    def unit(connection: Connection) -> None:
        jobs.declare(connection, job_refs, now)
        datasets.declare(connection, dataset_refs)
        budgets.declare(connection, config.budgets, now)
        slos.declare(connection, config.slos, now)
        slos.plan(connection, corrections_of(config.maintenance, config.slos, now), now)
        sources.declare(connection, polled, now)
        subjects = [f"job:{ref.id}" for ref in job_refs] + [f"dataset:{ref.id}" for ref in dataset_refs]
        due.mark(connection, due.RULES, subjects, now)

    database.write(unit)
