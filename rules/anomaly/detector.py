"""The detector: one row in, one score out, with nothing known but the rows before.

Score s of a row means: so much evidence comes once in 500 ** (s / (1 - s)) rows. 0.5 is once in 500 rows, 0.6 once in
11,000; what comes less than once in ten days scores 0.5, too. Most rows score 0: only what stands out from the
strongest episodes of the past is scored, and of an episode only its beginning. All series have one configuration.
"""

from dataclasses import dataclass
from datetime import datetime

from rules.anomaly.calendar import Seasonality
from rules.anomaly.lenses import Evidence, Lenses
from rules.anomaly.rarity import HALF, Rarity
from rules.anomaly.usual import Expectation, Range, bounded


@dataclass(frozen=True, slots=True)
class Scored:
    """score: 0 to 1; once_in: rows in which such a row comes once, as far as the past can tell; why: what shows it
    most, in words."""

    score: float
    once_in: float
    why: str = ""


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
        seasonal = self._seasonal.look(residual) if residual is not None else Evidence(0.0)
        shown = seasonal if explained else evidence
        found = self._rarity.see(at, shown.bits)
        return Scored(found.told / (found.told + HALF), found.once_in, shown.why)

    @property
    def expected(self) -> Range | None:
        """Where the newest row was expected, by the rows before it."""
        return None if self._at is None else self.expectation.range(self._at, newest=1)
