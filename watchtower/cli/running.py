"""`run`: a command of a crontab or a script, told to Watchtower with its exit status and its last lines.

What it does is `watchtower.wrapper`, which the command line goes to directly; this is its help.
"""

from typing import Annotated

import typer

app = typer.Typer()


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND…", help="With its arguments.")] = None,
    job: Annotated[
        str | None, typer.Option("--job", "-j", metavar="NAME", help="Of the job; else the command's.")
    ] = None,
    namespace: Annotated[str, typer.Option(metavar="NAMESPACE", help="Of the job.")] = "cron",
    run: Annotated[str | None, typer.Option("--run", metavar="ID", help="Of the run; else a new UUID.")] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Else $WATCHTOWER_URL, else this machine's.")] = None,
    token: Annotated[str | None, typer.Option(metavar="TOKEN", help="An ingest token; else $WATCHTOWER_TOKEN.")] = None,
    state: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="State directory of this machine's Watchtower.")
    ] = None,
    spool: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where runs wait; else $WATCHTOWER_RUN_SPOOL.")
    ] = None,
    patience: Annotated[float, typer.Option(metavar="SECONDS", help="To wait for Watchtower at the end.")] = 2.0,
    no_output: Annotated[
        bool, typer.Option("--no-output", help="Leave its output alone, and tell none of it.")
    ] = False,
    flush: Annotated[bool, typer.Option("--flush", help="Tell what waits from earlier runs, and run nothing.")] = False,
) -> None:
    """Run a command of a crontab or a script, and tell how it went.

    Its exit status is passed on, signals reach it, and it neither waits nor fails when Watchtower is away: what could
    not be told is told by the next run, or by --flush.
    """
    from watchtower import wrapper

    given = {"--job": job, "--namespace": namespace, "--run": run, "--url": url, "--token": token, "--state": state,
             "--spool": spool, "--patience": str(patience)}  # fmt: skip
    words = [word for name, value in given.items() if value is not None for word in (name, value)]
    words += [flag for flag, wanted in (("--no-output", no_output), ("--flush", flush)) if wanted]
    raise typer.Exit(wrapper.main([*words, "--", *command] if command else words))
