"""`silence`: keep quiet about something for a while, with a reason."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from watchtower.cli.client import connected
from watchtower.cli.output import out, show
from watchtower.cli.settings import ConfigOption, OutputOption, Settings, StateOption, TokenOption, UrlOption
from watchtower.clock import SystemClock
from watchtower.errors import BadInput, UsageError
from watchtower.model.duration import parse_duration
from watchtower.model.labels import parse_matchers

silence_app = typer.Typer(help="Silences: list, add, end.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    app.add_typer(silence_app, name="silence")


@silence_app.callback()
def silences(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    output: OutputOption = None,
) -> None:
    """Silences, the last to end first."""
    context.obj = Settings(config, state, url, token)
    if context.invoked_subcommand:
        return
    with connected(context.obj) as client:
        found = client.items("/api/v1/silences", {} if everything else {"active": "true"}, 1000)
    rows: list[dict[str, Any]] = [{**item, "matchers": _shown(item["matchers"])} for item in found]
    columns = ("id", "matchers", "starts_at", "ends_at", "created_by", "comment")
    show(rows, columns, output, empty="nothing is silenced")


@silence_app.command("add")
def add(
    context: typer.Context,
    matchers: Annotated[list[str], typer.Argument(help='e.g. pipeline=orders_daily severity=~"ticket|info"')],
    duration: Annotated[str, typer.Option("--for", help="e.g. 2h, 1d")] = "1h",
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; people will read it.")] = "",
) -> None:
    """Keep quiet about alerts whose labels match all of MATCHERS. What still fires at its end is told then."""
    if not comment.strip():
        raise UsageError('a silence needs a reason that others can read: --comment "…"')
    try:
        parsed = parse_matchers(matchers)
        ends_at = SystemClock().now() + timedelta(seconds=parse_duration(duration))
    except BadInput as error:
        raise UsageError(str(error)) from error
    body = {
        "matchers": [{"name": item.name, "op": item.op, "value": item.value} for item in parsed],
        "ends_at": ends_at.isoformat(),
        "comment": comment,
    }
    with connected(context.obj) as client:
        made = client.post("/api/v1/silences", body)
    out.print(f"silence {made['id']} until {ends_at:%Y-%m-%d %H:%M} UTC")


@silence_app.command("end")
def end(context: typer.Context, silence_id: str) -> None:
    """End a silence now."""
    with connected(context.obj) as client:
        client.delete(f"/api/v1/silences/{silence_id}")
    out.print("ended; what still fires is told within a minute")


def _shown(matchers: list[dict[str, str]]) -> str:
    return " ".join(f'{item["name"]}{item["op"]}"{item["value"]}"' for item in matchers)
