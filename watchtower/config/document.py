"""YAML as data with the line of every key and item, so that each fault can say where it is.

Scalars follow YAML 1.2's core schema: `12:30` and `on` are texts, as people mean them (YAML 1.1 makes them 750 and
true). A key that stands twice is a fault. Source: PyYAML's composer, whose nodes carry marks.
"""

import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from watchtower.errors import Fault

MAX_CHARACTERS = 8 * 1024 * 1024
MAX_NODES = 500_000  # counted with aliases expanded, so that a few lines cannot become millions
MAX_DEPTH = 64
_STANDARD = "tag:yaml.org,2002:"
_PLACEHOLDER = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")
_TAGS = frozenset({"map", "seq", "str", "int", "float", "bool", "null", "merge"})

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Document:
    """data: the top-level mapping; lines: of keys and list items by path, 1-based."""

    data: dict[str, Any] = field(default_factory=dict[str, Any])
    lines: dict[Path, int] = field(default_factory=dict[Path, int])
    faults: list[Fault] = field(default_factory=list[Fault])

    def line(self, path: Path) -> int | None:
        """Of path, or of the nearest thing around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1 if self.lines else None


def dotted(path: Path) -> str:
    """`("rules", 0, "for")` → `rules[0].for`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parts(text: str) -> Path:
    """The path that `dotted` gave as text; a bracket that holds no number names a thing that has no place."""
    found = re.findall(r"([^.\[\]]+)|\[([^\]]*)\]", text)
    return tuple(int(place) if place.isdecimal() else name or place for name, place in found)


def placeholders(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Where a text holds `${NAME}`, as shells and other tools fill it in, and its name."""
    if isinstance(value, str):
        yield from ((path, found) for found in _PLACEHOLDER.findall(value))
    elif isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield from placeholders(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from placeholders(inner, (*path, index))


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's idea of plain scalars. Not libyaml's, though it takes a tenth of the time: a text of
    20,000 brackets overflows its stack and ends the process."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


_INT = r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+"
_FLOAT = (
    r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    cast(Any, _Loader).add_implicit_resolver(
        f"{_STANDARD}{_tag}", re.compile(rf"^(?:{_pattern})$"), ["" if char == "\0" else char for char in _first]
    )


def read(text: str, file: str = "") -> Document:
    """Never raises: what cannot be read is among the faults."""
    document = Document()
    data = _loaded(text, document, file, _only)
    if isinstance(data, dict):
        document.data = cast("dict[str, Any]", data)
    elif data is not None:
        document.faults.append(Fault("", "the file must be a mapping of sections", "begin with e.g. rules:", 1, file))
    return document


def read_all(text: str, file: str, under: str) -> Document:
    """As read, of a file with any number of documents (`---`), or lists of them: data has them as the list `under`."""
    document = Document()
    document.data = {under: _loaded(text, document, file, lambda loader, reader: _every(loader, reader, under)) or []}
    return document


def _only(loader: "_Loader", reader: "_Reader") -> Any:
    node = loader.get_single_node()
    return None if node is None else reader.value(node, ())


def _every(loader: "_Loader", reader: "_Reader", under: str) -> list[Any]:
    nodes: list[yaml.Node] = []
    while loader.check_node():
        node = cast("yaml.Node", loader.get_node())
        nodes += cast("list[yaml.Node]", node.value) if isinstance(node, yaml.SequenceNode) else [node]
    return [reader.item(node, (under, place)) for place, node in enumerate(nodes)]


def _loaded(text: str, document: Document, file: str, load: "Callable[[_Loader, _Reader], Any]") -> Any:
    """What load makes of text; None, and a fault, if it cannot be read."""
    if len(text) > MAX_CHARACTERS:
        document.faults.append(Fault("", f"the file has {len(text)} characters; at most {MAX_CHARACTERS}", file=file))
        return None
    try:
        loader = _Loader(text)
        return load(loader, _Reader(loader, document, file))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.faults.append(_syntax(error, mark.line + 1 if mark else None, file))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"holds the character {error.character!r}, which YAML does not allow"
        document.faults.append(Fault("", problem, "remove it", line, file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        document.faults.append(Fault("", f"cannot be read as YAML: {why}", file=file))
    return None


def _syntax(error: yaml.MarkedYAMLError, line: int | None, file: str) -> Fault:
    problem = error.problem or "cannot be read"
    tab = "'\\t'" in problem
    remedy = "indent with blanks, not with tabs" if tab else "check the indentation, colons and quotes around this line"
    return Fault("", f"not valid YAML: {problem}", remedy, line, file)


class _Reader:
    def __init__(self, loader: _Loader, document: Document, file: str) -> None:
        self._loader = loader
        self._document = document
        self._file = file
        self._nodes = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} values; does an alias repeat itself?")
        if len(path) > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels; does an alias hold itself?")
        if node.tag.removeprefix(_STANDARD) not in _TAGS:
            self._fault(node, path, f"the tag {node.tag} is not known", "remove it")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.item(item, (*path, index)) for index, item in enumerate(node.value)]
        return cast(Any, self._loader).construct_object(node, deep=True)

    def item(self, node: yaml.Node, path: Path) -> Any:
        self._mark(path, node)
        return self.value(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_STANDARD}merge":
                merged |= self._merged(value_node, path)
                continue
            key = self._key(key_node, path)
            inner = (*path, key)
            if key in found:
                first = self._document.lines.get(inner)
                self._fault(key_node, inner, f"stands twice, first at line {first}", "keep one of them")
            self._mark(inner, key_node)
            found[key] = self.value(value_node, inner)
        return {**merged, **found}

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        """`<<: *alias` or a list of them; the first that has a key wins. Own keys win over all."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for part in parts:
            value = self.value(part, path)
            if isinstance(value, dict):
                merged = {**value, **merged}
            else:
                self._fault(part, path, "<< must name a mapping", "use an alias of a mapping")
        return merged

    def _key(self, node: yaml.Node, path: Path) -> str:
        key = cast(Any, self._loader).construct_object(node, deep=True) if isinstance(node, yaml.ScalarNode) else None
        if isinstance(key, str):
            return key
        if isinstance(node, yaml.ScalarNode) and isinstance(key, Hashable):
            return str(node.value)
        self._fault(node, path, "a key must be a text", "put it in quotes")
        return "?"

    def _mark(self, path: Path, node: yaml.Node) -> None:
        self._document.lines[path] = node.start_mark.line + 1

    def _fault(self, node: yaml.Node, path: Path, message: str, remedy: str) -> None:
        line = node.start_mark.line + 1
        self._document.faults.append(Fault(dotted(path), message, remedy, line, self._file))
