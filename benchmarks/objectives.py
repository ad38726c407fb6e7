"""What it costs to judge many SLOs: all of them once, and a minute of a fleet in which only some runs end.

Beside it Prometheus evaluates what a generator of SLOs (Sloth) writes for the same runs (`recordings`).
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy import insert

from benchmarks.figures import Figure, Options, Skipped, now_s, say
from benchmarks.recordings import Fleet, Spent, evaluating
from rules.engine import Engine
from watchtower.app.parts import build
from watchtower.clock import ManualClock
from watchtower.config import Config
from watchtower.model.alert import Planned
from watchtower.model.labels import Labels, Matcher
from watchtower.model.slo import Indicator, Objective, Period, Sli, Slo
from watchtower.model.slo_days import days_of
from watchtower.server.slo_standings import SloStandings
from watchtower.store import due, migrations, slos
from watchtower.store.database import Database
from watchtower.store.schema.slos import slo_counts
from watchtower.store.subjects import Subjects

ROUNDS = 3
PEERS = 250  # at most: of 2,000 pipelines 90 days are backfilled in 24 minutes, and each costs Prometheus the same
HOUR, DAY = 60, 1_440
CPU, WALL = "µs CPU an SLO", "µs an SLO"


class _NoPlan:
    def plan(self, labels: Labels) -> tuple[Planned, ...]:
        return ()


def objectives(options: Options) -> Sequence[Figure | Skipped]:
    pipelines, days = (2_000, 90) if options.full else (100, 30)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        fleet = Fleet(pipelines, days, HOUR, now)
        hourly = _judging(folder, fleet)
        first, next_ = _scraping(folder, fleet)
        short = _judging(folder, Fleet(pipelines, days // 3, HOUR, now))
        daily = _judging(folder, Fleet(pipelines, days, DAY, now))
        dense = _judging(folder, Fleet(max(20, pipelines // 20), days, 1, now))
        peers = Fleet(min(pipelines, PEERS), days, HOUR, now)
        windows, whole = evaluating(folder / "peer", peers)
    note = f"{pipelines:,} SLOs, of Prometheus {peers.pipelines:,}, {days} days, one core each"
    every, own = "Prometheus, windows and budget", "from the due queue to the commit"
    lower = "lower"
    return [
        Figure(f"SLOs of hourly jobs, each judged / {every}", hourly.cpu, whole.cpu, CPU, lower, 0.2, 0.05, note),
        Figure("the same, wall", hourly.wall, whole.wall, WALL, lower, note=own),
        Figure("the same / Prometheus, windows alone", hourly.cpu, windows.cpu, CPU, lower),
        Figure(f"SLOs of daily jobs, each judged / {every}", daily.cpu, whole.cpu, CPU, lower, 0.2, 0.05),
        Figure(f"SLOs of jobs of each minute, each judged / {every}", dense.cpu, whole.cpu, CPU, lower),
        Figure(
            f"a minute of hourly jobs, those that ended / {every}, all of them",
            hourly.cpu / HOUR,
            whole.cpu,
            CPU,
            lower,
            0.03,
            0.01,
            "one evaluation a minute",
        ),
        Figure(f"SLOs of hourly jobs, {days} days / {days // 3} days", hourly.cpu, short.cpu, CPU, lower, 1.5, 1.0),
        Figure("a scrape a minute after another / the first one, which judges all", next_, first, CPU, lower, 0.5, 0.2),
    ]


def _judging(folder: Path, fleet: Fleet) -> Spent:
    """Of an evaluation through the engine, everything due at once: from the claim to the commit."""
    clock = ManualClock(fleet.now)
    database = Database(f"sqlite:///{_file(folder, fleet)}")
    migrations.migrate(database, clock)
    given = [_slo(number) for number in range(fleet.pipelines)]
    database.write(lambda connection: slos.declare(connection, given, fleet.now))
    for number, slo in enumerate(given):
        rows = [{"slo": slo.name, "part": 0, **day} for day in _days(fleet, number)]
        database.write(lambda connection, rows=rows: connection.execute(insert(slo_counts), rows).rowcount)
    parts = build(Config(), clock, "http://127.0.0.1")
    engine = Engine(Subjects(database, "bench"), _NoPlan(), clock, lambda: parts.rules, parts.kinds)
    subjects = [f"slo:{slo.name}" for slo in given]
    rounds: list[Spent] = []
    for _ in range(ROUNDS + 1):
        database.write(lambda connection: due.mark(connection, due.RULES, subjects, fleet.now))
        used, begun = time.process_time(), now_s()
        while engine.step(fleet.now):
            pass
        rounds.append(Spent.of(time.process_time() - used, now_s() - begun, fleet.pipelines))
    database.close()
    best = min(rounds[1:])
    say(f"  {fleet.pipelines:,} SLOs, a run each {fleet.every} min, {fleet.days} days: {best}")
    return best


def _scraping(folder: Path, fleet: Fleet) -> tuple[float, float]:
    """Of what `/metrics` says of SLOs, µs of CPU for each: at first, and a minute later, when nothing has happened."""
    database = Database(f"sqlite:///{_file(folder, fleet)}")
    standings, spent = SloStandings(), list[float]()
    for now in (fleet.now, fleet.now + timedelta(minutes=1)):
        used = time.process_time()
        with database.read() as connection:
            standings.read(connection, now)
        spent.append((time.process_time() - used) / fleet.pipelines * 1e6)
    database.close()
    say(f"  /metrics, {fleet.pipelines:,} SLOs: {spent[0]:,.0f} µs CPU each, a minute later {spent[1]:,.0f}")
    return spent[0], spent[1]


def _file(folder: Path, fleet: Fleet) -> Path:
    return folder / f"{fleet.every}-{fleet.days}.db"


def _days(fleet: Fleet, number: int) -> Iterator[Mapping[str, int | bytes]]:
    counts: dict[int, list[int]] = {}
    for minute, good in fleet.runs(number):
        counts.setdefault(minute, [0, 0])[0 if good else 1] += 1
    for day in days_of(counts):
        yield {"day": day.number, "good": day.good, "bad": day.bad, "body": day.body}


def _slo(number: int) -> Slo:
    runs = Indicator("runs", Sli.SUCCESS, (Matcher("pipeline", "=", f"p{number:04}"),))
    return Slo(f"slo{number:04}", Period(30, "d"), (Objective(Decimal("0.99"), runs),))
