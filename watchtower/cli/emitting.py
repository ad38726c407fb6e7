"""`emit`, `wrote`: one number of a pipeline, or one writing of a dataset, told from a shell or from inside a task."""

import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from watchtower.cli.client import connected
from watchtower.cli.output import err, show_json, wants_json
from watchtower.cli.settings import ANYWHERE, Settings, takes
from watchtower.clock import SystemClock
from watchtower.errors import UsageError

SERIES = "/api/v1/series"
LINEAGE = "/api/v1/lineage"

app = typer.Typer()


@app.command(context_settings={"ignore_unknown_options": True})  # -0.5 is a value, no option
@takes(*ANYWHERE)
def emit(
    at: Settings,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the series, e.g. model_validation_score.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="A number.")],
    job: Annotated[str | None, typer.Option("--job", "-j", metavar="JOB", help="The pipeline it tells of.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", help="Its task.")] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="The run, as its orchestrator calls it.")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", metavar="NAMESPACE", help="Of the job; needed where its name is known twice."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="NAME=VALUE", help="Tells this series from others. May be repeated."),
    ] = None,
    unit: Annotated[str | None, typer.Option("--unit", metavar="UNIT", help="Shown beside the number.")] = None,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="gauge, sum (a counter as it stands), delta (an increment).")
    ] = "gauge",
    when: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Else now. RFC 3339, or seconds since 1970.")
    ] = None,
) -> None:
    """Tell a number, such as a score or a count of rows.

    Inside a pipeline, $WATCHTOWER_URL and $WATCHTOWER_TOKEN say where to. Exit code 0: it is stored, and safe on the
    disk; 1: it is kept, and someone must say which job is meant; 2: it was not taken.
    """
    sample = {
        "name": name,
        "value": _number(value),
        "job": job,
        "task": task,
        "run": run,
        "namespace": namespace,
        "labels": dict(_label(text) for text in label or ()),
        "unit": unit,
        "kind": kind,
        "at": _moment(when),
    }
    body = json.dumps({field: said for field, said in sample.items() if said not in (None, {})}).encode()
    with connected(at, new=True) as client:
        answer = client.send(SERIES, body)
    _report(at, name, answer)


@app.command()
@takes(*ANYWHERE)
def wrote(
    at: Settings,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Its name, e.g. shop.marts.revenue.")],
    rows: Annotated[int | None, typer.Option("--rows", metavar="N", min=0, help="How many it has.")] = None,
    size: Annotated[int | None, typer.Option("--bytes", metavar="N", min=0, help="How large it is.")] = None,
    files: Annotated[int | None, typer.Option("--files", metavar="N", min=0, help="How many files.")] = None,
    checksum: Annotated[
        str | None, typer.Option("--checksum", metavar="TEXT", help="Of its content, in a way of your own.")
    ] = None,
    partition: Annotated[
        str | None, typer.Option("--partition", metavar="PART", help="Which part, e.g. 2026-03-02.")
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", metavar="NAMESPACE", help="Of the dataset; tells two of one name apart.")
    ] = "default",
    when: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Else now. RFC 3339, or seconds since 1970.")
    ] = None,
) -> None:
    """Tell that a dataset was written, and what is in it.

    For scripts of a crontab that tell nothing else: rules such as freshness, volume and compare read it. Exit code 0:
    it is stored, and safe on the disk; 2: it was not taken.
    """
    statistics = {"rowCount": rows, "size": size, "fileCount": files, "checksum": checksum, "partition": partition}
    event = {
        "eventTime": _instant(when),
        "producer": "watchtower wrote",
        "dataset": {
            "namespace": namespace,
            "name": dataset,
            "facets": {"outputStatistics": {name: said for name, said in statistics.items() if said is not None}},
        },
    }
    with connected(at, new=True) as client:
        answer = client.send(LINEAGE, json.dumps(event).encode())
    _report(at, dataset, answer)


def _instant(text: str | None) -> str:
    said = _moment(text)
    return said if isinstance(said, str) else datetime.fromtimestamp(said, UTC).isoformat()


def _report(at: Settings, name: str, answer: dict[str, Any]) -> None:
    failed = answer["failed_events"]
    if wants_json(at.output):
        show_json(answer)
    elif failed:
        err.print(f"[bold red]error:[/bold red] {failed[0]['reason']}", soft_wrap=True)
    elif answer["stored"] == "spool":
        err.print(f"{name} is on the disk of Watchtower, and stored as soon as its store answers", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"VALUE {text!r} is no finite number; write e.g. 0.83, -4 or 1.5e6")
    return number


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--label {text!r} is not NAME=VALUE")
    return name, value


def _moment(text: str | None) -> str | float:
    """Said by the sender in any case, so that a repeat of the request is the same sample."""
    if text is None:
        return SystemClock().now().astimezone(UTC).isoformat()
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--at {text!r} is no time; write e.g. 2026-03-02T08:00:00Z, or seconds since 1970") from error
    if moment.tzinfo is None:
        raise UsageError(f"--at {text!r} has no time zone; write e.g. {text}Z")
    return moment.isoformat()
