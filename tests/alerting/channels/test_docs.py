"""docs/channels.md and docs/tickets.md say what the code does: their tables are compared with it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerting.channels.slack import SlackIncoming
from alerting.destinations import channel_type
from alerting.tickets.desk import DeskConfig, Step, next_step
from tests.alerting.notices import BEGAN, NOW, all_resolved, notice
from watchtower.errors import DeliveryError, Permanent, Transient
from watchtower.model.alert import NoticeReason
from watchtower.outbound import raise_for_status
from watchtower.ports import HttpAnswer, Ticket
from watchtower.registry import Registries

ROOT = Path(__file__).parents[3]
CHANNELS = (ROOT / "docs" / "channels.md").read_text()
TICKETS = (ROOT / "docs" / "tickets.md").read_text()


def rows(text: str, start: str, end: str = "\n\n") -> list[list[str]]:
    """The cells of the first table after start, without its head."""
    table = text.split(start, 1)[1].lstrip("\n").split(end, 1)[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def documented(name: str) -> dict[str, str]:
    """Key → default, as the page has it."""
    page = TICKETS if f"<!-- keys {name} -->" in TICKETS else CHANNELS
    return {
        key: default for keys, default, _ in rows(page, f"<!-- keys {name} -->") for key in re.findall(r"`(\w+)`", keys)
    }


def keys_of(config: type[Any]) -> dict[str, Any]:
    return {field.alias or name: field.default for name, field in config.model_fields.items()}


@pytest.mark.parametrize("name", sorted(Registries().destinations))
def test_every_key_of_every_channel_is_documented(name: str) -> None:
    config = channel_type(name).Config
    inherited = documented("desk") if issubclass(config, DeskConfig) else {}

    assert {**inherited, **documented(name)}.keys() == keys_of(config).keys()


@pytest.mark.parametrize("name", ["desk", *sorted(Registries().destinations)])
def test_documented_defaults_are_those_of_the_code(name: str) -> None:
    keys = keys_of(DeskConfig if name == "desk" else channel_type(name).Config)
    for key, default in documented(name).items():
        if re.fullmatch(r"`(true|false|\d+[sd]?|[a-zA-Z]+)`", default):
            assert _shown(keys[key]) == default.strip("`"), key


def test_what_each_channel_can_promise_is_what_it_says_of_itself() -> None:
    table = rows(CHANNELS, "| Channel | After an unknown outcome | Visible after | Key |\n")
    told = {re.sub("`", "", cells[0]): cells[1:3] for cells in rows(CHANNELS, "never three times.\n")}
    assert table
    for name in Registries().destinations:
        assert told.pop(name) == _promise(channel_type(name))
    assert told == {"slack by incoming webhook": _promise(SlackIncoming)}


@pytest.mark.parametrize(
    ("cell", "statuses"),
    [
        ("408, 5xx", (408, 500, 502, 503, 504)),
        ("425, 429", (425, 429)),
        ("401, 403, 407", (401, 403, 407)),
        ("404, 410", (404, 410)),
        ("413", (413,)),
        ("other 4xx", (400, 409, 422)),
    ],
)
def test_what_an_answer_means_is_what_the_code_makes_of_it(cell: str, statuses: tuple[int, ...]) -> None:
    meaning = dict(row[:2] for row in rows(CHANNELS, "## What an answer means\n"))[cell]
    for status in statuses:
        with pytest.raises(DeliveryError) as caught:
            raise_for_status(HttpAnswer(status, {}, b""), NOW, "provider")
        assert isinstance(caught.value, Transient) == meaning.startswith("tried again")
        assert isinstance(caught.value, Permanent) == meaning.startswith("given up")
        assert caught.value.outcome_unknown == ("outcome is unknown" in meaning)


TICKET = Ticket("7", "https://rt.example.com/7", "open")
LATELY, LONG_AGO = BEGAN, BEGAN.replace(year=2025)
STANDS: dict[str, tuple[Ticket | None, bool]] = {
    "none": (None, True),
    "of the episode, open": (TICKET, False),
    "of the episode, open, taken by a person": (replace(TICKET, owner="somebody"), False),
    "of the episode, resolved, news of the same alerts": (
        replace(TICKET, status="resolved", resolved_at=LATELY),
        False,
    ),
    "of the episode, resolved, new alerts": (replace(TICKET, status="resolved", resolved_at=LATELY), False),
    "of the episode, rejected": (replace(TICKET, status="closed"), False),
    "of the episode, closed for good, news of the same alerts": (replace(TICKET, status="closed", locked=True), False),
    "of the episode, closed for good, new alerts": (replace(TICKET, status="closed", locked=True), False),
    "before, open": (TICKET, True),
    "before, resolved lately": (replace(TICKET, status="resolved", resolved_at=LATELY), True),
    "before, resolved long ago": (replace(TICKET, status="resolved", resolved_at=LONG_AGO), True),
    "before, rejected": (replace(TICKET, status="closed"), True),
}
STEPS = {
    "open": Step.OPEN,
    "nothing": Step.NOTHING,
    "open and resolve": Step.OPEN_RESOLVED,
    "comment": Step.COMMENT,
    "resolve": Step.RESOLVE,
    "reopen": Step.REOPEN,
    "follow-up": Step.FOLLOW_UP,
}


@pytest.mark.parametrize("row", rows(TICKETS, "<!-- table steps -->"), ids=lambda row: row[0])
def test_the_table_of_tickets_is_the_code(row: list[str]) -> None:
    name, *cells = row
    ticket, earlier = STANDS[name]
    firing = NoticeReason.REPEAT if "same alerts" in name else NoticeReason.NEW_ALERTS
    stories = (
        notice(reason=firing),
        all_resolved(),
        all_resolved(reason=NoticeReason.FIRED_AND_RESOLVED),
    )

    taken = [next_step(story, ticket, earlier=earlier, config=DeskConfig(), now=NOW) for story in stories]
    assert taken == [STEPS[cell] for cell in cells]


def test_every_stand_of_a_ticket_is_in_the_table() -> None:
    assert [row[0] for row in rows(TICKETS, "<!-- table steps -->")] == list(STANDS)


def _promise(kind: Any) -> list[str]:
    ways = [*(["look-up"] if kind.can_look_up else []), *(["keyed"] if kind.keyed else [])]
    return [", ".join(ways) or "neither", f"{kind.settle_s:g} s"]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value / 86_400:g}d" if value >= 86_400 else f"{value:g}s"
    return str(next(iter(value)) if isinstance(value, tuple) else value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # any default
