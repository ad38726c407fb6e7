"""`compare`: do the old way and the new way agree, date by date? Is it safe to cut over?"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from rules.kinds.compare import CompareConfig, compared_dates, is_safe, verdict
from rules.sameness import Compared
from watchtower.cli.output import Column, Output, out, show, show_json, wants_json
from watchtower.cli.settings import HERE, Settings, takes
from watchtower.clock import SystemClock
from watchtower.config import document
from watchtower.config.faults import Faults
from watchtower.errors import UsageError
from watchtower.model.rule import DatasetSnapshot, JobSnapshot, SubjectKey
from watchtower.store import migrations
from watchtower.store.database import Database
from watchtower.store.subjects import Subjects

DATES = (Column("date"), Column("result"), Column("says", gives_way=True))

app = typer.Typer()


@app.command()
@takes(*HERE, "output")
def compare(
    at: Settings,
    new: Annotated[str, typer.Argument(metavar="NEW", help="A pipeline or a dataset, made the new way.")],
    old: Annotated[str, typer.Argument(metavar="OLD", help="The same, made the old way.")],
    of: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT", help="Of rows,bytes,files,checksum,finish,outcome; else rows,finish, and outcome."
        ),
    ] = None,
    dates: Annotated[int, typer.Option(metavar="N", help="How many of the last dates must agree.")] = 7,
    pair: Annotated[
        list[str] | None,
        typer.Option(metavar="NEW=OLD", help="Names of datasets that pipelines write; shop.*=old.* for many."),
    ] = None,
    namespace: Annotated[str | None, typer.Option(metavar="NAME", help="Of NEW.")] = None,
    old_namespace: Annotated[str | None, typer.Option(metavar="NAME", help="Of OLD; else that of NEW.")] = None,
    tolerance: Annotated[str | None, typer.Option(metavar="SHARE", help="By which counts may differ, e.g. 1%.")] = None,
    finish_within: Annotated[str, typer.Option(metavar="TIME", help="By which the ends may differ.")] = "30m",
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Of dates that no partition names.")] = "UTC",
) -> None:
    """Say whether the old way and the new one agree, date by date.

    And so whether it is safe to cut over. Reads the store and changes nothing; needs no rule. Exit code 1 if it is not
    safe yet.
    """
    now = SystemClock().now()
    database = Database(at.store_url(at.read()))
    try:
        migrations.check_readable(database)
        subjects = Subjects(database, "compare")
        key = _key(subjects, new, namespace)
        options = _options(
            against={"dataset" if key.kind == "dataset" else "pipeline": old, "namespace": old_namespace},
            of=of.split(",") if of else _usual(key),
            pairs=dict(_pair(each) for each in pair or ()),
            dates=dates,
            finish_within=finish_within,
            timezone=timezone,
            **({"tolerance": tolerance} if tolerance else {}),
        )
        found = _beside(subjects, key, options)
    finally:
        database.close()
    _show(at, f"{new} and {old}", options, compared_dates(options, found), now)


def _usual(key: SubjectKey) -> list[str]:
    return ["rows", "finish"] if key.kind == "dataset" else ["outcome", "rows", "finish"]


def _pair(text: str) -> tuple[str, str]:
    one, sign, other = text.partition("=")
    if not (one and sign and other):
        raise UsageError(f"--pair {text!r} is not understood; write NEW=OLD, e.g. shop.revenue=old.revenue")
    return one, other


def _options(**said: Any) -> CompareConfig:
    """Raises UsageError, in the words in which a configuration is refused."""
    faults = Faults(document.read("", ""))
    options = faults.validated(CompareConfig, said, ())
    if options is None:
        first = faults.found[0]
        where = f"--{first.path.partition('[')[0].replace('_', '-')}: " if first.path else ""
        raise UsageError(f"{where}{first.message}{'; ' if first.remedy else ''}{first.remedy}")
    return options


def _key(subjects: Subjects, name: str, namespace: str | None) -> SubjectKey:
    """Of the one pipeline, else dataset, that is called so. Raises UsageError."""
    known = subjects.snapshots([key for key in subjects.named(name) if key.kind in ("job", "dataset")])
    places = {
        key: snapshot.labels["namespace"]
        for key, snapshot in known.items()
        if snapshot.labels.get("task") is None or isinstance(snapshot, DatasetSnapshot)
    }
    chosen = [key for key, place in places.items() if namespace in (None, place)]
    jobs = [key for key in chosen if key.kind == "job"]
    if len(found := jobs or chosen) == 1:
        return found[0]
    if not found:
        raise UsageError(f"no pipeline or dataset called {name!r} is known; `watchtower runs` shows what is")
    shown = ", ".join(sorted({places[key] for key in found}))
    raise UsageError(f"{name!r} is known more than once ({shown}); say --namespace")


def _beside(subjects: Subjects, key: SubjectKey, options: CompareConfig) -> DatasetSnapshot | JobSnapshot:
    """As an evaluation of a rule sees it. Raises UsageError where the other one is not known."""
    snapshot = subjects.snapshots([key])[key]
    assert isinstance(snapshot, DatasetSnapshot | JobSnapshot)
    wanted = {one: one.of(snapshot.labels["namespace"], key.id) for one in options.companions}
    told = subjects.companions(list(wanted.values()))
    if problem := told[wanted[options.other]].problem:
        raise UsageError(problem.replace("name the namespace that is meant", "say --old-namespace"))
    beside = {one: told[each] for one, each in wanted.items()}
    return replace(snapshot, beside=beside)


def _show(at: Settings, names: str, options: CompareConfig, dates: Sequence[Compared], now: datetime) -> None:
    safe = is_safe(dates, options)
    rows = [
        {"date": each.date, "result": _result(each, now), "says": "; ".join(each.problems or each.agreed)}
        for each in dates
    ]
    if wants_json(at.output):
        show_json({"compared": list(options.compared), "dates": rows, "safe": safe, "verdict": verdict(dates, options)})
    else:
        out.print(f"[bold]{escape(names)}[/bold]: {', '.join(options.compared)}, as known at {now:%Y-%m-%d %H:%M} UTC")
        show(rows, DATES, Output.TABLE, empty="neither has come yet")
        out.print(f"[{'green' if safe else 'yellow'}]{verdict(dates, options)}[/]")
    if not safe:
        raise typer.Exit(1)


def _result(date: Compared, now: datetime) -> str:
    """waits: the other one may still come."""
    if not date.problems:
        return "agrees"
    return "waits" if date.is_alone and date.settles_at > now else "differs"
