"""Bills: which versions there are, and handing in files that lie on the server's own machine."""

import re
from datetime import datetime
from typing import Annotated

import msgspec

from watchtower.errors import BadInput
from watchtower.model.access import LOCAL
from watchtower.model.cost import BillImport
from watchtower.server.endpoints import Call, Problem, not_found
from watchtower.store import costs
from watchtower.store.bills.desk import Work
from watchtower.store.bills.orders import Result

SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PERIOD = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")


class BillQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """source, period: of these only. all: earlier versions too."""

    source: str | None = None
    period: str | None = None
    all: bool = False


class BillVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the bill of one period. kept: its daily sums are still there; inexact: the file held binary floats;
    dropped_tags: keys with too many values for daily sums; empty: lines without an amount, by metric."""

    source: str
    period: str
    version: int
    in_force: bool
    kept: bool
    loaded_at: datetime
    rows: int
    scale: int
    currencies: list[str]
    metrics: list[str]
    covered_from: datetime
    covered_until: datetime
    inexact: bool
    final: bool
    dropped_tags: list[str]
    empty: dict[str, int]
    files: list[str]


class BillList(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    items: list[BillVersion]


class HandInBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """kind: of the collector; files: absolute paths on the server's machine, together one export; period: YYYY-MM, of
    all lines, over their own."""

    kind: str
    files: list[str]
    source: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^{SOURCE.pattern}$"})]
    period: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^{PERIOD.pattern}$"})] | None = None

    def __post_init__(self) -> None:
        if not SOURCE.fullmatch(self.source):
            raise ValueError(f"source {self.source[:80]!r}: use up to 64 letters, digits, dots, hyphens, underscores")
        if self.period is not None and not PERIOD.fullmatch(self.period):
            raise ValueError(f"period {self.period[:20]!r} is no month such as 2026-10")


class BroughtItem(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one period. totals, before: billed, by currency; before is null where there was no bill, or its
    sums are no longer kept."""

    source: str
    period: str
    version: int
    changed: bool
    rows: int
    totals: dict[str, str]
    before: dict[str, str] | None
    version_before: int | None
    inexact: bool
    dropped_tags: list[str]
    empty: dict[str, int]


class WorkItem(msgspec.Struct, frozen=True, kw_only=True):
    """state: waiting, running, done, refused (faults says why; nothing was changed) or failed."""

    id: str
    state: str
    step: str
    results: list[BroughtItem]
    faults: list[str]


def list_bills(call: Call) -> BillList:
    asked = call.asked(BillQuery)
    found = call.read(
        lambda connection: costs.imports(
            connection, source=asked.source, period=asked.period, only_in_force=not asked.all, limit=1_000
        )
    )
    return BillList(items=[_version(each) for each in found])


def hand_in(call: Call) -> WorkItem:
    """Only for who may read the server's files anyhow: whoever reaches its socket on this machine."""
    if call.principal != LOCAL:
        raise Problem(403, "bills are handed in on the server's own machine, or fetched by `collectors`", slug="local")
    desk, body = call.services.bills, call.sent(HandInBody)
    if desk is None:
        raise BadInput("this Watchtower takes no bills")
    return _work(desk.hand_in(body.kind, body.source, body.files, body.period))


def get_work(call: Call) -> WorkItem:
    desk, ident = call.services.bills, call.path["id"]
    work = desk.work(ident) if desk else None
    if work is None:
        raise not_found("bill that is being read", ident)
    return _work(work)


def _version(known: BillImport) -> BillVersion:
    bill = known.bill
    return BillVersion(
        source=bill.source,
        period=bill.period,
        version=known.version,
        in_force=known.in_force,
        kept=known.kept,
        loaded_at=known.loaded_at,
        rows=bill.rows,
        scale=bill.scale,
        currencies=list(bill.currencies),
        metrics=list(bill.metrics),
        covered_from=bill.covered_from,
        covered_until=bill.covered_until,
        inexact=bill.inexact,
        final=bill.final,
        dropped_tags=list(bill.dropped_tags),
        empty={str(metric): count for metric, count in bill.empty.items()},
        files=[file.name for file in bill.files],
    )


def _work(work: Work) -> WorkItem:
    return WorkItem(
        id=work.id,
        state=work.state,
        step=work.step,
        results=[_brought(each) for each in work.results],
        faults=list(work.faults),
    )


def _brought(result: Result) -> BroughtItem:
    bill = result.bill.bill
    return BroughtItem(
        source=bill.source,
        period=bill.period,
        version=result.bill.version,
        changed=result.changed,
        rows=bill.rows,
        totals={currency: f"{amount:f}" for currency, amount in result.totals.items()},
        before=None if result.before is None else {name: f"{amount:f}" for name, amount in result.before.items()},
        version_before=result.version_before,
        inexact=bill.inexact,
        dropped_tags=list(bill.dropped_tags),
        empty={str(metric): count for metric, count in bill.empty.items()},
    )
