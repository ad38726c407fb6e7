"""The PostgreSQL of the tests: real, crashable, and gone with the tests, however they end."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from tests.services.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from tests.services.postgres import PostgresServer

server = PostgresServer()
print(server.pid, server.folder, flush=True)
sys.stdin.read()
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_was_committed_outlives_a_crash() -> None:
    with PostgresServer() as server:
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url())
        server.start()
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_databases_made_from_a_template_are_independent(postgres: PostgresServer) -> None:
    template = postgres.create_database()
    with psycopg.connect(postgres.url(template)) as connection:
        connection.execute("CREATE TABLE seen (id int)")
    first, second = (postgres.create_database(template) for _ in range(2))
    with psycopg.connect(postgres.url(first)) as connection:
        connection.execute("INSERT INTO seen VALUES (1)")
    with psycopg.connect(postgres.url(second)) as connection:
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (0,)
    for name in (first, second, template):
        postgres.drop_database(name)


def test_a_killed_test_run_leaves_no_server_behind() -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert holder.stdout
    assert holder.stdin
    pid, folder = holder.stdout.readline().split()
    assert is_alive(int(pid))
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    for _ in range(200):
        if not is_alive(int(pid)) and not Path(folder).exists():
            break
        threading.Event().wait(0.05)
    assert not is_alive(int(pid))
    assert not Path(folder).exists()
    holder.stdin.close()
    holder.stdout.close()
