"""What fired when, of one pipeline a line, drawn here as SVG: a bar is an alert, its colour what it would have been.

Colours come from classes of the style sheet, as those of `bars`.
"""

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from dashboards.web.axis import Axis
from dashboards.web.views.backtests import Fired
from dashboards.web.words import moment, span

WIDTH, HEIGHT, LEAST = 720, 14, 4  # pixels

_TONES = {"page": "bad", "ticket": "warn"}


def timeline(alerts: Sequence[Fired], begins: datetime, ends: datetime) -> Markup:
    """Within begins and ends; the gravest are drawn last, so that nothing hides them."""
    drawn = sorted(
        alerts, key=lambda alert: list(_TONES)[::-1].index(alert.severity) if alert.severity in _TONES else -1
    )
    axis = Axis(begins, ends, WIDTH, LEAST)
    parts = [Markup('<rect class="track" x="0" y="{y}" width="{w}" height="2"/>').format(y=HEIGHT // 2 - 1, w=WIDTH)]
    parts += [_bar(alert, axis) for alert in drawn]
    return Markup(
        '<svg class="timeline-row" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        'aria-label="{label}">{parts}</svg>'
    ).format(width=WIDTH, height=HEIGHT, label=_label(alerts), parts=Markup("").join(parts))


def _bar(alert: Fired, axis: Axis) -> Markup:
    ended = alert.ended or axis.end
    left, width = axis.place(alert.at, ended)
    title = f"{moment(alert.at)}: {alert.rule} ({alert.severity}), {span((ended - alert.at).total_seconds())}"
    return Markup(
        '<rect class="{tone}" x="{x}" y="0" width="{w}" height="{h}" rx="2"><title>{title}</title></rect>'
    ).format(tone=_TONES.get(alert.severity, "calm"), x=left, w=width, h=HEIGHT, title=title)


def _label(alerts: Sequence[Fired]) -> str:
    pages = sum(alert.severity == "page" for alert in alerts)
    return f"{len(alerts)} alert{'' if len(alerts) == 1 else 's'}, {pages} of severity page"
