"""Builders of series as rules see them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tests.rules.timeline import at, job
from watchtower.model.alert import Alert
from watchtower.model.derived import derived_id
from watchtower.model.rule import SeriesSnapshot, SubjectKey
from watchtower.model.series import Sample, Series, SeriesKind, SeriesRef


def sample(minute: float, value: float, **said: Any) -> Sample:
    """A sample that many minutes after the beginning of day 0."""
    return Sample(at(0, seconds=minute * 60), value, **said)


def of_series(
    samples: Sequence[Sample],
    *,
    name: str = "score",
    labels: dict[str, str] | None = None,
    alerts: Sequence[Alert] = (),
    derived: bool = False,
    task: str | None = None,
    **said: Any,
) -> SeriesSnapshot:
    """A gauge of orders_daily; samples in any order, `said` of the series. job=None: of no job."""
    of = job()
    ref = SeriesRef(
        name, said.pop("job", of.ref if task is None else msgspec.structs.replace(of.ref, task=task)), labels or {}
    )
    made: dict[str, Any] = {
        "id": derived_id(name, of.id) if derived else ref.id, "ref": ref, "source": "series", "kind": SeriesKind.GAUGE,
        "unit": None, "is_delta": False, "owner": None, "team": None, "first_seen": None, "last_at": None,
        "derived": derived,
    }  # fmt: skip
    series = Series(**(made | said))
    ordered = tuple(sorted(samples, key=lambda each: each.at, reverse=True))
    return SeriesSnapshot(SubjectKey("series", series.id), series, ordered, of if ref.job else None, tuple(alerts))
