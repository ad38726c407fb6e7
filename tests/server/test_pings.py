"""The pinging API over real sockets: healthchecks' answers, and what becomes of a ping."""

import shutil
import subprocess
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from collectors.pings import PingFilter, Pings
from tests.builders import DAY
from tests.server.site import Answer, Site, running
from tests.server.test_ingest import count
from tests.server.test_spooling import locked, until
from watchtower.clock import ManualClock
from watchtower.model.access import Scope
from watchtower.model.run import JobRef
from watchtower.server.services import Services
from watchtower.store import jobs
from watchtower.store.database import Database
from watchtower.store.schema.access import tokens
from watchtower.store.schema.observed import facts, runs

RID = "d2b37f33-0448-45c8-b7b1-7beaf9f1a71b"


def ping(site: Site, path: str, method: str = "GET", body: bytes | None = None) -> Answer:
    return site.request(method, path, body=body)


def said(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body.decode()


def rows(site: Site) -> list[Any]:
    with site.services.database.read() as connection:
        return list(connection.execute(select(runs).order_by(runs.c.position)))


def states(site: Site) -> list[tuple[str, str]]:
    return [(row.pipeline, row.state) for row in rows(site)]


@pytest.fixture
def key(site: Site) -> str:
    return site.tokens["ping"]


def test_a_check_is_made_known_by_its_first_ping_if_it_asks_for_that(any_site: Site) -> None:
    key = any_site.tokens["ping"]
    assert said(ping(any_site, f"/ping/{key}/backup")) == (404, "not found")
    assert said(ping(any_site, f"/ping/{key}/backup?create=1")) == (201, "Created")
    assert said(ping(any_site, f"/ping/{key}/backup?create=1")) == (200, "OK")
    assert said(ping(any_site, f"/ping/{key}/backup")) == (200, "OK")
    assert states(any_site) == [("backup", "succeeded")]  # the clock stands still: three pings of one moment


def test_start_and_end_are_one_run_and_the_status_decides(any_site: Site, clock: ManualClock) -> None:
    key = any_site.tokens["ping"]
    for status, state in (("0", "succeeded"), ("3", "failed"), ("fail", "failed"), ("", "succeeded")):
        ping(any_site, f"/ping/{key}/job/start?create=1")
        clock.advance(60)
        ping(any_site, f"/ping/{key}/job/{status}", "POST", b"copied 12 rows\nthen stopped")
        last = rows(any_site)[-1]
        assert (last.state, last.ended_at - last.started_at) == (state, timedelta(seconds=60))
        assert last.output == "copied 12 rows\nthen stopped"
        clock.advance(60)
    assert count(any_site, runs) == 4


def test_concurrent_runs_are_told_apart_by_their_rid(site: Site, key: str, clock: ManualClock) -> None:
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    for rid in (one, two):
        ping(site, f"/ping/{key}/job/start?create=1&rid={rid}")
        clock.advance(1)
    ping(site, f"/ping/{key}/job/start")
    ping(site, f"/ping/{key}/job?rid={one}")
    ping(site, f"/ping/{key}/job/7?rid={two}")
    assert [row.state for row in rows(site)] == ["succeeded", "failed", "running"]
    clock.advance(1)
    ping(site, f"/ping/{key}/job")
    assert [row.state for row in rows(site)] == ["succeeded", "failed", "succeeded"]


def test_an_end_without_a_start_is_a_run_and_a_second_one_too(site: Site, key: str, clock: ManualClock) -> None:
    for _ in range(2):
        ping(site, f"/ping/{key}/beat?create=1")
        clock.advance(300)
    assert [(row.started_at, row.ended_at is not None) for row in rows(site)] == [(None, True), (None, True)]


def test_a_log_changes_no_state_and_is_kept(site: Site, key: str, clock: ManualClock) -> None:
    ping(site, f"/ping/{key}/job/log?create=1", "POST", b"nothing runs")
    assert (count(site, facts), count(site, runs)) == (1, 0)
    ping(site, f"/ping/{key}/job/start")
    clock.advance(1)
    ping(site, f"/ping/{key}/job/log", "POST", b"progress 50%")
    assert [(row.state, row.output) for row in rows(site)] == [("running", "progress 50%")]
    found = site.get("/api/v1/runs").json()["items"][0]["id"]
    assert site.get(f"/api/v1/runs/{found}").json()["said"] == "progress 50%"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_uuid_pings_its_own_job_by_any_method(site: Site, method: str) -> None:
    secret = site.new_token({Scope.PING}, check="Nightly backup")
    answer = ping(site, f"/ping/{secret}/4", method)
    assert said(answer) == (200, "" if method == "HEAD" else "OK")
    assert (answer.headers["ping-body-limit"], answer.headers["access-control-allow-origin"]) == ("100000", "*")
    assert states(site) == [("Nightly backup", "failed")]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/ping/{key}/Backup", 400, "invalid url format"),
        ("/ping/{key}/back%20up", 400, "invalid url format"),
        ("/ping/{key}/backup/256?create=1", 400, "invalid url format"),
        ("/ping/{key}/backup/-1?create=1", 404, "not found"),
        ("/ping/{key}/backup/stop?create=1", 404, "not found"),
        ("/ping/{key}/backup/start/now?create=1", 404, "not found"),
        ("/ping/{key}/backup?create=1&rid=7", 400, "invalid uuid format"),
        ("/ping/{key}/backup?create=1&rid=d2b37f33044845c8b7b17beaf9f1a71b", 400, "invalid uuid format"),
        ("/ping/{key}", 404, "not found"),
        ("/ping/", 404, "not found"),
        ("/ping/d2b37f33-0448-45c8-b7b1-7beaf9f1a71b", 404, "not found"),
        ("/ping/nobodys-key/backup?create=1", 404, "not found"),
        ("/ping/{ingest}/backup?create=1", 404, "not found"),
        ("/ping/{check}/backup?create=1", 404, "not found"),
    ],
)
def test_what_cannot_be_is_answered_in_healthchecks_words(site: Site, path: str, status: int, text: str) -> None:
    check = site.new_token({Scope.PING}, check="one")
    path = path.format(key=site.tokens["ping"], ingest=site.tokens["ingest"], check=check)
    assert said(ping(site, path)) == (status, text)
    assert count(site, runs) == 0


