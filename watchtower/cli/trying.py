"""`evaluate`, `route test`, `notify test`: what would happen, and whether it arrives. The store stays as it is."""

import secrets
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from alerting.configured import router_of
from rules.engine import Engine
from rules.judge import Judgement, Verdict
from watchtower.app.parts import Parts, build
from watchtower.cli.output import Output, chosen, out, show, show_json
from watchtower.cli.settings import ConfigOption, OutputOption, Settings, StateOption
from watchtower.clock import SystemClock
from watchtower.config.places import store_url
from watchtower.errors import DeliveryError, UsageError
from watchtower.model.alert import Alert, AlertState, Notice, NoticeReason, Severity
from watchtower.model.labels import Labels, fingerprint
from watchtower.model.run import stable_id
from watchtower.store import migrations
from watchtower.store.database import Database
from watchtower.store.subjects import Subjects

route_app = typer.Typer(help="Where alerts go.", no_args_is_help=True)
notify_app = typer.Typer(help="Whether messages arrive.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(evaluate)
    app.add_typer(route_app, name="route")
    app.add_typer(notify_app, name="notify")


def evaluate(
    pipeline: Annotated[str | None, typer.Argument(help="A pipeline or a dataset; all, unless named.")] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    output: OutputOption = None,
) -> None:
    """What every rule says now, and when it would look again. Exit code 1 if something is wrong."""
    settings = Settings(config, state)
    clock = SystemClock()
    parts = build(settings.config(), clock, "")
    database = Database(store_url(parts.config, settings.state_dir))
    try:
        migrations.check_startable(database, clock)
        subjects = Subjects(database, "evaluate", owned=parts.owned)
        keys = subjects.named(pipeline)
        if pipeline and not keys:
            raise UsageError(f"nothing called {pipeline!r} is known; `watchtower runs` shows what is")
        engine = Engine(subjects, parts.pipeline, clock, lambda: parts.rules, parts.kinds)
        judgements = engine.evaluate_now(keys, clock.now())
    finally:
        database.close()
    rows = [row for judgement in judgements for row in _rows(judgement)]
    show(rows, ("subject", "rule", "result", "says", "next_at"), output, empty="nothing is known yet")
    if any(row["result"] == "violation" for row in rows):
        raise typer.Exit(1)


@route_app.command("test")
def route_test(
    labels: Annotated[list[str], typer.Argument(help="LABEL=VALUE …")],
    config: ConfigOption = None,
    output: OutputOption = None,
) -> None:
    """Where an alert with these labels would go, by which route, in which group."""
    explained = router_of(Settings(config, None).config()).explain(_labels(labels))
    if chosen(output) is Output.JSON:
        show_json(
            {
                "receivers": list(explained.receivers),
                "destinations": [
                    {"destination": item.destination, "group_key": item.group_key} for item in explained.planned
                ],
            }
        )
        return
    for step in explained.steps:
        mark = "[green]→[/green]" if step.takes else "[dim]·[/dim]"
        text = f"{'  ' * step.depth}{mark} {escape(step.matchers)} [bold]{escape(step.receiver)}[/bold]"
        out.print(text if step.matched else f"[dim]{text}[/dim]")
    for item in explained.planned:
        out.print(f"{escape(item.destination)}  {escape(item.group_key)}  after {item.group_wait_s:g} s")


@notify_app.command("test")
def notify_test(
    receiver: Annotated[str, typer.Argument(help="Its name in the configuration.")],
    config: ConfigOption = None,
    output: OutputOption = None,
) -> None:
    """Send a test message, marked as one, to every destination of RECEIVER, and take it back where that is possible."""
    settings = Settings(config, None)
    clock = SystemClock()
    read = settings.config()
    parts = build(read, clock, read.server.url)
    known = read.receivers.get(receiver)
    if known is None:
        names = ", ".join(read.receivers) or "none: everything goes to the built-in `local`"
        raise UsageError(f"unknown receiver {receiver!r}; known: {names}")
    results = [_try(parts, item.name, receiver, clock.now()) for item in known.destinations]
    show(results, ("destination", "result", "provider_id", "why"), output)
    if any(row["result"] != "delivered" for row in results):
        raise typer.Exit(1)


def _try(parts: Parts, destination: str, receiver: str, now: datetime) -> dict[str, Any]:
    notice = _notice(destination, receiver, parts.config.server.url, now)
    try:
        receipt = parts.channels[destination].deliver(notice)
    except DeliveryError as error:
        return {"destination": destination, "result": error.reason.value, "provider_id": None, "why": str(error)}
    return {"destination": destination, "result": "delivered", "provider_id": receipt.provider_id, "why": None}


def _notice(destination: str, receiver: str, external_url: str, now: datetime) -> Notice:
    """A test alert that nobody can mistake for a real one, with a key of its own."""
    key = secrets.token_hex(8)
    labels = {"alertname": "WatchtowerTest", "kind": "test", "severity": Severity.INFO.value, "test": key}
    alert = Alert(
        id=stable_id("test", key),
        fingerprint=fingerprint(labels),
        rule="WatchtowerTest",
        subject="test",
        labels=labels,
        annotations={"summary": "This is a test of Watchtower's messages. Nothing is wrong; nothing needs doing."},
        state=AlertState.FIRING,
        active_since=now,
        starts_at=now,
    )
    return Notice(
        id=key,
        key=f"wt-test-{key}",
        episode_key=f"wt-test-{key}",
        group_hash=f"test-{key}",
        destination=destination,
        receiver=receiver,
        reason=NoticeReason.TEST,
        seq=1,
        attempt=1,
        first_attempt_at=now,
        now=now,
        group_labels={"alertname": "WatchtowerTest"},
        alerts=(alert,),
        incident_id=None,
        ref={},
        previous_ref=None,
        external_url=external_url,
    )


def _rows(judgement: Judgement) -> list[dict[str, Any]]:
    name = judgement.labels.get("dataset") or judgement.labels.get("pipeline", "")
    task = judgement.labels.get("task")
    return [
        {
            "subject": f"{name}.{task}" if task else name,
            "rule": verdict.rule.name,
            "result": verdict.result,
            "says": _says(verdict),
            "next_at": verdict.evaluation.next_at.isoformat() if verdict.evaluation.next_at else None,
        }
        for verdict in judgement.verdicts
    ]


def _says(verdict: Verdict) -> str | None:
    evaluation = verdict.evaluation
    sentences = "; ".join(violation.summary for violation in evaluation.violations)
    return verdict.failure or sentences or evaluation.unknown or evaluation.learning


def _labels(texts: list[str]) -> Labels:
    labels: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{text!r} is not LABEL=VALUE")
        labels[name] = value.strip('"')
    return labels
