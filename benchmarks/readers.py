"""Reading beside a writer: the newest runs of one pipeline, in a loop, idle and while another process commits batches.

`python -m benchmarks.readers FOLDER` is the writer.
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from benchmarks.figures import Figure, Options, Skipped, alternate, now_s, pause, percentile
from benchmarks.history import make_history
from benchmarks.machine import cores, on_core, pinned, process, python
from benchmarks.traffic import event, live, template
from collectors.openlineage import OpenLineage
from watchtower.ports import Received
from watchtower.store import runs
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append

READS = 2_000
NEWEST = 20


def readers(options: Options) -> Sequence[Figure | Skipped]:
    server, load = cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'watchtower.db'}"
        make_history(url, 1_000_000 if options.full else 100_000)
        database = Database(url)

        def idle() -> Mapping[str, float]:
            return _read(database)

        def busy() -> Mapping[str, float]:
            with process(on_core(server, python("benchmarks.readers", url)), folder / "log") as writer:
                pause(3)
                seen = _read(database)
                if writer.poll() is not None:
                    raise RuntimeError((folder / "log").read_text())
                return seen

        with pinned(load):
            seen = alternate({"idle": idle, "writing": busy}, options.rounds)
        database.close()
    return [
        Figure(
            "reading p99, beside a writer / idle",
            seen["writing"]["p99_us"],
            seen["idle"]["p99_us"],
            "µs",
            "lower",
            5,
            2,
        ),
        Figure("reading p50, beside a writer / idle", seen["writing"]["p50_us"], seen["idle"]["p50_us"], "µs", "lower"),
    ]


def _read(database: Database) -> Mapping[str, float]:
    taken: list[float] = []
    with database.read() as connection:
        jobs = list(connection.scalars(text("SELECT id FROM jobs LIMIT 200")))
    for number in range(READS):
        begun = now_s()
        with database.read() as connection:
            runs.newest(connection, [jobs[number % len(jobs)]], NEWEST)
        taken.append((now_s() - begun) * 1e6)
    return {"p50_us": percentile(taken, 0.5), "p99_us": percentile(taken, 0.99)}


def write(url: str) -> None:
    """Commit batches of 100 events until it is ended."""
    database, collector, made = Database(url), OpenLineage(), template(event())
    for number in range(1_000_000):
        now = datetime.now(UTC)
        seed = os.getpid() * 1_000_000 + number
        body = b"[" + b",".join(live(made, now, 100, seed=seed, first=number * 100)) + b"]"
        append(database, Intake(collector.decode(body, Received(now)).facts)).result()


if __name__ == "__main__":
    write(sys.argv[1])
