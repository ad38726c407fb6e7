"""Notices in hand between the commit that claimed them, with what made them due, and the thread that sends them."""

from collections import defaultdict, deque
from collections.abc import Sequence
from threading import Lock

from watchtower.model.delivery import Work


class InHand:
    """By destination, oldest first. Filled by whoever commits, emptied by the senders."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._waiting: dict[str, deque[tuple[Work, float]]] = defaultdict(deque)

    def put(self, works: Sequence[Work], start_by: float) -> None:
        """start_by: the boot time after which they must not be begun any more. Returns at once."""
        with self._guard:
            for work in works:
                self._waiting[work.notice.destination].append((work, start_by))

    def take(self, destination: str) -> tuple[Work, float] | None:
        with self._guard:
            waiting = self._waiting.get(destination)
            if waiting is None:
                return None
            taken = waiting.popleft()
            if not waiting:
                del self._waiting[destination]
            return taken

    @property
    def destinations(self) -> list[str]:
        """Those for which something waits."""
        with self._guard:
            return sorted(self._waiting)
