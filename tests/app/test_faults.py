"""While the store is away or full, events are still taken, and all that was owed is done when it is back."""

import contextlib
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.app.house import running, until
from tests.app.test_path import config, states, told
from tests.services.postgres import PostgresServer
from tests.simulators.webhook import WebhookSimulator

NOW = datetime.now(UTC)


def test_a_postgresql_that_goes_away_costs_no_event_and_no_message(tmp_path: Path) -> None:
    with PostgresServer() as server, WebhookSimulator(NOW) as hook:
        text = config(server.url(server.create_database()), "", receivers={"team": hook.url}, route="team")
        with running(tmp_path, text) as house:
            house.fail("orders_before")
            until(lambda: states(house) == {"delivered": 1}, "the first is told, and that is on record")
            server.kill()
            status, answer = house.post(
                house.event("START", "orders_during", "r1"), house.event("FAIL", "orders_during", "r1")
            )
            assert (status, answer["stored"]) == (202, "spool")
            server.start()
            until(lambda: len(told(hook)) == 2, "what came in meanwhile is told, too")
            assert told(hook)[1]["alerts"][0]["labels"]["pipeline"] == "orders_during"
            until(lambda: states(house) == {"delivered": 2}, "and is on record")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system to be filled")
def test_a_full_disk_is_told_to_the_sender_and_nothing_that_was_answered_is_lost(tmp_path: Path) -> None:
    small = tmp_path / "state"
    small.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this container may not mount a small file system to be filled")
    try:
        with running(tmp_path) as house:
            ballast = small / "ballast"
            with ballast.open("wb") as file:
                _fill(file.fileno())
            answers = [
                house.post(house.event("START", "filler", f"run-{number}", note="x" * 2_000)) for number in range(50)
            ]
            taken = sum(status != 503 for status, _ in answers)
            status, answer = answers[-1]
            assert (status, "free " in answer["detail"]) == (503, True), answer
            ballast.unlink()
            until(lambda: len(house.items("/api/v1/runs?limit=1000")) == taken, "all that was answered is there")
            until(lambda: house.post(house.event("START", "filler", "last"))[0] == 200, "the store takes events again")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def _fill(descriptor: int) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, b"\0" * 4096)
