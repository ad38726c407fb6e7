"""`ingest focus`: through a running Watchtower and without one, with what changed, and refused with every fault."""

import json
from pathlib import Path

import pytest

from tests import bills
from tests.app.house import HTTP, House
from tests.bills import line
from tests.cli.terminal import Watchtower
from watchtower.model.access import Scope


@pytest.fixture
def bill(tmp_path: Path) -> Path:
    file = tmp_path / "september.csv"
    file.write_text(bills.text([line(1, "1.25"), line(2, "-0.05")]))
    return file


@pytest.fixture
def here(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("WATCHTOWER_STATE", str(house.instance.state.path))
    return house


def test_a_bill_goes_through_the_running_server_and_each_version_is_told(
    watchtower: Watchtower, here: House, bill: Path
) -> None:
    first = watchtower("ingest", "focus", bill, "--source", "aws", terminal=True)
    assert (first.code, first.said) == (0, "aws 2024-09: 2 lines, 1.20 USD billed; version 1, the first")
    again = watchtower("ingest", "focus", bill, "--source", "aws", terminal=True)
    assert again.said == "aws 2024-09: 2 lines, 1.20 USD billed; already known as version 1, nothing changed"
    bill.write_text(bills.text([line(1, "2.255")]))
    restated = watchtower("ingest", "focus", bill, "--source", "aws", terminal=True)
    assert restated.said == "aws 2024-09: 1 lines, 2.255 USD billed; version 2 replaces 1: +1.055 USD"
    (known,) = here.get("/api/v1/bills?source=aws")["items"]
    assert (known["version"], known["rows"], known["in_force"]) == (2, 1, True)
    assert [each["version"] for each in here.get("/api/v1/bills?source=aws&all=true")["items"]] == [2, 1]


def test_without_a_server_the_command_opens_the_store_itself(
    watchtower: Watchtower, bill: Path, tmp_path: Path
) -> None:
    answer = watchtower("ingest", "focus", bill, "--state", tmp_path / "fresh")
    said = json.loads(answer.out)
    assert (said["state"], [each["totals"] for each in said["results"]]) == ("done", [{"USD": "1.20"}])
    days = json.loads(
        watchtower("costs", "--from", "2024-09-01", "--to", "2024-10-01", "--state", tmp_path / "fresh").out
    )
    assert "1.25" in json.dumps(days)


def test_a_refused_bill_lists_every_fault_and_ends_with_one(watchtower: Watchtower, here: House, bill: Path) -> None:
    bill.write_text(bills.text([line(cost="abc"), line(BillingCurrency="???")]))
    answer = watchtower("ingest", "focus", bill, "--source", "broken", terminal=True)
    assert answer.code == 1
    assert "refused: nothing was changed" in answer.said
    assert "BilledCost is no number: line 2 ('abc')" in answer.said
    assert "BillingCurrency is no currency of ISO 4217: line 3 ('???')" in answer.said
    assert here.get("/api/v1/bills?source=broken")["items"] == []


def test_what_is_odd_about_a_bill_is_told_beside_it(watchtower: Watchtower, here: House, bill: Path) -> None:
    bill.write_text(bills.text([line(), line(cost="", EffectiveCost="1", ListCost="1")]))
    answer = watchtower("ingest", "focus", bill, "--source", "odd", terminal=True)
    assert "1 lines have no billed cost and add nothing to it" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("focus",), "name the files: watchtower ingest focus FILE…"),
        (("focus", "gone.csv"), "gone.csv cannot be read by this process: No such file or directory"),
        (("focus", "september.csv", "--source", "a/../b"), "use up to 64 letters"),
        (("focus", "september.csv", "--period", "2024"), "is no month such as 2026-10"),
        (("openlineage", "september.csv", "--source", "x"), "--source and --period are of bills"),
        (("focus", "september.csv", "--url", "http://127.0.0.1:1"), "a bill is read where the server runs"),
    ],
)
def test_what_cannot_be_asked_for_is_told_with_the_remedy(
    watchtower: Watchtower, here: House, bill: Path, arguments: tuple[str, ...], said: str
) -> None:
    answer = watchtower("ingest", *arguments)
    assert (answer.code, said in answer.said) == (2, True), answer.said


def test_no_token_may_name_files_of_the_server(house: House) -> None:
    token = house.instance.first_access.new_token("all", [Scope.ADMIN])
    body = json.dumps({"kind": "focus", "files": ["/etc/passwd"], "source": "x"}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = HTTP.request("POST", f"{house.instance.url}/api/v1/bills", body=body, headers=headers)
    assert (answer.status, b"on the server's own machine" in answer.data) == (403, True)
