"""`ingest`: files of events, a retired spool, or what stands in quarantine, sent as if they came in now."""

import gzip
import json
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from watchtower.cli import billing, results
from watchtower.cli.client import JSON, Client, connected
from watchtower.cli.output import err, progress, show_json, wants_json
from watchtower.cli.settings import ANYWHERE, Settings, takes
from watchtower.errors import UsageError
from watchtower.registry import COLLECTORS
from watchtower.server.ingest import PLUG_INS, routes_of
from watchtower.spool import Spooled, read_segment, segment_paths

app = typer.Typer()

BILLS = ("focus",)
BYTES = "application/octet-stream"


@app.command()
@takes(*ANYWHERE)
def ingest(
    at: Settings,
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="openlineage, otlp_traces, events, focus, dbt, soda …")
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]…", help="JSON, JSON lines, .gz; a bill's CSV, Parquet."),
    ] = None,
    spool: Annotated[
        Path | None, typer.Option("--spool", metavar="FOLDER", help="A spool folder that no server uses.")
    ] = None,
    from_quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Try again what could not be understood.")
    ] = False,
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="Of a bill; its name in costs. Default: its kind.")
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="NAME", help="Of results of data tests: the pipeline they belong to.")
    ] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", metavar="NAMESPACE", help="Of that pipeline.")] = None,
    period: Annotated[
        str | None, typer.Option("--period", metavar="YYYY-MM", help="Of a bill whose lines do not say it, or wrongly.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="These events may page; without it they are history, and never do.")
    ] = False,
) -> None:
    """Send events from files, a retired spool, or the quarantine.

    A repeat changes nothing, so a file may be sent again after an interruption. The files of a bill (focus) are one
    export together: each billing period in them is replaced whole, or nothing is. Results of data tests (dbt, soda,
    great_expectations, pandera, deequ, elementary) are news: they alert unless they are more than an hour old.
    """
    if sum([kind is not None, spool is not None, from_quarantine]) != 1:
        raise UsageError("name one thing to send: KIND FILE…, --spool FOLDER, or --quarantine")
    if from_quarantine:
        _from_quarantine(at)
        return
    if _brought(at, Brought(kind or "", files or [], source, period, job, namespace)):
        return
    if spool is not None:
        bodies = ((record.collector, record.content_type, record.body) for record in _records(spool))
    else:
        route_of(kind or "")
        if not files:
            raise UsageError(f"name the files: watchtower ingest {kind} FILE…")
        bodies = _bodies(kind or "", files)
    with connected(at, new=True) as client:
        sent = _send(client, bodies, live=live)
    kept = f"; {sent['failed']} of them were not understood and are kept in the quarantine" if sent["failed"] else ""
    _report(at, f"{sent['events']} events sent{kept}", sent)
    if sent["failed"]:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Brought:
    """What is named on the line, as far as it is not one event after another."""

    kind: str
    files: list[Path]
    source: str | None
    period: str | None
    job: str | None
    namespace: str | None


def _brought(at: Settings, what: Brought) -> bool:
    """Bills and results of data tests have ways of their own; whether it was one of those."""
    if what.kind in (*BILLS, *results.KINDS) and not what.files:
        raise UsageError(f"name the files: watchtower ingest {what.kind} FILE…")
    if what.kind not in results.KINDS and (what.job or what.namespace):
        raise UsageError("--job and --namespace are of results of data tests: watchtower ingest dbt target/")
    if what.kind not in BILLS and (what.source or what.period):
        raise UsageError("--source and --period are of bills: watchtower ingest focus FILE…")
    if what.kind in BILLS:
        billing.bring(at, what.kind, what.files, what.source or what.kind, what.period)
    elif what.kind in results.KINDS:
        if results.bring(at, what.kind, what.files, what.job, what.namespace):
            raise typer.Exit(1)
    else:
        return False
    return True


def route_of(kind: str) -> str:
    """The path that takes events for collector kind. Raises UsageError that lists what is known."""
    routes = routes_of(COLLECTORS)
    for path, collector in routes.items():
        if collector == kind:
            return path
    known = sorted({*routes.values(), *BILLS, *results.KINDS})
    raise UsageError(f"unknown collector {kind!r}; known: {', '.join(known)}")


def _bodies(kind: str, files: Sequence[Path]) -> Iterator[tuple[str, str, bytes]]:
    """What is known here is taken apart into its events; what a plug-in reads is its own, so a file is one body."""
    if route_of(kind).startswith(PLUG_INS):
        return ((kind, BYTES, _read(file)) for file in files)
    return ((kind, JSON, body) for file in files for body in read_events(file))


def _send(client: Client, bodies: Iterator[tuple[str, str, bytes]], *, live: bool) -> dict[str, int]:
    """bodies: (collector, content type, body). OTLP tells no number of what was taken: its requests are counted."""
    sent = {"requests": 0, "events": 0, "failed": 0}
    with progress() as bar:
        task = bar.add_task("sending", total=None)
        for kind, content_type, body in bodies:
            path = route_of(kind) + ("" if live else "?replay=true")
            answer: dict[str, Any] = client.send(path, body, content_type) or {}
            summary: dict[str, int] = answer.get("summary", {"received": 1, "failed": 0})
            sent["requests"] += 1
            sent["events"] += summary["received"]
            sent["failed"] += summary["failed"]
            bar.advance(task)
    return sent


def read_events(file: Path) -> Generator[bytes]:
    """The events of a file: one JSON document (an event or a list), or one a line."""
    raw = _read(file)
    try:
        document: Any = json.loads(raw)
    except (ValueError, RecursionError):
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
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{file}, line {number}: not JSON ({error}); what stands before it was sent") from error
        yield line


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            with typer.get_binary_stream("stdin") as stream:
                return stream.read()
        raw = file.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _records(folder: Path) -> Generator[Spooled]:
    paths = segment_paths(folder)
    if not paths:
        raise UsageError(f"{folder} holds no spool segment (*.spool)")
    for path in paths:
        segment = read_segment(path)
        yield from segment.records
        if segment.damaged:
            err.print(f"[yellow]{path}: {segment.unread} bytes at its end are damaged and were left out[/yellow]")


def _from_quarantine(at: Settings) -> None:
    """Decode again what stands in quarantine; what is understood now leaves it."""
    counts = {"kept": 0, "understood": 0}
    after = 0
    with connected(at) as client, progress() as bar:
        task = bar.add_task("trying again", total=None)
        while True:
            tried: dict[str, int] = client.post("/api/v1/quarantine/replay", {"after": after})
            counts = {name: count + tried[name] for name, count in counts.items()}
            bar.advance(task, tried["kept"])
            if not tried["kept"]:
                break
            after = tried["last"]
    _report(at, f"{counts['understood']} of {counts['kept']} are understood now", counts)


def _report(at: Settings, text: str, counts: dict[str, int]) -> None:
    if wants_json(at.output):
        show_json(counts)
    else:
        err.print(text)
