"""A run as it stood at a moment that is over: what was said later is not known."""

from datetime import timedelta
from typing import Any

import pytest

from tests.builders import DAY, complete, fail, start
from watchtower.model.fact import Fact
from watchtower.model.fold import fold_run, new_run, rewound
from watchtower.model.instants import to_micros
from watchtower.model.run import Authority, RunState

HOUR = timedelta(hours=1)
TOLD = ("state", "words", "started_at", "ended_at", "error", "position", "first_seen")


def folded(*events: Fact) -> dict[str, Any]:
    run = new_run()
    for each in events:
        assert each.run is not None
        fold_run(run, each.run, each, {})
    return run


STORIES = {
    "ended well": [start("r", DAY), complete("r", DAY + 2 * HOUR, code_version="2")],
    "failed": [start("r", DAY, code_version="1"), fail("r", DAY + 2 * HOUR)],
    "told by two": [
        start("r", DAY),
        fail("r", DAY + 2 * HOUR),
        complete("r", DAY + 2 * HOUR, authority=Authority.API),
    ],
    "queued first": [
        start("r", DAY, started_at=None, queued_at=DAY, state=RunState.QUEUED),
        start("r", DAY + HOUR / 2),
        fail("r", DAY + 2 * HOUR),
    ],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
@pytest.mark.parametrize("hours", [0.001, 0.25, 1, 1.9, 2, 3])
def test_it_is_as_if_only_the_earlier_events_had_come(story: list[Fact], hours: float) -> None:
    moment = DAY + hours * HOUR
    then = folded(*(each for each in story if each.event_time < moment))
    now = rewound(folded(*story), to_micros(moment))
    assert {name: now[name] for name in TOLD} == {name: then[name] for name in TOLD}
    assert now["last_event_at"] <= to_micros(moment)


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_hearing_the_rest_again_makes_it_what_it_was(story: list[Fact]) -> None:
    run = rewound(folded(*story), to_micros(DAY + HOUR))
    for each in story:
        assert each.run is not None
        fold_run(run, each.run, each, {})
    assert {name: run[name] for name in TOLD} == {name: folded(*story)[name] for name in TOLD}
