"""What a rule test gives, as facts in the form that collectors make of events: one list, in the order of time."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from watchtower.config.rule_tests import GivenData, GivenRun, GivenValue, Repeated, RuleTest
from watchtower.errors import ConfigError, Fault
from watchtower.model.fact import Fact, fact_key
from watchtower.model.run import DatasetIO, DatasetPatch, DatasetRef, JobPatch, JobRef, RunError, RunPatch, RunState
from watchtower.ports import Collector, Received

_KIND = "rehearsal"


@dataclass(frozen=True, slots=True)
class World:
    """What names mean under a configuration. namespace: of what names none; source_of: the source that stands for a
    namespace; series: what reads numbers."""

    namespace: str
    source_of: Callable[[str], str]
    series: Collector


def facts_of(test: RuleTest, world: World) -> list[tuple[datetime, Fact]]:
    """Each with the moment at which it is heard. Raises ConfigError for a number that is not taken."""
    told: list[tuple[datetime, Fact]] = []
    for index, given in enumerate(test.given):
        if given.run is not None:
            told += _of_runs(index, given.run, test.begins, world)
        if given.value is not None:
            told += _of_values(index, given.value, test, world)
        if given.data is not None:
            told += _of_data(given.data, test.begins)
    return sorted(told, key=lambda each: each[0])


def moments(given: Repeated, begins: datetime) -> Iterator[datetime]:
    for number in range(given.count):
        yield begins + timedelta(seconds=given.at + number * (given.every or 0.0))


def _of_runs(index: int, given: GivenRun, begins: datetime, world: World) -> Iterator[tuple[datetime, Fact]]:
    namespace = given.namespace or world.namespace
    job = JobRef(world.source_of(namespace), namespace, given.pipeline)
    late_s = given.at - given.planned if given.planned is not None else 0.0
    for number, at in enumerate(moments(given, begins)):
        run = _Run(given, job, f"given-{index}-{number}", at, at - timedelta(seconds=late_s))
        yield from run.told()


class _Run:
    """One run, as its orchestrator tells of it."""

    def __init__(self, given: GivenRun, job: JobRef, name: str, at: datetime, planned: datetime) -> None:
        self._given, self._job, self._name, self._at, self._planned = given, job, name, at, planned

    def told(self) -> Iterator[tuple[datetime, Fact]]:
        given, task = self._given, self._task()
        described = JobPatch(self._job, owner=given.owner, schedule=given.schedule)
        if given.waits:
            queued = self._at - timedelta(seconds=given.waits)
            yield self._fact(self._job, "QUEUED", queued, RunState.QUEUED, jobs=(described,))
        yield self._fact(self._job, "START", self._at, RunState.RUNNING, jobs=(described,))
        if task:
            yield from self._tries(task)
        if given.takes is None:
            return
        yield from self._beats(given.takes)
        end = self._at + timedelta(seconds=given.takes)
        yield self._fact(self._job, _end_event(given.state), end, given.state)

    def _tries(self, task: JobRef) -> Iterator[tuple[datetime, Fact]]:
        given, last = self._given, self._given.tries
        each_s = (given.takes or 0.0) / last
        for number in range(1, last + 1):
            begin = self._at + timedelta(seconds=(number - 1) * each_s)
            yield self._fact(task, "START", begin, RunState.RUNNING, attempt=number)
            if given.takes is not None:
                state = given.state if number == last else RunState.FAILED
                end = begin + timedelta(seconds=each_s)
                yield self._fact(task, _end_event(state), end, state, attempt=number)

    def _beats(self, takes_s: float) -> Iterator[tuple[datetime, Fact]]:
        every_s = self._given.beats
        for number in range(1, math.ceil(takes_s / every_s) if every_s else 1):
            when = self._at + timedelta(seconds=number * (every_s or 0.0))
            yield self._fact(self._job, "RUNNING", when, RunState.RUNNING)

    def _task(self) -> JobRef | None:
        job, task = self._job, self._given.task
        return JobRef(job.source, job.namespace, job.pipeline, task) if task else None

    def _fact(
        self,
        job: JobRef,
        event: str,
        when: datetime,
        state: RunState,
        *,
        jobs: Sequence[JobPatch] = (),
        attempt: int | None = None,
    ) -> tuple[datetime, Fact]:
        """attempt: of a task."""
        given, ends = self._given, state.is_terminal
        is_task = job.task is not None
        patch = RunPatch(
            aliases=(f"{_KIND}|{job.id}|{self._name}" + (f"|{attempt}" if attempt and attempt > 1 else ""),),
            job=job,
            event_type=event,
            state=state,
            trigger=given.trigger_kind,
            native_run_id=self._name,
            parent_alias=f"{_KIND}|{job.pipeline_ref.id}|{self._name}" if is_task else None,
            nominal_start=self._planned,
            queued_at=when if event == "QUEUED" else None,
            started_at=when if event == "START" else None,
            ended_at=when if ends else None,
            attempt=attempt,
            max_attempts=given.tries if is_task else None,
            final=attempt == given.tries if is_task and ends else None,
            error=RunError(given.error or "it failed") if state.is_bad and (is_task or not given.task) else None,
            datasets=tuple(self._written()) if ends and not is_task else (),
        )
        key = fact_key(when, job.id, self._name, event, str(attempt))
        made = Fact(key, job.source, _KIND, when, when, b"{}", run=patch, jobs=tuple(jobs))
        return when, made

    def _written(self) -> Iterable[DatasetIO]:
        for each in self._given.writes:
            ref = DatasetRef(each.namespace, each.dataset)
            yield DatasetIO(
                ref,
                "out",
                row_count=each.rows,
                size_bytes=each.bytes,
                checksum=each.checksum,
                partition=each.partition,
            )


def _end_event(state: RunState) -> str:
    return "COMPLETE" if state is RunState.SUCCEEDED else "FAIL"


def _of_data(given: GivenData, begins: datetime) -> Iterator[tuple[datetime, Fact]]:
    ref = DatasetRef(given.namespace, given.dataset)
    behind_s = given.at - given.newest if given.newest is not None else 0.0
    fields = None if given.fields is None else tuple(given.fields.items())
    for at in moments(given, begins):
        patch = DatasetPatch(ref, fields=fields, updated_at=at - timedelta(seconds=behind_s))
        key = fact_key(at, ref.id, "dataset", msgspec.json.encode(given.fields))
        yield at, Fact(key, given.namespace, "dataset", at, at, b"{}", datasets=(patch,))


def _of_values(index: int, given: GivenValue, test: RuleTest, world: World) -> Iterator[tuple[datetime, Fact]]:
    for at in moments(given, test.begins):
        said = {
            "name": given.series,
            "value": given.value,
            "job": given.pipeline,
            "namespace": (given.namespace or world.namespace) if given.pipeline else None,
            "task": given.task,
            "at": at.isoformat(),
            "labels": given.labels or None,
            "kind": given.kind,
        }
        body = msgspec.json.encode({name: value for name, value in said.items() if value is not None})
        decoded = world.series.decode(body, Received(received_at=at))
        if decoded.rejects:
            raise ConfigError([Fault(f"given[{index}].value", f"test {test.name!r}: {decoded.rejects[0].message}")])
        for fact in decoded.facts:
            yield at, fact
