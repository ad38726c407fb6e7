"""The faults: which small changes of a module's text are tried, each as one edit of its source.

What only words a message, a log line or an annotation is left as it is: nothing is decided by it.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]

_COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_COMPUTED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}
_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE)\b")
_IN_SQL = (
    (r" <= ", " < "),
    (r" <> ", " = "),
    (r" AND ", " OR "),
    (r" OR ", " AND "),
    (r"\bIS NULL\b", "IS NOT NULL"),
    (r"\bIS NOT NULL\b", "IS NULL"),
    (r"\bmin\(", "max("),
    (r"\bleast\(", "greatest("),
    (r" \+ 1\b", " + 2"),
)
_SAID = {"log", "logging"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit: source[start:end] (bytes) becomes `after`.

    scope: the function or class it is in, dotted; empty at module level. lines: of the statement that is changed, or of
    what uses it where that is outside of functions: whoever reaches these may notice. nth: which of several edits of
    this form in the scope, from 1."""

    module: str
    scope: str
    line: int
    before: str
    after: str
    start: int
    end: int
    lines: tuple[tuple[int, int], ...]
    nth: int = 1

    @property
    def name(self) -> str:
        """How it is called in equivalent.toml: stable as long as its function is."""
        nth = f" #{self.nth}" if self.nth > 1 else ""
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.module} {self.scope or 'module'}: {before} → {after}{nth}"

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutants(module: str, source: bytes) -> list[Mutant]:
    """All of a module, in the order of its text."""
    found = sorted(_Finder(module, source).found(), key=lambda mutant: (mutant.start, mutant.end, mutant.after))
    seen: Counter[str] = Counter()
    numbered: list[Mutant] = []
    for one in found:
        seen[one.name] += 1
        numbered.append(replace(one, nth=seen[one.name]))
    return numbered


