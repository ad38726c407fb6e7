"""When each task of a run waited and ran, as lanes over one common time, drawn here as SVG.

Colours come from classes of the style sheet, as those of `bars`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from dashboards.web.axis import Axis
from dashboards.web.bars import tone, words
from dashboards.web.views.pipelines import TaskRow
from dashboards.web.words import moment, span

WIDTH, HEIGHT, LEAST = 240, 10, 2  # pixels


@dataclass(frozen=True, slots=True)
class Lanes:
    """The time that all lanes share. now: where what still runs has come to; waited: one of them is known to have."""

    begin: datetime
    end: datetime
    now: datetime
    waited: bool

    def lane(self, row: TaskRow) -> Markup:
        """Faint while it waited in a queue, in the colour of its state while it ran; empty if it never began."""
        if row.started_at is None:
            return Markup("–")
        ended = row.ended_at or (row.started_at if row.state.is_terminal else self.now)
        parts: list[Markup] = []
        if row.queued_at and row.queued_at < row.started_at:
            parts.append(self._rect("wait", row.queued_at, row.started_at))
        parts.append(self._rect(tone(row.state), row.started_at, ended))
        return Markup(
            '<svg class="lane" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
            'aria-label="{label}">{parts}</svg>'
        ).format(width=WIDTH, height=HEIGHT, label=_label(row), parts=Markup("").join(parts))

    def _rect(self, kind: str, begin: datetime, end: datetime) -> Markup:
        left, width = Axis(self.begin, self.end, WIDTH, LEAST).place(begin, end)
        return Markup('<rect class="{kind}" x="{x}" y="0" width="{w}" height="{h}" rx="1"/>').format(
            kind=kind, x=left, w=width, h=HEIGHT
        )


def lanes(rows: Sequence[TaskRow], now: datetime) -> Lanes | None:
    """From the first wait or start to the last end; None where nothing has begun."""
    begun = [row.queued_at or row.started_at for row in rows if row.started_at]
    if not any(begun):
        return None
    waited = any(row.queued_at and row.started_at and row.queued_at < row.started_at for row in rows)
    open_ended = any(row.started_at and row.ended_at is None and not row.state.is_terminal for row in rows)
    ends = [row.ended_at or row.started_at for row in rows]
    end = max((at for at in ends if at), default=now)
    return Lanes(min(at for at in begun if at), max(end, now) if open_ended else end, now, waited)


def _label(row: TaskRow) -> str:
    said = f"{words(row.state)}, began {moment(row.started_at)}"
    return said if row.duration_s is None else f"{said}, took {span(row.duration_s)}"
