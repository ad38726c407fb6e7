"""A sender dies in mid-attempt: how soon the next process finds out what became of it."""

import pytest

from tests.alerting.builders import fires, firing_alert
from tests.alerting.routes import pipeline
from tests.simulators.provider import Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.model.alert import Notice
from watchtower.store.database import Database

WEBHOOK = "team/webhook[0]"


class Killed(BaseException):
    """The process ends here; nothing of it goes on."""


def _kill(_notice: Notice) -> None:
    raise Killed


@pytest.mark.parametrize(
    ("dies", "seen"), [("before_request", 0), ("before_answer", 1)], ids=["before the request", "after it"]
)
@pytest.mark.parametrize(("alone", "found_at"), [(True, 42), (False, 72)], ids=["the only process", "one of many"])
def test_what_a_dead_sender_left_is_found_out(
    database: Database, clock: ManualClock, dies: str, seen: int, *, alone: bool, found_at: float
) -> None:
    """It sent at second 31, the next process starts at second 32: a look-up waits for the settle time (10 s), and for
    the lease (30 s) where another process could be holding it."""
    provider = Provider.like(clock)
    line = Timeline(database, clock, pipeline(), {WEBHOOK: provider})
    line.push(1, fires(line.pipeline, firing_alert(line.at(1), pipeline="orders")))
    setattr(provider, dies, _kill)
    with pytest.raises(Killed):
        line.play(31)
    assert len(provider.effects) == seen
    setattr(provider, dies, None)
    line.restart()
    clock.advance(1)
    if alone:
        line.store.free_leases(clock.now())
    line.play(200)
    assert len(provider.effects) == 1, "told once, and not lost"
    line.want(between(31, 31) if seen else between(found_at - 1, found_at), WEBHOOK, firing=1)
    assert [state for _, _, state, _ in line.obligations()] == ["delivered"]
