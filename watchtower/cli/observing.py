"""`runs`, `incidents`, `deliveries`: what ran, what is wrong, who was told."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from watchtower.cli.client import Client, connected
from watchtower.cli.output import (
    Column,
    Output,
    as_duration,
    as_id,
    as_names,
    as_time,
    one_by_id,
    out,
    show,
    show_fields,
    show_json,
    styled,
    wants_json,
)
from watchtower.cli.settings import ANYWHERE, Settings, takes

LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most this many.")]
WHOLE_ID = 32  # digits; fewer are looked up among the newest LOOKED_THROUGH
LOOKED_THROUGH = 10_000

ID = Column("id", form=as_id)
STARTED = Column("started_at", "started (UTC)", as_time)
TOOK = Column("duration_s", "took", as_duration)
ERROR = Column("error.message", "error", gives_way=True)
RUNS = (ID, Column("pipeline"), Column("state"), STARTED, TOOK, ERROR)
ATTEMPTS = (ID, Column("pipeline"), Column("task"), Column("attempt", "try"), Column("state"), STARTED, TOOK, ERROR)
RUN_FIELDS = (
    Column("id"),
    Column("job.namespace", "namespace"),
    Column("state"),
    Column("trigger"),
    Column("nominal_start", "due (UTC)", as_time),
    STARTED,
    Column("ended_at", "ended (UTC)", as_time),
    TOOK,
    Column("external_url", "seen at"),
    Column("error.message", "error"),
    Column("error.stack", "stack"),
)
WRITTEN = (Column("dataset.name", "wrote"), Column("row_count", "rows"), Column("size_bytes", "bytes"))

INCIDENTS = (ID, Column("status"), Column("severity"), STARTED, Column("title"))
TIMELINE = (Column("at", "at (UTC)", as_time), Column("actor", "who"), Column("text", "what"))
SINCE = Column("active_since", "since (UTC)", as_time)
ALERTS = (Column("state"), Column("rule"), SINCE, Column("annotations.summary", "what"))
CHANGES = (
    Column("at", "at (UTC)", as_time),
    Column("kind"),
    Column("title", "what", gives_way=True),
    Column("actor", "who"),
    Column("source", spare=True),
)
HELD_UP = (Column("since", "since (UTC)", as_time), Column("what"))
IMPACT = (
    Column("dataset.name", "dataset"),
    Column("owner"),
    Column("next_expected", "expected (UTC)", as_time),
    Column("readers", "read by", as_names, gives_way=True),
)
TICKETS = (Column("id", "ticket"), Column("destination"), Column("url", "address"))

DELIVERIES = (
    ID,
    Column("created_at", "owed since (UTC)", as_time),
    Column("destination"),
    Column("transition", spare=True),
    Column("state"),
    Column("attempts", "tries", spare=True),
    Column("provider_id", "proof", gives_way=True, spare=True),
    Column("why", gives_way=True),
)

app = typer.Typer()
incidents_app = typer.Typer(invoke_without_command=True)
deliveries_app = typer.Typer(invoke_without_command=True)
app.add_typer(incidents_app, name="incidents")
app.add_typer(deliveries_app, name="deliveries")


@app.command()
@takes(*ANYWHERE)
def runs(
    at: Settings,
    run_id: Annotated[str | None, typer.Argument(metavar="ID", help="One run, with the attempts of its tasks.")] = None,
    pipeline: Annotated[str | None, typer.Option(help="Runs of this pipeline.")] = None,
    states: Annotated[
        list[str] | None, typer.Option("--is", metavar="STATE", help="failed, running, succeeded …; repeatable.")
    ] = None,
    tasks: Annotated[bool, typer.Option("--tasks", help="Attempts of tasks instead of runs of pipelines.")] = False,
    limit: LimitOption = 20,
) -> None:
    """Show what ran; or one run whole."""
    with connected(at) as client:
        if run_id:
            run = client.get(f"/api/v1/runs/{_whole(client, 'run', run_id)}")
        else:
            query = {"pipeline": pipeline, "state": states or None, "top_level": str(not tasks).lower()}
            found = client.items("/api/v1/runs", query, limit)
            show(found, ATTEMPTS if tasks else RUNS, at.output, empty="no such run was heard of yet")
            return
    if wants_json(at.output):
        show_json(run)
        return
    out.print(f"[bold]{escape(run['pipeline'])}[/bold]{escape('.' + run['task'] if run['task'] else '')}")
    show_fields(run, RUN_FIELDS)
    _section("attempts of its tasks", run["attempts"], ATTEMPTS[2:])
    _section("outputs", run["outputs"], WRITTEN)


@incidents_app.callback()
@takes(*ANYWHERE)
def incidents(
    at: Settings,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: LimitOption = 20,
) -> None:
    """Show what is wrong, since when, and who has it.

    Lists the incidents that are open, newest first. Exit code 1 while one is.
    """
    if at.subcommand:
        return
    query = {} if everything else {"status": ["triggered", "acknowledged"]}
    with connected(at) as client:
        found = client.items("/api/v1/incidents", query, limit)
    columns = (*INCIDENTS[:4], Column("resolved_at", "resolved (UTC)", as_time, spare=True), *INCIDENTS[4:])
    show(found, columns if everything else INCIDENTS, at.output, empty="no incident is open")
    if any(item["status"] != "resolved" for item in found):
        raise typer.Exit(1)


IncidentArgument = Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")]


@incidents_app.command("show")
@takes(*ANYWHERE)
def incident(at: Settings, incident_id: IncidentArgument) -> None:
    """One incident: alerts with their evidence, tickets, deliveries, timeline."""
    with connected(at) as client:
        found = client.get(f"/api/v1/incidents/{_whole(client, 'incident', incident_id)}")
    if wants_json(at.output):
        show_json(found)
        return
    out.print(f"[bold]{escape(found['title'])}[/bold]  {styled(found['status'])}  {styled(found['severity'])}")
    if found["summary"]:
        out.print(escape(found["summary"]))
    _section("alerts", found["alerts"], ALERTS)
    _section("wrong before it, on the way of its data", found["held_up_by"], HELD_UP)
    _section("who waits for it", found["impact"], IMPACT)
    _section("what changed before (possible causes, no proof)", found["changes"], CHANGES)
    _section("tickets", found["tickets"], TICKETS)
    _section("deliveries", [_with_why(item) for item in found["deliveries"]], DELIVERIES)
    _section("timeline", found["timeline"], TIMELINE)


@app.command("ack")
@incidents_app.command("ack")
@takes(*ANYWHERE)
def acknowledge(
    at: Settings,
    incident_id: IncidentArgument,
    hours: Annotated[float, typer.Option(help="Everybody is told again after this.")] = 4.0,
) -> None:
    """Say that you have an incident: nobody else is woken for a while."""
    with connected(at) as client:
        whole = _whole(client, "incident", incident_id)
        found = client.post(f"/api/v1/incidents/{whole}/acknowledge", {"hours": hours})
    _told(at, found, f"acknowledged until {as_time(found['acknowledged_until'])} UTC")


@app.command("unack")
@incidents_app.command("unack")
@takes(*ANYWHERE)
def unacknowledge(at: Settings, incident_id: IncidentArgument) -> None:
    """Take an acknowledgement back: everybody is told again."""
    with connected(at) as client:
        found = client.post(f"/api/v1/incidents/{_whole(client, 'incident', incident_id)}/unacknowledge")
    _told(at, found, "triggered again: everybody is told")


@deliveries_app.callback()
@takes(*ANYWHERE)
def deliveries(
    at: Settings,
    states: Annotated[
        list[str] | None,
        typer.Option("--is", metavar="STATE", help="due, sending, delivered, superseded, dead_letter; repeatable."),
    ] = None,
    destination: Annotated[str | None, typer.Option(help="To this destination, e.g. team/slack[0].")] = None,
    incident_id: Annotated[str | None, typer.Option("--incident", metavar="ID", help="Of this incident.")] = None,
    limit: LimitOption = 20,
) -> None:
    """Show who was told, and who is still owed a message.

    Lists obligations, newest first. Each one ends as delivered, superseded or dead_letter.
    """
    if at.subcommand:
        return
    with connected(at) as client:
        incident_id = _whole(client, "incident", incident_id) if incident_id else None
        query = {"state": states or None, "destination": destination, "incident": incident_id}
        found = client.items("/api/v1/deliveries", query, limit)
    show([_with_why(item) for item in found], DELIVERIES, at.output, empty="nothing of this kind was owed yet")


@deliveries_app.command("replay")
@takes(*ANYWHERE)
def replay(
    at: Settings, delivery_id: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")]
) -> None:
    """Try a dead letter again, with the key it had."""
    with connected(at) as client:
        found = client.post(f"/api/v1/deliveries/{_whole(client, 'delivery', delivery_id)}/replay")
    _told(at, found, "it is due again")


_LISTS = {"run": "/api/v1/runs", "incident": "/api/v1/incidents", "delivery": "/api/v1/deliveries"}


def _whole(client: Client, what: str, given: str) -> str:
    """The id that begins with given."""
    if len(given) >= WHOLE_ID:
        return given
    return one_by_id(client.items(_LISTS[what], {}, LOOKED_THROUGH), given, what)


def _with_why(delivery: dict[str, Any]) -> dict[str, Any]:
    """why: the reason that the ledger gives, or what the provider said last."""
    return {**delivery, "why": delivery["reason"] or delivery["error"]}


def _section(title: str, rows: list[dict[str, Any]], columns: tuple[Column, ...]) -> None:
    if rows:
        out.print(f"\n[bold]{title}[/bold]")
        show(rows, columns, Output.TABLE)


def _told(at: Settings, found: dict[str, Any], text: str) -> None:
    if wants_json(at.output):
        show_json(found)
    else:
        out.print(text)
