"""What Dagster's GraphQL API says, as far as it is read (Dagster 1.13: dagster_graphql/schema).

Everything may be missing, and one strange field costs that field. Times of runs and steps are seconds since 1970, those
of events are texts of milliseconds.
"""

from typing import Final

import msgspec

DIED: Final = "Run execution process for "  # an id, and "was terminated by signal 9": so says the server of its code


class Tag(msgspec.Struct):
    key: str | None = None
    value: str | None = None


class AssetKey(msgspec.Struct):
    path: list[str] | None = None


class Entry(msgspec.Struct, rename="camel"):
    """Of metadata: a number, or a text."""

    label: str | None = None
    int_value: int | None = None
    float_value: float | None = None
    text: str | None = None


class Materialization(msgspec.Struct, rename="camel"):
    timestamp: str | None = None
    partition: str | None = None
    asset_key: AssetKey | None = None
    metadata_entries: list[Entry] | None = None


class Attempt(msgspec.Struct, rename="camel"):
    start_time: float | None = None
    end_time: float | None = None


class Step(msgspec.Struct, rename="camel"):
    """status: IN_PROGRESS, SUCCESS, FAILURE or SKIPPED."""

    step_key: str | None = None
    status: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    attempts: list[Attempt] | None = None
    materializations: list[Materialization] | None = None


class Run(msgspec.Struct, rename="camel"):
    run_id: str | None = None
    pipeline_name: str | None = None
    status: str | None = None
    creation_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None
    update_time: float | None = None
    tags: list[Tag] | None = None


class Error(msgspec.Struct, rename="camel"):
    message: str | None = None
    class_name: str | None = None
    stack: list[str] | None = None


class Failure(msgspec.Struct, rename="camel"):
    """Of a step, or of the run itself where step_key is missing."""

    step_key: str | None = None
    timestamp: str | None = None
    message: str | None = None
    error: Error | None = None
    cause: Error | None = None


class Check(msgspec.Struct, rename="camel"):
    """An evaluation of an asset check."""

    step_key: str | None = None
    check_name: str | None = None
    success: bool | None = None
    severity: str | None = None
    asset_key: AssetKey | None = None


class RunDocument(msgspec.Struct, rename="camel"):
    """head: the first run of the chain of automatic retries that this one belongs to; tick: when the schedule that
    launched it was due, in seconds; reads: what each asset is made of, by its path joined by `/`."""

    run: Run | None = None
    head: str | None = None
    tick: float | None = None
    steps: list[Step] | None = None
    failures: list[Failure] | None = None
    checks: list[Check] | None = None
    reads: dict[str, list[str]] | None = None


class Owner(msgspec.Struct, rename="camel"):
    email: str | None = None
    team: str | None = None


class Job(msgspec.Struct, rename="camel"):
    """owners: newer versions of Dagster alone have them."""

    name: str | None = None
    description: str | None = None
    tags: list[Tag] | None = None
    owners: list[Owner] | None = None


class Schedule(msgspec.Struct, rename="camel"):
    name: str | None = None
    cron_schedule: str | None = None
    execution_timezone: str | None = None


class JobDocument(msgspec.Struct, rename="camel"):
    """schedules: those that run and launch this job."""

    job: Job | None = None
    location: str | None = None
    schedules: list[Schedule] | None = None


class Asset(msgspec.Struct, rename="camel"):
    asset_key: AssetKey | None = None
    group_name: str | None = None
    description: str | None = None
    owners: list[Owner] | None = None
    kinds: list[str] | None = None
    tags: list[Tag] | None = None


class AssetDocument(msgspec.Struct, rename="camel"):
    asset: Asset | None = None
