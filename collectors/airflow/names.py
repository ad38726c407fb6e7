"""The names of a run and of a try: as Airflow's API has them, as OpenLineage has them, and as its pages' addresses."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from collectors.airflow import run_ids
from collectors.identity import identifier, openlineage_alias, run_alias, task_alias
from watchtower.model.run import JobRef


@dataclass(frozen=True, slots=True)
class Place:
    """One Airflow. source, namespace: of its jobs; url: of its pages, without a slash at the end."""

    source: str
    namespace: str
    url: str

    def job(self, dag_id: str, task_id: str | None = None) -> JobRef:
        task = None if task_id is None else identifier(task_id)
        return JobRef(self.source, identifier(self.namespace), identifier(dag_id), task)


@dataclass(frozen=True, slots=True)
class RunNames:
    """generation: how often it was cleared; instant: its logical date, else the moment it was due. old: of Airflow 2,
    whose pages have other addresses."""

    place: Place
    dag_id: str
    run_id: str
    generation: int
    instant: datetime | None
    old: bool

    @property
    def ref(self) -> JobRef:
        return self.place.job(self.dag_id)

    @property
    def native(self) -> str:
        ref = self.ref
        return run_alias(ref.source, ref.namespace, ref.pipeline, self.run_id, self.generation)

    @property
    def openlineage_id(self) -> str | None:
        """As Airflow's provider computes it."""
        if self.instant is None:
            return None
        return run_ids.dag_run_id(self.place.namespace, self.dag_id, self.generation, self.instant)

    @property
    def aliases(self) -> tuple[str, ...]:
        uuid = self.openlineage_id
        return (self.native, *((openlineage_alias(self.place.namespace, self.dag_id, uuid),) if uuid else ()))

    @property
    def url(self) -> str:
        dag = f"{self.place.url}/dags/{_quoted(self.dag_id)}"
        return f"{dag}/grid?dag_run_id={_quoted(self.run_id)}" if self.old else f"{dag}/runs/{_quoted(self.run_id)}"


@dataclass(frozen=True, slots=True)
class TryNames:
    """One try of a task. map_index: None for a task that is not mapped."""

    run: RunNames
    task_id: str
    map_index: int | None
    attempt: int

    @property
    def ref(self) -> JobRef:
        return self.run.place.job(self.run.dag_id, self.task_id)

    @property
    def native(self) -> str:
        ref = self.ref
        return task_alias(
            ref.source,
            ref.namespace,
            ref.pipeline,
            self.run.run_id,
            task=ref.task or "",
            map_index=self.map_index,
            attempt=self.attempt,
        )

    @property
    def openlineage_id(self) -> str | None:
        run = self.run
        if run.instant is None:
            return None
        index = -1 if self.map_index is None else self.map_index
        return run_ids.task_run_id(
            run.place.namespace,
            run.dag_id,
            self.task_id,
            try_number=self.attempt,
            map_index=index,
            instant=run.instant,
        )

    @property
    def aliases(self) -> tuple[str, ...]:
        uuid, name = self.openlineage_id, f"{self.run.dag_id}.{self.task_id}"
        return (self.native, *((openlineage_alias(self.run.place.namespace, name, uuid),) if uuid else ()))

    @property
    def url(self) -> str:
        task, mapped = _quoted(self.task_id), self.map_index is not None
        if self.run.old:
            return f"{self.run.url}&task_id={task}{f'&map_index={self.map_index}' if mapped else ''}&tab=logs"
        return f"{self.run.url}/tasks/{task}{f'/mapped/{self.map_index}' if mapped else ''}?try_number={self.attempt}"


def dag_url(place: Place, dag_id: str) -> str:
    return f"{place.url}/dags/{_quoted(dag_id)}"


def _quoted(text: str) -> str:
    """As a part of an address: run ids hold `:` and `+`."""
    return quote(text, safe="")
