"""How the tasks of past runs lay in time, as the store tells it, and a forecast made of it on the real stores."""

from datetime import timedelta

from msgspec.structs import replace

from rules.engine import Engine
from rules.kinds.deadline_risk import DeadlineRisk, DeadlineRiskConfig
from tests.builders import DAY, ORDERS, complete, start, task_of
from tests.rules.memory import OneReceiver
from tests.rules.test_docs import KINDS
from watchtower.clock import ManualClock
from watchtower.model.fact import Fact
from watchtower.model.instants import to_micros
from watchtower.model.rule import Rule
from watchtower.model.run import JobPatch
from watchtower.model.timing import Timings
from watchtower.store import facts, runs
from watchtower.store.database import Database
from watchtower.store.subjects import Subjects
from watchtower.store.timings import timings

DAYS = 12


def _day(day: int, *, until: int = 60) -> list[Fact]:
    """extract takes ten minutes, load twenty behind it; what happens until so many minutes after the start."""
    began = DAY + timedelta(days=day)
    minutes = [began + timedelta(minutes=each) for each in range(61)]
    extract, load = task_of(ORDERS, "extract"), task_of(ORDERS, "load")
    run = f"d{day}"
    heard = [
        start(run, minutes[0], nominal_start=began),
        start(f"{run}-e", minutes[1], job=extract, parent=run),
        complete(f"{run}-e", minutes[11], job=extract, parent=run),
        start(f"{run}-l", minutes[12], job=load, parent=run),
        complete(f"{run}-l", minutes[32], job=load, parent=run),
        complete(run, minutes[33], nominal_start=began),
    ]
    return [one for one in heard if one.event_time <= began + timedelta(minutes=until)]


def _tell(database: Database, *some: Fact) -> None:
    facts.append(database, facts.Intake(some)).result(10)


def test_each_task_of_a_run_is_one_span_of_time_with_what_it_waits_for(database: Database) -> None:
    load = task_of(ORDERS, "load")
    waits = replace(_day(0)[0], kind="job", run=None, jobs=(JobPatch(load, upstream_tasks=("extract",)),))
    again = start("d0-l2", DAY + timedelta(minutes=32), job=load, parent="d0", attempt=2)
    ended = complete("d0-l2", DAY + timedelta(minutes=33), job=load, parent="d0", attempt=2)
    _tell(database, *_day(0), again, ended)
    _tell(database, replace(waits, key=replace(waits.key, digest=bytes(16))))
    with database.read() as connection:
        (run,) = runs.newest(connection, [ORDERS.id], 1)[ORDERS.id]
        found = timings(connection, {ORDERS: [run.id, "nothing"]})

    def span(first: int, last: int) -> tuple[int, int]:
        return to_micros(DAY + timedelta(minutes=first)), to_micros(DAY + timedelta(minutes=last))

    tasks = {run.id: {"extract": span(1, 11), "load": span(12, 33)}}
    assert found == {ORDERS: Timings(tasks, {"load": ("extract",)})}


def test_a_miss_is_foretold_from_tasks_in_the_store(database: Database, clock: ManualClock) -> None:
    """Due 40 minutes after the start; `extract` ends 12 minutes late."""
    rule = Rule("AtRisk", "deadline_risk", DeadlineRiskConfig.model_validate({"finish_within": "40m"}), declared=True)
    subjects = Subjects(database, "test")
    engine = Engine(subjects, OneReceiver(), clock, lambda: (rule,), {**KINDS, "deadline_risk": DeadlineRisk()})
    _tell(database, *(one for day in range(DAYS) for one in _day(day)), *_day(DAYS, until=1))
    keys = subjects.named(ORDERS.pipeline)
    began = DAY + timedelta(days=DAYS)
    calm = [each for each in engine.evaluate_now(keys, began + timedelta(minutes=10)) if each.verdicts]
    assert [verdict.result for each in calm for verdict in each.verdicts] == ["ok"]
    risk = [each for each in engine.evaluate_now(keys, began + timedelta(minutes=24)) if each.verdicts]
    (verdict,) = risk[0].verdicts
    assert verdict.evaluation.violations[-1].evidence["waits_for"] == "extract"
