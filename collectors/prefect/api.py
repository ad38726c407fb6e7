"""What is asked of Prefect's REST API at one poll, and the documents that are made of its answers.

No filter knows when a run last changed. So two sets are read: what ended since the mark, and all that is open now (a
run that was killed stays RUNNING for ever). Names, states and logs are asked for only where a run needs them. The
parameters of flows are never kept: they are in clear text.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from collectors.asking import JsonApi, Row, chunks, kept, member, record, required
from collectors.openlineage.instants import parse_instant
from collectors.paging import numbered_pages, pages
from collectors.prefect.states import lives
from collectors.prefect.wire import State
from watchtower.errors import Permanent, Reason, Transient

PAGE: Final = 200  # the most that a server answers with, as it is set up by default
EVENTS: Final = 50
FLOWS_AT_ONCE: Final = 25  # whose tasks are asked for together
MOST_LOGS: Final = 200
OPEN: Final = ("PENDING", "RUNNING", "PAUSED", "CANCELLING")
WAITING: Final = ("Late", "AwaitingRetry")
BAD: Final = frozenset({"FAILED", "CRASHED"})
ERROR: Final = 40  # of Python's log levels

_FLOW_RUN: Final = (
    "id", "name", "deployment_version", "flow_version", "tags", "labels", "parent_task_run_id", "run_count",
    "expected_start_time", "start_time", "end_time", "auto_scheduled", "created_by", "work_pool_name",
    "work_queue_name",
)  # fmt: skip
_TASK_RUN: Final = (
    "id", "name", "task_key", "dynamic_key", "tags", "labels", "run_count", "flow_run_run_count",
    "expected_start_time", "start_time", "end_time",
)  # fmt: skip
_DEPLOYMENT: Final = ("id", "name", "updated", "description", "paused", "tags", "schedules", "work_pool_name")


class PrefectApi:
    """ask: the API of one server. Names of flows and deployments are kept from poll to poll."""

    def __init__(self, ask: JsonApi) -> None:
        self._ask = ask
        self._flows: dict[str, str] = {}
        self._deployments: dict[str, str] = {}

    @property
    def now(self) -> datetime | None:
        """The server's own time, at its last answer."""
        return self._ask.clock_at

    def ended(self, since: datetime, until: datetime | None) -> Iterator[Sequence[Row]]:
        """Flow runs that ended since, newest first, page by page. A page begins where the one before ended, by time
        and not by number: what ends meanwhile shifts nothing. until: None for no end."""
        before = _text(until) if until else None
        seen: set[str] = set()
        while True:
            end_time = {"after_": _text(since), **({"before_": before} if before else {})}
            rows = self._ask.post_list("flow_runs/filter", _page({"end_time": end_time}, "END_TIME_DESC"))
            new = [row for row in rows if row.get("id") not in seen]
            seen = {str(row.get("id")) for row in rows}
            if new:
                yield new
            if len(rows) < PAGE:
                return
            last = self._end_of(rows[-1])
            if before == _text(last):
                yield from self._ended_at(last)
                last -= timedelta.resolution
            before = _text(last)

    def _ended_at(self, moment: datetime) -> Iterator[Sequence[Row]]:
        """All that ended at one instant, which is more than a page."""
        at = _text(moment)
        return self._numbered("flow_runs/filter", _page({"end_time": {"after_": at, "before_": at}}, "ID_DESC"))

    def _end_of(self, row: Row) -> datetime:
        """Raises Transient for a run that ended at no time that can be read, though it was asked for by that."""
        ended = parse_instant(str(row.get("end_time")))
        if ended is None:
            told = f"{row.get('end_time')!r} is no time at which a run ended"
            raise Transient(Reason.BAD_ANSWER, f"{self._ask.what}: flow_runs/filter: {told}")
        return ended

    def open(self) -> Iterator[Sequence[Row]]:
        """Flow runs that are under way, wait for their next try, or should have started. One that ends while pages
        are read is not missed: it is among those that ended, at the latest at the next poll."""
        state = {"operator": "or_", "type": {"any_": OPEN}, "name": {"any_": WAITING}}
        return self._numbered("flow_runs/filter", _page({"state": state}, "ID_DESC"))

    def documents(self, flow_runs: Sequence[Row]) -> Iterator[bytes]:
        """Of these flow runs, FLOWS_AT_ONCE at most, and all their tasks."""
        self._learn_names(flow_runs)
        states = {_id(run): self._states("flow", _id(run)) for run in flow_runs if _tries(run) > 1}
        of = {_id(run): self._life(run, states.get(_id(run), ())) for run in flow_runs}
        tasks = self._tasks(list(of))
        failed = {_id(run) for run in flow_runs if _is_bad(run)} | {str(t["flow_run_id"]) for t in tasks if _is_bad(t)}
        logs = self._logs(sorted(failed))
        for run in flow_runs:
            yield self._flow_run(run, states.get(_id(run)), logs.get(_id(run)))
        for task, index in numbered(tasks):
            yield self._task_run(task, index, of[str(task["flow_run_id"])], logs.get(_id(task)))

    def deployments(self) -> Iterator[bytes]:
        """All that there are."""
        for rows in self._numbered("deployments/filter", {"limit": PAGE, "sort": "NAME_ASC"}):
            self._learn_flows({str(row.get("flow_id")) for row in rows})
            for row in rows:
                self._deployments[_id(row)] = str(row.get("name"))
                flow = self._flows.get(str(row.get("flow_id")))
                yield record(type="deployment", flow=flow, deployment=kept(row, _DEPLOYMENT))

    def events(self, prefix: str, since: datetime, until: datetime) -> Iterator[Sequence[bytes]]:
        """Events whose name begins with prefix, oldest first, page by page. A server without events has none."""
        occurred = {"since": _text(since), "until": _text(until)}
        asked = {"filter": {"occurred": occurred, "event": {"prefix": [prefix]}, "order": "ASC"}, "limit": EVENTS}

        def ask(token: str) -> Row:
            try:
                # At the address that is configured, whatever the answer says.
                return self._ask.get(f"events/filter/next?{token}") if token else self._ask.post("events/filter", asked)
            except Permanent as error:
                if error.reason is Reason.NOT_FOUND and not token:
                    return {"events": []}
                raise

        call = f"{self._ask.what}: events/filter"
        for answer in pages(call, ask, lambda answer: str(answer.get("next_page") or "").partition("?")[2]):
            if found := required(answer, "events", call):
                yield [record(**event) for event in found]

    # -- one thing each -------------------------------------------------------------------------------------------

    def _flow_run(self, run: Row, states: Sequence[Row] | None, logs: Sequence[Row] | None) -> bytes:
        return record(
            type="flow_run",
            flow=self._flows.get(str(run.get("flow_id"))),
            deployment_name=self._deployments.get(str(run.get("deployment_id"))),
            flow_run={**kept(run, _FLOW_RUN), "state": _kept_state(_state(run)), "empirical_policy": _policy(run)},
            states=[_kept_state(state) for state in states] if states else None,
            logs=logs,
        )

    def _task_run(self, task: Row, index: int | None, of: Row, logs: Sequence[Row] | None) -> bytes:
        states = self._states("task", _id(task)) if _tries(task) > 1 else None
        return record(
            type="task_run",
            of=of,
            map_index=index,
            task_run={**kept(task, _TASK_RUN), "state": _kept_state(_state(task)), "empirical_policy": _policy(task)},
            states=[_kept_state(state) for state in states] if states else None,
            logs=logs,
        )

    def _life(self, run: Row, states: Sequence[Row]) -> dict[str, Any]:
        """Of the run, what its tasks must know."""
        return {
            "id": _id(run),
            "flow": self._flows.get(str(run.get("flow_id"))),
            "deployment": self._deployments.get(str(run.get("deployment_id"))),
            "retries": _policy(run).get("retries"),
            "ends": ends_of(states) or None,
        }

    def _tasks(self, flow_run_ids: Sequence[str]) -> Sequence[Row]:
        """In order of flow run. New tasks come in front and push others back, so a page may repeat, and misses none."""
        found: dict[str, Row] = {}
        body = {"flow_runs": {"id": {"any_": flow_run_ids}}, "sort": "ID_DESC", "limit": PAGE}
        for rows in self._numbered("task_runs/filter", body):
            found.update((_id(row), row) for row in rows if row.get("flow_run_id") in flow_run_ids)
        return sorted(found.values(), key=lambda row: str(row["flow_run_id"]))

    def _numbered(self, path: str, body: Row) -> Iterator[Sequence[Row]]:
        def ask(offset: int) -> list[Row]:
            return self._ask.post_list(path, {**body, "offset": offset})

        return numbered_pages(f"{self._ask.what}: {path}", ask, PAGE, _id)

    def _states(self, kind: str, run_id: str) -> Sequence[Row]:
        return self._ask.get_list(f"{kind}_run_states/?{kind}_run_id={run_id}")

    def _logs(self, flow_run_ids: Sequence[str]) -> dict[str, list[Row]]:
        """The newest errors with a stack, of each run and each task by id."""
        if not flow_run_ids:
            return {}
        logs = {"flow_run_id": {"any_": flow_run_ids}, "level": {"ge_": ERROR}}
        rows = self._ask.post_list("logs/filter", {"logs": logs, "sort": "TIMESTAMP_DESC", "limit": MOST_LOGS})
        found: dict[str, list[Row]] = {}
        for row in rows:
            if "Traceback" in str(row.get("message")):
                of = str(row.get("task_run_id") or row.get("flow_run_id"))
                found.setdefault(of, []).append(kept(row, ("timestamp", "message")))
        return found

    def _learn_names(self, flow_runs: Iterable[Row]) -> None:
        runs = list(flow_runs)
        self._learn_flows({str(run["flow_id"]) for run in runs if run.get("flow_id")})
        wanted = {str(run["deployment_id"]) for run in runs if run.get("deployment_id")} - self._deployments.keys()
        for some in chunks(sorted(wanted), PAGE):
            body = {"deployments": {"id": {"any_": some}}, "limit": PAGE}
            rows = self._ask.post_list("deployments/filter", body)
            self._deployments.update((_id(row), str(row.get("name"))) for row in rows)

    def _learn_flows(self, flow_ids: set[str]) -> None:
        for some in chunks(sorted(flow_ids - self._flows.keys()), PAGE):
            rows = self._ask.post_list("flows/filter", {"flows": {"id": {"any_": some}}, "limit": PAGE})
            self._flows.update((_id(row), str(row.get("name"))) for row in rows)


