"""What the server remembers of checks between their pings: names, runs that wait in the spool, and the pace.

All of it can be lost or asked of the store; it is bounded, so that many checks cost no more than a few.
"""

import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta
from typing import Final

from watchtower.model.run import JobRef

MOST: Final = 10_000  # checks that are remembered here; the least used are forgotten, and asked of the store
_MINUTE: Final = timedelta(minutes=1)


class Names:
    """slug → name of the job, for those that were found; they stay, since jobs do."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, str, str], str] = OrderedDict()

    def get(self, source: str, namespace: str, slug: str) -> str | None:
        return self._found.get((source, namespace, slug))

    def keep(self, source: str, namespace: str, slug: str, name: str) -> None:
        self._found[source, namespace, slug] = name
        while len(self._found) > MOST:
            self._found.popitem(last=False)


class Begun:
    """Runs without a rid whose pings wait in the spool, so that the store cannot tell of them: job → run, None once it
    ended."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, str | None] = OrderedDict()

    def note(self, job: JobRef, run: str | None) -> None:
        self._runs[job.id] = run
        while len(self._runs) > MOST:
            self._runs.popitem(last=False)

    def knows(self, job: JobRef) -> bool:
        return job.id in self._runs

    def of(self, job: JobRef) -> str | None:
        return self._runs.get(job.id)

    def clear(self) -> None:
        self._runs.clear()


class Pace:
    """How many pings of each check were kept within the last minute. Each process counts its own."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, deque[datetime]] = OrderedDict()
        self._guard = threading.Lock()

    def is_too_fast(self, job: JobRef, now: datetime, per_minute: int) -> bool:
        """Whether per_minute pings were kept in the minute before now; if not, this one counts too."""
        with self._guard:
            kept = self._kept.setdefault(job.id, deque())
            self._kept.move_to_end(job.id)
            while kept and now - kept[0] >= _MINUTE:
                kept.popleft()
            if len(kept) >= per_minute:
                return True
            kept.append(now)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
            return False
