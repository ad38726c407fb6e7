"""The doctor names what is wrong, and says nothing is wrong only where nothing is."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import at, complete
from watchtower import doctor
from watchtower.clock import ManualClock
from watchtower.config import load_text
from watchtower.doctor import Status
from watchtower.spool import Spool, Spooled
from watchtower.store.database import Database
from watchtower.store.facts import Intake, Quarantined, append_all
from watchtower.store.keys import load_keys
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


def test_a_key_that_is_missing_is_a_failure(tmp_path: Path) -> None:
    load_keys(tmp_path / "keys")
    (tmp_path / "keys" / "audit").unlink()
    tmp_path.chmod(0o700)
    (finding,) = [item for item in doctor.environment(tmp_path) if item.check == "keys"]
    assert (finding.status, "audit missing" in finding.text) == (Status.FAIL, True)


def test_a_state_directory_that_others_may_enter_is_shown(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert "chmod 700" in next(item.remedy for item in doctor.environment(tmp_path) if item.check == "state")


def test_what_waits_in_the_spool_and_what_is_damaged_there_is_shown(tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder)
    spool.append(Spooled("openlineage", clock.now(), b"{}")).result()
    spool.close()
    (folder / "0000000000000009.damaged").write_bytes(b"x")
    found = [item.text for item in doctor.environment(tmp_path) if item.check == "spool"]
    assert ["1 damaged segments" in found[0], "1 requests wait" in found[1]] == [True, True]
    (segment,) = folder.glob("*.spool")
    segment.write_bytes(segment.read_bytes() + b"\x08" + bytes(7) + b"x" * 8)
    assert any(segment.name in item.text for item in doctor.environment(tmp_path))


def test_a_watchtower_that_nobody_watches_is_told_so(tmp_path: Path) -> None:
    assert [item.check for item in doctor.configuration(load_text(""))] == ["watched"]
    watched = load_text("heartbeat: {url: 'https://example.com/x'}\nbackup: {to: backups, every: 1h}", tmp_path)
    assert ["no backup in" in item.text for item in doctor.configuration(watched)] == [True]
