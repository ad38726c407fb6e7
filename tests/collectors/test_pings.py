"""Pings as facts: what they say of a run, in any order and any number of times."""

from datetime import timedelta

import msgspec
import pytest
from pydantic import ValidationError

from collectors.pings import Action, Ping, PingFilter, Pings, as_text, completed, tail
from tests.builders import DAY
from watchtower.model.fact import Fact
from watchtower.model.run import RunState
from watchtower.ports import Received

COLLECTOR = Pings()


def fact_of(action: Action, *, seconds: float = 0, received: Received | None = None, **said: object) -> Fact:
    at = DAY + timedelta(seconds=seconds)
    ping = Ping("backup", action, at, **{"run": "r1", **said})  # pyright: ignore[reportArgumentType]
    (fact,) = COLLECTOR.decode(completed(ping), received or Received(at)).facts
    return fact


@pytest.mark.parametrize(
    ("action", "event_type", "state"),
    [
        ("start", "START", RunState.RUNNING),
        ("success", "COMPLETE", RunState.SUCCEEDED),
        ("fail", "FAIL", RunState.FAILED),
        ("log", "OTHER", None),
    ],
)
def test_each_kind_of_ping_is_an_event_of_its_run(action: Action, event_type: str, state: RunState | None) -> None:
    fact = fact_of(action)
    assert fact.run
    assert (fact.run.event_type, fact.run.state, fact.run.native_run_id) == (event_type, state, "r1")
    assert (fact.run.job.source, fact.run.job.namespace, fact.run.job.name) == ("pings", "cron", "backup")
    assert (fact.run.started_at == DAY, fact.run.ended_at == DAY) == (action == "start", action in ("success", "fail"))


def test_all_pings_of_a_run_are_of_one_identity_and_a_log_outside_of_one_makes_none() -> None:
    assert len({fact_of(action).run.aliases for action in ("start", "log", "fail")}) == 1  # pyright: ignore[reportOptionalMemberAccess]
    alone = fact_of("log", run="")
    assert alone.run is None
    assert alone.jobs[0].ref.name == "backup"


@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        ("", None, "it said that it failed"),
        ("", 3, "exit status 3"),
        ("copying\nrsync: no space left on device (28)\n\n", 11, "exit status 11: rsync: no space left on device (28)"),
        ("it broke", None, "it broke"),
    ],
)
def test_a_failure_is_worded_by_its_last_line_and_its_status(said: str, status: int | None, message: str) -> None:
    failed = fact_of("fail", said=said, exit_status=status).run
    assert failed
    assert failed.error
    assert failed.error.message == message
    assert failed.error.stack == said


def test_a_repeat_is_the_same_fact_and_another_ping_is_not() -> None:
    keys = {fact_of("start").key, fact_of("start").key, fact_of("fail").key, fact_of("start", seconds=1).key}
    assert len(keys) == 3


def test_what_waited_in_the_spool_is_as_young_as_it_was() -> None:
    late = Received(DAY, replay=False)
    assert not fact_of("fail", received=late).historical
    assert fact_of("fail", received=Received(DAY + timedelta(hours=2))).historical


def test_secrets_are_gone_before_anything_is_kept() -> None:
    body = completed(Ping("backup", "fail", DAY, run="r1", said="mysqldump --password=hunter2 failed"))
    assert b"hunter2" not in body
    assert msgspec.json.decode(body)["said"] == "mysqldump --password=*** failed"


@pytest.mark.parametrize(
    ("raw", "text", "rest"),
    [
        (b"plain", "plain", 0),
        ("über".encode(), "über", 0),
        (b"\xff\x00\x01", "\ufffd\ufffd\x01", 0),
        (b"x" * 100_010, "x" * 100_000, 10),
    ],
    ids=["ascii", "utf-8", "bytes", "long"],
)
def test_a_body_is_opaque_and_bounded(raw: bytes, text: str, rest: int) -> None:
    assert as_text(raw) == (text, rest)


SUNG = b'{"job":"x","action":"sing","at":"2026-03-02T08:00:00Z"}'


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"job": "x"}', SUNG])
def test_what_is_no_ping_is_kept_aside(body: bytes) -> None:
    decoded = COLLECTOR.decode(body, Received(DAY))
    assert ([reject.reason for reject in decoded.rejects], decoded.facts) == (["not_a_ping"], ())


def test_the_output_of_a_run_is_its_last_whole_lines() -> None:
    text = "\n".join(f"line {number}" for number in range(2_000))
    kept = tail(text, 100)
    assert kept.endswith("line 1999")
    assert kept.startswith("line ")
    assert len(kept) <= 100
    assert tail("x" * 200, 100) == "x" * 100


def test_a_filter_may_take_what_it_does_not_know_for_a_failure_and_needs_a_word() -> None:
    strict = Pings(Pings.Config(filters=(PingFilter(job="backup", success=("done",), otherwise="fail"),)))
    assert strict.action("backup", "success", "all done") == "success"
    assert strict.action("backup", "success", "Done?") == "fail", "as it is written"
    assert strict.action("backups", "success", "") == "success"
    with pytest.raises(ValidationError, match="no keyword is given"):
        PingFilter(job="backup")
