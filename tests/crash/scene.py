"""A store, a provider and a clock that outlive the processes between them: one story after the other, with deaths.

A story: a run starts and fails, somebody is told, the next run completes, and they are told that it is over. A sender
that was not answered sends the same again, as OpenLineage's clients do.
"""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.crash.desks import Desk, Kind, configured
from tests.crash.lives import Died, Life, run_of
from tests.crash.points import KILLED, Passed, Point
from tests.crash.verdict import Figures, Kept, kept_in, missing, twice
from tests.simulators.faults import Fault
from watchtower.clock import ManualClock

ROUND_S = 11.0  # longer than any settle time
ROUNDS = 8  # together longer than any lease


class Scene:
    """fault: what the provider does with the first message of each story. deaths: the points at which it died."""

    def __init__(
        self, folder: Path, store: str, kind: Kind, desk: Desk, clock: ManualClock, *, fault: Fault | None = None
    ) -> None:
        self._fault = fault
        self._folder, self._store, self._kind, self._desk, self._clock = folder, store, kind, desk, clock
        folder.mkdir(exist_ok=True)
        (folder / "watchtower.yaml").write_text(configured(desk.config, store))
        self._count = 0
        self._expected = 0
        self._acknowledged: set[str] = set()
        self._said: dict[str, list[dict[str, Any]]] = {}  # by run: what is not answered is sent again as it was
        self.deaths: list[Point] = []
        self.figures = Figures()
        self.unnamed: set[str] = set()

    def undisturbed(self, *first: Point) -> Passed:
        """What a story passes in a life after deaths at first; without any, also what it must have told."""
        return self._story(first, None)

    def killed_at(self, *points: Point) -> None:
        """A story in which each life dies at its point; then one that does not."""
        self._story(points, points[-1])

    def _story(self, points: Sequence[Point], last: Point | None) -> Passed:
        self._count += 1
        pipeline, run, after = f"orders_{self._count}", str(uuid.uuid4()), str(uuid.uuid4())
        before = len(self._desk.seen())
        deaths = 0
        told = False
        if self._fault is not None:
            self._desk.simulator.fail_next(self._fault)
        for number, point in enumerate(points):
            with Life(self._folder, at=self._now(), point=point, at_start=number > 0) as life:
                with suppress(Died):
                    life.started()
                    told = told or self._tell(life, pipeline, run, "START", "FAIL")
                    self._rounds(life, 2 if number == 0 else ROUNDS)
                died = life.end() == KILLED
            assert died or point.nth > 1, f"{self._kind.name} did not pass {point} this time"
            if died:
                deaths += 1
                self.deaths.append(point)
            self._clock.advance(1)
        with Life(self._folder, at=self._now(), at_start=bool(points)) as life:
            life.started()
            told = told or self._tell(life, pipeline, run, "START", "FAIL")
            assert told, "an event was refused"
            self._rounds(life, ROUNDS if points or self._fault else 1)
            assert self._tell(life, pipeline, after, "START", "COMPLETE")
            self._rounds(life, 2)
            assert life.end() == 0
            self.unnamed |= life.unnamed
        self.figures.kills += deaths
        self._judge(pipeline, deaths, self._desk.seen()[before:], str([str(point) for point in points]))
        return life.seen

    def _tell(self, life: Life, pipeline: str, run: str, *kinds: str) -> bool:
        events = self._said.setdefault(run, run_of(pipeline, run, self._clock.now(), *kinds))
        status = life.post(*events)
        assert status in (None, 200, 202), status
        if status is not None:
            self.figures.events += len(kinds)
            self._acknowledged.add(run)
        return status is not None

    def _rounds(self, life: Life, rounds: int) -> None:
        for _ in range(rounds):
            life.step(self._now())
            self._clock.advance(ROUND_S)

    def _now(self) -> datetime:
        self._desk.at(self._clock.now())
        return self._clock.now()

    def _judge(self, pipeline: str, deaths: int, seen: list[str], points: str) -> None:
        again = twice(seen)
        self._expected = self._expected or len(seen)
        self.figures.duplicates += len(again)
        assert len(set(seen)) == self._expected, f"{pipeline} after {points}: seen {seen}"
        assert len(again) <= self._kind.most_twice * deaths, f"{pipeline} after {points}: seen twice: {again}"

    def close(self) -> Kept:
        """Judge the whole store."""
        kept = kept_in(self._store)
        lost = [*missing(self._acknowledged, kept.runs), *kept.unfinished]
        self.figures.obligations += kept.obligations
        self.figures.lost += len(lost)
        assert not lost
        return kept
