"""`sources`: where runs are heard of, how far each is known, and what is wrong with it."""

from typing import Any

import typer
from rich.markup import escape

from watchtower.cli.client import connected
from watchtower.cli.output import Column, as_duration, as_time, out, show, wants_json
from watchtower.cli.settings import ANYWHERE, Settings, takes

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
