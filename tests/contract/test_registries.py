"""Every registered collector, rule kind, channel and ticket system keeps its protocol, is documented and is tested."""

import importlib
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict

from tests.contract.registries import KINDS, Kind, config_faults, faults, source_of
from tests.contract.tree import ROOT, files, sources
from watchtower import ports

ENTRIES = [
    pytest.param(kind, name, entry, id=f"{kind.name}[{name}]")
    for kind in KINDS
    for name, entry in kind.builtin().items()
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_registry_has_entries(kind: Kind) -> None:
    assert kind.builtin()


@pytest.mark.parametrize(("kind", "name", "entry"), ENTRIES)
def test_entry_keeps_its_protocol(kind: Kind, name: str, entry: type[Any]) -> None:
    assert getattr(entry, kind.key) == name
    assert not faults(entry, kind.protocol)
    assert not config_faults(entry)


@pytest.mark.parametrize(("kind", "name", "entry"), ENTRIES)
def test_entry_says_what_it_is(kind: Kind, name: str, entry: type[Any]) -> None:
    assert entry.__doc__ or importlib.import_module(entry.__module__).__doc__


@pytest.mark.parametrize(("kind", "name", "entry"), ENTRIES)
def test_entry_is_documented(kind: Kind, name: str, entry: type[Any]) -> None:
    """A page of docs/ names it as code: `name`, or `name_configs` where that is its key."""
    named = re.compile(rf"`{re.escape(name)}(?:_configs)?`")
    pages = [file for file in files() if file.parts[0] == "docs" and file.suffix == ".md"]
    written = [file for file in pages if file.name != "architecture.md"]
    assert any(named.search((ROOT / file).read_text(encoding="utf-8")) for file in written), (
        f"no page of docs/ tells what `{name}` is"
    )


@pytest.mark.parametrize(("kind", "name", "entry"), ENTRIES)
def test_entry_has_tests_of_its_own(kind: Kind, name: str, entry: type[Any]) -> None:
    """A test imports its module or package, or one in the mirror of its package asks for it by its name."""
    module = entry.__module__
    package = ".".join(source_of(entry).parts[:-1])
    names = {module} if package == kind.package else {module, package}
    imports = re.compile(rf"^(?:from|import) (?:{'|'.join(map(re.escape, names))})(?:\.\w+)*\b", re.MULTILINE)
    mirror = Path("tests", *kind.package.split("."))
    for file in sources("tests"):
        text = (ROOT / file).read_text(encoding="utf-8")
        if file.parts[1] not in ("contract", "e2e") and imports.search(text):
            return
        if file.is_relative_to(mirror) and file.name.startswith("test_") and f'"{name}"' in text:
            return
    pytest.fail(f"no test under tests/ imports {module}, and none under {mirror} says {name!r}")


class Half:
    """Everything that the protocol forbids at once."""

    name: ClassVar[str] = "half"

    class Config(BaseModel):
        model_config = ConfigDict(frozen=True)

    def deliver(self, message: str) -> None: ...


def test_a_half_finished_channel_is_refused_with_all_its_faults() -> None:
    assert faults(Half, ports.Channel) == [
        "Half lacks the class variable 'settle_s'",
        "Half lacks the class variable 'can_look_up'",
        "Half.deliver takes ['self', 'message'], the protocol ['self', 'notice']",
        "Half lacks the method 'look_up'",
    ]
    assert config_faults(Half) == ["Half.Config: model_config has extra=None, wanted 'forbid'"]