class _Finder(ast.NodeVisitor):
    def __init__(self, module: str, source: bytes) -> None:
        self._module = module
        self._source = source
        self._tree = ast.parse(source)
        self._offsets = [0]
        for line in source.splitlines(keepends=True):
            self._offsets.append(self._offsets[-1] + len(line))
        self._scope: list[str] = []
        self._functions = 0  # how many there are around
        self._statement: ast.stmt | None = None
        self._found: list[Mutant] = []

    def found(self) -> list[Mutant]:
        self.visit(self._tree)
        return self._found

    # -- where -----------------------------------------------------------------------------------------------------

    def _at(self, line: int, column: int) -> int:
        return self._offsets[line - 1] + column

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _add(
        self, start: int, end: int, after: str, *, shown: tuple[int, int] | None = None, grouped: bool = False
    ) -> None:
        """shown: more of the text than what is changed, so that its name says more than `+ → -`. grouped: in
        parentheses, where the other sign binds otherwise."""
        first, last = shown or (start, end)
        before = self._source[first:last].decode()
        changed = (self._source[first:start] + after.encode() + self._source[end:last]).decode()
        line = self._source.count(b"\n", 0, start) + 1
        assert self._statement is not None
        lines = (_lines(self._statement),) if self._functions else _users(self._tree, self._statement)
        changed = f"({changed})" if grouped else changed
        self._found.append(Mutant(self._module, ".".join(self._scope), line, before, changed, first, last, lines))

    def visit(self, node: ast.AST) -> None:
        outer = self._statement
        if isinstance(node, ast.stmt):
            self._statement = node
        super().visit(node)
        self._statement = outer

    # -- what is left as it is -----------------------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None)):
            self.visit(default)
        self._scope.append(node.name)
        self._functions += 1
        for statement in node.body:
            self.visit(statement)
        self._functions -= 1
        self._scope.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._scope.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self._scope.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._deleted(node, node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """A text with values in it is said to people; its parts have no place of their own before Python 3.12."""

    def visit_Import(self, node: ast.Import) -> None: ...

    def visit_Raise(self, node: ast.Raise) -> None:
        """That it is raised at all is what is tried; what it says is not."""
        self._replace(node, "pass")

    def visit_Assert(self, node: ast.Assert) -> None: ...

    # -- what is changed ----------------------------------------------------------------------------------------------

    def _replace(self, node: ast.expr | ast.stmt, after: str) -> None:
        start, end = self._span(node)
        self._add(start, end, after)

    def visit_Compare(self, node: ast.Compare) -> None:
        self.generic_visit(node)
        left: ast.expr = node.left
        for sign, right in zip(node.ops, node.comparators, strict=True):
            self._between(node, left, right, *_COMPARED[type(sign)])
            left = right

    def _between(
        self, whole: ast.expr, left: ast.expr, right: ast.expr, sign: str, other: str, *, grouped: bool = False
    ) -> None:
        start, end = self._span(left)[1], self._span(right)[0]
        found = re.search(re.escape(sign).replace(r"\ ", r"\s+"), self._source[start:end].decode())
        assert found is not None, f"{self._module}:{whole.lineno}: {sign} is not where it should be"
        self._add(start + found.start(), start + found.end(), other, shown=self._span(whole), grouped=grouped)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.generic_visit(node)
        sign, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(node, left, right, sign, other, grouped=True)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.generic_visit(node)
        if type(node.op) in _COMPUTED and not _is_text(node.left) and not _is_text(node.right):
            self._between(node, node.left, node.right, *_COMPUTED[type(node.op)], grouped=True)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not):
            start, end = self._span(node)
            self._add(start, self._span(node.operand)[0], "", shown=(start, end))

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self._replace(node, repr(node.value + 1))
        elif isinstance(node.value, str) and _SQL.search(node.value):
            self._in_sql(node)

    def _in_sql(self, node: ast.Constant) -> None:
        start, end = self._span(node)
        text = self._source[start:end].decode()
        for pattern, other in _IN_SQL:
            for found in re.finditer(pattern, text):
                first, last = (start + len(text[:place].encode()) for place in found.span())
                around = (max(start, first - 24), min(end, last + 24))
                self._add(first, last, other, shown=around)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in _CALLED:
            start, end = self._span(node.func)
            self._add(start, end, _CALLED[node.func.id], shown=self._span(node))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._replace(node, "return None")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) or _is_log(node.value):
            return
        self._replace(node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._deleted(node, node.targets[0])
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace(node, "pass")
        self.generic_visit(node)

    def _deleted(self, node: ast.stmt, target: ast.expr) -> None:
        """What is put into something that exists already; a name that nothing is assigned to would be found at once."""
        if isinstance(target, ast.Attribute | ast.Subscript):
            self._replace(node, "pass")

    def visit_Delete(self, node: ast.Delete) -> None:
        self._replace(node, "pass")

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "break")

    def visit_If(self, node: ast.If) -> None:
        self._negated(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._negated(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negated(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._replace(condition, "True")
        self.generic_visit(node)

    def _negated(self, test: ast.expr) -> None:
        if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            start, _ = self._span(test)
            self._add(start, start, "not ", shown=self._span(test))


def reaching(module: str, first: int, last: int) -> tuple[tuple[int, int], ...]:
    """Lines by which a change of these lines may be noticed: themselves, or what uses the constant they are part of."""
    tree = ast.parse((ROOT / module).read_bytes())
    constants = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    found = [node for node in constants if node.lineno <= first <= (node.end_lineno or node.lineno)]
    return _users(tree, found[0]) if found else ((first, last),)


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """Of a statement without the block below it."""
    body = getattr(statement, "body", None)
    end = body[0].lineno - 1 if body else statement.end_lineno
    return statement.lineno, max(statement.lineno, end or statement.lineno)


def _users(tree: ast.Module, statement: ast.stmt) -> tuple[tuple[int, int], ...]:
    """Lines of the functions that name what statement assigns, or names made of it; all of them if it assigns nothing,
    such as a field of a class or a default."""
    names = _stored(statement)
    for other in tree.body:
        if isinstance(other, ast.Assign | ast.AnnAssign) and names & _named(other):
            names |= _stored(other)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if isinstance(statement, ast.FunctionDef):
        functions = [statement]
    elif statement in tree.body:
        functions = [node for node in functions if names & _named(node)] or functions
    return tuple((node.body[0].lineno, node.end_lineno or node.lineno) for node in functions)


def _stored(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _named(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _is_log(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in _SAID
    )


def tried(modules: list[str]) -> Iterator[Mutant]:
    for module in modules:
        yield from mutants(module, (ROOT / module).read_bytes())
