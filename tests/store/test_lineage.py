"""What a dataset comes from and what comes of a pipeline, on every store."""

from tests.builders import ORDERS, at, complete, fail, start, task_of, writes
from watchtower.model.fact import Fact
from watchtower.model.lineage import Fed, Stage
from watchtower.model.run import DatasetIO, DatasetRef, JobRef, RunState
from watchtower.store import facts
from watchtower.store.database import Database
from watchtower.store.reading import lineage

RAW, CLEAN, MART, REPORT = (DatasetRef("lake", name) for name in ("raw", "clean", "mart", "report"))
EXTRACT, TIDY, BUILD, SHOW = (JobRef(ORDERS.source, "prod", name) for name in ("extract", "tidy", "build", "show"))


def ran(job: JobRef, when: float, reads: tuple[DatasetRef, ...], wrote: tuple[DatasetRef, ...]) -> list[Fact]:
    datasets = (*(DatasetIO(ref, "in") for ref in reads), *(writes(ref) for ref in wrote))
    name = f"{job.name}-{when}"
    return [start(name, at(when), job=job), complete(name, at(when + 60), job=job, datasets=datasets)]


def tell(database: Database, *more: Fact) -> None:
    """extract → raw → tidy (by its tasks) → clean → build → mart → show → report; build reads what it wrote, too."""
    told = [
        *ran(EXTRACT, 0, (), (RAW,)),
        *ran(TIDY, 100, (), ()),
        *ran(task_of(TIDY, "read"), 110, (RAW,), ()),
        *ran(task_of(TIDY, "write"), 120, (), (CLEAN,)),
        *ran(BUILD, 200, (CLEAN, MART), (MART,)),
        *ran(SHOW, 300, (MART,), (REPORT,)),
    ]
    facts.append(database, facts.Intake([*told, *more])).result(10)


def upstream(database: Database, ref: DatasetRef) -> list[Stage]:
    with database.read() as connection:
        return lineage.upstream(connection, [ref.id])


def downstream(database: Database, *job_ids: str) -> list[Fed]:
    with database.read() as connection:
        return lineage.downstream(connection, job_ids)


def test_a_dataset_comes_from_whatever_wrote_what_its_writer_reads(database: Database) -> None:
    tell(database, start("x", at(400), job=EXTRACT), fail("x", at(460), job=EXTRACT))
    found = upstream(database, REPORT)
    assert [(stage.job.ref, stage.steps) for stage in found] == [(SHOW, 1), (BUILD, 2), (TIDY, 3), (EXTRACT, 4)]
    needs = {stage.job.ref.pipeline: stage.needs for stage in found}
    assert needs == {
        "show": {BUILD.id},
        "build": {TIDY.id},
        "tidy": {EXTRACT.id},
        "extract": frozenset(),
    }
    assert [run.state for run in found[-1].runs] == [RunState.SUCCEEDED, RunState.FAILED]


def test_two_that_feed_one_another_are_walked_once(database: Database) -> None:
    tell(database, *ran(EXTRACT, 500, (REPORT,), (RAW,)))
    found = upstream(database, REPORT)
    assert [stage.job.ref for stage in found] == [SHOW, BUILD, TIDY, EXTRACT]
    assert found[-1].needs == {SHOW.id}
    assert [fed.dataset.ref for fed in downstream(database, EXTRACT.id)] == [RAW, CLEAN, MART, REPORT]


def test_what_nobody_writes_comes_from_nowhere(database: Database) -> None:
    tell(database)
    assert upstream(database, DatasetRef("lake", "nothing")) == []
    assert downstream(database) == []
    assert downstream(database, "nothing") == []


def test_all_that_comes_of_a_pipeline_is_found_with_those_who_read_it(database: Database) -> None:
    tell(database)
    found = [(fed.dataset.ref, fed.steps, fed.readers) for fed in downstream(database, EXTRACT.id)]
    assert found == [(RAW, 1, (TIDY,)), (CLEAN, 2, (BUILD,)), (MART, 3, (SHOW,)), (REPORT, 4, ())]
    of_a_task = [fed.dataset.ref for fed in downstream(database, task_of(TIDY, "read").id)]
    assert of_a_task == [CLEAN, MART, REPORT]


def test_readers_are_named_by_their_pipelines(database: Database) -> None:
    tell(database)
    with database.read() as connection:
        assert lineage.readers_of(connection, RAW.id) == (TIDY,)
        assert lineage.readers_of(connection, REPORT.id) == ()
