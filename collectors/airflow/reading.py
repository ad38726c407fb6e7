"""One poll of an Airflow: what it says of itself, its DAGs, then runs, tries and asset events that changed.

Records are what Airflow answered, cut to what is used, so that neither rendered templates nor configurations of runs
are kept; each says what it is (`record`) and how it fits what is known (`generation`). Runs come before their tries.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from collectors.airflow.api import Api, Row, part
from collectors.airflow.generations import generation_of_run, generation_of_try
from collectors.airflow.health import problems_of
from collectors.openlineage.instants import parse_instant
from watchtower.errors import Permanent, Reason
from watchtower.model.source import KnownRun, Page, Window

RUN_FIELDS: Final = (
    "dag_id", "dag_run_id", "logical_date", "execution_date", "run_after", "queued_at", "start_date", "end_date",
    "data_interval_start", "data_interval_end", "run_type", "external_trigger", "triggered_by",
    "triggering_user_name", "state", "bundle_version",
)  # fmt: skip
TRY_FIELDS: Final = (
    "dag_id", "dag_run_id", "task_id", "map_index", "logical_date", "execution_date", "run_after", "scheduled_when",
    "queued_when", "start_date", "end_date", "duration", "state", "try_number", "max_tries", "operator", "pool",
    "queue", "hostname",
)  # fmt: skip
DAG_FIELDS: Final = (
    "dag_id", "description", "owners", "tags", "is_paused", "timetable_summary", "schedule_interval", "timezone",
)  # fmt: skip
RUN_IDENT: Final = ("dag_id", "dag_run_id")
TRY_IDENT: Final = ("dag_id", "dag_run_id", "task_id", "map_index", "try_number")
DETAILS_A_POLL: Final = 100  # DAGs whose time zone is asked for; the others in the next polls
DAGS_EVERY_S: Final = 300.0
SLICE: Final = timedelta(hours=1)
REMEMBERED: Final = 50_000
MOST_HELD: Final = 10_000

Known = Mapping[tuple[str, str], Sequence[KnownRun]]


class Reader:
    """The polls of one Airflow. known_runs: of its namespace, by native run id; boottime: seconds."""

    def __init__(self, api: Api, known_runs: Callable[[Sequence[str]], Known], boottime: Callable[[], float]) -> None:
        self._api = api
        self._known_runs = known_runs
        self._boottime = boottime
        self._zones: dict[str, tuple[str, str]] = {}  # DAG → (its timetable, its zone)
        self._dags_at: float | None = None
        self._listed: OrderedDict[tuple[Any, ...], None] = OrderedDict()  # tries whose earlier ones were read

    def read(self, window: Window) -> Iterator[Page]:
        """What is told of the source itself comes first: where its lists cannot be read, its health may say why."""
        version = self._api.begin()
        began = self._api.now() or window.until
        problems = problems_of(self._api)
        yield Page(problems=tuple(problems), coverage={"airflow": version.api + 1})
        if window.deep or self._dags_at is None or self._boottime() - self._dags_at >= DAGS_EVERY_S:
            yield from self._dags(began)
            self._dags_at = self._boottime()
        for start, end in _slices(window, began):
            span = {"updated_at_gte": _text(start), **({"updated_at_lte": _text(end)} if end else {})}
            held: list[bytes] = []
            yield from self._runs(span, held)
            yield from self._tries(span)
            yield Page(tuple(held), mark=end or began)

    # -- DAGs -----------------------------------------------------------------------------------------------------

    def _dags(self, now: datetime) -> Iterator[Page]:
        """That one is paused is said anew each hour: from the last time on its runs are expected again."""
        count = paused = 0
        room = DETAILS_A_POLL
        for rows in self._api.rows("/dags", "dags", ("dag_id",), order_by="dag_id"):
            records: list[bytes] = []
            for row in rows:
                count += 1
                paused += bool(row.get("is_paused"))
                room -= self._learn_zone(row, room)
                zone = self._zones.get(row["dag_id"])
                hour = {"hour": f"{now:%Y-%m-%dT%H}"} if row.get("is_paused") else {}
                records.append(_record("dag", DAG_FIELDS, {**row, "timezone": zone[1] if zone else None}, **hour))
            yield Page(tuple(records))
        yield Page(coverage={"dags": count, "paused": paused})

    def _learn_zone(self, row: Row, room: int) -> int:
        """The zone of a schedule stands in a DAG's details only; how many of them were asked for."""
        dag_id, timetable = row.get("dag_id"), str(row.get("timetable_summary") or row.get("schedule_interval"))
        known = self._zones.get(str(dag_id))
        if not isinstance(dag_id, str) or room <= 0 or (known and known[0] == timetable) or timetable == "None":
            return 0
        try:
            details = self._api.get(f"/dags/{part(dag_id)}/details", dict[str, Any])
        except Permanent as error:  # removed meanwhile
            if error.reason is not Reason.NOT_FOUND:
                raise
            return 1
        self._zones[dag_id] = (timetable, str(details.get("timezone") or "UTC"))
        return 1

    # -- runs -----------------------------------------------------------------------------------------------------

    def _runs(self, span: Mapping[str, str], held: list[bytes]) -> Iterator[Page]:
        """held: gets the ends of failed runs, which are told after their tries, so that an alert can name the task."""
        path = "/dags/~/dagRuns"
        for rows in self._api.rows(path, "dag_runs", RUN_IDENT, **span, order_by="id"):
            known = self._known_runs([row["dag_run_id"] for row in rows])
            records: list[bytes] = []
            for row in rows:
                if row.get("state") != "failed" or len(held) >= MOST_HELD:
                    records.append(_run_record(row, known))
                    continue
                held.append(_run_record(row, known))
                records.append(_run_record({**row, "state": "running", "end_date": None}, known))
            yield Page(tuple(records))

    def _tries(self, span: Mapping[str, str]) -> Iterator[Page]:
        path = "/dags/~/dagRuns/~/taskInstances"
        order = {"order_by": "id"} if self._api.version().api == 2 else {}  # Airflow 2 cannot sort them
        for rows in self._api.rows(path, "task_instances", TRY_IDENT[:-1], **span, **order):
            known = self._known_runs([row["dag_run_id"] for row in rows])
            missing = self._missing_runs(rows, known)
            if missing:
                yield Page(tuple(_run_record(row, known) for row in missing))
                known = self._known_runs([row["dag_run_id"] for row in rows])
            earlier = [each for row in rows for each in self._earlier(row)]
            records = [_try_record(row, known, latest=False) for row in earlier]
            yield Page((*records, *(_try_record(row, known, latest=True) for row in rows)))

    def _missing_runs(self, rows: Iterable[Row], known: Known) -> list[Row]:
        """The runs of tries that changed although their run did not, and that nobody told of."""
        names = {(row["dag_id"], row["dag_run_id"]) for row in rows} - known.keys()
        return [row for dag_id, run_id in sorted(names) if (row := self._run(dag_id, run_id)) is not None]

    def _run(self, dag_id: str, run_id: str) -> Row | None:
        return self._found(f"/dags/{part(dag_id)}/dagRuns/{part(run_id)}")

    def _earlier(self, row: Row) -> list[Row]:
        """The tries before this one, asked for once each."""
        number = row.get("try_number") or 0
        name = tuple(row.get(field) for field in TRY_IDENT)
        if number < 2 or name in self._listed:
            return []
        path = f"/dags/{part(row['dag_id'])}/dagRuns/{part(row['dag_run_id'])}/taskInstances/{part(row['task_id'])}"
        mapped = f"/{row['map_index']}" if (row.get("map_index") or -1) >= 0 else ""
        found = self._found(f"{path}{mapped}/tries") or {}
        self._listed[name] = None
        while len(self._listed) > REMEMBERED:
            self._listed.popitem(last=False)
        tries: list[Row] = found.get("task_instances") or []
        return [each for each in tries if (each.get("try_number") or 0) < number]

    def _found(self, path: str) -> Row | None:
        """None for what was removed meanwhile."""
        try:
            return self._api.get(path, dict[str, Any])
        except Permanent as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
            return None


