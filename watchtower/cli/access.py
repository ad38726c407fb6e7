"""`token`: who may send events and who may read."""

from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

import typer

from watchtower.cli.client import connected
from watchtower.cli.output import Column, Output, as_time, err, plain, show, show_json
from watchtower.cli.settings import ANYWHERE, Settings, takes
from watchtower.clock import SystemClock
from watchtower.errors import BadInput, UsageError
from watchtower.model.access import OPERATOR, Scope
from watchtower.model.duration import parse_duration

COLUMNS = (
    Column("id"),
    Column("name", gives_way=True),
    Column("scopes"),
    Column("source", spare=True),
    Column("team", spare=True),
    Column("last_used_at", "last used (UTC)", as_time),
    Column("expires_at", "expires (UTC)", as_time, spare=True),
)

app = typer.Typer()
token_app = typer.Typer(invoke_without_command=True)
app.add_typer(token_app, name="token")


@token_app.callback()
@takes(*ANYWHERE)
def tokens(
    at: Settings,
    everything: Annotated[bool, typer.Option("--all", help="Those that were revoked or have expired, too.")] = False,
) -> None:
    """Say who may send events, and who may read.

    Lists the tokens, newest first; their secrets are not kept.
    """
    if at.subcommand:
        return
    with connected(at) as client:
        found = client.items("/api/v1/tokens", {} if everything else {"live": "true"}, 10_000)
    columns = (*COLUMNS, Column("revoked_at", "revoked (UTC)", as_time)) if everything else COLUMNS
    show(found, columns, at.output, empty="there is no token; `watchtower token create NAME` makes one")


@token_app.command("create")
@takes(*ANYWHERE)
def create(
    at: Settings,
    name: Annotated[str, typer.Argument(help="Where it will be used.")],
    scopes: Annotated[
        list[Scope] | None, typer.Option("--scope", help="Repeatable; ingest, unless named.", show_default=False)
    ] = None,
    source: Annotated[str | None, typer.Option(help="It may only write events of this source.")] = None,
    team: Annotated[str | None, typer.Option(help="It may only see what belongs to this team.")] = None,
    check: Annotated[
        str | None, typer.Option(metavar="JOB", help="It pings this one job: a UUID, with the scope ping.")
    ] = None,
    lasts: Annotated[
        str | None, typer.Option("--for", help="It expires after this, e.g. 90d; never, unless given.")
    ] = None,
) -> None:
    """Make a token; its secret is printed this once."""
    wanted = [scope.value for scope in scopes or [Scope.PING if check else Scope.INGEST]]
    body = {
        "name": name,
        "scopes": wanted,
        "source": source,
        "team": team,
        "expires_at": _expiry(lasts),
        "check": check,
    }
    with connected(at, new=True) as client:
        made = client.post("/api/v1/tokens", body)
    if at.output is Output.JSON:
        show_json(made)
        return
    err.print(f"[dim]token {made['id']} for {', '.join(wanted)}; shown this once:[/dim]")
    plain(made["token"])
    if made["ping_url"]:
        err.print(f"[dim]ping {made['ping_url']}[/dim]", soft_wrap=True)


@token_app.command("revoke")
@takes(*ANYWHERE)
def revoke(at: Settings, token_id: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")]) -> None:
    """Revoke a token, at once."""
    with connected(at) as client:
        client.post(f"/api/v1/tokens/{token_id}/revoke")
    err.print(f"token {token_id} is revoked")


@token_app.command("link")
@takes(*ANYWHERE)
def link(
    at: Settings,
    person: Annotated[str, typer.Argument(metavar="[PERSON]", help="Whom it signs in.")] = OPERATOR,
) -> None:
    """Make a link that signs a person in to the web pages, once, within an hour."""
    with connected(at) as client:
        made = client.post(f"/api/v1/people/{quote(person, safe='')}/link")
    if at.output is Output.JSON:
        show_json(made)
    else:
        plain(made["url"])


def _expiry(lasts: str | None) -> str | None:
    if lasts is None:
        return None
    try:
        return (SystemClock().now() + timedelta(seconds=parse_duration(lasts))).isoformat()
    except (BadInput, OverflowError) as error:
        raise UsageError(f"--for {lasts!r}: {error}") from error
