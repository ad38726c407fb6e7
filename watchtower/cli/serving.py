"""`serve` and `demo`: a running Watchtower in the foreground."""

import json
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from watchtower import __version__, allocator
from watchtower.app import Instance, Options
from watchtower.app.emergency import FAULTY_FOR_S, Emergency
from watchtower.cli.output import err, out, plain
from watchtower.cli.settings import HERE, Settings, takes
from watchtower.clock import SteadyClock
from watchtower.config.model import Config
from watchtower.config.sections import parse_listen
from watchtower.demo import show
from watchtower.errors import BadInput, StoreError, StoreUnavailable, UsageError
from watchtower.garbage import settled
from watchtower.model.access import Scope
from watchtower.secrets import REDACTOR
from watchtower.telemetry import logs, traces

ListenOption = Annotated[
    str | None, typer.Option("--listen", metavar="HOST:PORT", help="Over the configured one; port 0 takes a free one.")
]

WAITS_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # between two looks for a store that is away; the last one for ever

app = typer.Typer()


@app.command()
@takes(*HERE)
def serve(
    at: Settings,
    listen: ListenOption = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="No access control; on loopback only.")] = False,
) -> None:
    """Start Watchtower, with or without a configuration.

    Without one it listens on 127.0.0.1:8642 and learns. SIGTERM and Ctrl-C stop it in order; SIGHUP reads the
    configuration anew. Its log goes to standard error as JSON.
    """
    read = at.read()
    for warning in read.warnings:
        err.print(f"[yellow]warning:[/yellow] {escape(str(warning))}", soft_wrap=True)
    allocator.share_heaps()
    _log_as_json()
    end_traces = _trace()
    options = Options(at.state_dir, _address(listen), access=not no_auth)
    instance = opened(read, options, load=at.read if at.file else None)
    stopped = _on_signals(instance)
    try:
        instance.start()
        _welcome(instance, with_access=not no_auth)
        with settled():
            stopped.wait()
    finally:
        instance.stop()
        end_traces()
    if instance.left_behind:  # its thread would keep the process for ever
        logging.shutdown()
        os._exit(0)


@app.command()
@takes("state")
def demo(
    at: Settings,
    listen: ListenOption = None,
    leave: Annotated[bool, typer.Option("--exit", help="End after printing what was found.")] = False,
) -> None:
    """Replay a recorded day of real Airflow, and show what is found.

    Its store is thrown away at the end, unless --state says where to keep it.
    """
    logs.configure(level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="watchtower-demo-") as scratch:
        show.run(at.state or Path(scratch), _address(listen), leave=leave)


def opened(config: Config, options: Options, *, load: Callable[[], Config] | None) -> Instance:
    """Waits for a store that is away or locked, as it is while a whole machine starts; one that is damaged needs a
    person, who is told by the emergency channel. Raises StoreError."""
    clock = SteadyClock()
    emergency = Emergency.of(config, options.state_dir, clock)
    began, waits = clock.boottime(), chain(WAITS_S, repeat(WAITS_S[-1] if WAITS_S else 0.0))
    while True:
        try:
            return Instance(config, options, clock, load=load)
        except StoreUnavailable as error:
            if not WAITS_S:
                raise
            err.print(f"[yellow]waiting:[/yellow] {escape(str(error))}", soft_wrap=True)
            if clock.boottime() - began >= FAULTY_FOR_S:
                emergency.tell("start", str(error))
            threading.Event().wait(next(waits))
        except StoreError as error:
            emergency.tell("start", str(error))
            raise


def _trace() -> Callable[[], None]:
    """Send spans of Watchtower's own work, where OpenTelemetry's usual variable names a collector; how to end that."""
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not base:
        return lambda: None
    return traces.configure(f"{base.rstrip('/')}/v1/traces", version=__version__).shutdown


def _address(listen: str | None) -> tuple[str, int] | None:
    try:
        return parse_listen(listen) if listen else None
    except BadInput as error:
        raise UsageError(f"--listen: {error}") from error


def _log_as_json() -> None:
    """Facts as JSON lines on standard error, known secrets taken out; the libraries' own news of a start left out."""
    logs.configure()
    for handler in logging.getLogger().handlers:
        handler.addFilter(REDACTOR)
    for name in ("apscheduler", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _on_signals(instance: Instance) -> threading.Event:
    """SIGTERM and SIGINT stop the server in order; SIGHUP reloads the configuration."""
    stopped = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopped.set()

    def reload(_number: int, _frame: object) -> None:
        threading.Thread(target=instance.reload_on_signal, name="reload", daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, reload)
    return stopped


def _welcome(instance: Instance, *, with_access: bool) -> None:
    out.print(f"[bold]Watchtower[/bold] listens on {instance.url}", soft_wrap=True)
    for why in instance.server.left_out:
        out.print(f"[yellow]warning:[/yellow] no OTLP on its usual port: {escape(why)}", soft_wrap=True)
    if not with_access:
        out.print("[yellow]access control is off (--no-auth)[/yellow]")
        out.print(f"  open  {instance.external_url}/")
        return
    out.print(
        f"  open  {instance.first_access.one_time_link()}   [dim](once, within an hour)[/dim]",
        soft_wrap=True,
    )
    if instance.first_access.has_tokens():
        out.print("  tokens were made at the first start; another: watchtower token create NAME", soft_wrap=True)
        out.print("  another link: watchtower token link")
        return
    print_lines(instance)


def print_lines(instance: Instance) -> None:
    """Lines to paste, each with an ingest token of its own."""
    airflow, otel, curl = (
        instance.first_access.new_token(name, [Scope.INGEST]) for name in ("airflow", "otel", "curl")
    )
    transport = {
        "type": "http",
        "url": instance.external_url,
        "endpoint": "api/v1/lineage",
        "auth": {"type": "api_key", "apiKey": airflow},
    }
    event = (
        '{"eventType": "START", "eventTime": "\'$(date -u +%Y-%m-%dT%H:%M:%SZ)\'", "producer": "curl", '
        '"run": {"runId": "\'$(cat /proc/sys/kernel/random/uuid)\'"}, "job": {"namespace": "shell", "name": "try"}}'
    )
    out.print("\n[bold]Airflow[/bold] [dim](pip install apache-airflow-providers-openlineage)[/dim]")
    plain(f"export AIRFLOW__OPENLINEAGE__TRANSPORT='{json.dumps(transport)}'")
    out.print("\n[bold]OpenTelemetry[/bold] [dim](any SDK, or Airflow's traces: docs/traces.md)[/dim]")
    plain(f"export OTEL_EXPORTER_OTLP_ENDPOINT={instance.otlp_url} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
    plain(f'export OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20{otel}"')
    out.print("\n[bold]curl[/bold]")
    plain(f"curl -sS {instance.external_url}/api/v1/lineage -H 'Authorization: Bearer {curl}' -d '{event}'")
    plain("")