def _slices(window: Window, now: datetime) -> Iterator[tuple[datetime, datetime | None]]:
    """The window in pieces of an hour, so that a poll that fails after a long absence goes on where it was; the last
    piece is open. now: by Airflow's clock, which counts also where there is no mark yet."""
    start = window.since if window.mark else now - (window.until - window.since)
    while now - start > 1.5 * SLICE:
        yield start, start + SLICE
        start += SLICE
    yield start, None


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _run_record(row: Row, known: Known) -> bytes:
    told = known.get((row["dag_id"], row["dag_run_id"]), ())
    generation = generation_of_run(told, _at(row, "queued_at"), _at(row, "start_date"))
    versions: list[Row] = row.get("dag_versions") or []
    number = versions[-1].get("version_number") if versions else None
    return _record("dag_run", RUN_FIELDS, row, generation=generation, dag_version=number)


def _try_record(row: Row, known: Known, *, latest: bool) -> bytes:
    told = known.get((row["dag_id"], row["dag_run_id"]), ())
    begun = _at(row, "start_date") or _at(row, "queued_when") or _at(row, "scheduled_when")
    return _record("try", TRY_FIELDS, row, generation=generation_of_try(told, begun), latest=latest)


def _record(what: str, fields: Sequence[str], row: Row, **more: Any) -> bytes:
    kept = {name: row[name] for name in fields if row.get(name) is not None}
    return msgspec.json.encode({"record": what, **kept, **more}, order="sorted")


def _at(row: Row, field: str) -> datetime | None:
    text = row.get(field)
    return parse_instant(text) if isinstance(text, str) else None
