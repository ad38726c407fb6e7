"""One poll of an Airflow: what it says of itself, its DAGs, then runs, tries and asset events that changed.

Records are what Airflow answered, cut to what is used, so that neither rendered templates nor configurations of runs
are kept; each says what it is (`record`) and how it fits what is known (`generation`). Runs come before their tries.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from collectors.airflow.api import Api, Row, part
from collectors.airflow.assets import TRIGGERED, WRITER_FIELDS, Assets, Remembered, cause_of, told_of
from collectors.airflow.generations import generation_of_run, generation_of_try
from collectors.airflow.health import problems_of
from collectors.airflow.terms import FORGOTTEN
from collectors.airflow.zones import Zones, cron_of
from collectors.openlineage.instants import parse_instant
from collectors.polled import unless_gone
from collectors.slices import slices
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
ORIGIN_FIELDS: Final = ("dag_id", "dag_run_id", "logical_date", "execution_date", "run_after", "start_date", "run_type")
FORGOTTEN_FIELDS: Final = (
    "dag_id", "dag_run_id", "task_id", "map_index", "logical_date", "execution_date", "run_after",
)  # fmt: skip
NEXT_RUN: Final = ("next_dagrun_run_after", "next_dagrun_create_after")  # of Airflow 3, of Airflow 2
RUN_IDENT: Final = ("dag_id", "dag_run_id")
TRY_IDENT: Final = ("dag_id", "dag_run_id", "task_id", "map_index", "try_number")
DAGS_EVERY_S: Final = 300.0
MOST_HELD: Final = 10_000

Known = Mapping[tuple[str, str], Sequence[KnownRun]]


class Reader:
    """The polls of one Airflow. known_runs: of its namespace, by native run id; boottime: seconds; timezones: in which
    its DAGs may be scheduled, besides its own default."""

    def __init__(
        self,
        api: Api,
        known_runs: Callable[[Sequence[str]], Known],
        boottime: Callable[[], float],
        timezones: Sequence[str] = (),
    ) -> None:
        self._api = api
        self._known_runs = known_runs
        self._boottime = boottime
        self._zones = Zones(timezones)
        self._dags_at: float | None = None
        self._listed = Remembered()  # tries whose earlier ones were read
        self._assets = Assets(api, self._earlier)

    def read(self, window: Window) -> Iterator[Page]:
        """What is told of the source itself comes first: where its lists cannot be read, its health may say why."""
        version = self._api.begin()
        began = self._api.now() or window.until
        problems = problems_of(self._api)
        yield Page(problems=tuple(problems), coverage={"airflow": version.api + 1})
        if window.deep or self._dags_at is None or self._boottime() - self._dags_at >= DAGS_EVERY_S:
            yield from self._dags(began)
            self._dags_at = self._boottime()
        self._assets.begin()
        for start, end in slices(window, began):
            span = {"updated_at_gte": _text(start), **({"updated_at_lte": _text(end)} if end else {})}
            held: list[bytes] = []
            yield from self._runs(span, held)
            yield from self._tries(span)
            yield from self._written(start, end)
            yield Page(tuple(held), mark=end or began)

    # -- DAGs -----------------------------------------------------------------------------------------------------

    def _dags(self, now: datetime) -> Iterator[Page]:
        """That one is paused is said anew each hour: from the last time on its runs are expected again."""
        count = paused = unzoned = 0
        default: str | None = None
        for rows in self._api.rows("/dags", "dags", ("dag_id",), order_by="dag_id"):
            records: list[bytes] = []
            for row in rows:
                count += 1
                paused += bool(row.get("is_paused"))
                cron, zone = cron_of(row), None
                if cron is not None:
                    default = default or self._default_zone(row)
                    zone = self._zones.of(str(row.get("dag_id")), cron, _at(row, *NEXT_RUN), default or "UTC")
                    unzoned += zone is None
                hour = {"hour": f"{now:%Y-%m-%dT%H}"} if row.get("is_paused") else {}
                records.append(_record("dag", DAG_FIELDS, {**row, "timezone": zone}, **hour))
            yield Page(tuple(records))
        yield Page(coverage={"dags": count, "paused": paused, "schedules_in_unknown_zones": unzoned})

    def _default_zone(self, row: Row) -> str | None:
        """Airflow's own, which the details of every DAG tell; None if this one was removed meanwhile."""
        details = self._found(f"/dags/{part(str(row.get('dag_id')))}/details")
        return None if details is None else str(details.get("timezone") or "UTC")

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
            yield from self._origins(rows, known)

    def _origins(self, rows: Iterable[Row], known: Known) -> Iterator[Page]:
        """What set runs off that an asset did; asked once for each."""
        new = {_run_name(row): row for row in rows if row.get("run_type") in TRIGGERED}
        new = {name: row for name, row in new.items() if name not in self._assets.explained}
        records: list[bytes] = []
        for row in new.values():
            causes = [cause_of(event) for event in self._assets.origins(row)]
            if causes:
                generation = _generation(row, known)
                records.append(_record("origins", ORIGIN_FIELDS, row, generation=generation, causes=causes))
        if new:
            yield Page(tuple(records))
            self._assets.explained.add(new)

    def _written(self, since: datetime, until: datetime | None) -> Iterator[Page]:
        for events in self._assets.written(since, until):
            known = self._known_runs([row["dag_run_id"] for _, row in events if row])
            yield Page(tuple(_asset_record(event, row, known) for event, row in events))

    def _tries(self, span: Mapping[str, str]) -> Iterator[Page]:
        path = "/dags/~/dagRuns/~/taskInstances"
        order = {"order_by": "id"} if self._api.version().api == 2 else {}  # Airflow 2 cannot sort them
        for rows in self._api.rows(path, "task_instances", TRY_IDENT[:-1], **span, **order):
            known = self._known_runs([row["dag_run_id"] for row in rows])
            missing = self._missing_runs(rows, known)
            if missing:
                yield Page(tuple(_run_record(row, known) for row in missing))
                known = self._known_runs([row["dag_run_id"] for row in rows])
            self._assets.see(rows)
            again = {name: row for row in rows if (name := self._tried_again(row)) is not None}
            records = [each for row in again.values() for each in self._gone_before(row, known)]
            yield Page((*records, *(_try_record(row, known, latest=True) for row in rows)))
            self._listed.add(again)  # they are stored now

    def _missing_runs(self, rows: Iterable[Row], known: Known) -> list[Row]:
        """The runs of tries that changed although their run did not, and that nobody told of."""
        names = {(row["dag_id"], row["dag_run_id"]) for row in rows} - known.keys()
        return [row for dag_id, run_id in sorted(names) if (row := self._run(dag_id, run_id)) is not None]

    def _run(self, dag_id: str, run_id: str) -> Row | None:
        return self._found(f"/dags/{part(dag_id)}/dagRuns/{part(run_id)}")

    def _tried_again(self, row: Row) -> tuple[Any, ...] | None:
        """The name of a try that others went before, unless those were read; else None."""
        name = tuple(row.get(field) for field in TRY_IDENT)
        return name if (row.get("try_number") or 0) >= 2 and name not in self._listed else None

    def _gone_before(self, row: Row, known: Known) -> Iterator[bytes]:
        """The tries before this one, and those of them that Airflow has forgotten."""
        tries = self._tries_of(row)
        for each in (*_before(row, tries), *_forgotten(row, tries)):
            yield _try_record(each, known, latest=False)

    def _earlier(self, row: Row) -> list[Row]:
        """The tries before this one."""
        return _before(row, self._tries_of(row))

    def _tries_of(self, row: Row) -> list[Row]:
        """All that Airflow lists of them."""
        path = f"/dags/{part(row['dag_id'])}/dagRuns/{part(row['dag_run_id'])}/taskInstances/{part(row['task_id'])}"
        place = row.get("map_index")
        mapped = f"/{place}" if isinstance(place, int) and place >= 0 else ""
        found = self._found(f"{path}{mapped}/tries") or {}
        tries: list[Row] = found.get("task_instances") or []
        return tries

    def _found(self, path: str) -> Row | None:
        """None for what was removed meanwhile."""
        return unless_gone(lambda: self._api.get(path, dict[str, Any]))


