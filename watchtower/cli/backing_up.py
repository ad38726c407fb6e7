"""`backup`, `restore`, `audit verify`: a copy that is proven to be whole, and a store made of it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from watchtower.cli.client import connected
from watchtower.cli.output import as_time, err, out, show_json, wants_json
from watchtower.cli.settings import ANYWHERE, HERE, Settings, takes
from watchtower.clock import SystemClock

app = typer.Typer()
audit_app = typer.Typer(help="Check the chain of all that people and tokens have changed.")
app.add_typer(audit_app, name="audit")


@app.command()
@takes(*HERE, "output")
def backup(
    at: Settings,
    to: Annotated[Path, typer.Argument(metavar="DIR|FILE.tar.zst", help="A folder for it, or the one file of it.")],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Put the keys into it; keep it as safe as the state directory then.")
    ] = False,
) -> None:
    """Copy the store, the bills and the spool, beside the work.

    The copy is read back before it counts as made. It is signed with Watchtower's own keys, which are not in it unless
    --with-keys says so: keep a copy of the folder `keys` elsewhere.
    """
    from watchtower.app import backups

    url = at.store_url(at.read())
    with err.status("copying, then reading what was copied"):
        made = backups.make(url, at.state_dir, to, SystemClock(), with_keys=with_keys)
    if wants_json(at.output):
        told = {"path": str(made.path), "made_at": made.made_at, "bytes": made.bytes, "keys": made.keys}
        show_json({**told, "last_entry": made.copied.last_entry, "rows": dict(made.copied.rows)})
        return
    out.print(
        f"{escape(str(made.path))}: {made.bytes / 2**20:.1f} MiB, {sum(made.copied.rows.values()):,} rows, read back"
    )
    if not made.keys:
        err.print("[dim]without the keys: keep a copy of the folder `keys` of the state directory apart[/dim]")


@app.command()
@takes(*HERE, "output")
def restore(
    at: Settings,
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="What `watchtower backup` made.")],
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="FOLDER", help="Its keys, if they are neither in it nor here.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the store that is there aside; it is not deleted.")
    ] = False,
) -> None:
    """Make a store of a backup; the server must be stopped.

    The bills and the spool come with it.

    What was owed when the backup was made is looked up at its provider before anything is told again.
    """
    from watchtower.app import backups
    from watchtower.config.places import store_url

    url = store_url(at.read(), at.state_dir)
    with err.status("reading the backup, then restoring it"):
        done = backups.restore(source, url, at.state_dir, SystemClock(), keys=keys, replace=replace)
    if wants_json(at.output):
        told = {"made_at": done.made_at, "last_entry": done.last_entry, "look_first": done.look_first}
        show_json({**told, "aside": str(done.aside) if done.aside else None})
        return
    newest = f"{as_time(done.last_entry)} UTC" if done.last_entry else "none"
    out.print(f"restored as of {as_time(done.made_at)} UTC; newest event {newest}", soft_wrap=True)
    if done.look_first:
        out.print(f"{done.look_first} messages are looked up at their providers before anything is told")
    if done.aside:
        out.print(f"what was there before: {escape(str(done.aside))}", soft_wrap=True)


@audit_app.command("verify")
@takes(*ANYWHERE)
def verify(
    at: Settings,
    head: Annotated[
        str | None, typer.Option("--head", metavar="SEQ:DIGEST", help="A head noted earlier, elsewhere.")
    ] = None,
) -> None:
    """Recompute the audit chain. Exit code 1 if a row was changed, moved, cut off or back-dated."""
    with connected(at) as client:
        verdict = client.get("/api/v1/audit/verify", {"head": head})
    if wants_json(at.output):
        show_json(verdict)
    elif verdict["fault"] is None:
        out.print(f"{verdict['rows']} rows, all as they were written; head {verdict['head']}", soft_wrap=True)
    else:
        out.print(f"[red]{escape(verdict['fault'])}[/red]; {verdict['rows']} rows before it are as they were written")
    if verdict["fault"] is not None:
        raise typer.Exit(1)