def test_a_slug_means_the_job_whose_name_comes_to_it_unless_two_do(site: Site, key: str) -> None:
    names = ["Nightly Backup", "Sync: A", "sync a"]
    site.services.database.write(lambda c: jobs.declare(c, [JobRef("pings", "cron", name) for name in names], DAY))
    assert said(ping(site, f"/ping/{key}/nightly-backup/1")) == (200, "OK")
    assert said(ping(site, f"/ping/{key}/sync-a/1")) == (409, "ambiguous slug")
    assert states(site) == [("Nightly Backup", "failed")]


def test_nobody_loses_a_failure_or_an_end_for_pinging_too_fast(site: Site, key: str, clock: ManualClock) -> None:
    for _ in range(5):
        assert said(ping(site, f"/ping/{key}/job?create=1"))[0] in (200, 201)
        clock.advance(1)
    secret = site.new_token({Scope.PING}, check="job")
    kept = count(site, facts)
    assert said(ping(site, f"/ping/{key}/job")) == (429, "rate limited")
    assert said(ping(site, f"/ping/{secret}/start")) == (200, "OK (rate limited)")
    assert said(ping(site, f"/ping/{key}/other?create=1")) == (201, "Created")
    assert said(ping(site, f"/ping/{key}/job/fail")) == (200, "OK")
    assert said(ping(site, f"/ping/{key}/job?rid={RID}")) == (200, "OK")
    assert count(site, facts) == kept + 3
    clock.advance(60)
    assert said(ping(site, f"/ping/{key}/job")) == (200, "OK")


def test_a_ping_is_durable_while_the_store_is_locked_and_ends_the_right_run(hasty: Site, clock: ManualClock) -> None:
    key = hasty.tokens["ping"]
    ping(hasty, f"/ping/{key}/job/start?create=1")
    clock.advance(60)
    ping(hasty, f"/ping/{key}/job")
    with locked(hasty.services.database):
        for path in ("start", "9"):
            clock.advance(60)
            assert said(ping(hasty, f"/ping/{key}/job/{path}", "POST", b"disk full")) == (200, "OK")
        assert hasty.services.spool.size_bytes > 0
    until(lambda: hasty.services.spool.size_bytes == 0)
    until(lambda: [row.state for row in rows(hasty)] == ["succeeded", "failed"])
    failed = rows(hasty)[-1]
    assert (failed.ended_at - failed.started_at, failed.historical) == (timedelta(seconds=60), False)


