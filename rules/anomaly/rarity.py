"""How rare so much evidence is: once in how many rows or days it has been reached, by the strongest episodes so far.

Rows that follow one another are one episode, and count by the strongest of them. So the answer needs no assumption of
how evidence is distributed, and means the same for every series: a noisy one has strong episodes of its own, which its
next one must beat. Two things are told: what is among the four strongest ever, and what comes less than once in ten
days. A row of an episode that was told already is told again only if it is much rarer still, and not at once.
"""

import math
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

HORIZON = 20_000  # rows after which an episode is forgotten
STRONGEST = 4  # episodes: what fewer than these have reached is rare
SELDOM = timedelta(days=10)  # once in so long is seldom: worth a message, however many rows come meanwhile
EVEN_ODDS = 350  # rows: what comes once in so many is as rare as what is only just seldom
MOST = 1_000  # episodes that are kept
GAP, GAP_TIME = 100, timedelta(days=2.5)  # rows, or time, without stronger evidence end an episode
TOLD, TOLD_TIME = 600, timedelta(days=25)  # rows, or time, in which what was told fades
MUCH_RARER = 0.6  # powers of ten
QUIET, QUIET_TIME = 24, timedelta(days=1)  # rows, and time, after what was told in which nothing more is
MAX_BEYOND = 1.0  # powers of ten that evidence beyond all episodes may add, half a one for each doubling
HALF = math.log10(EVEN_ODDS)
_MAX_LIFT = 0.1  # powers of ten by which seldom ones differ among themselves


@dataclass(frozen=True, slots=True)
class Found:
    """told: powers of ten of rows in which such evidence comes once, 0 if that is nothing to tell; once_in: the same
    in rows, whether it is told or not."""

    told: float
    once_in: float


class _Told:
    """What was told, which fades."""

    __slots__ = ("_at", "_power", "_row")

    def __init__(self) -> None:
        self._power, self._row = 0.0, 0
        self._at: datetime | None = None

    def tells(self, power: float, row: int, at: datetime) -> bool:
        still = self._still(row, at)
        if power <= still + (MUCH_RARER if still > 0 else 0.0):
            return False
        self._power, self._row, self._at = power, row, at
        return True

    def _still(self, row: int, at: datetime) -> float:
        if self._at is None:
            return 0.0
        age = max((row - self._row) / TOLD, (at - self._at) / TOLD_TIME)
        return self._power * (1 - age) if age < 1 else 0.0


class Rarity:
    __slots__ = ("_began", "_episodes", "_newest", "_peak", "_peak_at", "_peak_row", "_rare", "_rows", "_seldom")

    def __init__(self) -> None:
        self._rows = 0
        self._began: datetime | None = None
        self._episodes: deque[tuple[int, datetime, float]] = deque()  # (row, at, evidence), oldest first
        self._peak, self._peak_row = 0.0, 0
        self._peak_at: datetime | None = None
        self._rare, self._seldom = _Told(), _Told()
        self._newest: tuple[int, datetime] | None = None  # (row, at) of what was told last

    def see(self, at: datetime, evidence: float) -> Found:
        self._rows += 1
        self._began = self._began or at
        episodes = self._episodes
        while episodes and (episodes[0][0] < self._rows - HORIZON or len(episodes) > MOST):
            self._began = episodes.popleft()[1]
        power = told = 0.0
        if evidence > 0:
            as_strong = sum(peak >= evidence for _, _, peak in episodes)
            power = self._power(evidence, as_strong)
            told = self._once(self._told_now(power, as_strong, at, self._began), at)
        self._follow(at, evidence)
        return Found(told, 10**power)

    def _power(self, evidence: float, as_strong: int) -> float:
        """Of ten: once in how many rows."""
        power = math.log10(min(self._rows, HORIZON) / (as_strong + 0.5))
        if as_strong == 0 and self._episodes:
            strongest = max(peak for _, _, peak in self._episodes)
            power += min(MAX_BEYOND, math.log2(evidence / strongest) / 2)
        return max(0.0, power)

    def _told_now(self, power: float, as_strong: int, at: datetime, began: datetime) -> float:
        seldom = (at - began) / SELDOM / (as_strong + 1)  # 1: once in so long, this time counted
        is_seldom = seldom >= 1 and self._seldom.tells(power, self._rows, at)
        if as_strong < STRONGEST and self._rare.tells(power, self._rows, at):
            return power if seldom < 1 else max(power, HALF)
        return HALF + min(_MAX_LIFT, math.log10(seldom) / 10) if is_seldom else 0.0

    def _once(self, told: float, at: datetime) -> float:
        """What comes right after something that was told is about the same."""
        if told > 0 and self._newest is not None:
            row, before = self._newest
            if self._rows - row <= QUIET and at - before < QUIET_TIME:
                return 0.0
        if told > 0:
            self._newest = self._rows, at
        return told

    def _follow(self, at: datetime, evidence: float) -> None:
        if self._peak_at is not None and (self._rows - self._peak_row > GAP or at - self._peak_at > GAP_TIME):
            self._episodes.append((self._peak_row, self._peak_at, self._peak))
            self._peak, self._peak_at = 0.0, None
        if evidence > self._peak:
            self._peak, self._peak_row, self._peak_at = evidence, self._rows, at
