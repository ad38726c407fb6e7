"""`token`: who may send events and who may read."""

from typing import Annotated

import typer

from watchtower.cli.client import connected
from watchtower.cli.output import err, show
from watchtower.cli.settings import ConfigOption, OutputOption, Settings, StateOption, TokenOption, UrlOption
from watchtower.model.access import Scope

token_app = typer.Typer(help="Tokens: list, create, revoke.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    app.add_typer(token_app, name="token")


@token_app.callback()
def tokens(
    context: typer.Context,
    config: ConfigOption = None,
    state: StateOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    output: OutputOption = None,
) -> None:
    """Tokens, newest first, without their secrets."""
    context.obj = Settings(config, state, url, token)
    if context.invoked_subcommand:
        return
    with connected(context.obj) as client:
        found = client.items("/api/v1/tokens", {}, 1000)
    show(found, ("id", "name", "scopes", "source", "team", "last_used_at", "expires_at", "revoked_at"), output)


@token_app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Where it will be used.")],
    scopes: Annotated[list[Scope] | None, typer.Option("--scope", help="Repeatable; ingest, unless named.")] = None,
    source: Annotated[str | None, typer.Option(help="It may only write events of this source.")] = None,
    team: Annotated[str | None, typer.Option(help="It may only see what belongs to this team.")] = None,
) -> None:
    """Make a token; its secret is printed this once."""
    body = {"name": name, "scopes": [scope.value for scope in scopes or [Scope.INGEST]], "source": source, "team": team}
    with connected(context.obj) as client:
        made = client.post("/api/v1/tokens", body)
    err.print("[dim]shown this once:[/dim]")
    print(made["token"])


@token_app.command("revoke")
def revoke(context: typer.Context, token_id: str) -> None:
    """Revoke a token, at once."""
    with connected(context.obj) as client:
        client.post(f"/api/v1/tokens/{token_id}/revoke")
    err.print("revoked")
