"""How much one person is told at once: a budget of texts and of calls within minutes. Pure.

The last message of a budget stands for all that waits for the person by then ("and 48 more"), so a storm is known to
them as a whole within seconds, and nothing of it is dropped: each notice it stands for ends with its proof.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from watchtower.model.alert import Planned
from watchtower.model.delivery import Sent

GATHERS_FOR = timedelta(seconds=20)  # from the message before the last one, so that the last one stands for a storm


def waits_until(planned: Planned, sent: Callable[[], Sent], now: datetime) -> datetime | None:
    """When the person may be told in this way; None: now."""
    if planned.burst is None:
        return None
    lately = _within(planned, sent(), now)
    if len(lately) >= planned.burst:
        return lately[planned.burst - 1] + timedelta(seconds=planned.burst_s)
    if lately and len(lately) == planned.burst - 1 and now < lately[0] + GATHERS_FOR:
        return lately[0] + GATHERS_FOR
    return None


def is_last(planned: Planned, sent: Callable[[], Sent]) -> bool:
    """Whether the next message is the last one that the budget allows for now."""
    return planned.burst is not None and len(sent().lately) >= planned.burst - 1


def _within(planned: Planned, sent: Sent, now: datetime) -> list[datetime]:
    return [at for at in sent.lately if now - timedelta(seconds=planned.burst_s) < at <= now]
