"""What is asked of Dagster's GraphQL API at one poll, and the documents that are made of its answers.

Runs come by when they last changed, the newest id first; a page begins after the last id of the one before, so nothing
shifts. What failed or was checked stands in the event log of a run alone, which is read to its end for those runs only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from collectors.asking import JsonApi, Row, chunks, member, members, record
from collectors.dagster.wire import DIED
from collectors.paging import pages
from collectors.remembered import forget_oldest
from watchtower.errors import Permanent, Reason, Transient

RUNS: Final = 25  # with the steps of each
EVENTS: Final = 500
MOST_EVENTS: Final = 20_000
MOST_STEPS: Final = 2_000
MOST_HEADS: Final = 50_000
MOST_RETRIES: Final = 1_000  # of one run, whose chain is followed up to its first one
OPEN: Final = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING")
SCHEDULED: Final = "dagster/schedule_name"
PARENT: Final = "dagster/parent_run_id"
RETRY: Final = "dagster/retry_number"

_RUNS: Final = """
query Runs($filter: RunsFilter, $limit: Int, $cursor: String) {
  runsOrError(filter: $filter, limit: $limit, cursor: $cursor) {
    __typename
    ... on Error { message }
    ... on Runs { results {
      runId pipelineName status creationTime startTime endTime updateTime tags { key value } assetChecks { name }
      stepStats { stepKey status startTime endTime attempts { startTime endTime }
        materializations { timestamp partition assetKey { path }
          metadataEntries { label ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue } } } }
    } }
  }
}"""
_PARENTS: Final = """
query Parents($ids: [String]) {
  runsOrError(filter: {runIds: $ids}) { __typename ... on Error { message }
    ... on Runs { results { runId tags { key value } } } }
}"""
_EVENTS: Final = """
query Events($run: ID!, $after: String, $limit: Int) {
  logsForRun(runId: $run, afterCursor: $after, limit: $limit) {
    __typename
    ... on Error { message }
    ... on EventConnection { cursor hasMore events {
      __typename
      ... on MessageEvent { stepKey timestamp message }
      ... on ExecutionStepFailureEvent { error { message className stack cause { message className stack } } }
      ... on RunFailureEvent { error { message className stack } }
      ... on AssetCheckEvaluationEvent { evaluation { checkName success severity assetKey { path } } }
    } }
  }
}"""
_FIELDS: Final = """
query Fields { __type(name: "Job") { fields { name } } }"""
_JOB_OWNERS: Final = " owners { ... on UserDefinitionOwner { email } ... on TeamDefinitionOwner { team } }"
_DEFINITIONS: Final = """
query Definitions {
  repositoriesOrError {
    __typename
    ... on Error { message }
    ... on RepositoryConnection { nodes { location { name } jobs { name description tags { key value }%s }
      schedules { name pipelineName cronSchedule executionTimezone scheduleState { status } } } }
  }
  assetNodes { assetKey { path } groupName description kinds tags { key value } dependencyKeys { path }
    owners { ... on UserAssetOwner { email } ... on TeamAssetOwner { team } } }
}"""
_TICKS: Final = """
query Ticks {
  repositoriesOrError { __typename ... on Error { message }
    ... on RepositoryConnection { nodes {
      schedules { name scheduleState { status ticks(limit: 20) { status timestamp runIds error { message } } } }
      sensors { name sensorState { status ticks(limit: 1) { status timestamp error { message } } } } } } }
}"""
_HEALTH: Final = """
query Health {
  instance { daemonHealth { allDaemonStatuses {
    daemonType required healthy lastHeartbeatTime lastHeartbeatErrors { message } } } }
  workspaceOrError { __typename ... on Error { message }
    ... on Workspace { locationEntries { name loadStatus
      locationOrLoadError { __typename ... on PythonError { message } } } } }
}"""


class DagsterApi:
    """ask: the API of one webserver. What chains and assets look like is kept from poll to poll."""

    def __init__(self, ask: JsonApi) -> None:
        self._ask = ask
        self._heads: dict[str, str] = {}
        self._reads: dict[str, list[str]] = {}
        self._jobs_have_owners: bool | None = None  # None: not found out yet

    @property
    def now(self) -> datetime | None:
        return self._ask.clock_at

    def runs(self, **filters: Any) -> Iterator[Sequence[Row]]:
        """Runs that fit, the newest first, page by page."""

        def ask(cursor: str) -> list[Row]:
            variables = {"filter": filters, "limit": RUNS, "cursor": cursor or None}
            return members(self._query(_RUNS, "runsOrError", variables), "results")

        call = f"{self._ask.what}: runsOrError"
        for rows in pages(call, ask, lambda rows: rows[-1].get("runId") if len(rows) >= RUNS else None):
            if rows:
                yield rows

    def documents(self, runs: Sequence[Row], ticks: Mapping[str, float]) -> Iterator[bytes]:
        self._learn_heads(runs)
        for run in runs:
            run_id = str(run.get("runId"))
            failures, checks = self._log(run_id) if _needs_log(run) else ([], [])
            steps = members(run, "stepStats")[:MOST_STEPS]
            keys = {_path(member(each, "assetKey")) for step in steps for each in members(step, "materializations")}
            yield record(
                run={name: value for name, value in run.items() if name not in ("stepStats", "assetChecks")},
                head=self._heads.get(run_id),
                tick=ticks.get(run_id),
                steps=steps,
                failures=failures,
                checks=checks,
                reads={key: self._reads[key] for key in sorted(keys) if self._reads.get(key)},
            )

    def definitions(self) -> Iterator[bytes]:
        """Jobs with the schedules that run, and assets. What assets are made of is learned."""
        answer = self._answer(_DEFINITIONS % (_JOB_OWNERS if self._knows_owners() else ""), {})
        for repository in members(_without_error(answer, "repositoriesOrError"), "nodes"):
            running: dict[str, list[Row]] = {}
            for schedule in members(repository, "schedules"):
                if member(schedule, "scheduleState").get("status") == "RUNNING":
                    running.setdefault(str(schedule.get("pipelineName")), []).append(schedule)
            for job in members(repository, "jobs"):
                location = str(member(repository, "location").get("name") or "")
                yield record(job=job, location=location, schedules=running.get(str(job.get("name")), []))
        for asset in members(answer, "assetNodes"):
            self._reads[_path(member(asset, "assetKey"))] = [_path(key) for key in members(asset, "dependencyKeys")]
            yield record(asset={name: value for name, value in asset.items() if name != "dependencyKeys"})

    def ticks(self) -> tuple[dict[str, float], list[str]]:
        """When the runs of the last ticks of each schedule were due; and what the last tick of each schedule and each
        sensor failed with."""
        due: dict[str, float] = {}
        faults: list[str] = []
        for repository in members(self._query(_TICKS, "repositoriesOrError", {}), "nodes"):
            for kind, state in (("schedule", "scheduleState"), ("sensor", "sensorState")):
                for one in members(repository, f"{kind}s"):
                    if member(one, state).get("status") != "RUNNING":
                        continue
                    ticks = members(member(one, state), "ticks")
                    if ticks and ticks[0].get("status") == "FAILURE":
                        why = str(member(ticks[0], "error").get("message") or "").strip().splitlines()
                        faults.append(f"{kind} {one.get('name')}: {why[0] if why else 'its last tick failed'}")
                    for tick in ticks:
                        due.update((str(run_id), float(tick["timestamp"])) for run_id in tick.get("runIds") or ())
        return due, faults

    def health(self) -> tuple[list[Row], list[Row]]:
        """The daemons that are needed and unwell, and the code locations that could not be loaded."""
        answer = self._answer(_HEALTH, {})
        daemons = members(member(member(answer, "instance"), "daemonHealth"), "allDaemonStatuses")
        locations = members(_without_error(answer, "workspaceOrError"), "locationEntries")
        return (
            [each for each in daemons if each.get("required") and not each.get("healthy")],
            [each for each in locations if member(each, "locationOrLoadError").get("__typename") == "PythonError"],
        )

    # -- one thing each -------------------------------------------------------------------------------------------

    def _log(self, run_id: str) -> tuple[list[Row], list[Row]]:
        """(failures, check evaluations) of a run, from its event log."""
        failures: list[Row] = []
        checks: list[Row] = []
        cursor: str | None = None
        for _ in range(MOST_EVENTS // EVENTS):
            found = self._query(_EVENTS, "logsForRun", {"run": run_id, "after": cursor, "limit": EVENTS})
            for event in members(found, "events"):
                kind = event.get("__typename")
                if kind in ("ExecutionStepFailureEvent", "RunFailureEvent") or _tells_a_death(event):
                    failures.append(_failure(event))
                elif kind == "AssetCheckEvaluationEvent":
                    checks.append({"stepKey": event.get("stepKey"), **member(event, "evaluation")})
            if not found.get("hasMore"):
                break
            cursor = str(found.get("cursor"))
        return failures, checks

    def _knows_owners(self) -> bool:
        """Whether this version has owners of jobs; a query for what it does not have is refused as a whole."""
        if self._jobs_have_owners is None:
            fields = members(self._query(_FIELDS, "__type", {}), "fields")
            self._jobs_have_owners = any(each.get("name") == "owners" for each in fields)
        return self._jobs_have_owners

    def _learn_heads(self, runs: Iterable[Row]) -> None:
        """The first run of each chain of automatic retries. Parents that are not known are asked for, one step of the
        chain at a time."""
        tags = {str(run.get("runId")): tags_of(run) for run in runs}
        for _ in range(MOST_RETRIES):
            wanted = {
                parent
                for of in tags.values()
                if RETRY in of and (parent := of.get(PARENT)) and parent not in tags and parent not in self._heads
            }
            if not wanted:
                break
            for some in chunks(sorted(wanted), 100):
                found = members(self._query(_PARENTS, "runsOrError", {"ids": some}), "results")
                tags.update((str(row.get("runId")), tags_of(row)) for row in found)
                tags.update((run_id, {}) for run_id in some if run_id not in tags)  # deleted meanwhile
        for run_id in tags:
            self._heads[run_id] = self._head(run_id, tags)
        forget_oldest(self._heads, MOST_HEADS)

    def _head(self, run_id: str, tags: Mapping[str, Mapping[str, str]]) -> str:
        seen: set[str] = set()
        while run_id not in seen:
            seen.add(run_id)
            if run_id in self._heads and run_id not in tags:
                return self._heads[run_id]
            of = tags.get(run_id, {})
            if RETRY not in of or not of.get(PARENT):
                return run_id
            run_id = of[PARENT]
        return run_id

    def _query(self, query: str, field: str, variables: Row) -> Row:
        return _without_error(self._answer(query, variables), field)

    def _answer(self, query: str, variables: Row) -> Row:
        answer = self._ask.post("graphql", {"query": query, "variables": variables})
        errors = members(answer, "errors")
        if errors:
            said = str(errors[0].get("message"))[:300]
            raise Permanent(Reason.REJECTED, f"{self._ask.what}: GraphQL: {said}; Dagster 1.9 or newer is needed")
        return member(answer, "data")


def tags_of(run: Row) -> dict[str, str]:
    return {str(tag.get("key")): str(tag.get("value")) for tag in members(run, "tags")}


def _needs_log(run: Row) -> bool:
    over = run.get("status") not in OPEN
    failed = run.get("status") in ("FAILURE", "CANCELED")
    return failed or (over and bool(members(run, "assetChecks")))


def _tells_a_death(event: Row) -> bool:
    """Of the run's process: the failure that follows says only that it came from outside."""
    return event.get("__typename") == "EngineEvent" and DIED in str(event.get("message"))


def _failure(event: Row) -> Row:
    error = member(event, "error")
    return {
        "stepKey": event.get("stepKey"),
        "timestamp": event.get("timestamp"),
        "message": event.get("message"),
        "error": {name: value for name, value in error.items() if name != "cause"} or None,
        "cause": member(error, "cause") or None,
    }


def _without_error(answer: Row, field: str) -> Row:
    found = member(answer, field)
    if not found:
        raise Transient(Reason.BAD_ANSWER, f"dagster: the answer has no {field}; is base_url its webserver?")
    if str(found.get("__typename", "")).endswith("Error"):
        raise Transient(Reason.SERVER_ERROR, f"dagster: {field}: {str(found.get('message'))[:300]}")
    return found


def _path(key: Row) -> str:
    path = key.get("path")
    return "/".join(str(part) for part in cast("list[Any]", path)) if isinstance(path, list) else ""
