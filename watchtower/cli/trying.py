"""`evaluate`, `route test`, `notify test`: what would happen, and whether it arrives. The store stays as it is."""

import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from alerting.configured import router_of
from alerting.routing import Step
from rules.engine import Engine
from rules.judge import Judgement, Verdict
from watchtower.app.parts import Parts, Surroundings, build
from watchtower.app.state import KEYS
from watchtower.cli.output import Column, as_time, err, out, show, show_json, wants_json
from watchtower.cli.settings import HERE, Settings, takes
from watchtower.clock import SystemClock
from watchtower.config.faults import close_to
from watchtower.config.model import Config
from watchtower.config.names import Doubt, unheard
from watchtower.errors import DeliveryError, UsageError
from watchtower.model.alert import Alert, AlertState, Notice, NoticeReason, Severity
from watchtower.model.duration import format_duration
from watchtower.model.labels import Labels, fingerprint
from watchtower.model.run import stable_id
from watchtower.ports import Callbacks
from watchtower.secrets import REDACTOR
from watchtower.store import migrations
from watchtower.store.database import Database
from watchtower.store.keys import load_keys
from watchtower.store.reading.heard import heard
from watchtower.store.snapshots import loaders
from watchtower.store.subjects import Subjects

VERDICTS = (
    Column("subject"),
    Column("rule"),
    Column("result"),
    Column("next_at", "next look (UTC)", as_time, spare=True),
    Column("says", gives_way=True),
)
ATTEMPTS = (Column("destination"), Column("result"), Column("provider_id", "proof"), Column("why"))

MOST_PASSED = 20  # routes that do not take an alert: shown up to here, counted above it

app = typer.Typer()
route_app = typer.Typer(help="See where an alert would go.", no_args_is_help=True)
notify_app = typer.Typer(help="See whether messages arrive.", no_args_is_help=True)
app.add_typer(route_app, name="route")
app.add_typer(notify_app, name="notify")


@app.command()
@takes(*HERE, "output")
def evaluate(
    at: Settings,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A pipeline, a dataset or a series; all, unless named.")
    ] = None,
) -> None:
    """See what every rule says now, and when it looks again.

    Reads the store and changes nothing. Exit code 1 if something is wrong.
    """
    clock = SystemClock()
    parts = build(at.read(), clock, "")
    database = Database(at.store_url(parts.config))
    try:
        migrations.check_readable(database)
        subjects = Subjects(database, "evaluate", owned=parts.owned, loaders=loaders(lambda: parts.derived))
        keys = subjects.named(name)
        if name and not keys:
            raise UsageError(
                f"no pipeline, dataset or series called {name!r} is known; `watchtower runs` shows what is"
            )
        engine = Engine(subjects, parts.pipeline, clock, lambda: parts.rules, parts.kinds)
        explained = engine.explain(keys, clock.now())
        doubts = _doubts(parts.config, database)
    finally:
        database.close()
    rows = [row for each in explained for row in _rows(each.judgement, each.expects, is_named=name is not None)]
    show(rows, VERDICTS, at.output, empty="no pipeline is known yet")
    for doubt in doubts:
        meant = f"; {doubt.remedy}" if doubt.remedy else ""
        err.print(f"[yellow]{escape(doubt.where)}: {escape(doubt.text)}{escape(meant)}[/yellow]", soft_wrap=True)
    if any(row["result"] == "violation" for row in rows):
        raise typer.Exit(1)


def _doubts(config: Config, database: Database) -> list[Doubt]:
    with database.read() as connection:
        known = heard(connection)
    return unheard(config, known)


@route_app.command("test")
@takes("config", "output")
def route_test(at: Settings, labels: Annotated[list[str], typer.Argument(metavar="LABEL=VALUE…")]) -> None:
    """Where an alert with these labels would go, by which route, in which group.

    Owner, team and source that the configuration gives such an alert are added, unless they are named.
    """
    config, given = at.read(), _labels(labels)
    added = {name: value for name, value in _owned(config, given).items() if name not in given}
    explained = router_of(config).explain({**added, **given})
    if wants_json(at.output):
        destinations = [{"destination": item.destination, "group_key": item.group_key} for item in explained.planned]
        show_json({"added": added, "receivers": list(explained.receivers), "destinations": destinations})
        return
    if added:
        said = " ".join(f"{name}={value}" for name, value in added.items())
        out.print(f"[dim]by the configuration also {escape(said)}[/dim]", soft_wrap=True)
    _show_way(explained.steps)
    for item in explained.planned:
        wait = f"after {format_duration(item.group_wait_s)}" if item.group_wait_s else "at once"
        out.print(f"{escape(item.destination)}  {wait}, grouped as {escape(item.group_key)}", soft_wrap=True)


