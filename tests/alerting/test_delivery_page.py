"""docs/delivery.md against the code: its tables name every state and every reason, and nothing else."""

import re
from enum import StrEnum
from pathlib import Path

import pytest

from alerting.incidents import ACK_FOR
from alerting.meta import DELIVERY_FAILED
from alerting.outbox import BACKOFF_FIRST_S, BACKOFF_MOST_S, LEASE_S
from watchtower.model.alert import ObligationState
from watchtower.model.delivery import GIVE_UP_AFTER, OVERDUE_AFTER, Superseded

PAGE = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("header", "enum"), [("State", ObligationState), ("Reason", Superseded)])
def test_a_table_names_every_member(header: str, enum: type[StrEnum]) -> None:
    table = re.search(rf"^\| {header} \|.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert table is not None
    assert re.findall(r"^\| `(\w+)`", table[0], re.MULTILINE) == [member.value for member in enum]


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"up to {BACKOFF_FIRST_S:.0f} s doubling to {BACKOFF_MOST_S / 60:.0f} min" in PAGE
    assert f"{LEASE_S:.0f} s lease" in PAGE
    assert f"{GIVE_UP_AFTER.total_seconds() / 3600:.0f} h without success" in PAGE
    assert f"After {ACK_FOR.total_seconds() / 3600:.0f} h it" in PAGE.replace("\n  ", " ")
    assert f"more than {OVERDUE_AFTER.total_seconds() / 60:.0f} min late" in PAGE
    assert f"`{DELIVERY_FAILED}`" in PAGE


def test_the_tests_it_names_exist() -> None:
    for name in re.findall(r"`(tests/[\w/.]+)`", PAGE):
        assert (Path(__file__).parents[2] / name).exists(), name
