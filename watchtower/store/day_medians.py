"""Medians of days, from the sketches that outlive runs. Read once a day for each job: what is kept is kept in memory
until there is a newer day."""

from collections.abc import Collection

from sqlalchemy import Connection

from watchtower.model.day_medians import DayMedians
from watchtower.model.sketch import Sketch
from watchtower.store import dialect, driver

MOST_DAYS = 200  # of a job: half a year, with six turns of a month
MOST_JOBS = 5_000  # kept: 1.6 kB each

_NEWEST = "SELECT day FROM sketches WHERE subject = {mark} AND metric = 'duration_s' ORDER BY day DESC LIMIT 1"
_DAYS = "SELECT day, body FROM sketches WHERE subject = {mark} AND metric = 'duration_s' ORDER BY day DESC LIMIT {mark}"


class KeptMedians:
    """For one thread at a time."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, DayMedians]] = {}

    def of(self, connection: Connection, job_ids: Collection[str]) -> dict[str, DayMedians]:
        """Jobs without a sketch are missing."""
        mark = dialect.mark(connection)
        found: dict[str, DayMedians] = {}
        for ident in job_ids:
            rows = driver.rows(connection, _NEWEST.format(mark=mark), (ident,))
            if not rows:
                continue
            newest = int(rows[0][0])
            known = self._kept.get(ident)
            if known is None or known[0] != newest:
                known = self._keep(ident, (newest, _read(connection, ident)))
            found[ident] = known[1]
        return found

    def _keep(self, ident: str, known: tuple[int, DayMedians]) -> tuple[int, DayMedians]:
        self._kept.pop(ident, None)
        if len(self._kept) >= MOST_JOBS:
            del self._kept[next(iter(self._kept))]
        self._kept[ident] = known
        return known


def _read(connection: Connection, ident: str) -> DayMedians:
    rows = driver.rows(connection, _DAYS.format(mark=dialect.mark(connection)), (ident, MOST_DAYS))
    told = ((int(day), Sketch.decode(bytes(body)).quantile(0.5)) for day, body in reversed(rows))
    return DayMedians.of((day, median) for day, median in told if median is not None)
