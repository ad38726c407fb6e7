"""`sources`, `datasets`: where runs are heard of, and how well; how fresh data is, and what holds it up."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from watchtower.cli.client import Client, connected
from watchtower.cli.observing import ID, LOOKED_THROUGH, LimitOption
from watchtower.cli.output import (
    SHORT_ID,
    Column,
    Output,
    as_duration,
    as_time,
    out,
    show,
    show_fields,
    show_json,
    styled,
    wants_json,
)
from watchtower.cli.settings import ANYWHERE, Settings, takes
from watchtower.errors import UsageError

SOURCES = (
    Column("name"),
    Column("kind", spare=True),
    Column("namespace", spare=True),
    Column("state"),
    Column("last_event", "last news (UTC)", as_time),
    Column("last_success", "last read (UTC)", as_time, spare=True),
    Column("last_push", "last sent (UTC)", as_time, spare=True),
    Column("lag_s", "behind", as_duration),
    Column("pipelines", spare=True),
    Column("error", gives_way=True),
)
DATASETS = (ID, Column("name"), Column("namespace", gives_way=True), Column("updated_at", "new data (UTC)", as_time))
DATASET_FIELDS = (
    Column("namespace"),
    Column("fresh_as_of", "fresh as of (UTC)", as_time),
    Column("next_expected", "next expected (UTC)", as_time),
    Column("late_s", "late by", as_duration),
    Column("expected_at", "probably there at (UTC)", as_time),
    Column("owner"),
    Column("team"),
)
UPSTREAM = (
    Column("steps"),
    Column("job.name", "comes from"),
    Column("state"),
    Column("started_at", "started (UTC)", as_time),
    Column("ended_at", "ended (UTC)", as_time, spare=True),
)
_NAMED = 20  # datasets of one name
WRONG = ("failing", "troubled", "silent")

app = typer.Typer()


@app.command()
@takes(*ANYWHERE)
def sources(at: Settings) -> None:
    """Show where runs are heard of, and how well."""
    with connected(at) as client:
        found: list[dict[str, Any]] = client.get("/api/v1/sources")["items"]
    show(found, SOURCES, at.output, empty="nothing was heard of any source yet")
    if not wants_json(at.output):
        for source in found:
            if source["pushes"] and source["last_push"] is None:
                out.print(f"{escape(source['name'])}: it is to send events, too (`pushes`), and none ever came")
            for problem in source["problems"]:
                out.print(f"{escape(source['name'])}: {escape(problem['summary'])}")
    # A finding: one of them fails, is silent, or says that something is wrong with it.
    if any(source["state"] in WRONG for source in found):
        raise typer.Exit(1)


@app.command()
@takes(*ANYWHERE)
def datasets(
    at: Settings,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One dataset, by name, a part of it, or id."),
    ] = None,
    limit: LimitOption = 20,
) -> None:
    """Show how fresh data is, when it comes, and what holds it up.

    Lists datasets by name. Of one, exit code 1 while it is late.
    """
    with connected(at) as client:
        if name is None:
            show(client.items("/api/v1/datasets", {}, limit), DATASETS, at.output, empty="no run told of a dataset yet")
            return
        found = client.get(f"/api/v1/datasets/{_dataset_id(client, name)}")
    if wants_json(at.output):
        show_json(found)
    else:
        out.print(f"[bold]{escape(found['name'])}[/bold]  {styled(found['state'])}")
        for sentence in found["said"]:
            out.print(escape(sentence))
        show_fields(found, DATASET_FIELDS)
        if found["upstream"]:
            out.print()
            show(found["upstream"], UPSTREAM, Output.TABLE)
    if found["state"] == "late":
        raise typer.Exit(1)


def _dataset_id(client: Client, name: str) -> str:
    """Of the dataset of exactly this name, else of the only one whose name holds it or whose id begins with it."""
    exact = client.items("/api/v1/datasets", {"name": name}, _NAMED)
    found = exact or client.items("/api/v1/datasets", {"q": name}, _NAMED)
    if not found:
        found = [one for one in client.items("/api/v1/datasets", {}, LOOKED_THROUGH) if one["id"].startswith(name)]
    if len(found) == 1:
        return found[0]["id"]
    if not found:
        raise UsageError(f"there is no dataset {name!r}, or it belongs to another team; `datasets` lists them")
    some = ", ".join(f"{one['name']} ({one['namespace']}, {one['id'][:SHORT_ID]})" for one in found[:5])
    raise UsageError(f"{name!r} may be one of several datasets: {some}; write more of the name, or the id")
