"""`anomalies` on files as people have them: every row comes out again, and what cannot be scored says why."""

import csv
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Watchtower
from tests.contract.tree import ROOT
from watchtower.cli.numbers import moment, sorted_on_disk

START = datetime(2026, 3, 2, tzinfo=UTC)
SPIKE = 420


def rows(count: int = 500) -> list[list[str]]:
    chance = random.Random(11)
    values = [round(chance.gauss(100, 5), 3) for _ in range(count)]
    values[min(SPIKE, count - 1)] = 190.0
    moments = [START + place * timedelta(minutes=5) for place in range(count)]
    return [[f"{at:%Y-%m-%d %H:%M:%S}", str(value)] for at, value in zip(moments, values, strict=True)]


def write(file: Path, body: Sequence[Sequence[str]], header: Sequence[str] = ("when", "rows"), mark: str = ",") -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, delimiter=mark).writerows([header, *body])
    return file


def run(watchtower: Watchtower, file: Path, *more: Any) -> dict[str, Any]:
    done = watchtower("anomalies", file, "--time", "when", "--value", "rows", *more)
    assert done.code == 0, done.err
    return json.loads(done.out)


def read(file: Path, mark: str = ",") -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened, delimiter=mark))


def test_every_row_comes_out_with_a_score_and_the_spike_has_the_highest(watchtower: Watchtower, tmp_path: Path) -> None:
    said = run(watchtower, write(tmp_path / "in.csv", rows()), "--out", tmp_path / "out.csv")
    scored = read(tmp_path / "out.csv")
    assert [[row["when"], row["rows"]] for row in scored] == rows()
    assert all(0 <= float(row["score"]) < 1 for row in scored)
    assert max(scored, key=lambda row: float(row["score"]))["rows"] == "190.0"
    assert said["scored"] == 500
    assert said["highest"][0]["line"] == SPIKE + 2
    assert said["highest"][0]["expected"]["high"] < 150


def test_the_order_of_the_file_changes_no_score(watchtower: Watchtower, tmp_path: Path) -> None:
    ordered, mixed = rows(), rows()
    random.Random(1).shuffle(mixed)
    run(watchtower, write(tmp_path / "a.csv", ordered), "--out", tmp_path / "a.out")
    said = run(watchtower, write(tmp_path / "b.csv", mixed), "--out", tmp_path / "b.out")
    assert not said["in_order_of_time"]
    assert [row["when"] for row in read(tmp_path / "b.out")] == [when for when, _ in mixed]
    by_time = {row["when"]: row["score"] for row in read(tmp_path / "a.out")}
    assert {row["when"]: row["score"] for row in read(tmp_path / "b.out")} == by_time


def test_what_cannot_be_scored_is_kept_and_named_by_line(watchtower: Watchtower, tmp_path: Path) -> None:
    body = rows()
    body[3][1], body[4][1], body[5][1] = "NaN", "", "many"
    body[6][0], body[7], body[8][1] = "yesterday", [body[7][0]], "inf"
    body.insert(20, body[19])
    said = run(watchtower, write(tmp_path / "in.csv", body), "--out", tmp_path / "out.csv")
    assert said["not_scored_rows"] == [
        {"line": 5, "reason": "has no value"},
        {"line": 6, "reason": "has no value"},
        {"line": 7, "reason": "has no number: 'many'"},
        {"line": 8, "reason": "has no time: 'yesterday'"},
        {"line": 9, "reason": "has 1 of 2 columns"},
        {"line": 10, "reason": "has no finite number: 'inf'"},
    ]
    assert (said["rows"], said["scored"], said["not_scored"], said["repeated"]) == (501, 495, 6, 1)
    scored = read(tmp_path / "out.csv")
    assert len(scored) == 501
    assert scored[4]["note"] == "not scored: the row has no value"
    assert scored[20]["note"] == "not scored: the same row once more"


def test_a_table_is_for_people_and_bad_lines_go_to_standard_error(watchtower: Watchtower, tmp_path: Path) -> None:
    body = rows()
    body[0][1] = "[bold]"
    file = write(tmp_path / "in.csv", body)
    done = watchtower("anomalies", file, "--time", "when", "--value", "rows", terminal=True)
    assert "499 of 500 rows scored" in done.out
    assert str(SPIKE + 2) in done.out
    assert "line 2 has no number: '[bold]'" in done.err