def test_a_body_that_is_too_long_is_cut_and_counts(site: Site, key: str) -> None:
    assert said(ping(site, f"/ping/{key}/job/fail?create=1", "POST", b"x" * 5_000_000)) == (201, "Created")
    assert states(site) == [("job", "failed")]


def test_only_a_digest_of_a_check_is_stored(site: Site) -> None:
    secret = site.new_token({Scope.PING}, check="job")
    with site.services.database.read() as connection:
        row = connection.execute(select(tokens).where(tokens.c.kind == "check")).one()
    assert not any(part in str(tuple(row)) for part in (secret, secret.replace("-", ""), secret[:8]))
    answer = site.request("POST", f"/api/v1/tokens/{row.id}/revoke", token="admin")
    assert (answer.status, answer.json()["check"]) == (200, "job")
    assert said(ping(site, f"/ping/{secret}")) == (404, "not found")


def test_a_made_key_says_what_to_ask_for(site: Site) -> None:
    made = site.request("POST", "/api/v1/tokens", token="admin", json_body={"name": "x", "scopes": ["ping"]}).json()
    assert made["ping_url"].endswith(f"/ping/{made['token']}/SLUG?create=1")
    body = {"name": "x", "scopes": ["ping"], "check": "job"}
    made = site.request("POST", "/api/v1/tokens", token="admin", json_body=body).json()
    assert made["ping_url"].endswith(f"/ping/{made['token']}")
    wrong = {"name": "x", "scopes": ["ping", "read"], "check": "job"}
    assert site.request("POST", "/api/v1/tokens", token="admin", json_body=wrong).status == 400


def test_a_namespace_of_ones_own(sqlite: Database, tmp_path: Path, clock: ManualClock) -> None:
    def change(services: Services) -> None:
        services.collectors = {**services.collectors, "pings": Pings(Pings.Config(namespace="shell", per_minute=1))}

    with running(sqlite, tmp_path, clock, change=change) as site:
        ping(site, f"/ping/{site.tokens['ping']}/job?create=1")
        assert said(ping(site, f"/ping/{site.tokens['ping']}/job?create=1")) == (429, "rate limited")
        assert [row.namespace for row in rows(site)] == ["shell"]


CLIENTS: dict[str, Sequence[str]] = {
    "curl": ("curl", "-fsS", "-m", "10", "--retry", "3", "--data-raw", "copied 1234 rows", "{url}"),
    "wget": ("wget", "-q", "-T", "10", "-O", "-", "--post-data", "copied 1234 rows", "{url}"),
    "curl HEAD": ("curl", "-fsS", "-I", "{url}"),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_unchanged_clients_are_understood(site: Site, key: str, client: str) -> None:
    command = CLIENTS[client]
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} on this machine")
    for end, wanted in (("start", ""), ("3", "failed")):
        url = f"{site.url}/ping/{key}/job/{end}?create=1&rid={RID}"
        done = subprocess.run([part.format(url=url) for part in command], capture_output=True, text=True, check=True)
        assert "OK" in done.stdout or "Created" in done.stdout
        assert not wanted or states(site) == [("job", wanted)]


def test_words_in_the_body_decide_where_a_filter_says_so(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    words = PingFilter(job="copy*", failure=("error",), success=("copied",), start=("about to",))

    def filtered(services: Services) -> None:
        services.collectors = {**services.collectors, "pings": Pings(Pings.Config(filters=(words,)))}

    cases: list[tuple[str, str, bytes | None, str | None]] = [
        ("copy-well", "", b"3 files copied", "succeeded"),
        ("copy-failed", "", b"3 files copied, 1 error", "failed"),
        ("copy-after-all", "/fail", b"3 files copied", "succeeded"),
        ("copy-begins", "/1", b"about to copy", "running"),
        ("copy-other", "", b"nothing of the kind", None),
        ("copy-mute", "", None, None),
        ("other", "", b"1 error", "succeeded"),
    ]
    with running(database, tmp_path, clock, change=filtered) as site:
        for name, path, body, _ in cases:
            url = f"/ping/{site.tokens['ping']}/{name}{path}?create=1"
            assert said(ping(site, url, "POST", body)) == (201, "Created")
        assert dict(states(site)) == {name: state for name, _, _, state in cases if state}
