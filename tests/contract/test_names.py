"""The five packages belong to the distribution pipeline-watchtower alone, and a start in a shared environment stops."""

import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, packages_distributions
from pathlib import Path

import pytest

from tests.contract.tree import PACKAGES, ROOT, files
from watchtower import guard
from watchtower.errors import UsageError

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_this_environment_passes() -> None:
    guard.check_names()


def test_the_guard_knows_the_packages_of_the_project() -> None:
    assert PROJECT["project"]["name"] == guard.DISTRIBUTION
    assert tuple(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == guard.PACKAGES == PACKAGES


def test_another_distribution_with_one_of_the_names_is_named() -> None:
    assert guard.foreign_owners({"watchtower": ["pipeline-watchtower", "watchtower"], "numpy": ["numpy"]}) == [
        "the package 'watchtower' is also brought by the distribution 'watchtower'"
    ]
    assert guard.foreign_owners({"watchtower": ["pipeline-watchtower"]}) == []


@pytest.mark.parametrize(
    "files",
    [
        {"RECORD": "rules.py,,\n"},
        {"RECORD": '"rules/a,b.py",,\n'},
        {"top_level.txt": "engine\nrules\n", "RECORD": "engine.py,,\n"},
    ],
    ids=["a module", "a quoted name", "what it declares"],
)
def test_each_way_in_which_a_distribution_names_its_packages_is_read(files: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "business_rules-1.0.dist-info"
    folder.mkdir()
    for name, text in ({"METADATA": "Metadata-Version: 2.1\nName: business-rules\n"} | files).items():
        (folder / name).write_text(text)
    found = [Distribution.at(folder)]
    assert guard.owners(found) == {"rules": ["business-rules"]}
    assert guard.owners([]) == {}


def test_the_guard_reads_this_environment_as_the_standard_library_does() -> None:
    known = packages_distributions()
    assert guard.owners() == {package: known[package] for package in guard.PACKAGES if package in known}


def test_start_is_refused_where_another_distribution_brings_a_package(tmp_path: Path) -> None:
    """A real environment: a folder on the path holds another distribution that ships the package `rules`."""
    foreign = tmp_path / "site"
    (foreign / "rules").mkdir(parents=True)
    (foreign / "rules" / "__init__.py").write_text("")
    metadata = foreign / "business_rules-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: business-rules\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("rules/__init__.py,,\n")
    program = "import sys; sys.path.append(sys.argv[1]); from watchtower.guard import check_names; check_names()"
    done = subprocess.run(
        [sys.executable, "-c", program, str(foreign)], capture_output=True, cwd=ROOT, text=True, check=False
    )
    assert "UsageError: the package 'rules' is also brought by the distribution 'business-rules'" in done.stderr
    assert "an environment of its own" in done.stderr


def test_package_found_elsewhere_is_named(tmp_path: Path) -> None:
    assert len(guard.strays(tmp_path)) == len(PACKAGES)
    assert guard.strays(ROOT) == []


def test_check_names_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "owners", lambda: {"alerting": ["alerting"]})
    with pytest.raises(UsageError, match=r"'alerting' is also brought.*never into an orchestrator's"):
        guard.check_names()


def test_every_module_of_the_core_has_a_layer() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["id"] == "layers")["layers"]
    named = {name.strip(" ()") for layer in layers for name in layer.split("|")}
    core = {
        ".".join((file.parent if file.name == "__init__.py" else file.with_suffix("")).parts[:2])
        for file in files()
        if file.parts[0] == "watchtower" and file.suffix == ".py"
    }
    assert core - {"watchtower"} - named == set(), "say in pyproject.toml, [tool.importlinter], where it belongs"


def test_no_layer_is_left_of_a_module_that_is_gone() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["id"] == "layers")["layers"]
    named = [name.strip() for layer in layers for name in layer.split("|")]
    paths = {str(file) for file in files()}
    for name in named:
        path = name.strip("()").replace(".", "/")
        assert name.startswith("(") or {f"{path}.py", f"{path}/__init__.py"} & paths, f"{name}: no such module"
