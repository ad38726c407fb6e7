"""`backtest`: what rules would have told, had they been in force."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import to_builtins
from rich.markup import escape

from watchtower.cli.output import (
    Column,
    Output,
    as_duration,
    as_time,
    err,
    out,
    progress,
    show,
    show_json,
    wants_json,
)
from watchtower.cli.settings import Settings, takes
from watchtower.clock import SystemClock
from watchtower.errors import BadInput, UsageError
from watchtower.model.duration import parse_duration, spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msgspec import Struct

    from watchtower.config import Config
    from watchtower.model.backtest import BacktestReport, Compared, Judged
    from watchtower.rehearsal.backtest import Replayed, Span
    from watchtower.store.database import Database
    from watchtower.store.facts import Kept

SHOWN = 20  # alerts of a table; JSON has all

WEEKS = (Column("begins", "week from"), Column("alerts"), Column("messages"), Column("pages"))
RULES = (
    Column("rule"),
    Column("severity"),
    Column("fired"),
    Column("subjects", "of so many"),
    Column("pages"),
    Column("firing_s", "fired for", as_duration),
)
ALERTS = (
    Column("starts_at", "fired (UTC)", as_time),
    Column("ends_at", "over (UTC)", as_time, spare=True),
    Column("severity"),
    Column("told", "told"),
    Column("summary", "what", gives_way=True),
)
LATER = Column("begins_later_s", "later by", as_duration)
INCIDENTS = (
    Column("from", "from (UTC)", as_time),
    Column("to", "to (UTC)", as_time),
    Column("name", "incident", gives_way=True),
)

app = typer.Typer()


@app.command()
@takes("config", "state", "output")
def backtest(
    at: Settings,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="FILE", help="Its sections stand in place of the configuration's own."),
    ] = None,
    begins: Annotated[
        str | None, typer.Option("--from", metavar="WHEN", help="2026-03-01, or 30d ago; else all that is kept.")
    ] = None,
    ends: Annotated[str | None, typer.Option("--to", metavar="WHEN", help="Else the newest event.")] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", help="What really was wrong, and when: YAML or CSV.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="FILE", help="Other rules, to compare with: what they add.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep what it said: the page /backtests shows it.")] = False,
) -> None:
    """Play stored events again, and see what rules would have told.

    The store is only read, also that of a server that runs, unless what came of it is to be kept; nobody is told
    anything. What fires, and who would have been told of it and when, is what the real engine does on a clock that is
    moved by hand.
    """
    from watchtower.config.labelled import load_incidents
    from watchtower.config.overlay import load_over
    from watchtower.rehearsal.backtest import backtest as play
    from watchtower.rehearsal.reporting import report
    from watchtower.store.database import Database

    config = at.read()
    tried = [load_over(at.file, file) if file else config for file in (rules, against)[: 2 if against else 1]]
    incidents = load_incidents(labels) if labels else ()
    database = Database(at.store_url(config))
    try:
        kept = kept_of(database)
        span = _span(kept, begins, ends)
        with progress() as bar:
            task = bar.add_task("playing", total=kept.count)
            replayed = play(database, kept, tried, span, lambda facts: bar.advance(task, facts))
    finally:
        database.close()
    _warn(config, replayed, begins)
    found = report(replayed, incidents)
    _show(at, found)
    if keep:
        _keep(at, found, rules, against)


def kept_of(database: "Database") -> "Kept":
    """Raises UsageError where nothing is."""
    from watchtower.store import facts, migrations

    migrations.check_readable(database)
    with database.read() as connection:
        kept = facts.kept(connection)
    if kept is None:
        raise UsageError("the store holds no event yet; there is nothing to play again")
    return kept


def _span(kept: "Kept", begins: str | None, ends: str | None) -> "Span":
    from watchtower.rehearsal.backtest import Span

    now = SystemClock().now()
    first = _moment("--from", begins, now) if begins else kept.oldest
    last = _moment("--to", ends, now) if ends else max(kept.newest, first)
    if last < first:
        raise UsageError(f"--to ({last:%Y-%m-%d %H:%M} UTC) lies before --from ({first:%Y-%m-%d %H:%M} UTC)")
    if last < kept.oldest:
        raise UsageError(f"the oldest event that is kept came in at {kept.oldest:%Y-%m-%d %H:%M} UTC, after --to")
    return Span(max(first, kept.oldest), last)


def _moment(option: str, text: str, now: datetime) -> datetime:
    """A date (its midnight UTC), a moment with its zone (else UTC), or how long ago."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now - timedelta(seconds=parse_duration(text.removesuffix(" ago")))
        except (BadInput, OverflowError) as error:
            raise UsageError(
                f"{option} {text!r} is not understood; write 2026-03-01, 2026-03-01T06:00Z, or 30d"
            ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _warn(config: "Config", replayed: "Replayed", begins: str | None) -> None:
    """What of the wish could not be fulfilled, and what it began with."""
    oldest = replayed.kept.oldest
    if begins and _moment("--from", begins, SystemClock().now()) < oldest:
        kept = spoken(config.retention.facts)
        err.print(
            f"[yellow]events are kept for {kept} (retention.facts), and the oldest came in at {oldest:%Y-%m-%d %H:%M} "
            "UTC: the backtest begins there[/yellow]"
        )
    if replayed.carried.runs:
        err.print(f"{replayed.carried.runs:,} runs from before the oldest event are known from the beginning")
    if replayed.bills:
        err.print(f"{_counted(replayed.bills, 'version')} of bills came in, or were in force at the beginning")
    for (source, kind), count in sorted(replayed.unread.items()):
        err.print(
            f"[yellow]{count} events of {escape(source)} ({escape(kind)}) were left out: nothing in this configuration "
            "reads them[/yellow]"
        )


def _show(at: Settings, found: "BacktestReport") -> None:
    if wants_json(at.output):
        show_json(to_builtins(found))
        return
    _print(found)
    if found.judged is not None:
        _print_judged(found.judged)
    if found.against is not None:
        _print_difference(found.against)


def _keep(at: Settings, found: "BacktestReport", rules: Path | None, against: Path | None) -> None:
    from watchtower.cli.client import connected
    from watchtower.model.backtest import shortened

    names = {name: file.name for name, file in (("rules", rules), ("against", against)) if file}
    with connected(at) as client:
        kept = client.post("/api/v1/backtests", {"report": to_builtins(shortened(found)), **names})
    err.print(f"[dim]kept: /backtests/{kept['id']}[/dim]")


def _print(found: "BacktestReport") -> None:
    out.print(
        f"{found.events:,} events, {found.begins:%Y-%m-%d %H:%M} to {found.ends:%Y-%m-%d %H:%M} UTC: "
        f"[bold]{_counted(len(found.alerts), 'alert')}, {_counted(found.pages, 'page')}[/bold]\n"
    )
    show(to_builtins(found.weeks), WEEKS, Output.TABLE)
    if found.alerts:
        out.print()
        show(to_builtins(found.rules), RULES, Output.TABLE)
        _section("what fired", found.alerts, ALERTS)


def _section(title: str, rows: "Sequence[Struct]", columns: tuple[Column, ...]) -> None:
    if rows:
        out.print(f"\n[bold]{title}[/bold]")
        show(to_builtins(rows[:SHOWN]), columns, Output.TABLE)
        if len(rows) > SHOWN:
            out.print(f"[dim]and {len(rows) - SHOWN} more: -o json has all of them[/dim]")


def _print_judged(judged: "Judged") -> None:
    out.print()
    for what, score in (("alerts", judged.all), ("pages", judged.pages)):
        delay = f", {as_duration(score.delay_s)} after they began (median)" if score.delay_s is not None else ""
        out.print(
            f"{what}: {score.caught} of {score.incidents} incidents caught{delay} (recall {_share(score.recall)}); "
            f"{score.true} of {score.alerts} tell of one (precision {_share(score.precision)})"
        )
    _section("missed", judged.missed, INCIDENTS)
    _section("told of none", judged.false, ALERTS)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0%}"


def _print_difference(against: "Compared") -> None:
    out.print(
        f"\nagainst the other rules: {against.same} the same, {len(against.moved)} moved, "
        f"{len(against.only_here)} only here, {len(against.only_there)} only there"
    )
    _section("only here", against.only_here, ALERTS)
    _section("only there", against.only_there, ALERTS)
    _section("moved, as they are there", against.moved, (*ALERTS[:3], LATER, ALERTS[-1]))
