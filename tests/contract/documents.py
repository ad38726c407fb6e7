"""Code blocks of the Markdown documents, and of docstrings, with where they stand."""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.contract.tree import ROOT, files, sources

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """info: the words after the fence, e.g. `yaml` or `yaml openslo`; body: dedented."""

    file: Path
    line: int
    info: str
    body: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def pages() -> tuple[Path, ...]:
    return tuple(file for file in files() if file.suffix == ".md")


def blocks(file: Path) -> Iterator[Block]:
    """Of a Markdown page, or of all docstrings of a Python file."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.suffix == ".md":
        yield from _blocks(file, text, 1)
        return
    if "```" not in text:  # most have none, and to parse all of them takes seconds
        return
    for node in ast.walk(ast.parse(text, str(file))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text and "```" in text:
                yield from _blocks(file, text, node.body[0].lineno)


def all_blocks(language: str) -> list[Block]:
    """Of every page and docstring, in the order of the files."""
    return [block for file in (*pages(), *sources()) for block in blocks(file) if block.info.split()[:1] == [language]]


def _blocks(file: Path, text: str, first_line: int) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        line = first_line + text.count("\n", 0, found.start())
        yield Block(file, line, found["info"].strip(), textwrap.dedent(found["body"]))
