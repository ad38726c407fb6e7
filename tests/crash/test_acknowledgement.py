"""A process dies while somebody says by telephone that they have it: whoever hears "Acknowledged" can rely on it."""

import uuid
from contextlib import suppress
from random import Random
from typing import Any

import pytest
import urllib3
from sqlalchemy import text

from tests.crash.conftest import Ground
from tests.crash.desks import KINDS, configured
from tests.crash.lives import Life, run_of
from tests.crash.points import KILLED, Passed, Point, of, passed
from tests.crash.verdict import Figures, kept_in
from tests.simulators.twilio import TO, Callee, Heard, TwilioSimulator
from watchtower.store.database import Database

pytestmark = pytest.mark.usefixtures("warmed")

EXTERNAL = "https://watchtower.example.com"
CONFIRMED = "Acknowledged. Goodbye."


def test_a_confirmed_key_holds_wherever_the_process_dies(ground: Ground) -> None:
    figures = Figures()
    with KINDS["voice"].open(ground.clock.now()) as desk:
        twilio: TwilioSimulator = desk.simulator
        twilio.external_url = EXTERNAL
        twilio.callees[TO] = Callee(keys=["1"])
        ground.folder.mkdir()
        (ground.folder / "watchtower.yaml").write_text(configured(desk.config, ground.store, EXTERNAL))
        seen = _night(ground, twilio, None, figures)
        points = passed(of("acknowledgement"), seen, Random(f"{ground.seed} acknowledgement"))
        for point in points:
            _night(ground, twilio, point, figures)
    kept = kept_in(ground.store)
    figures.obligations, figures.lost = kept.obligations, figures.lost + len(kept.unfinished)
    ground.record(figures)
    assert not kept.unfinished
    assert {point.name for point in points} == {point.name for point in of("acknowledgement")}


def _night(ground: Ground, twilio: TwilioSimulator, point: Point | None, figures: Figures) -> Passed:
    """A run fails, a telephone rings, a key is pressed and the process dies at point; the key is pressed again."""
    clock = ground.clock
    clock.advance(60)  # longer than a lease; all nights together end before an acknowledgement runs out
    twilio.now = clock.now()
    pipeline, rung = f"orders_{uuid.uuid4().hex[:8]}", len(twilio.calls)
    with Life(ground.folder, at=clock.now()) as life:
        life.started()
        assert life.post(*run_of(pipeline, str(uuid.uuid4()), clock.now(), "START", "FAIL")) == 200
        life.step(clock.now())
        assert len(twilio.calls) == rung + 1
        life.arm(point)
        confirmed = CONFIRMED in _heard_until_it_dies(twilio, life)
        assert (life.end() == KILLED) == (point is not None), f"not killed at {point}"
    figures.kills += point is not None
    figures.events += 2
    if confirmed or point is None:
        assert _acknowledged(ground.store, pipeline) == 1, f"{point}: somebody heard {CONFIRMED!r}, and it is not so"
        return life.seen
    with Life(ground.folder, at=clock.now()) as next_life:
        next_life.started()
        assert CONFIRMED in _ring(twilio, next_life).said, f"{point}: the key does not count any more"
        assert next_life.end() == 0
    assert _acknowledged(ground.store, pipeline) == 1, f"{point}: acknowledged more than once"
    assert len(twilio.calls) == rung + 1, f"{point}: it rang again"
    return life.seen


def _ring(twilio: TwilioSimulator, life: Life) -> Heard:
    twilio.reach = life.url
    return twilio.ring()


def _heard_until_it_dies(twilio: TwilioSimulator, life: Life) -> str:
    """The answers to the keys, also when the call ends in silence after them."""
    answers: list[str] = []
    press = twilio.press

    def pressed(*args: Any, **more: str) -> tuple[int, str]:
        status, body = press(*args, **more)
        answers.append(body)
        return status, body

    with pytest.MonkeyPatch.context() as patch, suppress(urllib3.exceptions.HTTPError, OSError):
        patch.setattr(twilio, "press", pressed)
        _ring(twilio, life)
    return " ".join(answers)


def _acknowledged(url: str, pipeline: str) -> int:
    """How often the audit says that the incident of pipeline was acknowledged; only if it is."""
    database = Database(url)
    query = "SELECT id FROM incidents WHERE status = 'acknowledged' AND title LIKE :title"
    said = "SELECT count(*) FROM audit WHERE action = 'incident.acknowledge' AND target = :of"
    try:
        with database.read() as connection:
            found = connection.execute(text(query), {"title": f"%{pipeline}%"}).scalars().all()
            return sum(connection.execute(text(said), {"of": f"incident:{one}"}).scalar_one() for one in found)
    finally:
        database.close()
