"""The detector: one row in, one score out, with nothing known but the rows before.

Score s of a row means: so much evidence comes once in 500 ** (s / (1 - s)) rows. 0.5 is once in 500 rows, 0.6 once in
11,000. Most rows score 0: only what stands out from the strongest episodes of the past is scored, and of an episode
only its beginning. There is one configuration for all series.
"""

import math
from dataclasses import dataclass
from datetime import datetime

from rules.anomaly.calendar import Seasonality
from rules.anomaly.lenses import Lenses
from rules.anomaly.rarity import Rarity
from rules.anomaly.usual import Expectation, Range, bounded

EVEN_ODDS = 500  # rows, once in which a row scores one half
_HALF = math.log10(EVEN_ODDS)


@dataclass(frozen=True, slots=True)
class Scored:
    """score: 0 to 1; once_in: rows in which such a row comes once, as far as the past can tell."""

    score: float
    once_in: float


class Detector:
    def __init__(self, seasonality: Seasonality = "auto") -> None:
        self.expectation = Expectation(seasonality)
        self._plain, self._seasonal = Lenses(), Lenses()
        self._rarity = Rarity()
        self._at: datetime | None = None

    def see(self, at: datetime, value: float) -> Scored:
        """Rows come in the order of time. at: on the clock that people live by; value: finite."""
        self._at = at
        explained = self.expectation.calendar.explains
        residual = self.expectation.see(at, value)
        evidence = self._plain.look(bounded(value))
        seasonal = self._seasonal.look(residual) if residual is not None else 0.0
        found = self._rarity.see(seasonal if explained else evidence)
        return Scored(found.told / (found.told + _HALF), found.once_in)

    @property
    def expected(self) -> Range | None:
        """Where the newest row was expected, by the rows before it."""
        return None if self._at is None else self.expectation.range(self._at, newest=1)
