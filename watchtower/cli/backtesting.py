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
    from collections.abc import Sequence

    from watchtower.config import Config
    from watchtower.config.labelled import LabelledIncident
    from watchtower.model.alert import Alert
    from watchtower.rehearsal.backtest import Fired, Replayed, Span
    from watchtower.rehearsal.judging import Difference, Judged
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
) -> None:
    """Play stored events again, and see what rules would have told.

    The store is only read, also that of a server that runs, and nobody is told anything. What fires, and who would have
    been told of it and when, is what the real engine does on a clock that is moved by hand.
    """
    from watchtower.config.labelled import load_incidents
    from watchtower.config.overlay import load_over
    from watchtower.rehearsal.backtest import backtest as play
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
    _show(at, replayed, incidents)


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


def _show(at: Settings, replayed: "Replayed", incidents: "Sequence[LabelledIncident]") -> None:
    from watchtower.rehearsal.judging import compare, judge

    here, *there = replayed.fired
    judged = judge(here, incidents, replayed.span) if incidents else None
    difference = compare(here, there[0], replayed.span.ends) if there else None
    if wants_json(at.output):
        show_json({**_whole(replayed), "judged": _judged(judged), "against": _compared(difference)})
        return
    _print(replayed)
    if judged is not None:
        _print_judged(judged)
    if difference is not None:
        _print_difference(difference)


def _whole(replayed: "Replayed") -> dict[str, Any]:
    from watchtower.rehearsal.weighing import by_rule, by_week

    fired = replayed.fired[0]
    return {
        "from": replayed.span.begins.isoformat(),
        "to": replayed.span.ends.isoformat(),
        "events": replayed.heard,
        "unread": [{"source": s, "kind": k, "events": count} for (s, k), count in sorted(replayed.unread.items())],
        "weeks": [{**asdict(week), "begins": str(week.begins)} for week in by_week(fired, replayed.span)],
        "rules": [asdict(row) for row in by_rule(fired, replayed.span)],
        "alerts": _alerts(fired),
        "messages": _messages(fired),
    }


def _print(replayed: "Replayed") -> None:
    found = _whole(replayed)
    begins, ends, alerts = replayed.span.begins, replayed.span.ends, found["alerts"]
    out.print(
        f"{replayed.heard:,} events, {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC: [bold]{len(alerts)} alerts, "
        f"{sum(week['pages'] for week in found['weeks'])} pages[/bold]\n"
    )
    show(found["weeks"], WEEKS, Output.TABLE)
    if alerts:
        out.print()
        show(found["rules"], RULES, Output.TABLE)
        _section("what fired", alerts, ALERTS)


def _section(title: str, rows: list[dict[str, Any]], columns: tuple[Column, ...]) -> None:
    if rows:
        out.print(f"\n[bold]{title}[/bold]")
        show(rows[:SHOWN], columns, Output.TABLE)
        if len(rows) > SHOWN:
            out.print(f"[dim]and {len(rows) - SHOWN} more: -o json has all of them[/dim]")


def _judged(judged: "Judged | None") -> dict[str, Any] | None:
    if judged is None:
        return None
    scores = {"all": judged.all, "pages": judged.pages}
    return {
        **{name: {**asdict(each), "precision": each.precision, "recall": each.recall} for name, each in scores.items()},
        "missed": [_incident(each) for each in judged.missed],
        "false": [_alert(each) for each in judged.false],
    }


def _print_judged(judged: "Judged") -> None:
    out.print()
    for what, score in (("alerts", judged.all), ("pages", judged.pages)):
        delay = f", {as_duration(score.delay_s)} after they began (median)" if score.delay_s is not None else ""
        out.print(
            f"{what}: {score.caught} of {score.incidents} incidents caught{delay} (recall {_share(score.recall)}); "
            f"{score.true} of {score.alerts} tell of one (precision {_share(score.precision)})"
        )
    _section("missed", [_incident(each) for each in judged.missed], INCIDENTS)
    _section("told of none", [_alert(each) for each in judged.false], ALERTS)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0%}"


def _incident(incident: "LabelledIncident") -> dict[str, Any]:
    return {
        "name": incident.name,
        "labels": dict(incident.labels),
        "from": incident.begins.isoformat(),
        "to": incident.ends.isoformat(),
    }


def _compared(difference: "Difference | None") -> dict[str, Any] | None:
    if difference is None:
        return None
    moved = [
        {**_alert(each.after), "begins_later_s": each.begins_s, "ends_later_s": each.ends_s}
        for each in difference.moved
    ]
    return {
        "same": difference.same,
        "only_here": [_alert(each) for each in difference.only_before],
        "only_there": [_alert(each) for each in difference.only_after],
        "moved": moved,
    }


def _print_difference(difference: "Difference") -> None:
    found = _compared(difference) or {}
    out.print(
        f"\nagainst the other rules: {difference.same} the same, {len(difference.moved)} moved, "
        f"{len(difference.only_before)} only here, {len(difference.only_after)} only there"
    )
    _section("only here", found["only_here"], ALERTS)
    _section("only there", found["only_there"], ALERTS)
    _section("moved, as they are there", found["moved"], (*ALERTS[:3], LATER, ALERTS[-1]))


def _alerts(fired: "Fired") -> list[dict[str, Any]]:
    from watchtower.rehearsal.stage import by_receiver

    told: dict[str, list[str]] = {}
    for each in by_receiver(fired.told):
        for alert in each.notice.alerts:
            who = told.setdefault(alert.id, [])
            if each.receiver not in who:
                who.append(each.receiver)
    return [{**_alert(alert), "told": told.get(alert.id, [])} for alert in fired.alerts]


def _alert(alert: "Alert") -> dict[str, Any]:
    return {
        "starts_at": alert.starts_at.isoformat() if alert.starts_at else None,
        "ends_at": alert.ends_at.isoformat() if alert.ends_at else None,
        "state": alert.state.value,
        "severity": alert.severity.value,
        "rule": alert.rule,
        "fingerprint": alert.fingerprint,
        "labels": dict(alert.labels),
        "value": alert.value,
        "summary": alert.annotations.get("summary", ""),
    }


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
