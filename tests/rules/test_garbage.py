"""What an evaluation reads is gone when it is over.

A cycle of references would hold a job's runs until CPython looks for cycles: by then there are those of a hundred jobs
more, and to look through them took as long as to read them.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tests.rules.telling import of_series, sample
from tests.rules.test_next_at import DATASET_RULES, JOB_RULES, SERIES_RULES
from tests.rules.timeline import FAILED, OK, RUNNING, at, of_dataset, of_job, rule, run, update
from watchtower.model.rule import Snapshot


@contextmanager
def looked_through() -> Generator[list[Any]]:
    """What in it can only be found by looking for cycles, once it is over."""
    found: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def a_job() -> Snapshot:
    """Mostly as usual; now and then something is odd, and one run is under way."""
    states = {9: FAILED, 39: RUNNING}
    took = {17: 95.0, 24: 95.0, 31: 95.0}
    return of_job(
        [run(f"r{day}", at(day, "06:00"), took.get(day, 20 + day % 3), states.get(day, OK)) for day in range(40)]
    )


def a_dataset() -> Snapshot:
    return of_dataset([update(at(day, "06:00"), row_count=100 + day % 7, size_bytes=2_000) for day in range(40)])


def a_series() -> Snapshot:
    return of_series([sample(day * 1_440, float(day % 7)) for day in range(40)])


def evaluate_all() -> None:
    now = at(40) + timedelta(hours=9)
    for cases, snapshot in ((JOB_RULES, a_job()), (DATASET_RULES, a_dataset()), (SERIES_RULES, a_series())):
        for name, kind, options in cases:
            of = {"series": "score"} if cases is SERIES_RULES else {}
            one = rule(kind, name, **of, **options)
            kind.evaluate(one, snapshot, now)
            kind.describe(one, snapshot)


def test_an_evaluation_leaves_no_cycle() -> None:
    evaluate_all()  # what is kept for good is made now
    with looked_through() as found:
        evaluate_all()
    names = {f"{type(each).__module__}.{type(each).__name__}" for each in found}
    assert {name for name in names if name.startswith(("rules.", "watchtower."))} == set()
