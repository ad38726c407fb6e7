"""What an SLO says in plain words.

Never of the moment at which it was asked: an answer stays equal until its next_at.
"""

from fractions import Fraction

from rules.slo.burn import Finding, burn_rate
from rules.slo.status import SloStatus
from rules.slo.timeline import Counts
from rules.slo.windows import tables
from watchtower.model.duration import format_duration
from watchtower.model.slo import Budgeting, Objective, Sli, Slo

# (events, what the bad ones were) of each kind of indicator.
_NOUNS = {
    Sli.SUCCESS: ("runs", "failed"),
    Sli.LATENCY: ("runs", "failed or were too late"),
    Sli.VOLUME: ("updates", "were too small"),
    Sli.FRESHNESS: ("minutes", "found stale data"),
    Sli.SERIES: ("samples", "were beyond the limit"),
    Sli.COST: ("days", "cost more than the limit"),
    Sli.UNIT_COST: ("days", "cost more per unit than the limit"),
}


def finding_words(status: SloStatus, finding: Finding) -> str:
    """One sentence with its numbers: the summary of an alert."""
    slo = status.slo
    if finding.step:
        return f"{slo.name} {_burn_words(status, finding)}"
    if finding.few:
        few, objective = finding.few, slo.objectives[finding.few.objective]
        events, bad = nouns(slo, objective)
        which = f" of {objective.indicator.name}" if slo.is_composite else ""
        return f"{slo.name}: {few.bad} of the newest {few.total} {events}{which} {bad}; {used_words(status)}"
    return f"{slo.name} has used up its error budget: {used_words(status)}"


def _burn_words(status: SloStatus, finding: Finding) -> str:
    slo, step = status.slo, finding.step
    assert step is not None
    long, short = status.within(step.long), status.within(step.short)
    rate = number(burn_rate(slo, long))
    told = f"burns its error budget {rate} times too fast: {_counts_words(slo, long)} within {window_words(step.long)}"
    return f"{told}, {_counts_words(slo, short, short=True)} within {window_words(step.short)}; {used_words(status)}"


def _counts_words(slo: Slo, counts: tuple[Counts, ...], *, short: bool = False) -> str:
    if slo.is_composite:
        parts = (
            f"{number(each.bad)} of {number(each.total)} of {objective.indicator.name}"
            for objective, each in zip(slo.objectives, counts, strict=True)
            if each.bad
        )
        return ", ".join(parts)
    (each,) = counts
    events, bad = nouns(slo, slo.objectives[0])
    told = f"{number(each.bad)} of {number(each.total)}"
    return told if short else f"{told} {events} {bad}"


def used_words(status: SloStatus) -> str:
    """`2 of 1.5 allowed failures used (95% over 30d)`."""
    slo = status.slo
    if status.consumed is None:
        unheard = not any(budget.counts.total for budget in status.budgets)
        known = (
            "nothing that it counts was heard of in its period" if unheard else "too little is known of its budget yet"
        )
        return f"{known} ({target_words(slo)})"
    if slo.is_composite:
        return f"{percent(status.consumed)} of its budget is used ({target_words(slo)})"
    (budget,) = status.budgets
    assert budget.allowed is not None
    noun = "failures" if slo.objectives[0].indicator.sli is Sli.SUCCESS else "misses"
    if slo.budgeting is not Budgeting.OCCURRENCES:
        noun = "bad slices"
    return f"{number(budget.counts.bad)} of {number(budget.allowed)} allowed {noun} used ({target_words(slo)})"


def sentence(status: SloStatus) -> str:
    """How it stands, for people who did not ask for numbers."""
    if status.findings:
        return f"{finding_words(status, status.findings[0])}."
    if status.consumed is None:
        return f"{status.slo.name}: {used_words(status)}."
    left = status.left or Fraction(0)
    gone = (
        f", and gone in {format_duration(status.exhausts_in.total_seconds(), 2)} at the pace of the newest day"
        if (status.exhausts_in)
        else ""
    )
    return f"{status.slo.name}: {used_words(status)}; {percent(left)} of the budget is left{gone}."


def consequence(finding: Finding) -> str:
    """What follows for those who answer for it."""
    if finding.step:
        return finding.step.consequence
    if finding.few:
        return "look at the newest of them: so many in a row are no accident"
    return tables().exhausted


def target_words(slo: Slo) -> str:
    of = f" of {slo.period.zone}" if slo.period.zone else ""
    targets = " and ".join(dict.fromkeys(f"{(each.target * 100).normalize():f}%" for each in slo.objectives))
    return f"{targets} over {slo.period}{of}"


def nouns(slo: Slo, objective: Objective) -> tuple[str, str]:
    if slo.budgeting is Budgeting.OCCURRENCES:
        return _NOUNS[objective.indicator.sli]
    return f"slices of {window_words(objective.slice_minutes)}", "were bad"


def window_words(minutes: int) -> str:
    return format_duration(minutes * 60.0)


def percent(share: Fraction) -> str:
    """To a tenth of a percent; what is not all and not nothing is never shown as such."""
    shown = round(float(share * 100), 1)
    if share < 1 and shown >= 100:
        return "99.9%"
    return "0.1%" if share > 0 and shown == 0 else f"{shown:g}%"


def number(value: Fraction | int) -> str:
    """`1.5`, `43`, `0.03`: two digits that count, whole numbers whole."""
    if value == int(value):
        return str(int(value))
    return f"{float(value):.1f}" if value >= 1 else f"{float(value):.2g}"
