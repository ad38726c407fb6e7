"""docs/architecture.md shows the tree as it is: no module is missing there, none is invented."""

from pathlib import Path

import pytest

from tests.contract import architecture
from tests.contract.tree import sources


def test_every_module_says_what_it_does() -> None:
    silent = [str(file) for file in sources() if not architecture.first_sentence(file)]
    assert not silent, "a module opens with a docstring of two to six lines: " + ", ".join(silent)


@pytest.mark.parametrize("page", architecture.generated(), ids=lambda page: page.name)
def test_generated_parts_show_the_tree_as_it_is(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == architecture.replaced(page), (
        "run `make docs` (python -m tests.contract.architecture --write)"
    )


def test_the_tree_names_every_module_once() -> None:
    tree = architecture.generated()[architecture.ARCHITECTURE]["tree"]
    for file in sources():
        shown = f"`{file.parent}/`" if file.name == "__init__.py" else f"`{file}`"
        assert tree.count(shown) == 1
