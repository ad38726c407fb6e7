"""A PostgreSQL that ends connections, stops at once, finds deadlocks, refuses to serialise; and workers that race."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from tests.app.house import event, running, until
from tests.conftest import START
from tests.crash.conftest import Record
from tests.crash.desks import KINDS, configured
from tests.crash.verdict import Figures, kept_in, missing, twice
from tests.services.postgres import PostgresServer
from watchtower.store import claims, due
from watchtower.store.database import Database

BACK_S = 10.0  # promise: T15
ROUNDS = 12
WORKERS, SUBJECTS, AT_ONCE = 4, 10_000, 50

on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


def direct(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


@on_postgresql
def test_connections_that_are_ended_again_and_again_cost_nothing(
    database_url: str, tmp_path: Path, seed: int, record: Record
) -> None:
    random, figures, acknowledged = Random(f"{seed} terminated"), Figures(kills=ROUNDS), set[str]()
    with KINDS["webhook"].open(datetime.now(UTC)) as desk:
        with running(tmp_path, configured(desk.config, database_url)) as house, direct(database_url) as admin:
            for number in range(ROUNDS):
                run, now = str(uuid.uuid4()), datetime.now(UTC)
                status, _ = house.post(*[event(now, kind, f"orders_{number}", run) for kind in ("START", "FAIL")])
                assert status in (200, 202), status
                acknowledged.add(run)
                threading.Event().wait(random.uniform(0, 0.1))
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            until(lambda: len(set(desk.seen())) == ROUNDS, "everybody is told", 90)
            # Told is not yet on record: a connection may end between the two, and then a lease runs out first.
            until(lambda: {item["state"] for item in house.items("/api/v1/ledger")} == {"delivered"}, "on record", 120)
        kept = kept_in(database_url)
        figures.duplicates = len(twice(desk.seen()))
    figures.events, figures.obligations = 2 * ROUNDS, kept.obligations
    figures.lost = len(missing(acknowledged, kept.runs)) + len(kept.unfinished)
    record(figures)
    assert (missing(acknowledged, kept.runs), kept.unfinished, figures.duplicates) == ([], (), 0)


def test_a_server_that_is_killed_and_comes_back_is_used_again_within_seconds(tmp_path: Path, record: Record) -> None:
    figures, acknowledged = Figures(kills=3), set[str]()
    with PostgresServer() as server, KINDS["webhook"].open(datetime.now(UTC)) as desk:
        url = server.url(server.create_database())
        with running(tmp_path, configured(desk.config, url)) as house:
            house.fail("orders_before")  # its token is known from here on
            for number in range(3):
                server.kill()
                run, now = str(uuid.uuid4()), datetime.now(UTC)
                status, answer = house.post(*[event(now, kind, f"orders_{number}", run) for kind in ("START", "FAIL")])
                assert (status, answer["stored"]) == (202, "spool")
                acknowledged.add(run)
                server.start()
                clock = house.instance.clock
                began = clock.boottime()
                until(lambda: house.instance.services.append(()).exception(5.0) is None, "the store is used again")
                assert clock.boottime() - began < 6 * BACK_S, "a bound that a busy machine keeps; docs have the figure"
                until(lambda: len(set(desk.seen())) == number + 2, "it is told", 60)  # noqa: B023
            until(lambda: {item["state"] for item in house.items("/api/v1/ledger")} == {"delivered"}, "on record", 60)
        kept = kept_in(url)
        figures.duplicates = len(twice(desk.seen()))
    figures.events, figures.obligations = 8, kept.obligations
    figures.lost = len(missing(acknowledged, kept.runs)) + len(kept.unfinished)
    record(figures)
    assert (figures.lost, figures.duplicates) == (0, 0)


@on_postgresql
def test_a_deadlock_is_repeated_until_it_is_none(database_url: str) -> None:
    with closing(Database(database_url)) as database, direct(database_url) as other:
        database.write(lambda c: c.execute(text("INSERT INTO meta (key, value) VALUES ('a', '0'), ('b', '0')")))
        tries: list[int] = []
        first = threading.Event()

        def unit(connection: Connection) -> None:
            tries.append(1)
            connection.execute(text("UPDATE meta SET value = 'ours' WHERE key = 'b'"))
            first.set()
            connection.execute(text("UPDATE meta SET value = 'ours' WHERE key = 'a'"))

        with other.transaction():
            other.execute("UPDATE meta SET value = 'theirs' WHERE key = 'a'")
            done = database.submit_unit(unit)
            assert first.wait(30)
            other.execute("SET LOCAL deadlock_timeout = '1h'")  # ours is the one that is ended
            other.execute("UPDATE meta SET value = 'theirs' WHERE key = 'b'")
        done.result(30)
        with database.read() as connection:
            values = connection.execute(text("SELECT value FROM meta WHERE key IN ('a', 'b')")).scalars().all()
        assert (values, len(tries) > 1) == (["ours", "ours"], True)


@on_postgresql
def test_a_refusal_to_serialise_is_repeated_at_whatever_statement_it_comes(database_url: str) -> None:
    with closing(Database(database_url)) as database, direct(database_url) as other:
        other.execute("CREATE SEQUENCE tries")  # a sequence is not rolled back
        other.execute(
            "CREATE FUNCTION fails(times bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval('tries') <= times THEN RAISE EXCEPTION 'seeded' USING ERRCODE = '40001'; END IF; END $$"
        )
        for place in range(5):
            other.execute("ALTER SEQUENCE tries RESTART")

            def unit(connection: Connection, place: int = place) -> None:
                for number in range(5):
                    if number == place:
                        connection.execute(text("SELECT fails(3)"))
                    connection.execute(
                        text("INSERT INTO meta (key, value) VALUES (:key, 'x')"), {"key": f"{place}/{number}"}
                    )

            database.write(unit, 30)
        with database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM meta WHERE key LIKE '%/%'")).scalar_one() == 25


@on_postgresql
def test_of_four_workers_that_race_each_piece_of_work_is_claimed_by_one(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        database.write(lambda c: due.mark(c, due.RULES, [f"job:{number}" for number in range(SUBJECTS)], START))
    taken: Counter[str] = Counter()
    lock, barrier = threading.Lock(), threading.Barrier(WORKERS)

    def work(holder: str) -> None:
        with closing(Database(database_url)) as own:
            for _ in range(SUBJECTS // WORKERS // AT_ONCE):
                barrier.wait(60)
                found = own.write(lambda c: due.claim(c, due.RULES, START, AT_ONCE, holder))
                with lock:
                    taken.update(item.subject for item in found)

    _together(work)
    assert (len(taken), set(taken.values())) == (SUBJECTS, {1})


@on_postgresql
def test_of_two_schedulers_one_does_what_is_due(database_url: str) -> None:
    won: Counter[int] = Counter()
    lock, barrier = threading.Lock(), threading.Barrier(WORKERS)

    def work(holder: str) -> None:
        with closing(Database(database_url)) as own:
            for number in range(50):
                barrier.wait(60)
                name = f"task {number}"
                if own.write(lambda c: claims.claim(c, name, holder, START, lease_s=300, every_s=60)):  # noqa: B023
                    with lock:
                        won[number] += 1

    _together(work)
    assert (len(won), set(won.values())) == (50, {1})


def _together(work: Callable[[str], None]) -> None:
    threads = [threading.Thread(target=work, args=[f"worker-{number}"]) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
