"""Folding facts without a store, to compare what different orders of them come to."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

from watchtower.model.fact import Fact
from watchtower.model.fold import all_aliases, fold_job, fold_run, new_job, new_run
from watchtower.model.origin import origin_words


def folded(facts: Iterable[Fact]) -> dict[str, Any]:
    """Runs by canonical alias and jobs by id, as they stand after facts in this order."""
    state: dict[str, Any] = {}
    for fact in facts:
        if fact.run:
            document = state.setdefault(fact.run.aliases[0], new_run())
            fold_run(document, fact.run, fact, {alias: alias for alias in all_aliases([fact.run])})
        for patch in fact.jobs:
            fold_job(state.setdefault(patch.ref.id, new_job()), patch, fact)
    return state


def line(fact: Fact) -> str:
    """A fact as one line of a golden file: what people would see of it."""
    if fact.run is None:
        return " | ".join(f"job {job.ref.name} schedule={job.schedule} {job.timezone} {job.tags}" for job in fact.jobs)
    run = fact.run
    words: list[Any] = [run.job.name if run.map_index is None else f"{run.job.name}[{run.map_index}]"]
    words.append(f"{run.event_type}={run.state.value if run.state else None}")
    named = {
        "generation": run.generation,
        "attempt": f"{run.attempt}/{run.max_attempts}" if run.attempt else None,
        "final": run.final,
        "trigger": run.trigger.value if run.trigger else None,
        "actor": run.actor,
        "version": run.code_version,
        "nominal": run.nominal_start,
        "queued": run.queued_at,
        "started": run.started_at,
        "ended": run.ended_at,
        "error": f"{run.error.type}: {run.error.message} ({len(run.error.stack)} of stack)" if run.error else None,
        "tags": dict(run.tags) if run.tags else None,
        "wrote": [(io.ref.name, io.row_count) for io in run.datasets if io.direction == "out"] or None,
        "read": [io.ref.name for io in run.datasets if io.direction == "in"] or None,
        "set off by": [origin_words(origin) for origin in run.origins] or None,
        "environment": run.environment,
        "historical": fact.historical or None,
    }
    words += [f"{name}={value}" for name, value in named.items() if value is not None]
    return " ".join(map(str, words))


def assert_orderless(facts: Sequence[Fact], seed: int = 8) -> dict[str, Any]:
    """What facts come to in any order and with repeats (T8 of the promises), by twenty shuffles from seed."""
    whole = folded(facts)
    chosen = random.Random(seed)
    for _ in range(20):
        shuffled = [*facts, *facts[: len(facts) // 2 + 1]]
        chosen.shuffle(shuffled)
        assert folded(shuffled) == whole
    return whole
