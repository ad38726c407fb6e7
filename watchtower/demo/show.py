"""Runs the demo: start the server, replay the day, print what was found, and serve until stopped."""

import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
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
from watchtower.config import Config, load_text
from watchtower.demo import recording
from watchtower.demo.bill import SOURCE, bill
from watchtower.demo.grid import move
from watchtower.demo.recording import Recording
from watchtower.demo.replay import Replay, Replayed
from watchtower.demo.telephone import TOKEN, Telephone
from watchtower.errors import WatchtowerError
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
    "budget": "over budget",
}
BILL_TIMEOUT_S = 60.0
PATIENCE_S = 25.0  # less than the sender's own
_EVERYTHING = Window(limit=500)


def run(state: Path, listen: tuple[str, int] | None, *, leave: bool) -> None:
    """state: where the demo's store goes. leave: end after printing. Raises UsageError with a remedy."""
    day = recording.load()
    moved = move(day, SystemClock().now())
    clock = ReplayClock(moved.begins)
    host, port = listen or ("127.0.0.1", 0 if leave else 8642)
    options = Options(state, (host, port or _free_port(host)), otlp=False, live=False)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopped.set())
    with Telephone(clock) as telephone:
        instance = Instance(_config(telephone, options), options, clock)
        # An event in the spool would be late for the clock, which goes on once it is answered: a run would be missed.
        usual = instance.services.settings
        instance.services.settings = replace(usual, patience_s=PATIENCE_S)
        try:
            instance.start()
            token = instance.first_access.new_token("demo", [Scope.INGEST])
            with _progress() as bar:
                task = bar.add_task("replaying a recorded day", total=len(moved.posts))
                playing = Replay(instance, clock, telephone.pick_up, lambda: bar.advance(task))
                done = playing.play(moved, token)
            _bring(bill(clock.now()), instance)
            playing.settle()
            instance.services.settings = usual
            instance.go_live()
            _print(Console(highlight=False), instance, day, done, telephone)
            if not leave and not stopped.is_set():
                print("serving until you stop it with Ctrl-C")
                stopped.wait()
        finally:
            instance.stop()


def _config(telephone: Telephone, options: Options) -> Config:
    host, port = options.listen or ("127.0.0.1", 8642)
    reached = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    text = (files("watchtower.demo") / "demo.yaml").read_text(encoding="utf-8")
    placed = text.replace("http://TELEPHONE", telephone.url).replace("http://DEMO", f"http://{reached}:{port}")
    return load_text(placed, environ={"TELEPHONE_TOKEN": TOKEN})


def _bring(text: str, instance: Instance) -> None:
    """Hand the bill in, as `watchtower ingest focus` does, and wait until it is in force."""
    file = instance.state.path / "bill.csv"
    file.write_text(text, encoding="utf-8")
    work = instance.bills.desk.hand_in("focus", SOURCE, [str(file)], None)
    if not work.finished.wait(BILL_TIMEOUT_S) or work.state != "done":
        raise WatchtowerError(f"the bill was not taken: {'; '.join(work.faults) or work.state}")


def _free_port(host: str) -> int:
    """One that the system gave a moment ago: calls name the address of the demo before it listens."""
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _progress() -> Progress:
    err = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def _print(out: Console, instance: Instance, day: Recording, done: Replayed, telephone: Telephone) -> None:
    with instance.database.read() as connection:
        alerts = list_alerts(connection, AlertFilter(), _EVERYTHING).items
        found = [(item, notices.told(connection, item.id)) for item in incidents.list_incidents(connection)]
    versions = ", ".join(f"{name} {version}" for name, version in day.versions.items())
    out.print(
        f"[bold]{done.events} real events[/bold] and {done.exports} exports of spans ({versions}) told of "
        f"{len(day.pipelines)} pipelines; {done.timers} timers fired on the way.\n"
    )
    out.print(_found(alerts))
    out.print()
    out.print(_rung(telephone))
    for incident, told in found:
        out.print()
        out.print(f"[bold]incident[/bold] {incident.id[:8]}  [bold]{escape(incident.title)}[/bold]  {incident.status}")
        out.print(Group(*_messages(told, instance.external_url)))
    out.print(
        f"\n[bold]open[/bold]  {instance.first_access.one_time_link()}   [dim](once, within an hour)[/dim]",
        soft_wrap=True,
    )


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
            "\n".join(escape(alert.annotations[name]) for name in ("summary", "cause") if name in alert.annotations),
        )
    return table


def _rung(telephone: Telephone) -> Table:
    """What the telephone did, in order of time."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("telephone", "when (UTC)", "to", "what was said"):
        table.add_column(name, overflow="fold", no_wrap=name != "what was said")
    for rang in telephone.rang:
        said = " ".join(rang.heard)
        if rang.pressed:
            said += f" → key {rang.pressed} → {rang.answered}"
        table.add_row(rang.kind, f"{rang.at:%H:%M:%S}", rang.to, escape(said))
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
