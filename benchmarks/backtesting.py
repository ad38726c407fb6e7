"""A backtest of a month: how long the real engine takes for what it lived through in 30 days.

The events are made up: 200 pipelines, each with a time of its own at which it runs every day, with one task and one
dataset; one run in forty fails, and now and then one takes four times as long. The store is filled without evaluating
anything; what is measured is one whole backtest with the day-one rules, from reading the events to telling.
"""

import json
import random
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.figures import Figure, Options, Skipped, now_s, say
from collectors.openlineage import OpenLineage
from watchtower.clock import ManualClock
from watchtower.config import load_text
from watchtower.ports import Received
from watchtower.rehearsal.backtest import Span, backtest
from watchtower.store import facts, migrations
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append

PIPELINES = 200
DAYS = 30
AIM_S = 60.0
BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
AT_ONCE = 500  # events of one commit


def backtesting(options: Options) -> Sequence[Figure | Skipped]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'month.db'}"
        count = _live(url)
        say(f"  {count:,} events of {PIPELINES} pipelines in {DAYS} days")
        database = Database(url)
        try:
            wall, cpu, alerts = _play(database)
        finally:
            database.close()
    say(f"  {alerts} alerts; {cpu / count * 1e3:.2f} ms of CPU an event")
    return [
        Figure(
            f"backtest of {DAYS} days, {PIPELINES} daily pipelines, CPU / the aim", cpu, AIM_S, "s", "lower", aim=1.0
        ),
        Figure("the same, wall", wall, AIM_S, "s", "lower", aim=1.0),
    ]


def _play(database: Database) -> tuple[float, float, int]:
    with database.read() as connection:
        kept = facts.kept(connection)
    assert kept is not None
    began, worked = now_s(), time.process_time()
    [fired] = backtest(database, kept, [load_text("")], Span(kept.oldest, kept.newest)).fired
    return now_s() - began, time.process_time() - worked, len(fired.alerts)


def _live(url: str) -> int:
    """A store that holds the month; how many events that is."""
    database = Database(url)
    migrations.migrate(database, ManualClock(BEGINS))
    reader, count = OpenLineage(), 0
    try:
        events = sorted(_events(), key=lambda each: each[0])
        for first in range(0, len(events), AT_ONCE):
            some = events[first : first + AT_ONCE]
            found = [fact for at, body in some for fact in reader.decode(body, Received(at)).facts]
            append(database, Intake(found)).result()
            count += len(found)
    finally:
        database.close()
    return count


def _events() -> Iterator[tuple[datetime, bytes]]:
    dice = random.Random(30)
    for number in range(PIPELINES):
        due_s, takes_s = dice.randrange(86_400), dice.randrange(60, 3_600)
        for day in range(DAYS):
            began = BEGINS + timedelta(days=day, seconds=due_s + dice.randrange(20), microseconds=number)
            slow = 4.0 if dice.random() < 0.01 else dice.uniform(0.9, 1.1)
            ended = began + timedelta(seconds=takes_s * slow)
            end = "FAIL" if dice.random() < 0.025 else "COMPLETE"
            run, task = (str(uuid.UUID(int=dice.getrandbits(128), version=4)) for _ in range(2))
            yield began, _event(began, "START", f"pipeline_{number}", run)
            yield began + timedelta(seconds=1), _event(began, "START", f"pipeline_{number}.load", task, parent=run)
            yield ended, _event(ended, end, f"pipeline_{number}.load", task, parent=run)
            yield ended + timedelta(seconds=1), _event(ended, end, f"pipeline_{number}", run)


def _event(at: datetime, event_type: str, job: str, run: str, parent: str | None = None) -> bytes:
    facets = {"parent": {"run": {"runId": parent}, "job": {"namespace": "prod", "name": job.partition(".")[0]}}}
    written = [{"namespace": "postgres://warehouse:5432", "name": f"shop.{job.partition('.')[0]}"}]
    said = {
        "eventType": event_type,
        "eventTime": at.isoformat(),
        "producer": "https://github.com/apache/airflow/tree/providers-openlineage/2.0.0",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run, "facets": facets if parent else {}},
        "job": {"namespace": "prod", "name": job},
        "inputs": [],
        "outputs": written if parent and event_type == "COMPLETE" else [],
    }
    return json.dumps(said).encode()