def _before(row: Row, tries: Iterable[Row]) -> list[Row]:
    return [each for each in tries if (each.get("try_number") or 0) < row["try_number"]]


def _forgotten(row: Row, tries: Sequence[Row]) -> list[Row]:
    """Those that went before and are not listed, where others are: Airflow 2 forgets a try that was under way as its
    scheduler died. The next one's beginning is the last moment of it."""
    numbers, last = {each.get("try_number") for each in tries}, int(row["try_number"])
    if last not in numbers:
        return []  # it keeps no list, or the list is older than the row
    kept = {name: row.get(name) for name in FORGOTTEN_FIELDS}
    lost = {**kept, "state": FORGOTTEN, "end_date": row.get("start_date")}
    return [{**lost, "try_number": number} for number in range(1, last) if number not in numbers]


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _run_record(row: Row, known: Known) -> bytes:
    versions: list[Row] = row.get("dag_versions") or []
    number = versions[-1].get("version_number") if versions else None
    return _record("dag_run", RUN_FIELDS, row, generation=_generation(row, known), dag_version=number)


def _generation(row: Row, known: Known) -> int:
    return generation_of_run(known.get(_run_name(row), ()), _at(row, "queued_at"), _at(row, "start_date"))


def _run_name(row: Row) -> tuple[str, str]:
    return row["dag_id"], row["dag_run_id"]


def _asset_record(event: Row, writer: Row | None, known: Known) -> bytes:
    told = told_of(event)
    if writer is None:
        return _record("asset_event", tuple(told), told)
    generation = generation_of_try(known.get(_run_name(writer), ()), _at(writer, "start_date"))
    return _record("asset_event", (*told, *WRITER_FIELDS), {**writer, **told}, generation=generation)


def _try_record(row: Row, known: Known, *, latest: bool) -> bytes:
    told = known.get((row["dag_id"], row["dag_run_id"]), ())
    begun = _at(row, "start_date") or _at(row, "queued_when") or _at(row, "scheduled_when")
    return _record("try", TRY_FIELDS, row, generation=generation_of_try(told, begun), latest=latest)


def _record(what: str, fields: Sequence[str], row: Row, **more: Any) -> bytes:
    kept = {name: row[name] for name in fields if row.get(name) is not None}
    return msgspec.json.encode({"record": what, **kept, **more}, order="sorted")


def _at(row: Row, *fields: str) -> datetime | None:
    """Of the first of fields that says one."""
    texts = (row.get(field) for field in fields)
    return next((parse_instant(text) for text in texts if isinstance(text, str)), None)