def _show_way(steps: Sequence[Step]) -> None:
    """Routes that do not take it show why as long as they are few; of many, those that do would be lost among them."""
    passed = sum(not step.matched for step in steps)
    for step in steps:
        if not step.matched and passed > MOST_PASSED:
            continue
        mark = "[green]→[/green]" if step.takes else "[dim]·[/dim]"
        text = f"{'  ' * step.depth}{mark} {escape(step.matchers)} [bold]{escape(step.receiver)}[/bold]"
        out.print(text if step.matched else f"[dim]{text}[/dim]", soft_wrap=True)
    if passed > MOST_PASSED:
        out.print(f"[dim]{passed} further routes do not take it[/dim]")


@notify_app.command("test")
@takes(*HERE, "output")
def notify_test(
    at: Settings, receiver: Annotated[str, typer.Argument(metavar="RECEIVER", help="Its name in the configuration.")]
) -> None:
    """Send a test message, marked as one, to every destination of RECEIVER. Exit code 1 if one did not take it."""
    clock = SystemClock()
    read = at.read()
    known = read.receivers.get(receiver)
    if known is None:
        raise UsageError(f"unknown receiver {receiver!r}; {close_to(receiver, read.receivers)}")
    parts = build(read, clock, Surroundings(read.server.url, _callbacks(at, read)))
    results = [_try(parts, item.name, receiver, clock.now()) for item in known.destinations]
    show(results, ATTEMPTS, at.output, empty=f"receiver {receiver!r} has no destination")
    if any(row["result"] != "delivered" for row in results):
        raise typer.Exit(1)


def _callbacks(at: Settings, config: Config) -> Callbacks | None:
    """With the keys of the Watchtower of this state directory, if there is one: it believes what is called back."""
    folder = at.state_dir / KEYS
    if not config.server.external_url or not os.access(folder / "hooks", os.R_OK):
        return None
    return Callbacks(f"{config.server.url}/hooks", load_keys(folder).hooks)


def _try(parts: Parts, destination: str, receiver: str, now: datetime) -> dict[str, Any]:
    notice = _notice(destination, receiver, parts.config.server.url, now)
    try:
        receipt = parts.channels[destination].deliver(notice)
    except DeliveryError as error:
        return {
            "destination": destination,
            "result": error.reason.value,
            "provider_id": None,
            "why": REDACTOR.redact(str(error)),
        }
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


def _rows(judgement: Judgement, expects: Mapping[str, str], *, is_named: bool) -> list[dict[str, Any]]:
    """is_named: people asked about this one, so what is well is explained, too."""
    name = judgement.labels.get("dataset") or judgement.labels.get("pipeline", "")
    task = judgement.labels.get("task")
    series = judgement.labels.get("series")
    return [
        {
            "subject": " of ".join(part for part in (series, f"{name}.{task}" if task else name) if part),
            "rule": verdict.rule.name,
            "result": verdict.result,
            "says": _says(verdict) or (expects.get(verdict.rule.name) if is_named else None),
            "expects": expects.get(verdict.rule.name),
            "next_at": verdict.evaluation.next_at.isoformat() if verdict.evaluation.next_at else None,
        }
        for verdict in judgement.verdicts
    ]


def _says(verdict: Verdict) -> str | None:
    evaluation = verdict.evaluation
    sentences = "; ".join(violation.summary for violation in evaluation.violations)
    return verdict.failure or sentences or evaluation.unknown or evaluation.learning


def _owned(config: Config, labels: Labels) -> dict[str, str]:
    """The labels that the file gives an alert with these."""
    source = labels.get("source") or (config.source_of(labels["namespace"]) if labels.get("namespace") else None)
    named = {**labels, **({"source": source} if source else {})}
    owner, team = config.owner_of(named)
    return {name: value for name, value in (("source", source), ("owner", owner), ("team", team)) if value}


def _labels(texts: list[str]) -> Labels:
    labels: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{text!r} is not LABEL=VALUE")
        labels[name] = value.strip('"')
    return labels
