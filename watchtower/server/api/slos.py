"""SLOs: how each stands, what follows from it, what of its time does not count, and the SLO as OpenSLO has it."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Annotated, Any

import msgspec

from rules.slo.burn import burn_rate
from rules.slo.status import SloState, SloStatus, status
from rules.slo.windows import Step
from rules.slo.words import consequence, finding_words, sentence, target_words
from watchtower.config.slo_export import document
from watchtower.errors import BadInput
from watchtower.model.slo import Correction
from watchtower.server.endpoints import Call, Moment, Problem, known, not_found, one_of
from watchtower.store import slos
from watchtower.store.database import Connection
from watchtower.store.reading.slos import snapshots

MAX_REASON = 500
LONGEST = timedelta(days=31)


class ObjectiveItem(msgspec.Struct, frozen=True):
    """good, bad: events of the period so far (of slices: parts of them); allowed: bad ones that the whole period
    allows, by the pace so far; null while too little is known."""

    name: str
    indicator: str
    target: float
    weight: float
    good: float
    bad: float
    allowed: float | None


class WindowItem(msgspec.Struct, frozen=True):
    """A step of the alert: burn rates over its two windows, and what they must be above."""

    step: str
    severity: str
    factor: float
    long_s: int
    short_s: int
    long_burn_rate: float
    short_burn_rate: float


class FindingItem(msgspec.Struct, frozen=True):
    """What somebody is alerted of. consequence: what follows from it."""

    severity: str
    step: str
    summary: str
    consequence: str


class CorrectionItem(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A time that does not count, from (inclusive) to (exclusive). planned: it stands in the configuration."""

    id: int
    from_: datetime
    to: datetime
    reason: str
    author: str
    created_at: datetime | None
    planned: bool


class SloItem(msgspec.Struct, frozen=True):
    """state: ok, burning, exhausted, waiting (too little is known). consumed: part of the budget that is used, 1 is all
    of it; left: never below 0; burn_rate: over the newest day, 1 uses up exactly the budget; exhausts_in_s: until
    nothing is left at that pace, null if it lasts. left_uncorrected: what would be left if what corrections take out
    counted. summary: one sentence."""

    name: str
    state: str
    title: str
    description: str
    service: str
    target: str
    budgeting: str
    period: str
    period_start: datetime
    period_end: datetime
    consumed: float | None
    left: float | None
    left_uncorrected: float | None
    burn_rate: float
    exhausts_in_s: float | None
    summary: str
    objectives: list[ObjectiveItem]
    windows: list[WindowItem]
    findings: list[FindingItem]
    corrections: list[CorrectionItem]
    owner: str | None
    team: str | None


class SloList(msgspec.Struct, frozen=True):
    """What has least left comes first."""

    items: list[SloItem]


class SloQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """name, state: more than once; any if absent."""

    name: list[str] = msgspec.field(default_factory=list[str])
    state: list[Annotated[str, known(SloState)]] = msgspec.field(default_factory=list[str])


class CorrectBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """from (inclusive), to (exclusive): with their zone, at most 31 days apart. reason: people will read it."""

    from_: Moment
    to: Moment
    reason: str


class Corrected(msgspec.Struct, frozen=True):
    """before, after: the SLO without the correction and with it."""

    correction: CorrectionItem
    before: SloItem
    after: SloItem


class Export(msgspec.Struct, frozen=True):
    """document: of kind SLO, OpenSLO v1, with all that it needs inline."""

    document: dict[str, Any]


def standing(connection: Connection, call: Call, names: list[str] | None = None) -> list[SloStatus]:
    """What has least left first; what nothing is known of last."""
    found = [status(each, call.now) for each in snapshots(connection, names, call.principal.team)]
    return sorted(found, key=lambda each: (each.consumed is None, -(each.consumed or Fraction(0)), each.slo.name))


def list_slos(call: Call) -> SloList:
    query = call.asked(SloQuery)
    states = one_of("state", query.state, SloState)
    if any("\0" in name for name in query.name):
        raise BadInput("no SLO's name holds a NUL")
    found = call.read(lambda c: standing(c, call, query.name or None))
    return SloList([slo_item(each) for each in found if not states or each.state in states])


def get_slo(call: Call) -> SloItem:
    return slo_item(_one(call, call.path["name"]))


def export_slo(call: Call) -> Export:
    return Export(document(_one(call, call.path["name"]).slo))


