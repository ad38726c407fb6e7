"""`dashboards export`: dashboards for Grafana, and what Prometheus needs, as files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from watchtower.cli.output import out, show_json, wants_json
from watchtower.cli.settings import Settings, takes

app = typer.Typer()
dashboards_app = typer.Typer(no_args_is_help=True)
app.add_typer(dashboards_app, name="dashboards", help="Write dashboards for Grafana, and what Prometheus needs.")


@dashboards_app.command("export")
@takes("config", "output")
def export(
    at: Settings,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="It is made if it is not there.")],
    datasource: Annotated[
        str, typer.Option("--datasource", metavar="NAME", help="The Prometheus data source, as Grafana names it.")
    ] = "Prometheus",
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that somebody has changed.")] = False,
) -> None:
    """Write dashboards for Grafana with their provisioning, a scrape configuration, and rules that watch Watchtower.

    Links lead to `server.external_url`, else to where Watchtower listens. README.txt says in three commands what to do
    with the files. Exit code 2, and nothing is written, where somebody has changed what would be overwritten.
    """
    from dashboards.export import files, write

    target = folder.absolute()
    done = write(target, files(target, source=datasource, url=at.read().server.url), force=force)
    if wants_json(at.output):
        show_json({"folder": str(target), "written": list(done.written), "unchanged": list(done.unchanged)})
        return
    for name in done.written:
        out.print(f"[green]written[/green]   {escape(name)}", soft_wrap=True)
    for name in done.unchanged:
        out.print(f"[dim]unchanged {escape(name)}[/dim]", soft_wrap=True)
    out.print(f"what to do with them: {escape(str(target / 'README.txt'))}", soft_wrap=True)
