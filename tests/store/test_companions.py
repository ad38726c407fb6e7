"""Jobs and datasets that rules look at beside their subject are found by name, on every store."""

from dataclasses import replace

from tests.builders import ORDERS, ORDERS_TABLE, alias, at, complete, fail, start, task_of, writes
from watchtower.model.companion import ITSELF, Companion
from watchtower.model.rule import JobSnapshot, Snapshot, SubjectKey
from watchtower.model.run import JobRef, RunState
from watchtower.store import facts
from watchtower.store.companions import companions
from watchtower.store.database import Database
from watchtower.store.subjects import Subjects

ELSEWHERE = JobRef("other", "elsewhere", ORDERS.pipeline)


def _told(database: Database, companion: Companion, beside: str) -> tuple[list[str], int, str | None]:
    """(states of its runs, how many updates, problem)."""
    wanted = companion.of(beside, "")
    with database.read() as connection:
        found = companions(connection, [wanted])[wanted]
    return [run.state for run in found.past], len(found.updates), found.problem


def test_a_name_means_the_one_in_the_namespace_of_the_subject(database: Database) -> None:
    here = [
        start("r1", at(0)),
        complete("r1", at(60), datasets=(writes(),)),
        start("t1", at(1), job=task_of(ORDERS, "load")),
    ]
    facts.append(database, facts.Intake([*here, start("r2", at(0), job=ELSEWHERE)])).result(10)
    own = Companion("job", ORDERS.pipeline)
    assert _told(database, own, ORDERS.namespace) == (["succeeded"], 0, None)
    assert _told(database, own, ELSEWHERE.namespace) == (["running"], 0, None)
    assert _told(database, Companion("job", ORDERS.pipeline, "load"), "nowhere") == (["running"], 0, None)
    assert _told(database, Companion("job", ORDERS.pipeline, None, "elsewhere"), ORDERS.namespace)[0] == ["running"]
    assert _told(database, Companion("dataset", ORDERS_TABLE.name), "nowhere") == ([], 1, None)


def test_what_a_run_its_tasks_and_what_those_set_off_wrote_is_known(database: Database) -> None:
    """Of two runs of the subject: the older one wrote by its task, the newer one itself and by a job of its task."""
    load, spark = task_of(ORDERS, "load"), JobRef("spark", "spark", "load_app")
    told = [
        start("r1", at(0)),
        start("t1", at(1), job=load, parent="r1"),
        complete("t1", at(30), job=load, datasets=(writes(rows=7, partition="a"), writes(rows=3, partition="b"))),
        complete("r1", at(60)),
        start("r2", at(100)),
        start("t2", at(101), job=load, parent="r2"),
        start("s2", at(102), job=spark, parent_alias=alias("t2", load)),
        complete("s2", at(110), job=spark, datasets=(writes(rows=9),)),
        complete("t2", at(130), job=load),
        complete("r2", at(160)),
    ]
    facts.append(database, facts.Intake(told)).result(10)
    wanted = ITSELF.writing.of(ORDERS.namespace, ORDERS.id)
    with database.read() as connection:
        found = companions(connection, [wanted])[wanted]
    counts = {run: sorted(each.update.row_count or 0 for each in wrote) for run, wrote in found.wrote.items()}
    assert [counts[run.id] for run in found.past] == [[9], [3, 7]]
    assert {each.dataset for wrote in found.wrote.values() for each in wrote} == {ORDERS_TABLE.name}


def test_runs_are_known_whole_as_far_as_a_rule_asks_and_skipped_ones_do_not_count(database: Database) -> None:
    told = [start(f"r{number}", at(100 * number)) for number in range(6)]
    told += [complete(f"r{number}", at(100 * number + 50)) for number in (0, 1, 5)]
    told += [complete(f"r{number}", at(100 * number + 50), state=RunState.SKIPPED) for number in (2, 3)]
    load = task_of(ORDERS, "load")
    told += [
        start("t4", at(401), job=load, parent="r4"),
        fail("t4", at(410), job=load, parent="r4"),
        fail("r4", at(450)),
    ]
    facts.append(database, facts.Intake(told)).result(10)
    wanted = Companion("job", "", whole=3).of(ORDERS.namespace, ORDERS.id)
    with database.read() as connection:
        found = companions(connection, [wanted])[wanted]
    assert [run.state.value for run in found.runs] == ["succeeded", "failed", "succeeded"]
    assert len(found.past) == 6
    assert [attempt.job.task for attempt in found.attempts[found.runs[1].id]] == ["load"]


def test_a_job_that_was_renamed_has_the_runs_that_it_had_before(database: Database) -> None:
    """Those before it was first heard of by its new name, and none that came under the old one later."""
    renamed = JobRef(ORDERS.source, ORDERS.namespace, "orders_v2")
    told = [
        *(complete(f"r{number}", at(100 * number), started_at=at(100 * number - 50)) for number in range(1, 5)),
        complete("n1", at(350), job=renamed, started_at=at(300)),
    ]
    facts.append(database, facts.Intake(told)).result(10)
    for name, ends in ((ORDERS.pipeline, [at(300), at(200), at(100)]), ("nothing", [])):

        def owned(snapshot: Snapshot, name: str = name) -> Snapshot:
            assert isinstance(snapshot, JobSnapshot)
            return replace(snapshot, formerly=Companion("job", name))

        key = SubjectKey("job", renamed.id)
        found = Subjects(database, "test", owned=owned).snapshots([key])[key]
        assert isinstance(found, JobSnapshot)
        assert [run.ended_at for run in found.former] == ends
        assert len(found.past) == 1


def test_what_is_not_known_and_what_is_known_twice_is_said(database: Database) -> None:
    both = [start("r1", at(0)), start("r2", at(0), job=ELSEWHERE)]
    facts.append(database, facts.Intake(both)).result(10)
    problem = _told(database, Companion("job", ORDERS.pipeline), "nowhere")[2] or ""
    assert "is known more than once (" in problem
    assert "name the namespace" in problem
    assert _told(database, Companion("dataset", "nothing"), "nowhere")[2] == "nothing was never heard of"
    missing = Companion("job", ORDERS.pipeline, None, "a third one")
    assert _told(database, missing, ORDERS.namespace)[2] == f"{ORDERS.pipeline} was never heard of"
