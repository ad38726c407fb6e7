"""How rare so much evidence is: once in how many rows it has been reached, told by the strongest episodes so far.

Rows that follow one another are one episode, and count by the strongest of them. So the answer needs no assumption of
how evidence is distributed, and means the same for every series: a noisy one has strong episodes of its own, which its
next one must beat. A row of an episode that was told already is told again only if it is much rarer still.
"""

import math
from collections import deque
from dataclasses import dataclass

HORIZON = 20_000  # rows after which an episode is forgotten
STRONGEST = 4  # episodes: what fewer than these have reached is rare enough to be told
GAP = 60  # rows without stronger evidence end an episode
TOLD = 600  # rows in which what was told fades
MUCH_RARER = 0.6  # powers of ten
MAX_BEYOND = 1.0  # powers of ten that evidence beyond all episodes may add, half a one for each doubling


@dataclass(frozen=True, slots=True)
class Found:
    """told: powers of ten of rows in which such evidence comes once, 0 if that is nothing to tell; once_in: the same
    in rows, whether it is told or not."""

    told: float
    once_in: float


class Rarity:
    __slots__ = ("_episodes", "_peak", "_peak_at", "_rows", "_told", "_told_at")

    def __init__(self) -> None:
        self._rows = 0
        self._episodes: deque[tuple[int, float]] = deque()  # (row, evidence), oldest first
        self._peak, self._peak_at = 0.0, 0
        self._told, self._told_at = 0.0, 0

    def see(self, evidence: float) -> Found:
        self._rows += 1
        episodes = self._episodes
        while episodes and episodes[0][0] < self._rows - HORIZON:
            episodes.popleft()
        power = self._power(evidence)
        self._follow(evidence)
        return Found(self._told_now(power), 10**power)

    def _power(self, evidence: float) -> float:
        """Of ten: once in how many rows; 0 if four episodes or more were as strong."""
        if evidence <= 0:
            return 0.0
        as_strong = sum(peak >= evidence for _, peak in self._episodes)
        if as_strong >= STRONGEST:
            return 0.0
        power = math.log10(min(self._rows, HORIZON) / (as_strong + 0.5))
        if as_strong == 0 and self._episodes:
            strongest = max(peak for _, peak in self._episodes)
            power += min(MAX_BEYOND, math.log2(evidence / strongest) / 2)
        return max(0.0, power)

    def _follow(self, evidence: float) -> None:
        if self._peak and self._rows - self._peak_at > GAP:
            self._keep(self._peak_at, self._peak)
            self._peak = 0.0
        if evidence > self._peak:
            self._peak, self._peak_at = evidence, self._rows

    def _keep(self, row: int, peak: float) -> None:
        """What four later episodes have surpassed can never count again, so few are kept."""
        episodes = [*self._episodes, (row, peak)]
        kept: list[tuple[int, float]] = []
        stronger: list[float] = []
        for at, strength in reversed(episodes):
            if sum(other > strength for other in stronger) < STRONGEST:
                kept.append((at, strength))
            stronger.append(strength)
        self._episodes = deque(reversed(kept))

    def _told_now(self, power: float) -> float:
        if power <= 0:
            return 0.0
        age = self._rows - self._told_at
        still = self._told * (1 - age / TOLD) if age < TOLD else 0.0
        if power <= still + (MUCH_RARER if still > 0 else 0.0):
            return 0.0
        self._told, self._told_at = power, self._rows
        return power
