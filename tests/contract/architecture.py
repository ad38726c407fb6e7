"""`python -m tests.contract.architecture --write` (`make docs`): the generated parts of the documents.

docs/architecture.md: the layers, as import-linter enforces them, and one line a module, the first sentence of its
docstring. docs/README.md: one line a page, its title and first sentence.
"""

import ast
import re
import sys
import tomllib
from pathlib import Path

from tests.contract.tree import PACKAGES, ROOT, files, parse, sources

ARCHITECTURE = ROOT / "docs" / "architecture.md"
INDEX = ROOT / "docs" / "README.md"


def generated() -> dict[Path, dict[str, str]]:
    """Page → name of a part → what stands between `<!-- name -->` and `<!-- /name -->`."""
    return {ARCHITECTURE: {"layers": _layers(), "tree": _tree()}, INDEX: {"pages": _pages()}}


def replaced(page: Path) -> str:
    """The page with its generated parts as they should be. Raises ValueError where a part's marks are missing."""
    text = page.read_text(encoding="utf-8")
    for name, body in generated()[page].items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marked.search(text):
            raise ValueError(f"{page.relative_to(ROOT)} lacks the marks <!-- {name} --> and <!-- /{name} -->")
        text = marked.sub(lambda found, body=body: found[1] + body + found[2], text)
    return text


def first_sentence(file: Path) -> str:
    """Of the module's docstring; empty without one."""
    return _first_sentence(ast.get_docstring(parse(file)) or "")


def _layers() -> str:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["id"] == "layers")["layers"]
    return "```\n" + "\n".join(re.sub(r"[()]", "", layer) for layer in layers) + "\n```\n"


def _tree() -> str:
    parts: list[str] = []
    for package in PACKAGES:
        parts += [f"\n### {package}\n", "| File | What it does |", "|---|---|"]
        files = sorted(sources(package), key=lambda file: (file.parent.parts, file.name != "__init__.py", file.name))
        for file in files:
            shown = f"{file.parent}/" if file.name == "__init__.py" else str(file)
            parts.append(f"| `{shown}` | {_cell(first_sentence(file))} |")
    return "\n".join(parts).lstrip("\n") + "\n"


def _pages() -> str:
    rows = ["| Page | What it says |", "|---|---|"]
    for file in files():
        if file.parts[0] == "docs" and file.suffix == ".md" and file.name != "README.md":
            title, _, text = (ROOT / file).read_text(encoding="utf-8").removeprefix("# ").partition("\n")
            body = "\n".join(line for line in text.splitlines() if not line.startswith("#")).strip()
            rows.append(f"| [{_cell(title)}]({file.relative_to('docs')}) | {_cell(_first_sentence(body))} |")
    return "\n".join(rows) + "\n"


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", paragraph)[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str]) -> int:
    stale = [page for page in generated() if page.read_text(encoding="utf-8") != replaced(page)]
    for page in stale:
        if "--write" in arguments:
            page.write_text(replaced(page), encoding="utf-8")
        else:
            print(f"{page.relative_to(ROOT)} differs from the tree; run `make docs`", file=sys.stderr)
    return int(bool(stale) and "--write" not in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
