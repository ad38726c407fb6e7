"""The page of SLOs: how much of each error budget is left, how fast it goes, who is alerted, and what follows."""

from fractions import Fraction

from dashboards import web
from rules.slo.status import SloState, SloStatus
from rules.slo.words import consequence, finding_words, number, percent, target_words, used_words
from watchtower.model.alert import Severity
from watchtower.model.duration import format_duration
from watchtower.server.api.slos import standing
from watchtower.server.endpoints import Call, Raw, html
from watchtower.server.pages.parts import REFRESH_S, shell

_CORRECTIONS = 3  # shown one by one
_STATES = {
    SloState.OK: ("good", "kept"),
    SloState.BURNING: ("warn", "burning"),
    SloState.EXHAUSTED: ("bad", "used up"),
    SloState.WAITING: ("calm", "too little is known"),
}


def slo_list(call: Call) -> Raw:
    found = call.read(lambda c: standing(c, call))
    return html(web.render_slos(web.SlosView(shell(call, refresh_s=REFRESH_S), tuple(map(_row, found)))))


def _row(found: SloStatus) -> web.SloRow:
    slo = found.slo
    tone, state = _STATES[found.state]
    if not any(budget.counts.total for budget in found.budgets):
        state = "nothing was heard of it"
    if any(each.severity is Severity.PAGE for each in found.findings):
        tone = "bad"
    return web.SloRow(
        name=slo.name,
        title=slo.title,
        target=target_words(slo),
        owner=slo.owner or slo.team or "",
        tone=tone,
        state=state,
        percent=None if found.consumed is None else float(found.consumed * 100),
        used=used_words(found).partition(" (")[0],
        left="" if found.left is None else percent(found.left),
        gone=format_duration(found.exhausts_in.total_seconds(), 2) if found.exhausts_in else "",
        burn_rate=f"{number(found.burn_rate)}×" if found.burn_rate else "not",
        steps=tuple(
            (each.severity, finding_words(found, each).removeprefix(f"{slo.name}").lstrip(": "), consequence(each))
            for each in found.findings[:1]
        ),
        corrected=_corrected_words(found),
    )


def _corrected_words(found: SloStatus) -> tuple[str, ...]:
    """The newest few, then how many more, and what they gave back."""
    said = [
        f"Not counted: {each.start:%Y-%m-%d %H:%M} to {each.end:%Y-%m-%d %H:%M} UTC, {each.reason} ({each.author})"
        for each in found.corrected[:_CORRECTIONS]
    ]
    if len(found.corrected) > _CORRECTIONS:
        said.append(f"and {len(found.corrected) - _CORRECTIONS} times more")
    if said and found.uncorrected is not None and found.uncorrected != found.consumed:
        said.append(f"With it {percent(max(Fraction(0), 1 - found.uncorrected))} would be left.")
    return tuple(said)
