"""Backtests that were kept, the newest hundred: numbers for a list, and each whole report as packed JSON."""

import secrets
from datetime import datetime
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Select, delete, insert, select

from watchtower.model.backtest import BacktestReport, Kept, Summary, summary_of
from watchtower.store import bodies
from watchtower.store.reading.paging import Page, Window, paged, within
from watchtower.store.schema.backtests import backtests
from watchtower.store.statements import Row

MOST = 100

_LISTED: tuple[Any, ...] = (
    backtests.c.id,
    backtests.c.made_at,
    backtests.c.made_by,
    backtests.c.rules,
    backtests.c.against,
    backtests.c.summary,
)


def keep(
    connection: Connection, report: BacktestReport, now: datetime, by: str, *, rules: str | None, against: str | None
) -> Kept:
    """The oldest ones beyond MOST go."""
    kept = Kept(secrets.token_hex(8), now, by, rules, against, summary_of(report))
    connection.execute(
        insert(backtests).values(
            id=kept.id,
            made_at=now,
            made_by=by,
            rules=rules,
            against=against,
            summary=msgspec.to_builtins(kept.summary),
            report=bodies.pack(msgspec.json.encode(report)),
        )
    )
    newest = select(backtests.c.id).order_by(backtests.c.made_at.desc(), backtests.c.id.desc()).limit(MOST)
    connection.execute(delete(backtests).where(backtests.c.id.not_in(newest)))
    return kept


def kept(connection: Connection, window: Window) -> Page[Kept]:
    """Newest first."""
    query = within(cast(Select[Any], select(*_LISTED)), backtests.c.made_at, window)
    return paged(connection, query, [backtests.c.made_at, backtests.c.id], window, _kept)


def one(connection: Connection, ident: str) -> tuple[Kept, BacktestReport] | None:
    row = connection.execute(select(*_LISTED, backtests.c.report).where(backtests.c.id == ident)).first()
    if row is None:
        return None
    return _kept(row), msgspec.json.decode(bodies.unpack(row.report), type=BacktestReport)


def _kept(row: Row) -> Kept:
    summary = msgspec.convert(row.summary, Summary)
    return Kept(row.id, row.made_at, row.made_by, row.rules, row.against, summary)
