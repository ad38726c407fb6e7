"""Backtests that were kept: what rules would have told, had they been in force.

They are of all pipelines, and not divided by team: who sees one team's alone sees none of them.
"""

from typing import Annotated

import msgspec

from watchtower.model.backtest import BacktestReport, Kept
from watchtower.server.endpoints import Call, ListQuery, Problem, cut_page, not_found
from watchtower.store import backtests
from watchtower.store.database import Connection
from watchtower.store.reading.paging import Page, Window

FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class KeptList(msgspec.Struct, frozen=True):
    items: list[Kept]
    next_cursor: str | None


class KeptReport(msgspec.Struct, frozen=True):
    backtest: Kept
    report: BacktestReport


class KeepBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """rules, against: names of the files that were tried; without them the configuration in force."""

    report: BacktestReport
    rules: FileName | None = None
    against: FileName | None = None


def list_backtests(call: Call) -> KeptList:
    return KeptList(*cut_page(kept_page(call, call.window(call.asked(ListQuery))), _itself))


def get_backtest(call: Call) -> KeptReport:
    return KeptReport(*found(call))


def keep_backtest(call: Call) -> Kept:
    """Raises Problem."""
    if call.principal.team is not None:
        raise Problem(403, "backtests are of all pipelines, and not divided by team", slug="forbidden")
    sent = call.sent(KeepBody)

    def unit(connection: Connection) -> tuple[Kept, None]:
        made = backtests.keep(
            connection, sent.report, call.now, call.principal.actor, rules=sent.rules, against=sent.against
        )
        return made, None

    return call.write(unit)


def kept_page(call: Call, window: Window) -> Page[Kept]:
    if call.principal.team is not None:
        return Page()
    return call.read(lambda c: backtests.kept(c, window))


def found(call: Call) -> tuple[Kept, BacktestReport]:
    """The one that the path names. Raises Problem."""
    ident = call.path["id"]
    known = call.read(lambda c: backtests.one(c, ident)) if call.principal.team is None else None
    if known is None:
        raise not_found("backtest", ident)
    return known


def _itself(item: Kept) -> Kept:
    return item
