"""The faults that `make mutants` puts into the code: which there are, and that they take effect where they are put."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from tools.mutants.areas import modules
from tools.mutants.operators import ROOT, mutants, tried
from tools.mutants.swap import Unswappable, swap


def changes(text: str) -> list[str]:
    return [f"{one.before} → {one.after}" for one in mutants("m.py", text.encode())]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("def f(a, b):\n    if a < b: g()", {"a < b → a <= b", "g() → pass"}),
        ("x = a is not None", {"a is not None → a is None"}),
        ("x = a and b or c", {"a and b → (a or b)", "a and b or c → (a and b and c)"}),
        ("x = (a + b) * 2", {"a + b → (a - b)", "(a + b) * 2 → ((a + b) / 2)", "2 → 3"}),
        ("x = not a", {"not a → a"}),
        ("def f():\n    return a", {"return a → return None"}),
        ("x = [a for a in b if a.c]", {"a.c → True"}),
        ("x = min(a, b)", {"min(a, b) → max(a, b)"}),
        ("while a:\n    break", {"a → not a", "break → continue"}),
        ("x.y = True", {"x.y = True → pass", "True → False"}),
        ("raise ValueError('no')", {"raise ValueError('no') → pass"}),
        ("x = 'SELECT a FROM b WHERE c <= 1'", {"'SELECT a FROM b WHERE c <= 1' → 'SELECT a FROM b WHERE c < 1'"}),
        ("log.info('said', extra={'n': 1})", set[str]()),
        ("def f(a: int | None) -> bool:\n    '''Said < done.'''", set[str]()),
        ("x = 'a < b' + f'{c + 1}'", set[str]()),
        ("é = 'ä'; x = a < b", {"a < b → a <= b"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_text_has_these_faults(text: str, wanted: set[str]) -> None:
    assert set(changes(text)) - {"1 → 2"} == wanted


def test_every_fault_of_a_module_can_be_put_in_and_has_a_name_of_its_own() -> None:
    sources = {module: (ROOT / module).read_bytes() for module in modules(["dedup"])}
    names: list[str] = []
    for one in tried(list(sources)):
        compile(one.applied(sources[one.module]), one.module, "exec")
        names.append(one.name)
    assert len(names) == len(set(names)) > 100


# -- putting one in ------------------------------------------------------------------------------------------------

BEFORE = """
LIMIT = 2
TWICE = LIMIT * 2


class Counter:
    most = 3

    def allows(self, count):
        return count < LIMIT


def late(after=5):
    def inner(count):
        return count > after
    return inner
"""


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, Callable[[str, str], None]]:
    """A module, and a way to put another text into it."""
    (tmp_path / "counted_for_mutants.py").write_text(BEFORE)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "counted_for_mutants", raising=False)
    module = import_module("counted_for_mutants")
    return module, lambda old, new: swap(module, BEFORE.encode(), BEFORE.replace(old, new).encode())


def test_whoever_holds_a_method_gets_the_faulty_one(loaded: tuple[ModuleType, Callable[[str, str], None]]) -> None:
    module, put = loaded
    allows = module.Counter().allows
    assert [allows(1), allows(2)] == [True, False]
    put("count < LIMIT", "count <= LIMIT")
    assert [allows(1), allows(2)] == [True, True]


def test_a_function_within_another_is_faulty_even_if_it_was_made_before(
    loaded: tuple[ModuleType, Callable[[str, str], None]],
) -> None:
    module, put = loaded
    before = module.late()
    put("count > after", "count >= after")
    assert before(5) is module.late()(5) is True


def test_a_constant_is_another_also_where_it_was_imported_to(
    loaded: tuple[ModuleType, Callable[[str, str], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, put = loaded
    elsewhere = ModuleType("elsewhere")
    elsewhere.__dict__["TWICE"] = module.TWICE
    monkeypatch.setitem(sys.modules, "elsewhere", elsewhere)
    put("LIMIT = 2", "LIMIT = 3000")
    assert module.Counter().allows(2)
    assert module.TWICE == elsewhere.__dict__["TWICE"] == 6000


def test_a_default_is_another(loaded: tuple[ModuleType, Callable[[str, str], None]]) -> None:
    module, put = loaded
    late = module.late
    put("after=5", "after=6")
    assert late()(6) is False


def test_what_the_body_of_a_class_says_needs_another_process(
    loaded: tuple[ModuleType, Callable[[str, str], None]],
) -> None:
    _, put = loaded
    with pytest.raises(Unswappable):
        put("most = 3", "most = 4")
