"""A backup is whole and signed, made beside the work; what is restored of one tells nobody anything twice."""

import json
import shutil
import threading
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.app.house import House, event, running, until
from tests.conftest import NewDatabase
from tests.crash.desks import KINDS, Desk, configured
from tests.simulators.faults import Fault
from watchtower.app import backups
from watchtower.clock import ManualClock, SystemClock
from watchtower.config import load_text
from watchtower.config.places import store_url
from watchtower.errors import StoreError, UsageError
from watchtower.model.alert import ObligationState
from watchtower.store import audit
from watchtower.store.database import Database
from watchtower.store.keys import load_keys
from watchtower.store.schema.base import metadata
from watchtower.store.schema.observed import runs

CLOCK = SystemClock()


def url_of(text: str, state: Path) -> str:
    return store_url(load_text(text), state)


def config_on(store: str) -> str:
    return json.dumps({"store": store}) if store.startswith("postgresql") else ""


def rows_of(url: str) -> dict[str, int]:
    with closing(Database(url)) as database, database.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def runs_of(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(runs.c.ol_run_id)).scalars())


def test_a_backup_under_load_is_restored_elsewhere_with_all_that_was_answered_before(
    database_url: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    text = config_on(database_url)
    with running(tmp_path, text) as house:
        url, state = url_of(text, house.instance.state.path), house.instance.state.path
        with Loaded(house, acknowledged):
            until(lambda: len(acknowledged) > 20, "there is load")
            before = list(acknowledged)
            made = backups.make(url, state, tmp_path / "backups", CLOCK, with_keys=True)
            until(lambda: len(acknowledged) > len(before) + 5, "the load goes on beside it")
        assert (made.path / "manifest.json").exists()
    elsewhere = tmp_path / "elsewhere"
    target = new_database("elsewhere", False) if text else f"sqlite:///{elsewhere}/watchtower.db"
    done = backups.restore(made.path, target, elsewhere, CLOCK)
    assert (done.last_entry, done.aside) == (made.copied.last_entry, None)
    found, wrote = rows_of(target), ("audit", "meta")  # the restore itself
    assert {name: found[name] for name in made.copied.rows if name not in wrote} == {
        name: count for name, count in made.copied.rows.items() if name not in wrote
    }
    with running(tmp_path, json.dumps({"store": target}), state="elsewhere") as again:
        until(lambda: set(before) <= runs_of(again.instance.database), "all of it is there, also from the spool")
        again.fail("orders_after_the_restore")
        with again.instance.database.read() as connection:
            assert audit.verify(connection, load_keys(elsewhere / "keys").audit).fault is None


@pytest.fixture
def made(tmp_path: Path) -> backups.Backup:
    """Of a store on SQLite that has seen one failed run, without keys."""
    with running(tmp_path) as house:
        house.fail("orders_daily")
        state = house.instance.state.path
        return backups.make(url_of("", state), state, tmp_path / "backups", CLOCK)


def test_a_backup_that_was_tampered_with_is_refused_and_nothing_is_changed(
    made: backups.Backup, tmp_path: Path
) -> None:
    target, keys = tmp_path / "new", tmp_path / "state" / "keys"
    url = f"sqlite:///{target}/watchtower.db"
    whole = (made.path / "store.db").read_bytes()
    (made.path / "store.db").write_bytes(whole[:-1] + b"x")
    with pytest.raises(UsageError, match=r"damaged: store\.db"):
        backups.restore(made.path, url, target, CLOCK, keys=keys)
    (made.path / "store.db").write_bytes(whole)
    (made.path / "more").write_text("x")
    with pytest.raises(UsageError, match="damaged: more"):
        backups.restore(made.path, url, target, CLOCK, keys=keys)
    (made.path / "more").unlink()
    manifest = json.loads((made.path / "manifest.json").read_text())
    (made.path / "manifest.json").write_text(json.dumps(manifest | {"made_at": "2020-01-01T00:00:00+00:00"}))
    with pytest.raises(UsageError, match="signature"):
        backups.restore(made.path, url, target, CLOCK, keys=keys)
    assert not (target / "watchtower.db").exists()


def test_the_keys_are_apart_unless_they_are_asked_for(made: backups.Backup, tmp_path: Path) -> None:
    assert not (made.path / "keys").exists()
    url = f"sqlite:///{tmp_path}/new/watchtower.db"
    with pytest.raises(UsageError, match="name the folder in which they are kept by --keys"):
        backups.restore(made.path, url, tmp_path / "new", CLOCK)
    load_keys(tmp_path / "others")
    with pytest.raises(UsageError, match="is not of these keys"):
        backups.restore(made.path, url, tmp_path / "new", CLOCK, keys=tmp_path / "others")
    backups.restore(made.path, url, tmp_path / "new", CLOCK, keys=tmp_path / "state" / "keys")
    assert load_keys(tmp_path / "new" / "keys") == load_keys(tmp_path / "state" / "keys")


def test_a_store_that_is_there_is_put_aside_and_never_deleted(made: backups.Backup, tmp_path: Path) -> None:
    state = tmp_path / "state"
    url = f"sqlite:///{state}/watchtower.db"
    with pytest.raises(UsageError, match="--replace puts it aside"):
        backups.restore(made.path, url, state, CLOCK)
    done = backups.restore(made.path, url, state, CLOCK, replace=True)
    assert done.aside is not None
    assert rows_of(f"sqlite:///{done.aside}/watchtower.db")["facts"] == rows_of(url)["facts"] == 2


def test_a_running_watchtower_is_not_restored_over(made: backups.Backup, tmp_path: Path) -> None:
    with running(tmp_path) as house, pytest.raises(UsageError, match="is in use by process"):
        state = house.instance.state.path
        backups.restore(made.path, url_of("", state), state, CLOCK, replace=True)


def test_one_file_holds_the_same(tmp_path: Path) -> None:
    with running(tmp_path) as house:
        house.fail("orders_daily")
        state = house.instance.state.path
        packed = backups.make(url_of("", state), state, tmp_path / "nightly.tar.zst", CLOCK, with_keys=True)
    assert packed.path == tmp_path / "nightly.tar.zst"
    backups.restore(packed.path, f"sqlite:///{tmp_path}/new/watchtower.db", tmp_path / "new", CLOCK)
    assert rows_of(f"sqlite:///{tmp_path}/new/watchtower.db")["facts"] == 2
    packed.path.write_bytes(packed.path.read_bytes()[:1000])
    with pytest.raises(UsageError, match="no backup that can be unpacked"):
        backups.restore(packed.path, f"sqlite:///{tmp_path}/other/watchtower.db", tmp_path / "other", CLOCK)


def test_a_store_that_is_damaged_is_not_backed_up(tmp_path: Path) -> None:
    with running(tmp_path) as house:
        house.fail("orders_daily")
    file = tmp_path / "state" / "watchtower.db"
    file.write_bytes(file.read_bytes()[: 64 * 1024])
    with pytest.raises(StoreError):
        backups.make(f"sqlite:///{file}", tmp_path / "state", tmp_path / "backups", CLOCK)
    assert list((tmp_path / "backups").iterdir()) == []


def test_what_waits_in_the_spool_and_the_bills_come_with_it(tmp_path: Path) -> None:
    with running(tmp_path) as house:
        state = house.instance.state.path
        bill = state / "bills" / "aws" / "2026-03" / "v1.parquet"
        bill.parent.mkdir(parents=True)
        bill.write_bytes(b"PAR1")
        house.store(house.event("START", "orders_before", str(uuid.uuid4())))  # its token is known from here on
        house.instance.database.condemn("away")
        assert house.post(house.event("START", "orders_daily", str(uuid.uuid4())))[0] == 202
        packed = backups.make(url_of("", state), state, tmp_path / "backups", CLOCK, with_keys=True)
    target = tmp_path / "new"
    backups.restore(packed.path, f"sqlite:///{target}/watchtower.db", target, CLOCK)
    assert (target / "bills" / "aws" / "2026-03" / "v1.parquet").read_bytes() == b"PAR1"
    with running(tmp_path, state="new") as again:
        until(lambda: len(again.items("/api/v1/runs")) == 2, "the spooled event is stored")


def test_a_scheduled_backup_is_made_and_old_ones_go(tmp_path: Path, clock: ManualClock) -> None:
    text = json.dumps({"backup": {"to": str(tmp_path / "backups"), "keep": 2}})
    with running(tmp_path, text, clock=clock, live=False) as house:
        for _ in range(3):
            house.instance._back_up(clock.now())  # pyright: ignore[reportPrivateUsage]
            clock.advance(86_400)
        assert len(list((tmp_path / "backups").iterdir())) == 2
        shutil.rmtree(tmp_path / "backups")
        (tmp_path / "backups").write_text("not a folder")
        with pytest.raises(UsageError):
            house.instance._back_up(clock.now())  # pyright: ignore[reportPrivateUsage]
        assert [alert["labels"]["alertname"] for alert in house.items("/api/v1/alerts")] == ["WatchtowerBackupFailed"]
        (tmp_path / "backups").unlink()
        house.instance._back_up(clock.now())  # pyright: ignore[reportPrivateUsage]
        assert house.items("/api/v1/alerts?state=firing") == []


# -- nobody is told twice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["webhook", "slack", "request_tracker"])
def test_what_was_told_after_the_backup_is_not_told_again_by_the_restored_store(
    kind: str, tmp_path: Path, clock: ManualClock
) -> None:
    """Owed when the backup is made, in two ways: as a notice that failed once, and as a group that has told nobody."""
    with KINDS[kind].open(clock.now()) as desk:
        text = configured(desk.config)
        with running(tmp_path, text, clock=clock, live=False) as house:
            desk.simulator.fail_next(Fault.UNAVAILABLE)
            failing(house, "orders_tried")
            step(house, desk, clock, 1)
            failing(house, "orders_owed", 5)
            while house.instance.walker.step(clock.now()) + house.instance.engine.step(clock.now()):
                pass
            state = house.instance.state.path
            old = backups.make(url_of(text, state), state, tmp_path / "backups", clock, with_keys=True)
            step(house, desk, clock, 8)
            told = desk.seen()
            assert len(told) >= 6
        backups.restore(old.path, url_of(text, state), state, clock, replace=True)
        with running(tmp_path, text, clock=clock, live=False) as again:
            step(again, desk, clock, 12)
            assert desk.seen() == told, "nothing was seen a second time"
            states = {entry["state"] for entry in again.items("/api/v1/ledger?limit=100")}
            assert states == {ObligationState.DELIVERED.value}
            failing(again, "orders_new")
            step(again, desk, clock, 3)
            assert len(desk.seen()) > len(told), "what is new is told"


def failing(house: House, pipeline: str, count: int = 1) -> None:
    for number in range(count):
        run, now = str(uuid.uuid4()), house.instance.clock.now()
        events = [event(now, kind, f"{pipeline}_{number}", run) for kind in ("START", "FAIL")]
        house.store(*events)


def step(house: House, desk: Desk, clock: ManualClock, rounds: int) -> None:
    for _ in range(rounds):
        desk.at(clock.now())
        while house.instance.step():
            pass
        clock.advance(11.0)


class Loaded:
    """Failing runs, one after the other, until it is left. acknowledged: their run ids, once answered."""

    def __init__(self, house: House, acknowledged: list[str]) -> None:
        self._house, self._acknowledged = house, acknowledged
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            run = str(uuid.uuid4())
            now = datetime.now(UTC)
            events = [event(now, kind, f"orders_{number % 7}", run) for kind in ("START", "FAIL")]
            if self._house.post(*events)[0] in (200, 202):
                self._acknowledged.append(run)
            number += 1

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
