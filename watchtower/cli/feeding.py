"""`ingest`: files of events, a retired spool, or what stands in quarantine, sent as if they came in now."""

import gzip
import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from watchtower.cli.client import Client, connected, opened
from watchtower.cli.output import out, progress
from watchtower.cli.settings import ConfigOption, Settings, StateOption, TokenOption, UrlOption
from watchtower.errors import UsageError
from watchtower.server.ingest import INGEST_ROUTES
from watchtower.spool import read_segment, segment_paths
from watchtower.store import facts

MAX_LINE = 16 << 20  # bytes of one event


def register(app: typer.Typer) -> None:
    app.command()(ingest)


def ingest(
    kind: Annotated[str | None, typer.Argument(help="Collector: openlineage.")] = None,
    files: Annotated[
        list[Path] | None, typer.Argument(help="JSON, JSON lines, or either with .gz; - for standard input.")
    ] = None,
    spool: Annotated[Path | None, typer.Option("--spool", help="A spool folder that no server uses.")] = None,
    from_quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Try again what could not be understood.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="These events may page; without it they are history, and never do.")
    ] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Send events from files. A repeat changes nothing, so a file may be sent again after an interruption."""
    settings = Settings(config, state, url, token)
    if from_quarantine:
        _from_quarantine(settings)
        return
    if spool is not None:
        with connected(settings) as client:
            sent = _send(client, ((record.collector, record.body) for record in _records(spool)), live=live)
        out.print(f"{sent} requests of the spool sent; remove the folder when nothing more is in it")
        return
    route_of(kind or "")
    if not files:
        raise UsageError(f"name the files: watchtower ingest {kind} FILE…")
    with connected(settings) as client:
        sent = _send(client, ((kind or "", body) for file in files for body in _bodies(file)), live=live)
    out.print(f"{sent} events sent")


def route_of(kind: str) -> str:
    """The path that takes events for collector kind. Raises UsageError that lists what is known."""
    for path, collector in INGEST_ROUTES.items():
        if collector == kind:
            return path
    raise UsageError(f"unknown collector {kind!r}; known: {', '.join(sorted(set(INGEST_ROUTES.values())))}")


def _send(client: Client, bodies: Iterator[tuple[str, bytes]], *, live: bool) -> int:
    sent = 0
    with progress() as bar:
        task = bar.add_task("sending", total=None)
        for kind, body in bodies:
            client.send(route_of(kind) + ("" if live else "?replay=true"), body)
            sent += 1
            bar.advance(task)
    return sent


def _bodies(file: Path) -> Generator[bytes]:
    """The events of a file: one JSON document (an event or a list), or one a line."""
    raw = _read(file)
    try:
        document: Any = json.loads(raw)
    except ValueError:
        yield from _lines(file, raw)
        return
    for event in document if isinstance(document, list) else [document]:  # pyright: ignore[reportUnknownVariableType]
        yield json.dumps(event).encode()


def _lines(file: Path, raw: bytes) -> Generator[bytes]:
    for number, line in enumerate(raw.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            json.loads(line)
        except ValueError as error:
            raise UsageError(f"{file}, line {number}: not JSON ({error}); nothing after it was sent") from error
        yield line


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            with typer.get_binary_stream("stdin") as stream:
                return stream.read()
        raw = file.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error


def _records(folder: Path) -> Generator[Any]:
    paths = segment_paths(folder)
    if not paths:
        raise UsageError(f"{folder} holds no spool segment")
    for path in paths:
        yield from read_segment(path).records


def _from_quarantine(settings: Settings) -> None:
    """Decode again what stands in quarantine; what is understood now leaves it. The server must not be running."""
    if settings.url:
        raise UsageError("--quarantine works on the store of this machine; leave --url out")
    with opened(settings) as instance:
        with instance.database.read() as connection:
            kept = facts.in_quarantine(connection)
        done = [ident for ident, item in kept if instance.take_again(item)]
        instance.database.write(lambda connection: facts.release(connection, done))
    out.print(f"{len(done)} of {len(kept)} are understood now")
