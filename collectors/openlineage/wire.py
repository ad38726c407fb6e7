"""The parts of an OpenLineage event that are read, as msgspec structs; everything else is stepped over in C.

Fields follow the specification (spec/OpenLineage.json and spec/facets/, 2-0-2) and the producers' own facets
(apache-airflow-providers-openlineage, openlineage-dbt, openlineage-spark). Nothing is required here: what an event
must have to be folded is decided in `decode`.
"""

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

# What fits the columns it ends up in: INTEGER and BIGINT.
Small = Annotated[int, Meta(ge=0, le=2**31 - 2)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
NOTHING = Raw()  # not sent
Scalar = str | int | float | bool | None


class JobName(Struct, gc=False):
    namespace: str | None = None
    name: str | None = None


class RunName(Struct, rename="camel", gc=False):
    run_id: str | None = None


class RunPointer(Struct, gc=False):
    """Another run, by job and runId."""

    job: JobName | None = None
    run: RunName | None = None


class Parent(Struct, gc=False):
    job: JobName | None = None
    run: RunName | None = None
    root: RunPointer | None = None


class NominalTime(Struct, rename="camel", gc=False):
    nominal_start_time: datetime | None = None
    nominal_end_time: datetime | None = None


class ErrorMessage(Struct, rename="camel", gc=False):
    message: str | None = None
    stack_trace: str | None = None


class Tag(Struct, gc=False):
    key: str | None = None
    value: Scalar = None
    source: str | None = None
    field: str | None = None


class Tags(Struct, gc=False):
    tags: list[Tag] | None = None


# -- Airflow -------------------------------------------------------------------------------------------------------


class Timetable(Struct, gc=False):
    """What a cron timetable serialises to; `timetable` is the timed half of AssetOrTimeSchedule."""

    expression: str | None = None
    timezone: str | int | None = None
    timetable: "Timetable | None" = None


class Dag(Struct, gc=False):
    dag_id: str | None = None
    description: str | None = None
    owner: str | None = None
    tags: str | None = None  # a Python repr
    timetable: Timetable | None = None
    timetable_summary: str | None = None
    schedule_interval: Any = None  # Airflow 2


class DagRun(Struct, gc=False):
    run_id: str | None = None
    run_type: str | None = None
    triggered_by: str | None = None
    triggering_user_name: str | None = None
    clear_number: Small | None = None
    run_after: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: Seconds | None = None
    dag_bundle_version: str | None = None
    dag_version_number: Small | None = None
    conf: Raw = NOTHING


class Task(Struct, gc=False):
    task_id: str | None = None
    owner: str | None = None
    retries: Small | None = None
    upstream_task_ids: str | None = None  # Python reprs, all three
    inlets: str | None = None
    outlets: str | None = None
    executor_config: Raw = NOTHING  # from here on only looked at for secrets
    env: Raw = NOTHING
    params: Raw = NOTHING
    op_kwargs: Raw = NOTHING
    op_args: Raw = NOTHING
    templates_dict: Raw = NOTHING
    parameters: Raw = NOTHING
    headers: Raw = NOTHING


class TaskInstance(Struct, gc=False):
    try_number: Small | None = None
    map_index: int | None = None
    log_url: str | None = None
    duration: Seconds | None = None  # Airflow 2; on START it is that of the try before
    queued_dttm: datetime | None = None  # Airflow 2


class AirflowTask(Struct, gc=False):
    """Run facet `airflow`, on events of tasks."""

    dag: Dag | None = None
    dag_run: DagRun | None = field(name="dagRun", default=None)
    task: Task | None = None
    task_instance: TaskInstance | None = field(name="taskInstance", default=None)


class AirflowDagRun(Struct, gc=False):
    """Run facet `airflowDagRun`, on events of DAG runs."""

    dag: Dag | None = None
    dag_run: DagRun | None = field(name="dagRun", default=None)


class AssetEvent(Struct, gc=False):
    asset_uri: str | None = None
    dag_run_id: str | None = None


class AssetEvents(Struct, gc=False):
    asset_events: list[AssetEvent] | None = None


class Upstream(Struct, gc=False):
    """One of what a run waited for. airflow: the asset events that set it off."""

    job: JobName | None = None
    airflow: AssetEvents | None = None


class JobDependencies(Struct, gc=False):
    """Run facet `jobDependencies`."""

    upstream: list[Upstream] | None = None


class AirflowState(Struct, rename="camel", gc=False):
    dag_run_state: str | None = None
    tasks_state: dict[str, str | None] | None = None


# -- dbt, Spark ----------------------------------------------------------------------------------------------------


class DbtRun(Struct, gc=False):
    invocation_id: str | None = None


class SparkApplication(Struct, rename="camel", gc=False):
    application_id: str | None = None
    user_name: str | None = None
    ui_web_url: str | None = None
    proxy_url: str | None = None
    history_url: str | None = None


class Test(Struct, gc=False):
    """One of the run facet `test`: of no dataset. status: pass, fail, skip; severity: error, warn."""

    __test__ = False  # it is no test of pytest's

    name: str | None = None
    status: str | None = None
    severity: str | None = None
    expected: Scalar = None
    actual: Scalar = None


class Tests(Struct, gc=False):
    tests: list[Test] | None = None


class ProcessingEngine(Struct, gc=False):
    name: str | None = None
    version: str | None = None


# -- the event -----------------------------------------------------------------------------------------------------


class RunFacets(Struct, rename="camel", gc=False):
    parent: Parent | None = None
    nominal_time: NominalTime | None = None
    error_message: ErrorMessage | None = None
    tags: Tags | None = None
    airflow: AirflowTask | None = None
    airflow_dag_run: AirflowDagRun | None = None
    airflow_state: AirflowState | None = None
    job_dependencies: JobDependencies | None = None
    dbt_run: DbtRun | None = field(name="dbt_run", default=None)
    spark_application: SparkApplication | None = field(name="spark_applicationDetails", default=None)
    processing_engine: ProcessingEngine | None = field(name="processing_engine", default=None)
    test: Tests | None = None
    environment_variables: Raw = NOTHING  # from here on only looked at for secrets
    execution_parameters: Raw = NOTHING
    spark_properties: Raw = field(name="spark_properties", default=NOTHING)
    environment_properties: Raw = field(name="environment-properties", default=NOTHING)


class Run(Struct, rename="camel", gc=False):
    run_id: str | None = None
    facets: RunFacets | None = None


class Owner(Struct, gc=False):
    name: str | None = None


class Ownership(Struct, gc=False):
    owners: list[Owner] | None = None


class Documentation(Struct, gc=False):
    description: str | None = None


class JobType(Struct, rename="camel", gc=False):
    job_type: str | None = None
    integration: str | None = None


class SourceCodeLocation(Struct, gc=False):
    version: str | None = None


class JobFacets(Struct, rename="camel", gc=False):
    ownership: Ownership | None = None
    tags: Tags | None = None
    documentation: Documentation | None = None
    job_type: JobType | None = None
    source_code_location: SourceCodeLocation | None = None
    source_code: Raw = NOTHING  # never kept


class Job(Struct, gc=False):
    namespace: str | None = None
    name: str | None = None
    facets: JobFacets | None = None


class Dataset(Struct, rename="camel", gc=False):
    """Facets stay raw: those that are read are decoded by name, the others are kept as they were sent."""

    namespace: str | None = None
    name: str | None = None
    facets: dict[str, Raw] | None = None
    input_facets: dict[str, Raw] | None = None
    output_facets: dict[str, Raw] | None = None


class Event(Struct, rename="camel", gc=False):
    """RunEvent, DatasetEvent or JobEvent: told apart by which of the keys `run`, `dataset`, `job` is there."""

    event_type: str | None = None
    event_time: datetime | None = None
    producer: str | None = None
    run: Run | UnsetType | None = UNSET
    job: Job | UnsetType | None = UNSET
    dataset: Dataset | UnsetType | None = UNSET
    inputs: list[Dataset] | None = None
    outputs: list[Dataset] | None = None


# -- facets of datasets --------------------------------------------------------------------------------------------


class Statistics(Struct, rename="camel", gc=False):
    """`outputStatistics`, `inputStatistics`, and the totals of `dataQualityMetrics` (which says `bytes` for size)."""

    row_count: Count | None = None
    size: Count | None = None
    size_bytes: Count | None = field(name="bytes", default=None)
    file_count: Count | None = None
    checksum: Scalar = None  # this and the next: not of the standard, whose facets are open
    partition: Scalar = None


class SchemaField(Struct, gc=False):
    name: str | None = None
    type: str | None = None


class Schema(Struct, gc=False):
    fields: list[SchemaField] | None = None


class Assertion(Struct, gc=False):
    assertion: str | None = None
    name: str | None = None
    column: str | None = None
    severity: str | None = None
    success: bool | None = None
    expected: Scalar = None
    actual: Scalar = None


class Assertions(Struct, gc=False):
    assertions: list[Assertion] | None = None


class Lifecycle(Struct, rename="camel", gc=False):
    lifecycle_state_change: str | None = None


class Version(Struct, rename="camel", gc=False):
    dataset_version: str | None = None
