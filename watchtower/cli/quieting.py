"""`silence`: keep quiet about something for a while, with a reason."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer

from watchtower.cli.client import connected
from watchtower.cli.output import Column, Output, as_id, as_time, one_by_id, out, show, show_json, wants_json
from watchtower.cli.settings import ANYWHERE, Settings, takes
from watchtower.clock import SystemClock
from watchtower.errors import BadInput, UsageError
from watchtower.model.duration import parse_duration
from watchtower.model.labels import parse_matchers


def shown(matchers: Sequence[dict[str, Any]]) -> str:
    return " ".join(f'{item["name"]}{item["op"]}"{item["value"]}"' for item in matchers)


COLUMNS = (
    Column("id", form=as_id),
    Column("state"),
    Column("matchers", form=shown),
    Column("starts_at", "from (UTC)", as_time, spare=True),
    Column("ends_at", "to (UTC)", as_time),
    Column("created_by", "by", spare=True),
    Column("comment", gives_way=True),
)

app = typer.Typer()
silence_app = typer.Typer(invoke_without_command=True)
app.add_typer(silence_app, name="silence")


@silence_app.callback()
@takes(*ANYWHERE)
def silences(
    at: Settings,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over or still to come, too.")] = False,
) -> None:
    """Keep quiet about something for a while, with a reason.

    Lists the silences that hold now, the last to end first, and the maintenance that the configuration plans for now.
    """
    if at.subcommand:
        return
    with connected(at) as client:
        wanted = {} if everything else {"active": "true"}
        found = client.items("/api/v1/silences", wanted, 10_000)
        planned = [_as_silence(item) for item in client.get("/api/v1/maintenance", wanted)["items"]]
    show([*found, *planned], COLUMNS, at.output, empty="nothing is silenced")


def _as_silence(window: dict[str, Any]) -> dict[str, Any]:
    """Maintenance in the columns of a silence. It is ended by changing the configuration."""
    return {
        "id": window["name"],
        "state": "maintenance" if window["active"] else "planned",
        "matchers": window["matchers"],
        "starts_at": None,
        "ends_at": window["ends_at"],
        "created_by": window["author"],
        "comment": window["reason"],
    }


@silence_app.command("add")
@takes(*ANYWHERE)
def add(
    at: Settings,
    matchers: Annotated[list[str], typer.Argument(help='e.g. pipeline=orders_daily severity=~"ticket|info"')],
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; people will read it.", show_default=False)] = "",
    duration: Annotated[str, typer.Option("--for", help="How long, e.g. 2h, 1d.")] = "1h",
) -> None:
    """Keep quiet about alerts whose labels match all of MATCHERS; what still fires at the end is told then."""
    if not comment.strip():
        raise UsageError('a silence needs a reason that others can read: --comment "…"')
    try:
        parsed = parse_matchers(matchers)
        ends_at = SystemClock().now() + timedelta(seconds=parse_duration(duration))
    except (BadInput, OverflowError) as error:
        raise UsageError(str(error)) from error
    body = {
        "matchers": [{"name": item.name, "op": item.op, "value": item.value} for item in parsed],
        "ends_at": ends_at.isoformat(),
        "comment": comment,
    }
    with connected(at) as client:
        made = client.post("/api/v1/silences", body)
    if wants_json(at.output):
        show_json(made)
    else:
        out.print(f"silence {as_id(made['id'])} until {as_time(made['ends_at'])} UTC; it ends early with:")
        out.print(f"watchtower silence end {as_id(made['id'])}")


@silence_app.command("end")
@takes(*ANYWHERE)
def end(at: Settings, silence_id: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")]) -> None:
    """End a silence now."""
    with connected(at) as client:
        whole = one_by_id(client.items("/api/v1/silences", {}, 10_000), silence_id, "silence")
        ended = client.delete(f"/api/v1/silences/{whole}")
    if at.output is Output.JSON:
        show_json(ended)
    else:
        out.print("ended; what still fires is told within a minute")
