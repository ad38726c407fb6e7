"""`suggest`: rules that history speaks for, with what they would have told."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from watchtower.cli.backtesting import kept_of
from watchtower.cli.output import Column, Output, as_duration, err, out, plain, progress, show, show_json, wants_json
from watchtower.cli.settings import Settings, takes
from watchtower.clock import SystemClock
from watchtower.errors import UsageError

if TYPE_CHECKING:
    from watchtower.config import Config
    from watchtower.model.rule import Snapshot
    from watchtower.rehearsal.backtest import Span
    from watchtower.rehearsal.objectives import Target, WeighedTarget
    from watchtower.rehearsal.suggesting import Proposal, TooShort, Weighed
    from watchtower.store.database import Database

DAYS = 60.0

FOUND = (Column("says", "would be", gives_way=True), Column("made_of", "made of"), Column("told", "would have told"))

app = typer.Typer()


@app.command()
@takes("config", "state", "output")
def suggest(
    at: Settings,
    pipeline: Annotated[
        str | None, typer.Option(help="Of this pipeline or dataset alone; of all, unless one is named.")
    ] = None,
    days: Annotated[float, typer.Option(min=1, max=400, help="How far back history counts.")] = DAYS,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", help="What really was wrong, as for `backtest`.")
    ] = None,
) -> None:
    """Propose rules from history, with what they would have told.

    Prints sections `rules` and `slos`, ready to be pasted: how long runs may take and wait, by when they must begin and
    end, how old data may be, how few rows may be written, how many failures are one too many, which share of runs must
    end well, and in time. Each is played on the same history. What would have alerted more than once a week for nothing
    is left out. The store is only read.
    """
    from watchtower.config.labelled import load_incidents
    from watchtower.rehearsal.backtest import Span
    from watchtower.rehearsal.objectives import weigh_targets
    from watchtower.rehearsal.suggesting import propose, weigh
    from watchtower.store.database import Database

    config = at.read()
    incidents = load_incidents(labels) if labels else ()
    database = Database(at.store_url(config))
    try:
        kept = kept_of(database)
        span = Span(max(kept.oldest, kept.newest - timedelta(days=days)), kept.newest)
        snapshots = _snapshots(config, database, pipeline)
        proposals, too_short = propose(snapshots, span.begins)
        targets, too_few = _targets(config, database, snapshots, span)
        fired = _play(database, config, proposals, targets, span)
    finally:
        database.close()
    weighed = weigh(proposals, fired, incidents, span)
    _show(at, weighed, weigh_targets(targets, fired, span), (*too_short, *too_few), span)


def _snapshots(config: "Config", database: "Database", name: str | None) -> "Sequence[Snapshot]":
    from watchtower.app.parts import build
    from watchtower.store.snapshots import loaders
    from watchtower.store.subjects import Subjects

    parts = build(config, SystemClock(), "")
    subjects = Subjects(database, "suggest", owned=parts.owned, loaders=loaders(lambda: parts.derived))
    keys = [key for key in subjects.named(name) if key.kind in ("job", "dataset")]
    if name and not keys:
        raise UsageError(f"no pipeline or dataset called {name!r} is known; `watchtower runs` shows what is")
    found = subjects.snapshots(keys)
    return [found[key] for key in keys if key in found]


def _targets(
    config: "Config", database: "Database", snapshots: "Sequence[Snapshot]", span: "Span"
) -> "tuple[list[Target], list[TooShort]]":
    from watchtower.model.rule import JobSnapshot
    from watchtower.rehearsal.objectives import propose_targets
    from watchtower.rehearsal.suggesting import usual_durations
    from watchtower.store.reading.slos import as_if_declared

    jobs = [each.job.ref for each in snapshots if isinstance(each, JobSnapshot)]
    with database.read() as connection:
        return propose_targets(
            [ref for ref in jobs if ref.task is None],
            usual_durations(snapshots, span.begins),
            config.slos,
            lambda slos: as_if_declared(connection, slos, span.ends),
            span.ends,
        )


def _play(
    database: "Database",
    config: "Config",
    proposals: "Sequence[Proposal]",
    targets: "Sequence[Target]",
    span: "Span",
) -> Any:
    """Under the proposals alone, read as anybody would who pastes them."""
    from watchtower.config.overlay import load_over
    from watchtower.rehearsal import objectives
    from watchtower.rehearsal.backtest import Fired, backtest
    from watchtower.rehearsal.suggesting import as_yaml

    if not proposals and not targets:
        return Fired((), ())
    with TemporaryDirectory(prefix="watchtower-suggest-") as folder:
        file = Path(folder) / "suggested.yaml"
        sections = as_yaml(proposals) + objectives.as_yaml(each.slo for each in targets)
        file.write_text(sections, encoding="utf-8")
        tried = load_over(config.path, file)
    kept = kept_of(database)
    with progress() as bar:
        task = bar.add_task("playing", total=kept.count)
        [fired] = backtest(database, kept, [tried], span, lambda facts: bar.advance(task, facts)).fired
    return fired


def _show(
    at: Settings,
    weighed: "Sequence[Weighed]",
    targets: "Sequence[WeighedTarget]",
    too_short: "Sequence[TooShort]",
    span: "Span",
) -> None:
    from watchtower.rehearsal import objectives
    from watchtower.rehearsal.suggesting import as_yaml

    length = as_duration((span.ends - span.begins).total_seconds())
    good = [each.proposal for each in weighed if not each.is_noisy]
    kept = [each.target.slo for each in targets if not each.is_noisy]
    rows = [_row(each, length) for each in weighed]
    if wants_json(at.output):
        short = [{"subject": each.subject, "why": each.why} for each in too_short]
        show_json(
            {
                "from": span.begins.isoformat(),
                "to": span.ends.isoformat(),
                "suggestions": rows,
                "objectives": [objectives.as_json(each) for each in targets],
                "too_short": short,
            }
        )
        return
    rows += [_objective(each) for each in targets]
    show(rows, FOUND, Output.TABLE, empty="nothing can be suggested yet")
    for each in too_short:
        err.print(f"[dim]nothing of {escape(each.subject)}: {each.why}[/dim]")
    if good or kept:
        out.print(f"\n[dim]# made of {length} of history, and played on the same[/dim]")
    if good:
        plain(as_yaml(good).rstrip())
    if kept:
        plain(objectives.as_yaml(kept).rstrip())


def _objective(each: "WeighedTarget") -> dict[str, Any]:
    noise = "; too often, left out" if each.is_noisy else ""
    return {"says": each.target.says, "made_of": each.target.runs, "told": f"{each.told}{noise}"}


def _row(each: "Weighed", length: str) -> dict[str, Any]:
    proposal = each.proposal
    caught = f", {each.caught} of {each.incidents} incidents caught" if each.incidents else ""
    noise = "; too often, left out" if each.is_noisy else ""
    return {
        "says": proposal.says,
        "made_of": proposal.samples,
        "told": f"{each.fired} {'alert' if each.fired == 1 else 'alerts'} in {length}{caught}{noise}",
        "fired": each.fired,
        "caught": each.caught,
        "incidents": each.incidents,
        "is_noisy": each.is_noisy,
        "rule": proposal.written,
    }
