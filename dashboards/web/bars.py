"""The last runs of a pipeline as a row of bars, drawn here as SVG: height is duration, colour is state.

Colours come from classes of the style sheet, since the content security policy allows no inline style.
"""

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from dashboards.web.views.parts import Bar
from dashboards.web.words import moment, span
from watchtower.model.run import RunState

WIDTH, GAP, HEIGHT, LEAST = 6, 2, 28, 4  # pixels
SLOTS = 24
WIDE_SLOTS = 60

_WORDS = {
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.RUNNING: "running",
    RunState.QUEUED: "queued",
    RunState.RETRY_WAIT: "waits for a retry",
    RunState.SKIPPED: "skipped",
    RunState.UPSTREAM_FAILED: "upstream failed",
    RunState.CANCELLED: "cancelled",
    RunState.TIMED_OUT: "timed out",
    RunState.CRASHED: "crashed",
    RunState.LOST: "lost",
}


def tone(state: RunState | None) -> str:
    """Class of the style sheet: good, bad, busy, calm."""
    if state is None:
        return "calm"
    if state.is_bad:
        return "bad"
    if not state.is_terminal:
        return "busy"
    return "good" if state is RunState.SUCCEEDED else "calm"


def words(state: RunState | None) -> str:
    return _WORDS[state] if state else "no run yet"


def bars(runs: Sequence[Bar], slots: int = SLOTS) -> Markup:
    """runs: oldest first. The newest stand at the right edge; empty slots are faint."""
    shown = runs[-slots:]
    longest = max((bar.duration_s or 0.0 for bar in shown), default=0.0)
    first = slots - len(shown)
    parts = [_empty(slot) for slot in range(first)]
    parts += [_bar(bar, slot, longest) for slot, bar in enumerate(shown, start=first)]
    return Markup(
        '<svg class="bars" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-label="{label}">{parts}</svg>'
    ).format(width=slots * (WIDTH + GAP) - GAP, height=HEIGHT, label=_label(shown), parts=Markup("").join(parts))


def wide_bars(runs: Sequence[Bar]) -> Markup:
    """As bars, for the page of one pipeline."""
    return bars(runs, WIDE_SLOTS)


def _bar(bar: Bar, slot: int, longest: float) -> Markup:
    share = (bar.duration_s or 0.0) / longest if longest else 0.0
    height = LEAST + round((HEIGHT - LEAST) * share)
    if bar.duration_s is None:
        height = HEIGHT // 2
    title = f"{moment(bar.at)}: {words(bar.state)}"
    if bar.duration_s is not None:
        title += f" in {span(bar.duration_s)}"
    return Markup(
        '<rect class="{tone}" x="{x}" y="{y}" width="{w}" height="{h}" rx="1"><title>{title}</title></rect>'
    ).format(tone=tone(bar.state), x=slot * (WIDTH + GAP), y=HEIGHT - height, w=WIDTH, h=height, title=title)


def _empty(slot: int) -> Markup:
    return Markup('<rect class="none" x="{x}" y="{y}" width="{w}" height="2" rx="1"/>').format(
        x=slot * (WIDTH + GAP), y=HEIGHT - 2, w=WIDTH
    )


def _label(shown: Sequence[Bar]) -> str:
    if not shown:
        return "no runs yet"
    counts = Counter(words(bar.state) for bar in shown)
    return f"last {len(shown)} runs: " + ", ".join(f"{count} {word}" for word, count in counts.most_common())