def test_semicolons_decimal_commas_other_columns_and_foreign_bytes_stay_as_they_are(
    watchtower: Watchtower, tmp_path: Path
) -> None:
    body = [[when, "Zürich, 1", value.replace(".", ",")] for when, value in rows()]
    file = write(tmp_path / "in.csv", body, ("when", "score", "rows"), ";")
    file.write_bytes(file.read_bytes().replace("ü".encode(), b"\xfc"))
    said = run(watchtower, file, "--out", tmp_path / "out.csv")
    assert said["scored"] == 500
    first = (tmp_path / "out.csv").read_bytes().splitlines()[:2]
    assert first[0] == b"when;score;rows;watchtower_score;note"
    assert b"Z\xfcrich, 1" in first[1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--time", "at", "--value", "rows"), "has no column 'at' for --time; it has: when, rows"),
        (("--time", "when", "--value", "rows", "--timezone", "Mars/One"), "--timezone"),
        (("--time", "when", "--value", "when"), "has no row with a time and a number in 'when' and 'when'; line 2"),
        (("--time", "when", "--value", "when", "--out", "out.csv"), "has no row with a time and a number"),
        (("--time", "when", "--value", "rows", "--out", "in.csv"), "is the file that is read"),
        (("--time", "when", "--value", "rows", "--out", "no/where.csv"), "there is no folder no"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(
    watchtower: Watchtower, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    write(tmp_path / "in.csv", rows(30))
    done = watchtower("anomalies", "in.csv", *options)
    assert done.code == 2
    assert says in done.err
    assert [file.name for file in tmp_path.iterdir() if file.name != "in.csv" and file.is_file()] == []


@pytest.mark.parametrize("place", ["DE", "DE-BY", "XNYS"])
def test_holidays_of_a_country_or_a_market_are_known(watchtower: Watchtower, tmp_path: Path, place: str) -> None:
    assert run(watchtower, write(tmp_path / "in.csv", rows()), "--holidays", place)["scored"] == 500


def test_a_place_that_nobody_knows_is_refused(watchtower: Watchtower, tmp_path: Path) -> None:
    file = write(tmp_path / "in.csv", rows())
    done = watchtower("anomalies", file, "--time", "when", "--value", "rows", "--holidays", "ATLANTIS")
    assert done.code == 2
    assert "--holidays ATLANTIS" in done.err and "DE" in done.err and "XNYS" in done.err


def test_an_empty_file_is_named(watchtower: Watchtower, tmp_path: Path) -> None:
    (tmp_path / "in.csv").touch()
    done = watchtower("anomalies", "in.csv", "--time", "when", "--value", "rows")
    assert (done.code, "is empty" in done.err) == (2, True)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T08:30:00Z", "2026-03-02 09:30:00+01:00", "1772440200", "1772440200000", "1772440200.0",
        "2026-03-02 08:30", "2026/03/02 08:30", "02.03.2026 08:30", "20260302T083000", "1772440200000000000",
    ],
)  # fmt: skip
def test_a_time_is_read_in_the_forms_that_files_have(text: str) -> None:
    assert moment(text, None)[0].isoformat() == "2026-03-02T08:30:00+00:00"


def test_what_is_larger_than_a_piece_is_sorted_on_the_disk() -> None:
    numbers = [number * 7919 % 1000 for number in range(1000)]
    assert list(sorted_on_disk(numbers, lambda number: number, piece=64)) == sorted(numbers)


def test_the_example_is_scored_as_the_page_shows(watchtower: Watchtower, tmp_path: Path) -> None:
    example = ROOT / "examples" / "orders_hourly.csv"
    done = watchtower("anomalies", example, "--time", "time", "--value", "orders", terminal=True)
    assert done.code == 0
    page = (ROOT / "docs" / "anomalies.md").read_text(encoding="utf-8")
    shown = [line.rstrip() for line in (done.out + done.err).splitlines() if line.strip()]
    assert [line for line in shown if line not in page] == []
