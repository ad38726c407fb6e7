"""Tasks of Snowflake and their graphs, after its published SQL API; the service itself was never reached."""

import base64
import re
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from collectors.snowflake import PolledSnowflake, Snowflake, SnowflakeConfig
from collectors.snowflake.decode import schedule_of
from tests.app.polls import context
from tests.collectors.folding import assert_orderless, line
from tests.simulators.faults import Fault
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.clock import ManualClock
from watchtower.errors import ConfigError, Permanent, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import RunPatch, RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Received

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
COLUMNS = (
    "DATABASE_NAME", "SCHEMA_NAME", "NAME", "STATE", "ERROR_CODE", "ERROR_MESSAGE", "QUERY_ID", "SCHEDULED_FROM",
    "ATTEMPT_NUMBER", "ROOT_TASK_ID", "GRAPH_VERSION", "GRAPH", "SCHEDULED", "STARTED", "COMPLETED",
)  # fmt: skip
DEFINED = (
    "id", "database_name", "schema_name", "name", "state", "schedule", "predecessors", "owner", "comment",
    "definition", "last_suspended_reason",
)  # fmt: skip


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def pem(passphrase: str = "") -> str:
    form = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    raw = private_key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form)
    return raw.decode()


def at(minute: float | None) -> str | None:
    return None if minute is None else (NOW + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def ran(name: str, state: str, minutes: tuple[float | None, ...], *, graph: str = "g1", **more: Any) -> dict[str, Any]:
    """minutes: planned, started, completed; counted from now."""
    planned, started, completed = (*minutes, None, None)[:3]
    row = {
        "DATABASE_NAME": "SHOP",
        "SCHEMA_NAME": "PUBLIC",
        "NAME": name,
        "STATE": state,
        "SCHEDULED_FROM": "SCHEDULE",
        "ATTEMPT_NUMBER": "1",
        "ROOT_TASK_ID": "id-root",
        "GRAPH": graph,
        "SCHEDULED": at(planned),
        "STARTED": at(started),
        "COMPLETED": at(completed),
    }
    return {**row, **more}


def defined(name: str, *after: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"id-{name.lower()}",
        "database_name": "SHOP",
        "schema_name": "PUBLIC",
        "name": name,
        "state": "started",
        "schedule": None,
        "predecessors": "[" + ",".join(f'"SHOP.PUBLIC.{each}"' for each in after) + "]",
        "owner": "SHOP_ENG",
        "definition": "call load('hunter2')",
        **more,
    }


class Account(HttpSimulator):
    """Answers the two statements that are asked, one row in a partition."""

    def __init__(self) -> None:
        self.tasks: list[dict[str, Any]] = [
            defined("ROOT", schedule="USING CRON 0 9 * * * Europe/Berlin", comment="The shop's orders"),
            defined("LOAD", "ROOT"),
            defined("REPORT", "LOAD"),
        ]
        self.rows: list[dict[str, Any]] = []
        self.results: dict[str, list[list[Any]]] = {}
        self.at_once = 10_000
        super().__init__(NOW)

    def changes_something(self, request: Recorded) -> bool:
        return True

    def answer(self, request: Recorded) -> Reply:
        if not self._is_known(request):
            return Reply.of_json({"code": "390144", "message": "JWT token is invalid."}, 401)
        if request.method == "GET":
            rows = self.results[request.path.rpartition("/")[2]]
            return Reply.of_json({"data": [rows[int(request.query["partition"])]]})
        asked = request.json
        self.ledger.append(asked)
        if asked["warehouse"] != "XS":
            return Reply.of_json({"code": "000606", "message": "No active warehouse selected."}, 422)
        if asked["statement"].startswith("show tasks"):
            return self._result(DEFINED, self.tasks)
        since, until = (datetime.fromisoformat(asked["bindings"][str(number)]["value"]) for number in (1, 2))
        planned = [row for row in self.rows if since <= datetime.fromisoformat(row["SCHEDULED"]) <= until]
        newest_first = sorted(planned, key=lambda row: row["SCHEDULED"], reverse=True)
        return self._result(COLUMNS, newest_first[: self.at_once])

    def _result(self, names: tuple[str, ...], rows: list[dict[str, Any]]) -> Reply:
        handle = f"handle-{len(self.results)}"
        self.results[handle] = [[row.get(name) for name in names] for row in rows]
        described: dict[str, Any] = {"rowType": [{"name": name, "type": "text"} for name in names]}
        described["partitionInfo"] = [{"rowCount": 1} for _ in rows]
        answer = {"code": "090001", "statementHandle": handle, "resultSetMetaData": described}
        reply = Reply.of_json({**answer, "data": self.results[handle][:1]})
        when = self.now.strftime("%a, %d %b %Y %H:%M:%S GMT")
        return Reply(reply.status, reply.body, {**reply.headers, "Date": when})

    def _is_known(self, request: Recorded) -> bool:
        """As Snowflake checks a token: its signature, its times, and the fingerprint of the user's key."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if request.headers.get("x-snowflake-authorization-token-type") == "PROGRAMMATIC_ACCESS_TOKEN":
            return token == "right"
        public = private_key().public_key()
        try:
            options: Any = {"verify_exp": False, "verify_iat": False}
            claims = jwt.decode(token, public, algorithms=["RS256"], options=options)
        except jwt.InvalidTokenError:
            return False
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        digest = sha256(public.public_bytes(serialization.Encoding.DER, form)).digest()
        named = f"MYORG-PROD.WATCHTOWER.SHA256:{base64.b64encode(digest).decode()}"
        fresh = claims["iat"] <= self.now.timestamp() < claims["exp"] <= claims["iat"] + 3600
        return fresh and claims["iss"] == named and claims["sub"] == "MYORG-PROD.WATCHTOWER"


@pytest.fixture
def account() -> Generator[Account]:
    with Account() as simulator:
        yield simulator


def polled(account: Account, clock: ManualClock | None = None, **options: Any) -> PolledSnowflake:
    given = {"name": "wh", "account": "myorg-prod", "database": "SHOP", "warehouse": "XS", "base_url": account.url}
    who = {} if "token" in options else {"user": "watchtower", "private_key": pem()}
    (source,) = SnowflakeConfig.model_validate({"sources": [{**given, **who, **options}]}).sources
    return PolledSnowflake(source, context(clock or ManualClock(NOW)))


def window(cursor: str | None = None, minutes: float = 60.0, *, deep: bool = True) -> Window:
    return Window(NOW - timedelta(minutes=minutes), NOW, cursor=cursor, deep=deep)


def decoded(source: PolledSnowflake, pages: list[Page]) -> list[Fact]:
    facts: list[Fact] = []
    for record in (record for page in pages for record in page.records):
        assert b"hunter2" not in record
        found = source.decode(record, Received(NOW, "wh"))
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts


def read(source: PolledSnowflake, cursor: str | None = None, **options: Any) -> list[Fact]:
    return decoded(source, list(source.read(window(cursor, **options))))


def runs(facts: list[Fact], name: str) -> list[RunPatch]:
    return [fact.run for fact in facts if fact.run and fact.run.job.name == name]


FAILED = {"ERROR_CODE": "100038", "ERROR_MESSAGE": "Numeric value 'x' is not recognized"}


def test_rows_of_one_graph_are_a_run_of_its_root_with_its_tasks(account: Account) -> None:
    account.rows = [
        ran("ROOT", "SUCCEEDED", (-30, -29, -28), QUERY_ID="q-1"),
        ran("LOAD", "FAILED", (-28, -27, -20), QUERY_ID="q-2", **FAILED),
        ran("ROOT", "SCHEDULED", (30,), graph="g2"),
    ]
    facts = read(polled(account))
    golden = [line(fact) for fact in facts if fact.run]
    assert golden == [
        "SHOP.PUBLIC.ROOT FAILED=failed generation=0 trigger=schedule nominal=2026-11-30 09:00:00+00:00 "
        "started=2026-11-30 09:01:00+00:00 ended=2026-11-30 09:10:00+00:00 "
        "error=100038: Numeric value 'x' is not recognized (0 of stack)",
        "SHOP.PUBLIC.ROOT.ROOT SUCCEEDED=succeeded generation=0 final=True queued=2026-11-30 09:00:00+00:00 "
        "started=2026-11-30 09:01:00+00:00 ended=2026-11-30 09:02:00+00:00 tags={'query_id': 'q-1'}",
        "SHOP.PUBLIC.ROOT.LOAD FAILED=failed generation=0 final=True queued=2026-11-30 09:02:00+00:00 "
        "started=2026-11-30 09:03:00+00:00 ended=2026-11-30 09:10:00+00:00 "
        "error=100038: Numeric value 'x' is not recognized (0 of stack) tags={'query_id': 'q-2'}",
    ]
    jobs = {job.ref.name: job for fact in facts for job in fact.jobs}
    root = jobs["SHOP.PUBLIC.ROOT"]
    assert (root.schedule, root.timezone, root.paused, root.owner) == ("0 9 * * *", "Europe/Berlin", False, "SHOP_ENG")
    assert jobs["SHOP.PUBLIC.ROOT.REPORT"].upstream_tasks == ("LOAD",)
    assert_orderless(facts)


def test_a_graph_is_under_way_until_nothing_of_it_can_follow(account: Account) -> None:
    """Between the end of a task and the plan of the next one there is a moment without either."""
    source = polled(account)
    account.rows = [ran("ROOT", "SUCCEEDED", (-300, -299, -1))]
    pages = list(source.read(window(minutes=400)))
    facts = decoded(source, pages)
    assert [run.state for run in runs(facts, "SHOP.PUBLIC.ROOT")] == [RunState.RUNNING]
    account.rows.append(ran("LOAD", "EXECUTING", (-0.5, -0.4)))
    pages = list(source.read(window(pages[-1].cursor, minutes=1)))
    facts += decoded(source, pages)
    account.now = NOW + timedelta(minutes=30)
    account.rows[1:] = [ran("LOAD", "SUCCEEDED", (-0.5, -0.4, 0)), ran("REPORT", "SUCCEEDED", (0, 0, 0))]
    pages = list(source.read(window(pages[-1].cursor, minutes=1)))
    assert pages[-1].cursor == ""
    facts += decoded(source, pages)
    assert [run.state for run in runs(facts, "SHOP.PUBLIC.ROOT")][-1] is RunState.SUCCEEDED
    assert_orderless(facts)


def test_a_task_without_followers_is_a_run_by_itself(account: Account) -> None:
    account.tasks = [defined("ROOT", schedule="60 MINUTE", state="suspended", last_suspended_reason="ERRORS")]
    timed_out = {"ERROR_CODE": "000630", "ERROR_MESSAGE": "Statement reached its statement timeout of 60 second(s)"}
    account.rows = [ran("ROOT", "FAILED_AND_AUTO_SUSPENDED", (-3, -2, -1), QUERY_ID="q-1", **timed_out)]
    source = polled(account)
    pages = list(source.read(window()))
    (run,) = [fact.run for fact in decoded(source, pages) if fact.run]
    assert (run.state, run.tags, run.job.task) == (RunState.TIMED_OUT, {"query_id": "q-1"}, None)
    assert pages[0].problems
    assert pages[0].problems[0].summary == "the task SHOP.PUBLIC.ROOT was suspended after it had failed"


def test_a_retry_of_a_graph_is_a_new_generation_of_its_run(account: Account) -> None:
    account.rows = [
        ran("ROOT", "SUCCEEDED", (-30, -29, -28)),
        ran("LOAD", "FAILED", (-28, -27, -20), **FAILED),
        ran("LOAD", "SUCCEEDED", (-19, -18, -10), ATTEMPT_NUMBER="2", SCHEDULED_FROM="EXECUTE TASK"),
    ]
    facts = read(polled(account))
    found = {(run.generation, run.state, run.native_run_id) for run in runs(facts, "SHOP.PUBLIC.ROOT")}
    assert found == {(0, RunState.FAILED, "g1"), (1, RunState.SUCCEEDED, "g1")}
    assert_orderless(facts)


def test_only_a_part_of_a_run_does_not_say_what_it_came_to(account: Account) -> None:
    account.rows = [ran("ROOT", "SUCCEEDED", (-90, -89, -88)), ran("LOAD", "SUCCEEDED", (-30, -29, -28))]
    facts = read(polled(account))
    assert not runs(facts, "SHOP.PUBLIC.ROOT")
    assert [run.state for run in runs(facts, "SHOP.PUBLIC.ROOT.LOAD")] == [RunState.SUCCEEDED]


def crowded(account: Account, monkeypatch: pytest.MonkeyPatch, at_once: int) -> PolledSnowflake:
    """The most rows of an answer are Snowflake's; here they are few."""
    account.at_once = at_once
    monkeypatch.setattr("collectors.snowflake.source.AT_ONCE", at_once)
    return polled(account)


@pytest.mark.parametrize("at_once", [3, 5, 7, 1_000])
def test_no_number_of_rows_is_too_many_for_one_poll(
    account: Account, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Whatever the answers begin and end with, each graph is told once, with all its tasks."""
    for number in range(40):
        began = -50 + number
        account.rows += [
            ran("ROOT", "SUCCEEDED", (began, began, began + 1), graph=f"g{number}"),
            ran("LOAD", "FAILED", (began + 1, began + 1, began + 1.5), graph=f"g{number}", **FAILED),
            ran("LOAD", "SUCCEEDED", (began + 4.5, began + 5, began + 6), graph=f"g{number}", ATTEMPT_NUMBER="2"),
        ]
    account.now = NOW + timedelta(minutes=30)
    source = crowded(account, monkeypatch, at_once)
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    graphs = sorted((run.native_run_id, run.generation, run.state) for run in runs(facts, "SHOP.PUBLIC.ROOT"))
    expected = [(0, RunState.FAILED), (1, RunState.SUCCEEDED)]
    assert graphs == sorted((f"g{number}", *each) for number in range(40) for each in expected)
    tasks = [run for name in ("ROOT", "LOAD") for run in runs(facts, f"SHOP.PUBLIC.ROOT.{name}")]
    assert len({run.aliases for run in tasks}) == len(tasks) == 120
    assert pages[-1].problems == ()


def test_more_rows_of_one_moment_than_snowflake_tells_are_a_problem_of_the_source_and_hide_nothing_older(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.rows = [ran("ROOT", "SUCCEEDED", (-30, -29, -28), graph=f"same-{number}") for number in range(7)]
    account.rows.append(ran("ROOT", "SUCCEEDED", (-50, -50, -49), graph="alone"))
    source = crowded(account, monkeypatch, 5)
    pages = list(source.read(window()))
    read = [run.native_run_id for run in runs(decoded(source, pages), "SHOP.PUBLIC.ROOT")]
    assert "alone" in read
    assert len([each for each in read if (each or "").startswith("same")]) == 5
    assert pages[-1].problems is not None
    (problem,) = pages[-1].problems
    assert problem.key == "history:crowded"
    assert "planned for 2026-11-30 09:00:00 UTC only 5 are told" in problem.summary
    again = list(source.read(window(minutes=5, deep=False)))
    assert again[-1].problems == (problem,), "it is told for a day, not until the next poll"


def test_what_ended_while_watchtower_was_away_for_longer_than_snowflake_remembers_is_told_as_lost(
    account: Account,
) -> None:
    source = polled(account)
    mark = NOW - timedelta(days=9)
    pages = list(source.read(Window(mark, NOW, mark=mark)))
    (problem,) = pages[-1].problems or [None]
    assert problem is not None
    assert problem.key == "history:gone"
    assert "from 2026-11-21 09:30 to 2026-11-23 10:30 UTC" in problem.summary
    assert account.ledger[-1]["bindings"]["1"]["value"] == "2026-11-23T10:30:00+00:00"


def test_only_tasks_that_are_wanted_are_kept(account: Account) -> None:
    account.rows = [ran("ROOT", "SUCCEEDED", (-30, -29, -28)), ran("LOAD", "SUCCEEDED", (-28, -27, -26))]
    assert not read(polled(account, tasks=["OTHER.*"]))
    assert len([fact for fact in read(polled(account, tasks=["shop.public.root"])) if fact.run]) == 3


def test_a_token_is_made_anew_before_it_ends_and_a_key_with_a_passphrase_is_read(account: Account) -> None:
    clock = ManualClock(NOW)
    source = polled(account, clock, private_key=pem("word"), passphrase="word")
    read(source)
    account.now = NOW + timedelta(minutes=58)
    clock.advance(58 * 60)
    read(source)
    with pytest.raises(ConfigError, match="private key cannot be read"):
        read(polled(account, private_key=pem("word"), passphrase="wrong"))


def test_a_program_s_token_is_enough(account: Account) -> None:
    account.rows = [ran("ROOT", "SUCCEEDED", (-30, -29, -28))]
    assert runs(read(polled(account, token="right")), "SHOP.PUBLIC.ROOT")


def test_what_is_refused_names_the_source_and_the_remedy(account: Account) -> None:
    with pytest.raises(Permanent, match=r"snowflake source 'wh'.*clock is right"):
        read(polled(account, ManualClock(NOW - timedelta(hours=5))))
    with pytest.raises(Permanent, match="No active warehouse"):
        read(polled(account, warehouse="OTHER"))
    for fault, expected in (
        (Fault.RATE_LIMITED_SECONDS, "HTTP 429"),
        (Fault.BAD_GATEWAY, "HTTP 502"),
        (Fault.EMPTY_200, "not as expected"),
        (Fault.INVALID_JSON, "not as expected"),
    ):
        account.fail_next(fault)
        with pytest.raises(Transient, match=rf"snowflake source 'wh'.*{expected}"):
            read(polled(account))


def test_a_statement_that_is_not_answered_in_time_is_asked_again_with_the_next_poll(account: Account) -> None:
    account._result = lambda names, rows: Reply.of_json(  # type: ignore[method-assign, misc]
        {"code": "333334", "statementHandle": "h", "statementStatusUrl": "/api/v2/statements/h"}, 202
    )
    with pytest.raises(Transient, match="not answered within 40 s"):
        read(polled(account))


def test_the_mark_is_told_by_the_account_s_own_clock(account: Account) -> None:
    account.now = NOW + timedelta(minutes=4)
    pages = list(polled(account).read(window()))
    assert pages[-1].mark == account.now
    assert pages[0].coverage == {"tasks": 3}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("USING CRON 0 9 * * MON-FRI Europe/Berlin", ("0 9 * * MON-FRI", "Europe/Berlin")),
        ("60 MINUTE", ("1:00:00", "UTC")),
        ("10 SECONDS", ("0:00:10", "UTC")),
        ("2 hours", ("2:00:00", "UTC")),
        ("0 MINUTE", None),
        ("", None),
    ],
)
def test_schedules_as_snowflake_writes_them(written: str, expected: tuple[str, str] | None) -> None:
    assert schedule_of(written) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": "t", "private_key": "k", "user": "u"}, "either private_key with user, or token"),
        ({"private_key": "k"}, "belongs to a user"),
    ],
)
def test_a_source_that_cannot_be_asked_is_a_fault_of_the_configuration(options: dict[str, str], message: str) -> None:
    given = {"name": "wh", "account": "myorg-prod", "database": "SHOP", "warehouse": "XS", **options}
    with pytest.raises(ValueError, match=re.escape(message)):
        SnowflakeConfig.model_validate({"sources": [given]})


def test_an_address_that_the_guard_refuses_is_a_fault_of_the_configuration(account: Account) -> None:
    given = {"name": "wh", "account": "myorg-prod", "database": "SHOP", "warehouse": "XS", "token": "t"}
    config = SnowflakeConfig.model_validate({"sources": [{**given, "base_url": "http://169.254.169.254"}]})
    with pytest.raises(ConfigError, match=r"collectors\.snowflake\.sources\[0\]\.base_url"):
        Snowflake(config).sources(context(ManualClock(NOW)))
