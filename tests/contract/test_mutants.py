"""What `make mutants` knows of the code by name is still in it: faults with a name, and those that change nothing."""

import pytest

from tools.mutants import seeded
from tools.mutants.__main__ import equivalent
from tools.mutants.areas import modules
from tools.mutants.operators import tried


def test_a_fault_that_is_known_to_change_nothing_is_still_there_and_has_its_reason() -> None:
    listed = {name.partition(" ")[0] for name in equivalent()}
    names = {one.name for one in tried(modules(sorted(listed)))}
    assert [name for name, reason in equivalent().items() if name not in names or len(reason) < 20] == []


@pytest.mark.parametrize("seed", seeded.SEEDS, ids=lambda seed: seed.name)
def test_a_fault_with_a_name_changes_what_the_code_says(seed: seeded.Seed) -> None:
    edit = seed.edit()
    assert edit.lines
    compile(edit.changed, edit.module, "exec")
