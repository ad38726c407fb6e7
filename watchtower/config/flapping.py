"""`flapping`: from when on an alert that comes and goes is told only once, and when it counts as stable again."""

from pydantic import Field

from watchtower.config.types import Duration, PositiveDuration, Section
from watchtower.model.flapping import FlapLimits, FlapPolicy


class FlapDocument(Section):
    """`flapping.runs` and `flapping.series`. What is left out is the default of that kind."""

    changes: int | None = Field(default=None, ge=0, le=1_000, description="so many changes make it flap; 0: never")
    within: PositiveDuration | None = Field(default=None, description="within this span")
    stable_for: PositiveDuration | None = Field(
        default=None, description="so long without a change ends it; half of `within` by default"
    )
    returns_within: Duration | None = Field(
        default=None,
        description="what begins again so soon after its end is the same trouble come back: the same incident, and it "
        "rings only once it has stood as long (or `stable_for`, if that is less); 15m by default; 0s: it rings at once",
    )


class FlappingDocument(Section):
    """`flapping`."""

    runs: FlapDocument = Field(
        default=FlapDocument(), description="of alerts about runs and datasets: 4 changes within 6h, stable for 3h"
    )
    series: FlapDocument = Field(
        default=FlapDocument(), description="of alerts about series: 4 changes within 15m, stable for 7m30s"
    )

    def policy(self) -> FlapPolicy:
        usual = FlapPolicy()
        return FlapPolicy(_limits(self.runs, usual.runs), _limits(self.series, usual.series))


def _limits(given: FlapDocument, usual: FlapLimits | None) -> FlapLimits | None:
    changes = given.changes if given.changes is not None or usual is None else usual.changes
    within = given.within if given.within is not None or usual is None else usual.within_s
    if not changes or within is None:
        return None
    stable_for = given.stable_for if given.stable_for is not None else within / 2
    returns = given.returns_within if given.returns_within is not None else usual.returns_s if usual else 0.0
    return FlapLimits(changes, within, stable_for, returns)
