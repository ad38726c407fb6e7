"""A secret is compared in constant time: `==` on a token or signature tells an attacker how much of it was right."""

import ast
import re

import pytest

from tests.contract.tree import parse, sources

SECRET = re.compile(r"(^|_)(token|secret|password|signature|hmac|csrf|api_key)(_hash|_digest|_hex)?$")


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return name_of(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_harmless(node: ast.expr) -> bool:
    """A literal hides nothing; `table.c.digest == …` is a query, where an index finds the hash of a secret."""
    is_column = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "c"
    return isinstance(node, ast.Constant) or is_column


def comparisons(module: ast.Module) -> list[int]:
    """Lines that compare a value named like a secret by == or !=, and not with a literal or a column."""
    return [
        node.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.Compare)
        and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
        and any(SECRET.search(name_of(side)) for side in (node.left, *node.comparators))
        and not any(is_harmless(side) for side in (node.left, *node.comparators))
    ]


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("given == token", True),
        ("request.token != self.token_hash", True),
        ("sign(body) == headers_signature", True),
        ("hmac.compare_digest(given, token)", False),
        ("token == ''", False),
        ("tokens == 3", False),
        ("table.c.token_id == given", False),
        ("table.c.digest == secret_digest", False),
    ],
)
def test_the_lint_sees_a_secret_compared_by_equality(source: str, seen: bool) -> None:
    assert bool(comparisons(ast.parse(source))) is seen


def test_secrets_are_compared_in_constant_time() -> None:
    found = [f"{file}:{line}" for file in sources() for line in comparisons(parse(file))]
    assert not found, "compare with hmac.compare_digest, or look up by a hash of the secret:\n" + "\n".join(found)
