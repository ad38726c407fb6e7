"""The files of this project, as the contract tests see them: what is committed, or would be."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("watchtower", "collectors", "rules", "alerting", "dashboards")
_CACHES = {"__pycache__", ".venv", ".cache", ".git", ".pytest_cache", ".ruff_cache", ".hypothesis"}


@cache
def files() -> tuple[Path, ...]:
    """All files of the work tree that are not ignored, relative to ROOT, sorted. Without git: all but the caches."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(git, capture_output=True, check=True, text=True).stdout.split("\0")
        found = {Path(name) for name in listed if name}
    except (OSError, subprocess.CalledProcessError):
        found = {file.relative_to(ROOT) for file in ROOT.rglob("*") if not _CACHES.intersection(file.parts)}
    return tuple(sorted(file for file in found if (ROOT / file).is_file()))


def sources(*folders: str) -> tuple[Path, ...]:
    """Python files under folders (default: the five packages), relative to ROOT."""
    wanted = folders or PACKAGES
    return tuple(file for file in files() if file.suffix == ".py" and file.parts[0] in wanted)


def parse(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), str(file))


def imported_names(module: ast.Module) -> dict[str, str]:
    """Local name → what it stands for, dotted: `from time import monotonic as m` gives {"m": "time.monotonic"}."""
    names: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import a.b` binds `a`; `import a.b as c` binds `c` to a.b.
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    """The full dotted name of an expression such as `dt.datetime.now`, resolved through the imports; else None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    return ".".join([names[node.id], *reversed(parts)])


def uses(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Every (line, dotted name) that a module takes from what it imports, the imports themselves included."""
    names = imported_names(module)
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute | ast.Name):
            name = dotted(node, names)
            if name is not None:
                yield node.lineno, name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
