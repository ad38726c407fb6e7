"""`runs`, `incidents`, `deliveries`: what ran, what is wrong, who was told."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from watchtower.cli.client import connected
from watchtower.cli.output import Output, chosen, out, show, show_json
from watchtower.cli.settings import ConfigOption, OutputOption, Settings, StateOption, TokenOption, UrlOption

LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most this many.")]

RUN_COLUMNS = ("id", "pipeline", "state", "trigger", "nominal_start", "started_at", "duration_s", "error.message")
INCIDENT_COLUMNS = ("id", "status", "severity", "title", "started_at", "resolved_at")
DELIVERY_COLUMNS = ("id", "destination", "transition", "state", "attempts", "provider_id", "reason", "created_at")

incidents_app = typer.Typer(help="Incidents: list, show, acknowledge.", invoke_without_command=True)
deliveries_app = typer.Typer(help="What is owed and what was delivered; replay.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    app.command()(runs)
    app.add_typer(incidents_app, name="incidents")
    app.add_typer(deliveries_app, name="deliveries")


def runs(
    run_id: Annotated[str | None, typer.Argument(help="One run, with its task attempts.")] = None,
    pipeline: Annotated[str | None, typer.Option(help="Runs of this pipeline.")] = None,
    state_is: Annotated[
        list[str] | None, typer.Option("--is", help="failed, running, succeeded …; repeatable.")
    ] = None,
    tasks: Annotated[bool, typer.Option("--tasks", help="Attempts of tasks instead of runs of pipelines.")] = False,
    limit: LimitOption = 20,
    config: ConfigOption = None,
    state: StateOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    output: OutputOption = None,
) -> None:
    """Runs, newest first; or one run whole."""
    with connected(Settings(config, state, url, token)) as client:
        if run_id:
            show_json(client.get(f"/api/v1/runs/{run_id}"))
            return
        query = {"pipeline": pipeline, "state": state_is or None, "top_level": str(not tasks).lower()}
        columns = ("id", "pipeline", "task", "attempt", *RUN_COLUMNS[2:]) if tasks else RUN_COLUMNS
        show(client.items("/api/v1/runs", query, limit), columns, output, empty="no run was heard of yet")


@incidents_app.callback()
def incidents(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: LimitOption = 20,
    config: ConfigOption = None,
    state: StateOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    output: OutputOption = None,
) -> None:
    """Incidents, newest first. Exit code 1 while one is open."""
    context.obj = Settings(config, state, url, token)
    if context.invoked_subcommand:
        return
    query = {} if everything else {"status": ["triggered", "acknowledged"]}
    with connected(context.obj) as client:
        found = client.items("/api/v1/incidents", query, limit)
    show(found, INCIDENT_COLUMNS, output, empty="no incident is open")
    if any(item["status"] != "resolved" for item in found):
        raise typer.Exit(1)


@incidents_app.command("show")
def incident(context: typer.Context, incident_id: str, output: OutputOption = None) -> None:
    """One incident: alerts with their evidence, tickets, deliveries, timeline."""
    with connected(context.obj) as client:
        found: dict[str, Any] = client.get(f"/api/v1/incidents/{incident_id}")
    if chosen(output) is Output.JSON:
        show_json(found)
        return
    out.print(f"[bold]{escape(found['title'])}[/bold]  {found['status']}, {found['severity']}")
    out.print(escape(found["summary"]))
    out.print("\n[bold]timeline[/bold]")
    show(found["timeline"], ("at", "kind", "actor", "text"), Output.TABLE)
    out.print("\n[bold]deliveries[/bold]")
    show(found["deliveries"], DELIVERY_COLUMNS, Output.TABLE, empty="nothing was owed")


@incidents_app.command("ack")
def acknowledge(
    context: typer.Context,
    incident_id: str,
    hours: Annotated[float, typer.Option(help="Everybody is told again after this.")] = 4.0,
) -> None:
    """I have it: nobody else is rung for a while."""
    with connected(context.obj) as client:
        client.post(f"/api/v1/incidents/{incident_id}/acknowledge", {"hours": hours})
    out.print(f"acknowledged for {hours:g} h")


@incidents_app.command("unack")
def unacknowledge(context: typer.Context, incident_id: str) -> None:
    """Take an acknowledgement back."""
    with connected(context.obj) as client:
        client.post(f"/api/v1/incidents/{incident_id}/unacknowledge")
    out.print("triggered again")


@deliveries_app.callback()
def deliveries(
    context: typer.Context,
    state_is: Annotated[
        list[str] | None, typer.Option("--is", help="due, sending, delivered, superseded, dead_letter; repeatable.")
    ] = None,
    destination: Annotated[str | None, typer.Option(help="Of this destination, e.g. team/slack[0].")] = None,
    incident_id: Annotated[str | None, typer.Option("--incident", help="Of this incident.")] = None,
    limit: LimitOption = 20,
    config: ConfigOption = None,
    state: StateOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    output: OutputOption = None,
) -> None:
    """Obligations, newest first: each ends as delivered, superseded or dead_letter."""
    context.obj = Settings(config, state, url, token)
    if context.invoked_subcommand:
        return
    query = {"state": state_is or None, "destination": destination, "incident": incident_id}
    with connected(context.obj) as client:
        show(client.items("/api/v1/deliveries", query, limit), DELIVERY_COLUMNS, output, empty="nothing was owed yet")


@deliveries_app.command("replay")
def replay(context: typer.Context, delivery_id: str) -> None:
    """Try a dead letter again."""
    with connected(context.obj) as client:
        client.post(f"/api/v1/deliveries/{delivery_id}/replay")
    out.print("it is due again")
