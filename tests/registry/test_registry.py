"""Plug-ins are found by name, imported when asked for, and held to their contract."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from pydantic import BaseModel, ConfigDict

from watchtower import registry
from watchtower.errors import ConfigError
from watchtower.registry import CHANNELS, COLLECTORS, RULE_KINDS, TICKET_SYSTEMS, Registries, Registry


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Good:
    name = "good"
    Config = Strict


class Misnamed:
    name = "other"
    Config = Strict


class Lax:
    name = "lax"
    Config = BaseModel


class Bare:
    name = "bare"


ALL = [(each, name) for each in (COLLECTORS, RULE_KINDS, CHANNELS, TICKET_SYSTEMS) for name in each.names]


@pytest.mark.parametrize(("each", "name"), ALL, ids=[name for _, name in ALL])
def test_every_entry_can_be_loaded_and_keeps_its_contract(each: Registry, name: str) -> None:
    made = each.get(name)
    assert issubclass(made.Config, BaseModel)
    assert each.get(name) is made


def test_an_unknown_name_is_answered_with_what_is_known() -> None:
    with pytest.raises(ConfigError) as caught:
        CHANNELS.get("slak")
    message = str(caught.value)
    assert message == f"unknown channel 'slak' (did you mean 'slack'? known: {', '.join(CHANNELS.names)})"


def test_nothing_is_imported_until_it_is_asked_for() -> None:
    code = (
        "import sys, watchtower.registry as r; r.CHANNELS.names; 'slack' in r.CHANNELS;"
        "sys.exit(any(name.split('.')[0] in ('alerting', 'rules', 'collectors') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_outsiders_entry_point_is_found_and_cannot_take_a_built_in_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("good", f"{__name__}:Good", "watchtower.channels"),
        EntryPoint("slack", f"{__name__}:Good", "watchtower.channels"),
    ]

    def found(group: str) -> list[EntryPoint]:
        return points if group == "watchtower.channels" else []

    monkeypatch.setattr(registry, "entry_points", found)
    channels = Registry("channel", "watchtower.channels", {"slack": "alerting.channels.slack:Slack"})
    assert channels.names == ("slack", "good")
    assert channels.get("good") is Good
    assert channels.get("slack").__module__ == "alerting.channels.slack"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (f"{__name__}:Misnamed", "calls itself 'other'"),
        (f"{__name__}:Lax", "must forbid unknown keys"),
        (f"{__name__}:Bare", "has no `Config`"),
        (f"{__name__}:Absent", "cannot be loaded: AttributeError"),
        ("no_such_package.thing:Thing", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_plug_in_that_breaks_its_contract_is_refused_by_name(target: str, says: str) -> None:
    with pytest.raises(ConfigError, match="channel 'mine'") as caught:
        Registry("channel", "watchtower.none", {"mine": target}).get("mine")
    assert says in str(caught.value)


def test_a_receiver_can_name_channels_and_ticket_systems() -> None:
    every = Registries()
    assert every.destinations == (*CHANNELS.names, *TICKET_SYSTEMS.names)
    assert every.destination("request_tracker") is TICKET_SYSTEMS.get("request_tracker")
    assert every.destination("slack") is CHANNELS.get("slack")
    with pytest.raises(ConfigError, match="unknown"):
        every.destination("carrier_pigeon")