def correct(call: Call) -> Corrected:
    """Recount the budget without a time, and say what that changes."""
    name, body = call.path["name"], call.sent(CorrectBody)
    given = _correction(body, call)
    before = _one(call, name)

    def work(connection: Connection) -> tuple[Corrected, Any]:
        made = slos.correct(connection, name, given, call.now)
        (after,) = standing(connection, call, [name])
        answer = Corrected(_correction_item(made), slo_item(before), slo_item(after))
        said = {"from": given.start, "to": given.end, "reason": given.reason, "left": answer.after.left}
        return answer, call.entry("slo.correct", f"slo:{name}", before={"left": answer.before.left}, after=said)

    return call.write(work)


def withdraw(call: Call) -> SloItem:
    """Count again what a correction took out."""
    name, ident = call.path["name"], call.path["id"]
    _one(call, name)

    def work(connection: Connection) -> tuple[SloItem, Any]:
        gone = slos.withdraw(connection, name, int(ident), call.now) if ident.isdigit() and len(ident) < 19 else None
        if gone is None:
            raise not_found("correction", ident)
        if gone.is_planned:
            raise Problem(
                409, f"correction {ident} stands in the configuration: change maintenance there", slug="planned"
            )
        (after,) = standing(connection, call, [name])
        said = {"from": gone.start, "to": gone.end, "reason": gone.reason}
        return slo_item(after), call.entry("slo.withdraw", f"slo:{name}", before=said)

    return call.write(work)


def _one(call: Call, name: str) -> SloStatus:
    found = [] if "\0" in name else call.read(lambda c: standing(c, call, [name]))
    if not found:
        raise not_found("SLO", name)
    return found[0]


def _correction(body: CorrectBody, call: Call) -> Correction:
    if body.from_.tzinfo is None or body.to.tzinfo is None:
        raise Problem(422, "from and to need their zone, e.g. 2026-11-20T08:00:00Z", slug="invalid")
    if not body.from_ < body.to:
        raise Problem(422, "to must be later than from", slug="invalid")
    if body.to - body.from_ > LONGEST:
        raise Problem(422, "a correction is at most 31 days long", slug="invalid")
    reason = " ".join(body.reason.split())
    if not 0 < len(reason) <= MAX_REASON or "\0" in reason:
        raise Problem(422, f"reason must have 1 to {MAX_REASON} characters", slug="invalid")
    return Correction(body.from_.astimezone(UTC), body.to.astimezone(UTC), reason, call.principal.actor)


def slo_item(found: SloStatus) -> SloItem:
    slo = found.slo
    return SloItem(
        name=slo.name,
        state=found.state.value,
        title=slo.title,
        description=slo.description,
        service=slo.service,
        target=target_words(slo),
        budgeting=slo.budgeting.value,
        period=str(slo.period),
        period_start=found.starts,
        period_end=found.ends,
        consumed=_float(found.consumed),
        left=_float(found.left),
        left_uncorrected=None if found.uncorrected is None else max(0.0, float(1 - found.uncorrected)),
        burn_rate=float(found.burn_rate),
        exhausts_in_s=found.exhausts_in.total_seconds() if found.exhausts_in else None,
        summary=sentence(found),
        objectives=[
            ObjectiveItem(
                name=objective.name,
                indicator=objective.indicator.name,
                target=float(objective.target),
                weight=float(objective.weight),
                good=float(budget.counts.good),
                bad=float(budget.counts.bad),
                allowed=_float(budget.allowed),
            )
            for objective, budget in zip(slo.objectives, found.budgets, strict=True)
        ],
        windows=[_window_item(found, step, place) for place, (step, _, _) in enumerate(found.windows)],
        findings=[
            FindingItem(each.severity.value, each.name, finding_words(found, each), consequence(each))
            for each in found.findings
        ],
        corrections=[_correction_item(each) for each in found.corrected],
        owner=slo.owner,
        team=slo.team,
    )


def _window_item(found: SloStatus, step: Step, place: int) -> WindowItem:
    _, long, short = found.windows[place]
    return WindowItem(
        step=step.name,
        severity=step.severity.value,
        factor=float(step.factor),
        long_s=step.long * 60,
        short_s=step.short * 60,
        long_burn_rate=float(burn_rate(found.slo, long)),
        short_burn_rate=float(burn_rate(found.slo, short)),
    )


def _correction_item(each: Correction) -> CorrectionItem:
    return CorrectionItem(
        each.id or 0, each.start, each.end, each.reason, each.author, each.created_at, each.is_planned
    )


def _float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
