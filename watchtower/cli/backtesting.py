"""`backtest`: what rules would have told, had they been in force."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
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
from watchtower.model.duration import parse_duration

if TYPE_CHECKING:
    from watchtower.config import Config
    from watchtower.rehearsal.backtest import Fired, Replayed, Span
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
    ends: Annotated[str | None, typer.Option("--to", metavar="WHEN", help="Else the newest fact.")] = None,
) -> None:
    """Play stored events again, and see what rules would have told.

    The store is only read, also that of a server that runs, and nobody is told anything. What fires, and who would have
    been told of it and when, is what the real engine does on a clock that is moved by hand.
    """
    from watchtower.config.overlay import load_over
    from watchtower.rehearsal.backtest import backtest as play
    from watchtower.store.database import Database

    config = at.read()
    tried = load_over(at.file, rules) if rules else config
    database = Database(at.store_url(config))
    try:
        kept = _kept(database)
        span = _span(kept, begins, ends)
        with progress() as bar:
            task = bar.add_task("playing", total=kept.count)
            replayed = play(database, kept, [tried], span, lambda facts: bar.advance(task, facts))
    finally:
        database.close()
    _warn(config, replayed, begins)
    _show(at, replayed)


def _kept(database: Any) -> "Kept":
    from watchtower.store import facts, migrations

    migrations.check_startable(database, SystemClock())
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


def _warn(config: "Config", replayed: "Replayed", begins: str | None) -> None:
    """What of the wish could not be fulfilled."""
    oldest = replayed.kept.oldest
    if begins and _moment("--from", begins, SystemClock().now()) < oldest:
        days = config.retention.facts
        err.print(
            f"[yellow]events are kept for {days} (retention.facts), and the oldest came in at {oldest:%Y-%m-%d %H:%M} "
            "UTC: the backtest begins there[/yellow]"
        )
    for (source, kind), count in sorted(replayed.unread.items()):
        err.print(
            f"[yellow]{count} events of {escape(source)} ({escape(kind)}) were left out: nothing in this configuration "
            "reads them[/yellow]"
        )


def _show(at: Settings, replayed: "Replayed") -> None:
    from watchtower.rehearsal.weighing import by_rule, by_week

    [fired] = replayed.fired
    counted = by_week(fired, replayed.span)
    weeks = [{**asdict(week), "begins": str(week.begins)} for week in counted]
    rules = [asdict(row) for row in by_rule(fired, replayed.span)]
    alerts = _alerts(fired)
    if wants_json(at.output):
        whole = {
            "from": replayed.span.begins.isoformat(),
            "to": replayed.span.ends.isoformat(),
            "events": replayed.heard,
            "unread": [{"source": s, "kind": k, "events": count} for (s, k), count in sorted(replayed.unread.items())],
            "weeks": weeks,
            "rules": rules,
            "alerts": alerts,
            "messages": _messages(fired),
        }
        show_json(whole)
        return
    begins, ends = replayed.span.begins, replayed.span.ends
    out.print(
        f"{replayed.heard:,} events, {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC: [bold]{len(alerts)} alerts, "
        f"{sum(week.pages for week in counted)} pages[/bold]\n"
    )
    show(weeks, WEEKS, Output.TABLE)
    if alerts:
        out.print()
        show(rules, RULES, Output.TABLE)
        out.print()
        show(alerts[:SHOWN], ALERTS, Output.TABLE)
        if len(alerts) > SHOWN:
            out.print(f"[dim]and {len(alerts) - SHOWN} more: -o json has all of them[/dim]")


def _alerts(fired: "Fired") -> list[dict[str, Any]]:
    from watchtower.rehearsal.stage import by_receiver

    told: dict[str, list[str]] = {}
    for each in by_receiver(fired.told):
        for alert in each.notice.alerts:
            who = told.setdefault(alert.id, [])
            if each.receiver not in who:
                who.append(each.receiver)
    return [
        {
            "starts_at": alert.starts_at.isoformat() if alert.starts_at else None,
            "ends_at": alert.ends_at.isoformat() if alert.ends_at else None,
            "state": alert.state.value,
            "severity": alert.severity.value,
            "rule": alert.rule,
            "fingerprint": alert.fingerprint,
            "labels": dict(alert.labels),
            "value": alert.value,
            "summary": alert.annotations.get("summary", ""),
            "told": told.get(alert.id, []),
        }
        for alert in fired.alerts
    ]


def _messages(fired: "Fired") -> list[dict[str, Any]]:
    return [
        {
            "at": each.at.isoformat(),
            "receiver": each.receiver,
            "destination": each.notice.destination,
            "reason": each.notice.reason.value,
            "page": each.is_page,
            "rings": each.rings,
            "fingerprints": [alert.fingerprint for alert in each.notice.alerts],
        }
        for each in fired.told
    ]
