"""What is asked of Snowflake: which tasks there are, and what ran of them since.

TASK_HISTORY is read by the time for which a task was planned, so a graph that had not ended is remembered by that. It
gives the newest rows of the time that is asked for, hence the way back. Each question needs a warehouse for some
seconds, hence its longer pause. Sources: Snowflake SQL API reference;
"TASK_HISTORY" (Information Schema), "SHOW TASKS".
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from pydantic import Field, model_validator

from collectors.asking import JsonApi, Row, chunks, member, members, record
from collectors.openlineage.instants import parse_instant
from collectors.snowflake.decode import KIND, decode
from collectors.snowflake.graphs import Gathering, Known, Run
from collectors.snowflake.token import INSTALL, KeyPair, Program, missing
from collectors.source import PollerOf, SourceOf
from watchtower.config.polled import PolledConfig
from watchtower.config.types import PositiveDuration, Section, WebAddress
from watchtower.errors import ConfigError, Fault, Reason, Transient
from watchtower.model.source import Page, Problem, Window
from watchtower.ports import Decoded, PollContext, Received
from watchtower.secrets import Secret

REMEDY: Final = (
    "see whether the user has this key (or token), may use the role, and whether this machine's clock is right"
)
KEPT: Final = timedelta(days=7) - timedelta(hours=1)  # how long TASK_HISTORY remembers
AT_ONCE: Final = 10_000  # rows, the most that TASK_HISTORY gives; HISTORY says so, too
FINEST: Final = timedelta(milliseconds=1)  # as HISTORY writes times
LACK_TOLD: Final = timedelta(days=1)  # for so long what could not be read is a problem of the source
DOCUMENTS: Final = 500  # in a page
TIMEOUT_S: Final = 40  # of a statement; up to 45 the API answers with its result
# The database of the session says whose INFORMATION_SCHEMA it is; tasks of the whole account are in each.
HISTORY: Final = """
select database_name, schema_name, name, state, error_code, error_message, query_id, scheduled_from, attempt_number,
  root_task_id, graph_version, coalesce(to_char(graph_run_group_id), to_char(run_id)) as graph,
  to_char(convert_timezone('UTC', scheduled_time), 'YYYY-MM-DD"T"HH24:MI:SS.FF3"Z"') as scheduled,
  to_char(convert_timezone('UTC', query_start_time), 'YYYY-MM-DD"T"HH24:MI:SS.FF3"Z"') as started,
  to_char(convert_timezone('UTC', completed_time), 'YYYY-MM-DD"T"HH24:MI:SS.FF3"Z"') as completed
from table(information_schema.task_history(scheduled_time_range_start => to_timestamp_ltz(?),
  scheduled_time_range_end => to_timestamp_ltz(?), result_limit => 10000))
