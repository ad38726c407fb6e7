"""The worked examples of CONTRIBUTING.md are true: their types are right, their tests pass against the real code."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from tests.contract.documents import blocks
from tests.contract.registries import KINDS, Kind, config_faults, faults
from tests.contract.tree import ROOT

EXAMPLES = {
    found[1]: block.body
    for block in blocks(Path("CONTRIBUTING.md"))
    if block.info == "python" and (found := re.match(r"# (\S+\.py)\n", block.body))
}
PLUGINS = sorted(path for path in EXAMPLES if not path.startswith("tests/"))
# Makes the folders of the examples part of the packages they belong to, as if they had been written into the tree.
CONFTEST = """
import importlib
from pathlib import Path

for name in ("collectors", "collectors.billing", "rules.kinds", "alerting.channels", "alerting.tickets"):
    importlib.import_module(name).__path__.append(str(Path(__file__).parent.joinpath(*name.split("."))))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples where they would stand."""
    folder = tmp_path_factory.mktemp("contributing")
    for path, body in EXAMPLES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(body, encoding="utf-8")
    (folder / "conftest.py").write_text(CONFTEST)
    return folder


TEXT = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
REGISTERED = dict(re.findall(r'`"(\w+)": "[\w.:]+"` in `(\w+)`', TEXT))


def kind_of(path: str) -> Kind:
    """Of the registry into which the text puts it."""
    return next(kind for kind in KINDS if kind.name == REGISTERED.get(Path(path).stem))


def entry_of(tree: Path, path: str) -> type[Any]:
    """The class that the example's text puts into the registry."""
    spec = spec_from_file_location(f"example_{Path(path).stem}", tree / path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    key = kind_of(path).key
    return next(found for found in vars(module).values() if getattr(found, key, None) == Path(path).stem)


def run(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_one_example_for_each_registry_with_its_test() -> None:
    assert {kind_of(path) for path in PLUGINS} == set(KINDS)
    for path in PLUGINS:
        assert f"tests/{Path(path).parent}/test_{Path(path).name}" in {
            *EXAMPLES,
            f"tests/{path.replace('/', '/test_')}",
        }


@pytest.mark.parametrize("path", PLUGINS)
def test_example_keeps_its_protocol(tree: Path, path: str) -> None:
    entry = entry_of(tree, path)
    assert not faults(entry, kind_of(path).protocol)
    assert not config_faults(entry)


@pytest.mark.parametrize("path", PLUGINS)
def test_the_text_gives_the_line_for_the_registry(tree: Path, path: str) -> None:
    kind, name, entry = kind_of(path), Path(path).stem, entry_of(tree, path)
    assert f'`"{name}": "{kind.package}.{name}:{entry.__name__}"` in `{kind.name}`' in TEXT


def test_tests_of_the_examples_pass(tree: Path) -> None:
    run("pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", tree, tree / "tests", cwd=ROOT)


def test_examples_are_in_the_house_style(tree: Path) -> None:
    config = ROOT / "pyproject.toml"
    run("ruff", "check", "--quiet", "--config", config, "--ignore", "D,I001", tree, cwd=tree)
    run("ruff", "format", "--check", "--quiet", "--config", config, *(tree / path for path in EXAMPLES), cwd=tree)


def test_types_of_the_examples_are_right(tree: Path, tmp_path: Path) -> None:
    """pyright, strict, on each plug-in and on its use behind the protocol."""
    for path in PLUGINS:
        entry = entry_of(tree, path)
        protocol = kind_of(path).protocol.__name__
        uses = [f"from watchtower.ports import {protocol}", f"def as_protocol(plugin: {entry.__name__}) -> {protocol}:"]
        (tmp_path / Path(path).name).write_text("\n".join([EXAMPLES[path], *uses, "    return plugin", ""]))
    (tmp_path / "pyrightconfig.json").write_text(
        f'{{"typeCheckingMode": "strict", "pythonVersion": "3.11", "extraPaths": ["{ROOT}"]}}'
    )
    run("pyright", "--pythonpath", sys.executable, "--project", tmp_path, cwd=tmp_path)