def ends_of(states: Sequence[Row]) -> list[int]:
    """How often the flow had been run at the end of each of its lives."""
    return [life.runs for life in lives(_read(state) for state in states)]


def numbered(tasks: Iterable[Row]) -> Iterator[tuple[Row, int | None]]:
    """Each with its place among the runs of the same task in the same run of the flow, where there are several:
    Prefect gives mapped tasks no index. Oldest first, so that one that comes later changes no place. Those that never
    began do not say in which run of the flow they would have."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for task in tasks:
        key = (task.get("flow_run_id"), task.get("task_key"), task.get("flow_run_run_count"))
        groups.setdefault(key, []).append(task)
    for some in groups.values():
        some.sort(key=lambda task: (str(task.get("expected_start_time")), _id(task)))
        several = len(some) > 1 and not all(_state(task).get("type") == "PENDING" for task in some)
        for place, task in enumerate(some):
            yield task, place if several else None


def late_pools(flow_runs: Iterable[Row]) -> dict[str, int]:
    """How many runs wait for a worker, by work pool; "" where a run names none."""
    found: dict[str, int] = {}
    for run in flow_runs:
        if run.get("state_name") == "Late":
            pool = str(run.get("work_pool_name") or "")
            found[pool] = found.get(pool, 0) + 1
    return found


def settled(run: Row, now: datetime | None, after_s: float) -> bool:
    """Whether run ended so long ago that its tasks and logs, which come by another way, have arrived."""
    ended = run.get("end_time")
    at = parse_instant(ended) if isinstance(ended, str) else None
    return at is not None and now is not None and (now - at).total_seconds() > after_s


def _page(flow_runs: Row, sort: str) -> dict[str, Any]:
    return {"flow_runs": flow_runs, "sort": sort, "limit": PAGE}


def _id(row: Row) -> str:
    return str(row.get("id") or "")


def _is_bad(row: Row) -> bool:
    return _state(row).get("type") in BAD


def _state(row: Row) -> Row:
    return member(row, "state")


def _policy(row: Row) -> dict[str, Any]:
    return kept(member(row, "empirical_policy"), ("retries",))


def _tries(row: Row) -> int:
    count = row.get("run_count")
    return count if isinstance(count, int) else 0


def _kept_state(state: Row) -> dict[str, Any]:
    return kept(state, ("id", "type", "name", "timestamp", "message"))


def _read(state: Row) -> State:
    at = parse_instant(str(state.get("timestamp")))
    return State(id=_id(state), type=str(state.get("type")), name=str(state.get("name")), timestamp=at)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
