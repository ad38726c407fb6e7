"""Runs the demo: start the server, replay the day, print what was found, and serve until stopped."""

import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from alerting.rendering import render
from watchtower.app import Instance, Options
from watchtower.clock import ReplayClock, SystemClock
from watchtower.config.model import Config
from watchtower.demo import recording
from watchtower.demo.grid import move
from watchtower.demo.recording import Recording
from watchtower.demo.replay import Replayed, replay
from watchtower.model.access import Scope
from watchtower.model.alert import Alert, Notice
from watchtower.store import incidents, notices
from watchtower.store.reading.alerting import AlertFilter, list_alerts
from watchtower.store.reading.paging import Window

HEADINGS = {
    "run_failure": "failed",
    "missing_run": "late or missing",
    "deadline": "late",
    "duration": "slow",
    "orphan": "never ended",
    "freshness": "stale",
}
_EVERYTHING = Window(limit=500)


def run(state: Path, listen: tuple[str, int] | None, *, leave: bool) -> None:
    """state: where the demo's store goes. leave: end after printing. Raises UsageError with a remedy."""
    out = Console(highlight=False)
    day = recording.load()
    moved = move(day, SystemClock().now())
    clock = ReplayClock(moved.begins)
    options = Options(state, listen or ("127.0.0.1", 0 if leave else 8642), otlp=False, live=False)
    instance = Instance(Config(), options, clock)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopped.set())
    try:
        instance.start()
        token = instance.new_token("demo", [Scope.INGEST])
        with _progress() as bar:
            task = bar.add_task("replaying a recorded day", total=len(moved.events))
            done = replay(moved, instance, clock, token, lambda: bar.advance(task))
        instance.go_live()
        _print(out, instance, day, done)
        if not leave and not stopped.is_set():
            out.print("serving until you stop it with Ctrl-C")
            stopped.wait()
    finally:
        instance.stop()


def _progress() -> Progress:
    err = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def _print(out: Console, instance: Instance, day: Recording, done: Replayed) -> None:
    with instance.database.read() as connection:
        alerts = list_alerts(connection, AlertFilter(), _EVERYTHING).items
        found = [(item, notices.told(connection, item.id)) for item in incidents.list_incidents(connection)]
    versions = ", ".join(f"{name} {version}" for name, version in day.versions.items())
    out.print(
        f"[bold]{done.events} real events[/bold] ({versions}) told of {len(day.pipelines)} pipelines; "
        f"{done.timers} timers fired on the way.\n"
    )
    out.print(_found(alerts))
    for incident, told in found:
        out.print()
        out.print(f"[bold]incident[/bold] {incident.id[:8]}  [bold]{escape(incident.title)}[/bold]  {incident.status}")
        out.print(Group(*_messages(told, instance.external_url)))
    out.print(f"\n[bold]open[/bold]  {instance.one_time_link()}   [dim](once, within an hour)[/dim]", soft_wrap=True)


def _found(alerts: Sequence[Alert]) -> Table:
    """One line per alert, grouped by what is wrong."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("found", "pipeline", "when (UTC)", "state", "what"):
        table.add_column(name, overflow="fold", no_wrap=name == "when (UTC)")
    order = list(HEADINGS)
    for alert in sorted(alerts, key=lambda item: (_rank(order, item), item.active_since)):
        kind = alert.labels.get("kind", "")
        when = alert.starts_at or alert.active_since
        table.add_row(
            HEADINGS.get(kind, kind),
            escape(alert.labels.get("pipeline") or alert.labels.get("dataset", "")),
            f"{when:%H:%M:%S}",
            alert.state.value,
            escape(alert.annotations.get("summary", "")),
        )
    return table


def _rank(order: Sequence[str], alert: Alert) -> int:
    kind = alert.labels.get("kind", "")
    return order.index(kind) if kind in order else len(order)


def _messages(told: Sequence[Notice], external_url: str) -> Iterator[RenderableType]:
    """The text of the ticket, which is that of the first message, whole; of the later ones what they add."""
    for position, notice in enumerate(told):
        rendered = render(replace(notice, external_url=external_url))
        if position == 0:
            yield Panel(escape(rendered.text), title=escape(rendered.title), title_align="left", border_style="dim")
        else:
            line = f"{notice.first_attempt_at:%H:%M:%S} {escape(rendered.title)}"
            yield Padding(f"[dim]{line}[/dim]", (0, 0, 0, 2))
