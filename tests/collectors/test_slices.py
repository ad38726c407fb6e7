"""A long window is read in pieces, oldest first; and a list that is longer than any may be is never taken for read."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from collectors.slices import MOST_SLICES, slices
from tests.collectors.test_asked import Poller
from tests.collectors.worlds import WORLDS
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.errors import Transient
from watchtower.model.source import Window

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_an_hour_at_a_time_and_the_last_piece_has_no_end() -> None:
    window = Window(NOW - 3 * HOUR, NOW, mark=NOW - 2 * HOUR)
    whole = list(slices(window, NOW))
    assert whole == [(NOW - 3 * HOUR, NOW - 2 * HOUR), (NOW - 2 * HOUR, NOW - HOUR), (NOW - HOUR, None)]


@pytest.mark.parametrize("hours", [-5, 5])
def test_no_piece_ends_ahead_of_their_clock(hours: int) -> None:
    theirs = NOW + hours * HOUR
    first = list(slices(Window(NOW - 3 * HOUR, NOW), theirs))
    assert (first[0][0], first[-1]) == (theirs - 3 * HOUR, (theirs - HOUR, None))
    ends = [until for _, until in slices(Window(theirs - 9 * HOUR, NOW, mark=theirs - 8 * HOUR), theirs) if until]
    assert max(ends) < theirs


def test_a_short_window_is_one_piece_and_so_is_one_by_a_clock_that_nobody_knows() -> None:
    assert list(slices(Window(NOW - HOUR, NOW, mark=NOW), NOW)) == [(NOW - HOUR, None)]
    assert list(slices(Window(NOW - 9 * HOUR, NOW), None)) == [(NOW - 9 * HOUR, None)]


def test_of_years_there_are_no_more_pieces_than_of_days() -> None:
    assert len(list(slices(Window(NOW - timedelta(days=3_650), NOW), NOW))) <= MOST_SLICES


@pytest.mark.parametrize("kind", ["azure_ml", "vertex_ai", "tableau"])
def test_a_list_that_does_not_end_is_told_and_never_counts_as_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.paging.MOST_PAGES", 1)
    monkeypatch.setattr("collectors.tableau.PAGE", 1)
    with WORLDS[kind](tmp_path) as world:
        poller = Poller.of(world)
        with pytest.raises(Transient, match=f"{kind} source 'shop'.*shorter `lookback`"):
            poller.poll()
        assert world.now not in poller.marks


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("azure_ml", "continuationToken"),
        ("data_factory", "continuationToken"),
        ("databricks", "next_page_token"),
        ("dataproc", "nextPageToken"),
        ("vertex_ai", "nextPageToken"),
    ],
)
def test_a_server_that_repeats_its_token_is_told_and_not_asked_for_ever(kind: str, key: str, tmp_path: Path) -> None:
    with WORLDS[kind](tmp_path) as world:
        for number in range(3):
            world.ran(number, world.now - timedelta(minutes=20 + number))
        led = repeat_itself(world.server, key)
        poller = Poller.of(world)
        with pytest.raises(Transient, match=f"{kind} source 'shop'.*leads back to what was read before"):
            poller.poll()
        assert led
        assert world.now not in poller.marks


def repeat_itself(server: HttpSimulator, key: str) -> set[str]:
    """Each list leads from its second page to its second page. Returns the paths where one did; key: of the token."""
    answer = server.answer
    led: set[str] = set()

    def repeated(request: Recorded) -> Reply:
        reply = answer(request)
        told: dict[str, Any] = json.decode(reply.body) if reply.status == 200 and reply.body.startswith(b"{") else {}
        if told.get(key):
            led.add(request.path)
        if request.path in led:
            return Reply(reply.status, json.encode({**told, key: "1"}), reply.headers)
        return reply

    server.answer = repeated  # type: ignore[method-assign]
    return led
