"""The detector: one row in, one score out, with nothing known but the rows before.

Score s of a row means: so much evidence comes once in 350 ** (s / (1 - s)) rows. 0.5 is once in 350 rows, 0.6 once in
6,500; what comes less than once in ten days scores 0.5, too. Most rows score 0: only what stands out from the
strongest episodes of the past is scored, and of an episode only its beginning. All series have one configuration.
"""

from dataclasses import dataclass
from datetime import datetime

from rules.anomaly.calendar import Seasonality
from rules.anomaly.days import Days
from rules.anomaly.lenses import Evidence, Lenses
from rules.anomaly.rarity import HALF, Rarity
from rules.anomaly.stillness import Stillness
from rules.anomaly.usual import Expectation, Range, bounded
from watchtower.model.business import BusinessCalendar

STILL = "it hardly changes"


@dataclass(frozen=True, slots=True)
class Scored:
    """score: 0 to 1; once_in: rows in which such a row comes once, as far as the past can tell; why: what shows it
    most, in words."""

    score: float
    once_in: float
    why: str = ""


class Detector:
    """calendar: its days without business are known as such, once three of them have shown what they are like."""

    def __init__(self, seasonality: Seasonality = "auto", calendar: BusinessCalendar | None = None) -> None:
        self.expectation = Expectation(seasonality)
        self._days = Days(calendar)
        self._plain, self._seasonal = Lenses(), Lenses()
        self._stillness = Stillness()
        self._rarity = Rarity()
        self._at: datetime | None = None

    def see(self, at: datetime, value: float) -> Scored:
        """Rows come in the order of time. at: on the clock that people live by; value: finite."""
        self._at = at
        value = bounded(value)
        still = self._stillness.look(value)
        explained = self.expectation.calendar.explains
        value = self._days.see(at, value, self.expectation.calendar.usually(at))
        residual = self.expectation.see(at, value)
        plain = self._plain.look(value)
        seasonal = self._seasonal.look(residual) if residual is not None else Evidence(0.0)
        shown = _both(plain, seasonal) if explained else plain
        found = self._rarity.see(at, shown.bits + still)
        why = STILL if still > shown.bits else shown.why
        return Scored(found.told / (found.told + HALF), found.once_in, why)

    @property
    def expected(self) -> Range | None:
        """Where the newest row was expected, by the rows before it."""
        if self._at is None:
            return None
        found = self.expectation.range(self._at, newest=1)
        return found and self._days.of_today(found)


def _both(plain: Evidence, seasonal: Evidence) -> Evidence:
    """Values count as much as what the clock leaves of them: a night that is like a day is odd by the latter, a value
    that was never seen by both."""
    more = seasonal if seasonal.bits >= plain.bits else plain
    return Evidence((plain.bits + seasonal.bits) / 2, more.why)
