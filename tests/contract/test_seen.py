"""The table of what was seen with real orchestrators (docs/sources.md) names tests, and steps of tests, that exist."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.contract.tree import ROOT

HEADING = "## What was seen with the real ones"
NAME = re.compile(r"`(\w+)`")
NOT_SEEN = "–"  # and why


def cells() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Case, files of the orchestrator, and what stands there."""
    text = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8").split(HEADING)[1]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    head, *body = rows
    files = [tuple(NAME.findall(cell)) for cell in head[1:]]
    for case, *found in body:
        assert len(found) == len(files), case
        yield from ((case, of, cell) for of, cell in zip(files, found, strict=True))


@cache
def reached(file: str) -> frozenset[str]:
    """Tests of a file, and what they call, and so on within the file."""
    tree = ast.parse((ROOT / "tests" / "e2e" / f"{file}.py").read_text(encoding="utf-8"))
    called = {each.name: _called(each) for each in tree.body if isinstance(each, ast.FunctionDef)}
    found = {name for name in called if name.startswith("test_")}
    while new := {name for each in found for name in called.get(each, set[str]())} - found:
        found |= new
    return frozenset(found)


def _called(function: ast.FunctionDef) -> set[str]:
    calls = [each.func for each in ast.walk(function) if isinstance(each, ast.Call)]
    plain = {each.id for each in calls if isinstance(each, ast.Name)}
    return plain | {each.attr for each in calls if isinstance(each, ast.Attribute)}


@pytest.mark.parametrize(("case", "files", "cell"), list(cells()))
def test_each_cell_names_what_runs_or_says_that_nothing_does(case: str, files: tuple[str, ...], cell: str) -> None:
    if cell.startswith(NOT_SEEN):
        return
    names: list[str] = NAME.findall(cell)
    assert names, f"{case}: name a test, or say why there is none"
    for name in names:
        assert any(name in reached(file) for file in files), f"{case}: {name} is run by no test of {', '.join(files)}"


def test_each_test_of_a_real_orchestrator_stands_in_the_table() -> None:
    shown = {file: set[str]() for _, files, _ in cells() for file in files}
    for _, files, cell in cells():
        for file in files:
            shown[file] |= set(NAME.findall(cell))
    for file, names in shown.items():
        tests = {name for name in reached(file) if name.startswith("test_")}
        assert tests, file
        for test in tests:
            assert names & {test, *steps(file, test)}, f"{file}: {test} stands nowhere in docs/sources.md"


def steps(file: str, test: str) -> set[str]:
    """What a test calls itself."""
    tree = ast.parse((ROOT / "tests" / "e2e" / f"{file}.py").read_text(encoding="utf-8"))
    return next(_called(each) for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == test)
