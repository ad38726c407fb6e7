"""How much of a budget is spent, or of an error budget used, drawn here as SVG: meters, and past periods as bars.

Colours come from classes of the style sheet, as those of `bars`.
"""

from collections.abc import Sequence

from markupsafe import Markup

from dashboards.web.views.now import BudgetRow, PeriodBar
from dashboards.web.views.slos import SloRow
from watchtower.model.spending import BudgetState

WIDTH, HEIGHT = 168, 10  # pixels of a meter
BAR, GAP, TALL, LEAST = 6, 2, 28, 2  # pixels of the bars
SLOTS = 21

_TONES = {
    BudgetState.OK: "good",
    BudgetState.WARNING: "warn",
    BudgetState.OVER: "bad",
    BudgetState.UNKNOWN: "warn",
    BudgetState.WAITING: "calm",
}
_WORDS = {
    BudgetState.OK: "within",
    BudgetState.WARNING: "nearly spent",
    BudgetState.OVER: "over",
    BudgetState.UNKNOWN: "cannot be judged",
    BudgetState.WAITING: "no bill yet",
}


def budget_tone(state: BudgetState) -> str:
    """Class of the style sheet: good, warn, bad, calm."""
    return _TONES[state]


def budget_words(state: BudgetState) -> str:
    return _WORDS[state]


def meter(row: BudgetRow) -> Markup:
    """Filled up to the share; what is above the limit makes the whole of it longer, so that its tick moves left."""
    whole = max(100.0, row.percent)
    parts = [_rect("track", 0, WIDTH), _rect(row.fill, 0, round(WIDTH * min(row.percent, whole) / whole))]
    parts += [_rect("tick", min(WIDTH - 2, round(WIDTH * tick / whole)), 2) for tick in row.ticks if tick <= whole]
    return Markup(
        '<svg class="meter" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-label="{label}">{parts}</svg>'
    ).format(width=WIDTH, height=HEIGHT, label=f"{row.share} of the limit", parts=Markup("").join(parts))


def used_meter(row: SloRow) -> Markup:
    """Filled up to what is used of an error budget; the tick is all of it."""
    percent = row.percent or 0.0
    whole = max(100.0, percent)
    parts = [_rect("track", 0, WIDTH), _rect(row.tone, 0, round(WIDTH * percent / whole))]
    parts.append(_rect("tick", min(WIDTH - 2, round(WIDTH * 100 / whole)), 2))
    return Markup(
        '<svg class="meter" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-label="{label}">{parts}</svg>'
    ).format(width=WIDTH, height=HEIGHT, label=f"{row.left} of the budget left", parts=Markup("").join(parts))


def periods(bars: Sequence[PeriodBar], slots: int = SLOTS) -> Markup:
    """bars: oldest first. The newest stand at the right edge; the line is the limit."""
    shown = bars[-slots:]
    whole = max([100.0, *(bar.percent for bar in shown)])
    first = slots - len(shown)
    parts = [_bar(bar, slot, whole) for slot, bar in enumerate(shown, start=first)]
    line = TALL - round(TALL * 100 / whole)
    width = slots * (BAR + GAP) - GAP
    limit = Markup('<rect class="tick" x="0" y="{y}" width="{w}" height="1"/>').format(y=line, w=width)
    over = sum(bar.tone == "bad" for bar in shown)
    return Markup(
        '<svg class="meter" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-label="{label}">{limit}{parts}</svg>'
    ).format(
        width=width,
        height=TALL,
        label=f"last {len(shown)} days: {over} above the limit",
        limit=limit,
        parts=Markup("").join(parts),
    )


def _bar(bar: PeriodBar, slot: int, whole: float) -> Markup:
    height = max(LEAST, round(TALL * bar.percent / whole))
    return Markup(
        '<rect class="{tone}" x="{x}" y="{y}" width="{w}" height="{h}" rx="1"><title>{title}</title></rect>'
    ).format(tone=bar.tone, x=slot * (BAR + GAP), y=TALL - height, w=BAR, h=height, title=bar.title)


def _rect(tone: str, x: int, width: int) -> Markup:
    return Markup('<rect class="{tone}" x="{x}" y="0" width="{w}" height="{h}" rx="{rx}"/>').format(
        tone=tone, x=x, w=width, h=HEIGHT, rx=0 if tone == "tick" else 3
    )
