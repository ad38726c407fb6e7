"""`backup`, `restore` and `audit verify`, as a user meets them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.app.house import running
from tests.cli.terminal import Watchtower


def test_a_backup_of_a_running_watchtower_is_restored_on_another_machine(
    watchtower: Watchtower, tmp_path: Path
) -> None:
    with running(tmp_path) as house:
        house.fail("orders_daily")
        answer = watchtower("backup", tmp_path / "backups", "--state", house.instance.state.path, "--with-keys")
        assert answer.code == 0, answer.said
    told = json.loads(answer.out)
    assert (told["rows"]["facts"], told["keys"]) == (2, True)
    restored = watchtower("restore", told["path"], "--state", tmp_path / "new")
    assert (restored.code, json.loads(restored.out)["last_entry"]) == (0, told["last_entry"])
    assert "orders_daily" in watchtower("runs", "--state", tmp_path / "new").out


def test_a_restore_over_a_store_asks_for_replace(watchtower: Watchtower, tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    state = tmp_path / "state"
    path = json.loads(watchtower("backup", tmp_path / "backups", "--state", state).out)["path"]
    refused = watchtower("restore", path, "--state", state)
    assert (refused.code, "--replace puts it aside" in refused.said) == (2, True)
    done = watchtower("restore", path, "--state", state, "--replace")
    assert (done.code, Path(json.loads(done.out)["aside"]).is_dir()) == (0, True)


def test_the_audit_chain_is_verified_and_a_tampering_is_found(watchtower: Watchtower, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running(tmp_path):
        pass
    assert watchtower("token", "create", "airflow", "--scope", "ingest", "--state", state).code == 0
    whole = watchtower("audit", "verify", "--state", state)
    verdict = json.loads(whole.out)
    assert (whole.code, verdict["fault"], verdict["rows"] > 0) == (0, None, True)
    again = watchtower("audit", "verify", "--head", verdict["head"], "--state", state)
    assert again.code == 0
    with closing(sqlite3.connect(state / "watchtower.db")) as store, store:
        store.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 1")
    found = watchtower("audit", "verify", "--state", state)
    assert (found.code, "row 1 was changed" in json.loads(found.out)["fault"]) == (1, True)
