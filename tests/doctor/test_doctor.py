"""The doctor names what is wrong, and says nothing is wrong only where nothing is."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import at, complete
from watchtower import doctor
from watchtower.clock import ManualClock
from watchtower.doctor import Status
from watchtower.store.database import Database
from watchtower.store.facts import Intake, Quarantined, append_all
from watchtower.store.schema.alerting import obligations


def statuses(database: Database, clock: ManualClock) -> dict[str, Status]:
    return {finding.check: finding.status for finding in doctor.store(database, clock.now())}


def test_a_new_store_is_sound_but_has_heard_nothing(database: Database, clock: ManualClock) -> None:
    assert statuses(database, clock) == {"store": Status.OK, "events": Status.WARN, "deliveries": Status.OK}


def test_input_that_waits_is_shown(database: Database, clock: ManualClock) -> None:
    odd = Quarantined("openlineage", None, "no_run_id", "the event has no run id", clock.now(), b"{}")
    database.write(lambda connection: append_all(connection, [Intake([complete("r1", at(0))], [odd])]))
    found = statuses(database, clock)
    assert (found["events"], found["quarantine"]) == (Status.OK, Status.WARN)


@pytest.mark.parametrize(("state", "check"), [("due", "deliveries"), ("dead_letter", "dead letters")])
def test_an_obligation_that_is_stuck_is_shown(database: Database, clock: ManualClock, state: str, check: str) -> None:
    long_ago = clock.now() - timedelta(minutes=6)
    row = {
        "id": "o1",
        "group_id": "g1",
        "destination": "team/slack[0]",
        "alert_id": "a1",
        "transition": "firing",
        "occasion": 0,
        "state": state,
        "attempts": 3,
        "created_at": long_ago,
        "updated_at": long_ago,
    }
    database.write(lambda connection: connection.execute(obligations.insert(), row).close())
    assert statuses(database, clock)[check] is Status.WARN


def test_a_damaged_file_is_named_with_a_remedy(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "watchtower.db"
    broken = Database(f"sqlite:///{file}")
    try:
        file.write_bytes(b"this is not a database" * 500)
        (finding, *_) = [item for item in doctor.store(broken, clock.now()) if item.status is Status.FAIL]
        assert finding.remedy
    finally:
        broken.close()


def test_keys_that_others_can_read_are_a_failure(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)
    found = {finding.check: finding.status for finding in doctor.environment(tmp_path)}
    assert found["keys"] is Status.FAIL
