"""Bills put in force: whole, once, versioned, and never half, on both engines."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import bills
from tests.bills import line
from watchtower.clock import ManualClock
from watchtower.model.cost import CostMetric, CostScope
from watchtower.store import amounts, costs
from watchtower.store.bills.folder import BillFolder
from watchtower.store.bills.importing import Importer
from watchtower.store.bills.orders import Result
from watchtower.store.database import Database

NOW = datetime(2024, 9, 20, 12, tzinfo=UTC)
SHARED = Path(__file__).resolve().parents[4] / "shared" / "billing"


@pytest.fixture
def importer(database: Database, tmp_path: Path) -> Importer:
    return Importer(database, BillFolder(tmp_path / "bills"), ManualClock(NOW))


def bring(importer: Importer, folder: Path, lines: list[dict[str, str]], name: str = "bill.csv") -> list[Result]:
    file = folder / name
    file.write_text(bills.text(lines))
    return importer.run(bills.order(file))


def days(database: Database, **more: datetime) -> list[Decimal]:
    with database.read() as connection:
        found = costs.day_costs(connection, CostScope(), CostMetric.BILLED, date(2000, 1, 1), date(2100, 1, 1), **more)
    return [amount for _, _, amount, _ in found]


def lying(importer: Importer) -> list[str]:
    root = importer.folder.root
    return sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())


def test_a_restated_bill_is_a_new_version_and_the_old_one_is_still_known(
    importer: Importer, database: Database, tmp_path: Path
) -> None:
    bring(importer, tmp_path, [line(1, "10"), line(2, "20")])
    importer.clock.advance(8 * 3600)  # type: ignore[attr-defined]
    (second,) = bring(importer, tmp_path, [line(1, "11")])
    assert (second.bill.version, second.changed, second.version_before) == (2, True, 1)
    assert (second.totals, second.before) == ({"USD": 11}, {"USD": 30})
    assert days(database) == [11]
    assert days(database, as_known_on=NOW + timedelta(hours=1)) == [10, 20]
    assert lying(importer) == ["aws/2024-09/v1.parquet", "aws/2024-09/v2.parquet"]


def test_the_same_content_again_changes_nothing(importer: Importer, database: Database, tmp_path: Path) -> None:
    bring(importer, tmp_path, [line()])
    (unread,) = bring(importer, tmp_path, [line()])
    os.utime(tmp_path / "bill.csv", (1, 1))
    (reread,) = importer.run(bills.order(tmp_path / "bill.csv"))
    (renamed,) = bring(importer, tmp_path, [line()], "other.csv")
    assert [(each.changed, each.bill.version) for each in (unread, reread, renamed)] == [(False, 1)] * 3
    assert lying(importer) == ["aws/2024-09/v1.parquet"]
    assert days(database) == [1]


def test_the_lines_are_kept_with_every_digit(importer: Importer, tmp_path: Path) -> None:
    (result,) = bring(importer, tmp_path, [line(cost="0.0000000001"), line(cost="12345.6789")])
    file = importer.folder.path(str(result.bill.path))
    found = duckdb.execute(f"SELECT typeof(BilledCost), BilledCost FROM read_parquet('{file}') ORDER BY 2").fetchall()
    assert found == [("DECIMAL(38,10)", Decimal("0.0000000001")), ("DECIMAL(38,10)", Decimal("12345.6789"))]
    codec = duckdb.execute(f"SELECT DISTINCT compression FROM parquet_metadata('{file}')").fetchall()
    assert codec == [("ZSTD",)]


def test_a_fault_between_file_and_commit_leaves_the_previous_numbers(
    importer: Importer, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(importer, tmp_path, [line(cost="1")])

    def fail(*_: object) -> None:
        raise OSError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(costs, "put_in_force", fail)
        with pytest.raises(OSError, match="the power went"):
            bring(importer, tmp_path, [line(cost="2")])
    assert days(database) == [1]
    assert lying(importer) == ["aws/2024-09/v1.parquet", "aws/2024-09/v2.parquet"]
    importer.clean()
    assert lying(importer) == ["aws/2024-09/v1.parquet"]
    bring(importer, tmp_path, [line(cost="2")])
    assert days(database) == [2]


def _import_and_die(url: str, root: Path, file: Path, where: str) -> None:
    """In a process of its own: dies by SIGKILL at the named step."""
    database = Database(url)
    importer = Importer(database, BillFolder(root), ManualClock(NOW))

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def after(function: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **named: object) -> object:
            function(*arguments, **named)
            die()
            return None

        return run

    if where == "staged":
        costs.stage = after(costs.stage)  # type: ignore[assignment]
    elif where == "placed":
        BillFolder.place = after(BillFolder.place)  # type: ignore[method-assign,assignment]
    else:
        costs.put_in_force = after(costs.put_in_force)  # type: ignore[assignment]
    importer.run(bills.order(file))


@pytest.mark.parametrize("killed", [("staged", [1]), ("placed", [1]), ("committed", [2])], ids=lambda each: each[0])
def test_a_killed_import_leaves_the_old_numbers_or_the_new_ones(
    importer: Importer, database: Database, database_url: str, tmp_path: Path, killed: tuple[str, list[int]]
) -> None:
    where, left = killed
    bring(importer, tmp_path, [line(cost="1")])
    (tmp_path / "next.csv").write_text(bills.text([line(cost="2")]))
    victim = multiprocessing.get_context("spawn").Process(
        target=_import_and_die, args=(database_url, importer.folder.root, tmp_path / "next.csv", where)
    )
    victim.start()
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    assert days(database) == left
    importer.clock.advance(2 * 86_400)  # type: ignore[attr-defined]
    (again,) = importer.run(bills.order(tmp_path / "next.csv"))
    assert (again.bill.version, again.changed) == (2, left == [1])
    assert days(database) == [2]
    assert lying(importer) == ["aws/2024-09/v1.parquet", "aws/2024-09/v2.parquet"]
    with database.read() as connection:
        assert len(costs._staged(connection)) == 2  # pyright: ignore[reportPrivateUsage]


def test_a_version_that_another_process_took_meanwhile_is_passed_over(
    importer: Importer, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Importer(database, BillFolder(tmp_path / "others"), ManualClock(NOW))
    real = costs.put_in_force

    def late(known: Database, *arguments: object) -> costs.Written:
        monkeypatch.setattr(costs, "put_in_force", real)
        bring(other, tmp_path, [line(cost="1")], "theirs.csv")
        return real(known, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(costs, "put_in_force", late)
    (ours,) = bring(importer, tmp_path, [line(cost="2")])
    assert (ours.bill.version, lying(importer)) == (2, ["aws/2024-09/v2.parquet"])
    assert days(database) == [2]


_AMOUNTS = st.integers(min_value=-(10**14), max_value=10**14)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), scale=st.integers(min_value=0, max_value=24))
def test_daily_sums_are_the_total_of_the_file_always(
    migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, scale: int
) -> None:
    """Against whole numbers, for any mixture of lines: hours, days, months, credits, tags, forms of writing."""
    folder = tmp_path_factory.mktemp("sums")
    (folder / "w.db").write_bytes(migrated_sqlite.read_bytes())
    numbers = data.draw(st.lists(_AMOUNTS, min_size=1, max_size=40))
    chance = random.Random(data.draw(st.integers()))
    lines = [_any_line(number, scale, chance) for number in numbers]
    database = Database(f"sqlite:///{folder / 'w.db'}")
    try:
        importer = Importer(database, BillFolder(folder / "bills"), ManualClock(NOW))
        results = bring(importer, folder, lines)
        total = sum(days(database), Decimal(0))
        assert amounts.exact(sum(numbers), scale) == total
        assert sum((each.totals["USD"] for each in results), Decimal(0)) == total
    finally:
        database.close()


def _any_line(number: int, scale: int, chance: random.Random) -> dict[str, str]:
    sign, digits = ("-" if number < 0 else ""), f"{abs(number):0{scale + 1}d}"
    plain = f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else f"{sign}{digits}"
    cost = chance.choice([plain, plain, f"{number}E-{scale}"])
    day = chance.randint(1, 28)
    end = chance.choice([f"2024-09-{day:02d}T23:00:00Z", f"2024-09-{day + 1:02d}T00:00:00Z", "2024-10-01T00:00:00Z"])
    tags = chance.choice(["", "NULL", '{"team": "a"}', '{"team": "b", "n": 1}'])
    begin = f"2024-09-{day:02d}T{chance.randint(0, 22):02d}:00:00Z"
    return line(cost=cost, Tags=tags, ChargePeriodStart=begin, ChargePeriodEnd=end)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the samples of other people's bills")
@pytest.mark.parametrize(
    "name",
    [
        "focus/focus_sample.csv",
        *(f"generated/focus_1_2/focus_1_2_cost_and_usage_{each}.csv" for each in ("aws", "azure", "gcp")),
    ],
)
def test_bills_that_others_wrote_are_summed_to_the_last_digit(
    importer: Importer, database: Database, name: str
) -> None:
    import csv

    with (SHARED / name).open(encoding="utf-8-sig") as file:
        wanted = sum((Decimal(row["BilledCost"]) for row in csv.DictReader(file)), Decimal(0))
    results = importer.run(bills.order(SHARED / name))
    assert sum(days(database), Decimal(0)) == wanted
    assert sum((each.totals["USD"] for each in results), Decimal(0)) == wanted


def test_an_import_takes_its_turn(importer: Importer, tmp_path: Path) -> None:
    """Two at once in one process share the scratch folder: the second waits."""
    from concurrent.futures import ThreadPoolExecutor

    for number in range(4):
        (tmp_path / f"{number}.csv").write_text(bills.text([line(cost=str(number))]))
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        orders = [bills.order(tmp_path / f"{number}.csv", source=f"s{number}") for number in range(4)]
        results = list(pool.map(importer.run, orders))
    assert [result.totals["USD"] for (result,) in results] == [0, 1, 2, 3]
    assert time.monotonic() - begun < 60