order by scheduled_time desc
"""
TASKS: Final = "show tasks in account"


class SnowflakeSource(PolledConfig):
    """One account."""

    account: str = Field(
        pattern=r"^[A-Za-z0-9_.-]{1,128}$", description="its identifier, e.g. MYORG-PROD or xy12345.eu-central-1"
    )
    user: str = Field(default="", max_length=256, description="who asks; not needed with `token`")
    private_key: Secret | None = Field(default=None, description="of the user, in PEM, e.g. file:/etc/wt/key.p8")
    passphrase: Secret | None = Field(default=None, description="of the private key")
    token: Secret | None = Field(default=None, description="a programmatic access token instead of the key")
    database: str = Field(
        min_length=1, max_length=256, description="any database that the role may use; tasks of all are read"
    )
    warehouse: str = Field(min_length=1, max_length=256, description="that works out the answers; the smallest will do")
    role: str | None = Field(default=None, max_length=256, description="else the user's own")
    tasks: tuple[str, ...] = Field(default=("*",), description="DATABASE.SCHEMA.NAME; `*` and `?` are wildcards")
    base_url: WebAddress | None = Field(default=None, description="another address than Snowflake's own")
    every: PositiveDuration = Field(default=300.0, description="how often it is asked; each time wakes the warehouse")

    @model_validator(mode="after")
    def _one_way_in(self) -> "SnowflakeSource":
        if (self.private_key is None) == (self.token is None):
            raise ValueError("give either private_key with user, or token")
        if self.private_key is not None and not self.user:
            raise ValueError("private_key belongs to a user; name it")
        return self

    @property
    def address(self) -> str:
        return self.base_url or f"https://{self.account.lower().replace('_', '-')}.snowflakecomputing.com"


class SnowflakeConfig(Section):
    """`collectors: {snowflake: …}`."""

    sources: tuple[SnowflakeSource, ...] = Field(default=(), description="what is asked")


class PolledSnowflake(SourceOf[SnowflakeSource]):
    """ports.PolledSource."""

    kind = KIND

    def __init__(self, config: SnowflakeSource, context: PollContext) -> None:
        super().__init__(config, context)
        headers = _who(config, context, f"collectors.{KIND}.sources[{config.name}]").headers
        self._api = JsonApi(context, config.address, self.what, headers, REMEDY)
        self._known = Known()
        self._stopped: tuple[Problem, ...] = ()
        self._lacks: dict[str, tuple[Problem, datetime]] = {}  # by key, with when they were met

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, account=self.config.account)

    def read(self, window: Window) -> Iterator[Page]:
        if window.deep or not self._known.names:
            yield self._tasks()
        since = self._since(window)
        started: datetime | None = None
        gathering, planned = Gathering(self._known), list[datetime]()
        for rows, down_to in self._history(since, window.until + timedelta(days=1)):
            started = started or self._api.clock_at or window.until
            gathering.add([row for row in rows if self._wanted(row)])
            yield from _pages(gathering.whole(down_to, started), planned)
        started = started or window.until
        yield from _pages(gathering.rest(started), planned)
        cursor = min(planned).isoformat() if planned else ""
        yield Page(mark=started, cursor=cursor, problems=self._problems())

    def _since(self, window: Window) -> datetime:
        """From the plan of the oldest graph that had not ended."""
        wanted = min(parse_instant(window.cursor or "") or window.since, window.since)
        kept = window.until - KEPT
        if window.mark is not None and window.mark < kept:
            lost = f"{window.mark:%Y-%m-%d %H:%M} to {kept:%Y-%m-%d %H:%M} UTC"
            self._note("history:gone", f"runs from {lost} are not known: TASK_HISTORY remembers seven days")
        return max(wanted, kept)

    def _note(self, key: str, summary: str) -> None:
        self._lacks[key] = Problem(key, summary), self.context.clock.now()

    def _problems(self) -> tuple[Problem, ...]:
        now = self.context.clock.now()
        self._lacks = {key: lack for key, lack in self._lacks.items() if now - lack[1] < LACK_TOLD}
        return (*self._stopped, *(problem for problem, _ in self._lacks.values()))

    def _wanted(self, row: Row) -> bool:
        name = self._known.root_of(row)
        return any(fnmatchcase(name.upper(), pattern.upper()) for pattern in self.config.tasks)

    def _tasks(self) -> Page:
        rows = [row for answer in self._rows(TASKS) for row in answer]
        self._known = Known.of(rows)
        wanted = [row for row in rows if self._wanted({**row, "root_task_id": self._known.root_ids.get(_named(row))})]
        self._stopped = tuple(
            Problem(f"task:{_named(row)[-200:]}", f"the task {_named(row)} was suspended after it had failed")
            for row in wanted
            if "ERROR" in str(row.get("last_suspended_reason") or "").upper() and row.get("state") == "suspended"
        )
        shown = tuple(record(task=self._known.described(row)) for row in wanted)
        return Page(shown, problems=self._problems(), coverage={"tasks": len(wanted)})

    def _history(self, since: datetime, until: datetime) -> Iterator[tuple[list[Row], datetime]]:
        """Newest plan first, as many at once as TASK_HISTORY gives, and with them the moment after which all were told.
        The next ones begin with that moment once more, since there may be others of it."""
        while True:
            rows = [row for answer in self._rows(HISTORY, since.isoformat(), until.isoformat()) for row in answer]
            if len(rows) < AT_ONCE:
                yield rows, since
                return
            oldest = parse_instant(str(rows[-1].get("scheduled")))
            if oldest is None or oldest > until:
                raise Transient(Reason.BAD_ANSWER, f"{self.what}: the rows of TASK_HISTORY are not newest first")
            yield rows, oldest
            if oldest + FINEST < until:
                until = oldest + FINEST
            else:
                moment = f"{oldest:%Y-%m-%d %H:%M:%S} UTC"
                self._note("history:crowded", f"of the tasks planned for {moment} only {AT_ONCE:,} are told, and known")
                until = oldest - timedelta.resolution

    def _rows(self, statement: str, *bound: str) -> Iterator[list[Row]]:
        """The result, partition by partition, as objects with names in lower case."""
        asked: dict[str, Any] = {
            "statement": statement,
            "timeout": TIMEOUT_S,
            "database": self.config.database,
            "warehouse": self.config.warehouse,
        }
        if self.config.role:
            asked["role"] = self.config.role
        if bound:
            asked["bindings"] = {str(at): {"type": "TEXT", "value": each} for at, each in enumerate(bound, 1)}
        answer = self._api.post("api/v2/statements", asked)
        if "data" not in answer:
            raise Transient(Reason.TIMEOUT, f"{self.what}: the statement is not answered within {TIMEOUT_S} s")
        described = member(answer, "resultSetMetaData")
        names = [str(column.get("name")).lower() for column in members(described, "rowType")]
        yield _objects(answer, names, self.what)
        for number in range(1, len(members(described, "partitionInfo"))):
            path = f"api/v2/statements/{answer.get('statementHandle')}?partition={number}"
            yield _objects(self._api.get(path), names, self.what)


class Snowflake(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = SnowflakeConfig
    polled = PolledSnowflake

    def check(self, context: PollContext) -> None:
        super().check(context)
        unsigned = [number for number, source in enumerate(self.config.sources) if source.private_key is not None]
        if unsigned and missing():
            path = f"collectors.{KIND}.sources[{unsigned[0]}].private_key"
            raise ConfigError([Fault(path, "what signs with a key is not installed", INSTALL)])


def _who(config: SnowflakeSource, context: PollContext, path: str) -> KeyPair | Program:
    if config.private_key is not None:
        key, word = config.private_key, config.passphrase
        return KeyPair(context.clock, config.account, config.user, key=key, passphrase=word, path=path)
    assert config.token is not None  # the model saw to it
    return Program(config.token)


def _objects(answer: Row, names: Sequence[str], what: str) -> list[Row]:
    """Raises Transient for what is no partition of a result."""
    rows = answer.get("data")
    if not isinstance(rows, list):
        raise Transient(Reason.BAD_ANSWER, f"{what}: the answer has no list 'data'")
    lists = cast("list[Any]", rows)
    return [dict(zip(names, cast("list[Any]", row), strict=False)) for row in lists if isinstance(row, list)]


def _pages(runs: Sequence[Run], planned: list[datetime]) -> Iterator[Page]:
    """planned: grows by the plans of those that have not ended."""
    planned += (each.scheduled for each in runs if each.is_open)
    for some in chunks(runs, DOCUMENTS):
        yield Page(tuple(each.record for each in some))


def _named(row: Row) -> str:
    return f"{row.get('database_name')}.{row.get('schema_name')}.{row.get('name')}"
