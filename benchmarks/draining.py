"""How fast a queue of due subjects is drained: claimed, judged by all shipped rules, and committed with the next look.

The subjects are those of a store with a full window of runs each, all due at once and again and again, as after a night
in which nothing ran. Nothing is wrong with them, so it is the queue and the evaluations that are measured. Minutes are
of CPU: on a machine of its own one process takes as long, since its two threads take turns.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import text

from benchmarks.figures import Figure, Options, Skipped, alternate, say
from benchmarks.history import PIPELINES, NoPlan, make_history
from rules.engine import Engine
from watchtower.app.parts import build
from watchtower.clock import SystemClock
from watchtower.config import Config
from watchtower.garbage import settled
from watchtower.model.rule import SubjectKey
from watchtower.store import due
from watchtower.store.database import Database
from watchtower.store.subjects import Subjects

WANTED = 100_000  # a minute
TURNS = 5  # in which all of them are due
RUNS = 100_000


def draining(options: Options) -> Sequence[Figure | Skipped]:
    turns = 10 * TURNS if options.full else TURNS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{folder / 'due.db'}"
        make_history(url, RUNS)
        say(f"  {RUNS:,} runs of {PIPELINES} pipelines made")
        database = Database(url)
        stack.callback(database.close)
        stack.enter_context(settled())  # as a server runs
        seen = alternate({"draining": lambda: _drain(database, turns)}, options.rounds)["draining"]
    name = "due evaluations drained in a minute of CPU / what is wanted of two cores"
    return [Figure(name, seen["a_minute"], WANTED, "evaluations", "higher", note=f"{seen['us']:.0f} µs each")]


def _drain(database: Database, turns: int) -> Mapping[str, float]:
    clock = SystemClock()
    parts = build(Config(), clock, "http://127.0.0.1")
    engine = Engine(Subjects(database, "bench"), NoPlan(), clock, lambda: parts.rules, parts.kinds)
    with database.read() as connection:
        keys = [str(SubjectKey("job", ident)) for ident in connection.scalars(text("SELECT id FROM jobs"))]
    drained, spent = 0, 0.0
    for _ in range(turns):
        database.write(lambda connection: due.mark(connection, due.RULES, keys, clock.now()))
        begun = time.process_time()
        while claimed := engine.step():
            drained += claimed
        spent += time.process_time() - begun
    return {"us": spent / drained * 1e6, "a_minute": 60 * drained / spent}
