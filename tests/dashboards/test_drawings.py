"""What pages draw and word: meters, bars of runs, lanes of tasks, spans and sizes."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from dashboards import web
from dashboards.web import words
from dashboards.web.bars import bars, tone
from dashboards.web.meters import budget_tone, budget_words, meter, periods
from dashboards.web.waterfall import lanes
from tests.dashboards.samples import BARS, BUDGET, SINCE
from watchtower.model.run import RunState
from watchtower.model.spending import BudgetState


def test_a_meter_says_its_share_and_never_leaves_its_frame() -> None:
    for percent in (0.0, 79.9, 100.0, 125.0, 1e9):
        drawn = str(meter(replace(BUDGET, percent=percent)))
        assert 'aria-label="125% of the limit"' in drawn
        for x, width in re.findall(r'x="(\d+)" y="0" width="(\d+)"', drawn):
            assert int(x) + int(width) <= 168
    drawn = str(periods(BUDGET.bars * 30))
    assert 'aria-label="last 21 days: 11 above the limit"' in drawn
    assert drawn.count("<title>") == 21


@pytest.mark.parametrize("state", BudgetState)
def test_every_state_of_a_budget_has_words_and_a_tone(state: BudgetState) -> None:
    assert budget_words(state)
    assert budget_tone(state) in ("good", "warn", "bad", "calm")


def test_bars_show_each_run_and_say_so_without_sight() -> None:
    drawn = str(bars(BARS))
    assert drawn.count("<title>") == len(RunState)
    assert 'aria-label="last 11 runs: ' in drawn
    assert 'role="img"' in drawn
    assert str(bars(())).count('class="none"') == 24
    assert str(bars(BARS * 5)).count("<rect") == 24


def task(name: str, began: int | None, ended: int | None, *, queued: int | None = None) -> web.TaskRow:
    """Seconds from SINCE; one that has not ended is running."""
    waited, at, end = (None if it is None else SINCE + timedelta(seconds=it) for it in (queued, began, ended))
    state = RunState.QUEUED if began is None else RunState.SUCCEEDED if ended is not None else RunState.RUNNING
    took = ended - began if ended is not None and began is not None else None
    return web.TaskRow(name, name, 1, state, waited, at, end, took, "")


def rects(svg: str) -> list[tuple[str, int, int]]:
    found = re.findall(r'<rect class="(\w+)" x="(\d+)" y="0" width="(\d+)"', svg)
    return [(kind, int(x), int(width)) for kind, x, width in found]


def test_tasks_of_a_run_stand_in_lanes_over_one_time() -> None:
    rows = (task("extract", 60, 120, queued=0), task("load", 120, None), task("report", None, None))
    shared = lanes(rows, SINCE + timedelta(seconds=240))
    assert shared is not None
    assert rects(shared.lane(rows[0])) == [("wait", 0, 60), ("good", 60, 60)]
    assert rects(shared.lane(rows[1])) == [("busy", 120, 120)], "what runs has come to now"
    assert rects(shared.lane(rows[2])) == []
    assert "took 1 min" in shared.lane(rows[0])


def test_a_task_of_a_moment_is_seen_and_stays_within_its_lane() -> None:
    rows = (task("long", 0, 3600), task("short", 3600, 3600))
    shared = lanes(rows, SINCE + timedelta(days=1))
    assert shared is not None
    assert rects(shared.lane(rows[1])) == [("good", 238, 2)]
    assert lanes((rows[1],), SINCE) is not None, "a run of no length, too"


def test_a_run_of_which_nothing_began_has_no_lanes() -> None:
    assert lanes((task("report", None, None),), SINCE) is None
    assert lanes((), SINCE) is None


@pytest.mark.parametrize("state", [*RunState, None])
def test_every_state_has_a_tone(state: RunState | None) -> None:
    assert tone(state) in ("good", "bad", "busy", "calm")


def test_a_span_that_nobody_knows_is_a_dash() -> None:
    assert words.span(None) == "–"
    assert words.span(63.5) == "1 min 4 s"


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (1 << 30, "1.0 GiB")])
def test_sizes(count: int, text: str) -> None:
    assert words.size(count) == text
