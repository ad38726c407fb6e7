"""Assertions of OpenLineage's facets `dataQualityAssertions` and `test`, each a result of its own beside its run.

They are samples of the series `quality_check`, as those of other tools are (collectors.quality), so that a test that
fails is an alert until it passes, whoever ran it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from collectors.openlineage.texts import cut
from collectors.openlineage.wire import Assertion, Test, Tests
from watchtower.model.quality import QUALITY, Verdict, verdict_of
from watchtower.model.run import JobRef
from watchtower.model.series import MAX_LABEL_VALUE, Sample, SeriesPatch, SeriesRef

MOST: Final = 500  # of one event


def check_results(
    found: Iterable[tuple[str, Assertion]], job: JobRef, run_id: str, at: datetime, *, historical: bool
) -> tuple[SeriesPatch, ...]:
    """found: (dataset name, assertion). What is said of one check twice counts at its worst."""
    worst: dict[tuple[tuple[str, str], ...], Verdict] = {}
    for dataset, check in found:
        verdict = _verdict(check)
        name = check.assertion or check.name
        if verdict is None or name is None or len(worst) >= MOST:
            continue
        said = {"check": name, "table": dataset, "column": check.column}
        labels = tuple((key, cut(value, MAX_LABEL_VALUE)) for key, value in said.items() if value)
        worst[labels] = max(verdict, worst.get(labels, verdict))
    return tuple(
        SeriesPatch(
            SeriesRef(QUALITY, job, dict(labels)),
            job.source,
            (Sample(at, float(verdict), run_id, historical=historical),),
        )
        for labels, verdict in worst.items()
    )


def tests_of(facet: Tests | None, told: Iterable[tuple[str, Assertion]]) -> list[tuple[str, Assertion]]:
    """The tests of a run, which name no dataset. told: what its datasets said already, so that a producer that writes
    both facets is heard once."""
    if facet is None:
        return []
    named = {check.assertion or check.name for _, check in told}
    return [("", _assertion(test)) for test in facet.tests or () if test.name not in named]


def _assertion(test: Test) -> Assertion:
    held = _held(test)
    return Assertion(test.name, severity=test.severity, success=held, expected=test.expected, actual=test.actual)


def _held(test: Test) -> bool | None:
    """None where it was skipped, or says what nobody knows."""
    found = verdict_of(test.status or "")
    return None if found is None else found is Verdict.PASS


def _verdict(check: Assertion) -> Verdict | None:
    """None where it was not tested."""
    if check.success is None:
        return None
    if check.success:
        return Verdict.PASS
    return Verdict.WARN if (check.severity or "").lower().startswith("warn") else Verdict.FAIL
