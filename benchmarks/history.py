"""What ten times more history costs: one evaluation of one subject, and the opening of the store.

The history is made of real folded runs, copied hour by hour into the past inside the store. Four hundred pipelines: in
the smallest store each of them fills the window of 130 runs that an evaluation reads.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Connection, text

from benchmarks.figures import Figure, Options, Skipped, alternate, now_s, say
from benchmarks.traffic import event, live, template
from collectors.openlineage import OpenLineage
from rules.engine import Engine
from watchtower.app.parts import build
from watchtower.clock import SystemClock
from watchtower.config import Config
from watchtower.model.alert import Planned
from watchtower.model.instants import to_micros
from watchtower.model.labels import Labels
from watchtower.model.rule import SubjectKey
from watchtower.ports import Received
from watchtower.store import migrations
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.schema.observed import runs
from watchtower.store.subjects import Subjects

PIPELINES = 400
HOURS_AT_ONCE = 500  # of one transaction
SUBJECTS = 50  # evaluated in one round
_HOUR = 3_600_000_000
_SHIFTED = (
    "nominal_start",
    "nominal_end",
    "queued_at",
    "started_at",
    "ended_at",
    "first_seen",
    "last_event_at",
    "position",
)


class NoPlan:
    def plan(self, labels: Labels) -> tuple[Planned, ...]:
        return ()


def history(options: Options) -> Sequence[Figure | Skipped]:
    sizes = (100_000, 1_000_000, 10_000_000) if options.full else (100_000, 1_000_000)
    figures: list[Figure | Skipped] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        evaluating: dict[str, Callable[[], Mapping[str, float]]] = {}
        opening: dict[str, Callable[[], Mapping[str, float]]] = {}
        for size in sizes:
            begun, url = now_s(), f"sqlite:///{folder / f'{size}.db'}"
            make_history(url, size)
            say(f"  {size:,} runs made in {now_s() - begun:.0f} s")
            evaluating[f"{size:,} runs"] = _evaluate(stack, url)
            opening[f"{size:,} runs"] = _open(url)
        seen, opened = alternate(evaluating, options.rounds), alternate(opening, options.rounds)
        first = f"{sizes[0]:,} runs"
        for size in sizes[1:]:
            name = f"{size:,} runs"
            ours, theirs = seen[name], seen[first]
            figures.append(
                Figure(
                    f"evaluating one subject, {name} / {first}", ours["us"], theirs["us"], "µs CPU", "lower", 1.2, 1.0
                )
            )
            figures.append(
                Figure(
                    f"opening the store, {name} / {first}",
                    opened[name]["ms"],
                    opened[first]["ms"],
                    "ms",
                    "lower",
                    1.5,
                    1.1,
                )
            )
    return figures


def make_history(url: str, size: int) -> None:
    """A store with size runs of PIPELINES pipelines, each of which ran every hour until now."""
    clock = SystemClock()
    database = Database(url)
    migrations.migrate(database, clock)
    now = clock.now()
    body = b"[" + b",".join(live(template(event()), now, PIPELINES, seed=size)) + b"]"
    append(database, Intake(OpenLineage().decode(body, Received(now)).facts)).result()
    recent = to_micros(now) - _HOUR // 2
    columns = [column.name for column in runs.columns]
    values = [_copied(name) for name in columns]
    names = ", ".join(f'"{name}"' for name in columns)
    copy = text(
        "WITH RECURSIVE back(hours) AS (SELECT :first UNION ALL SELECT hours + 1 FROM back WHERE hours < :last) "
        f"INSERT INTO runs ({names}) SELECT {', '.join(values)} FROM back CROSS JOIN "
        "newest AS run"
    )
    newest = "CREATE TEMP TABLE newest AS SELECT * FROM runs WHERE position > :recent ORDER BY job_id"
    database.write(lambda connection: connection.execute(text(newest), {"recent": recent}).rowcount)
    indexes = database.write(_without_indexes)
    for first in range(1, size // PIPELINES, HOURS_AT_ONCE):
        span = {"first": first, "last": min(first + HOURS_AT_ONCE, size // PIPELINES) - 1}
        database.write(lambda connection, span=span: connection.execute(copy, span).rowcount, timeout_s=None)
    for made in indexes:
        database.write(lambda connection, made=made: connection.execute(text(made)).rowcount, timeout_s=None)
    database.close()


def _without_indexes(connection: Connection) -> list[str]:
    """Drops those of runs and returns how each is made: filled at once they take a tenth of the time."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'runs' AND sql IS NOT NULL"
    found = connection.execute(text(query)).all()
    for index in found:
        connection.execute(text(f'DROP INDEX "{index.name}"'))
    return [index.sql for index in found]


def _copied(name: str) -> str:
    if name == "id":
        return "printf('%08x', hours) || substr(run.id, 9)"
    if name == "started_at":
        return f"run.ended_at - hours * {_HOUR} - 60000000 - abs(random()) % 20000000"
    return f"run.{name} - hours * {_HOUR}" if name in _SHIFTED else f'run."{name}"'


def _evaluate(stack: ExitStack, url: str) -> Callable[[], Mapping[str, float]]:
    clock = SystemClock()
    database = Database(url)
    stack.callback(database.close)
    parts = build(Config(), clock, "http://127.0.0.1")
    engine = Engine(Subjects(database, "bench"), NoPlan(), clock, lambda: parts.rules, parts.kinds)
    with database.read() as connection:
        query = text("SELECT id FROM jobs ORDER BY id LIMIT :subjects")
        keys = [SubjectKey("job", ident) for ident in connection.scalars(query, {"subjects": SUBJECTS})]

    def measure() -> Mapping[str, float]:
        begun = time.process_time()
        for key in keys:
            engine.evaluate_now([key])
        return {"us": (time.process_time() - begun) / len(keys) * 1e6}

    return measure


def _open(url: str) -> Callable[[], Mapping[str, float]]:
    clock = SystemClock()

    def measure() -> Mapping[str, float]:
        begun = now_s()
        database = Database(url)
        migrations.check_startable(database, clock)
        with database.read() as connection:
            connection.execute(text("SELECT max(position) FROM runs")).scalar_one()
        taken = now_s() - begun
        database.close()
        return {"ms": taken * 1e3}

    return measure
