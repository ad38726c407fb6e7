"""The lines by which an SLO is judged, one for each of its objectives."""

from collections.abc import Sequence

from rules.slo.fresh import FreshLine
from rules.slo.timeline import Line, timeline
from rules.slo.together import are_joined, joined
from watchtower.model.slo import Correction, Counted, Fresh, Slo


def lines_of(slo: Slo, parts: Sequence[Counted | Fresh], corrections: Sequence[Correction]) -> list[Line]:
    """In the order of the objectives."""
    if are_joined(slo, parts):
        return [*joined(slo, [part for part in parts if isinstance(part, Counted)], corrections)]
    return [
        FreshLine(part, corrections) if isinstance(part, Fresh) else timeline(slo, objective, part, corrections)
        for objective, part in zip(slo.objectives, parts, strict=True)
    ]
