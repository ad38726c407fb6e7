"""`python -m tests.cli.reference --write`: the table of docs/cli.md, made from the commands themselves."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from watchtower.cli.main import COMMANDS, load

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
SHARED = ("--config", "--state", "--url", "--token", "--output")
_MARKED = re.compile(r"(<!-- commands -->\n).*?(<!-- /commands -->)", re.DOTALL)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command and subcommand with its path: `silence add`. Groups that do nothing alone are left out."""
    for name in COMMANDS:
        command = load(name)
        children = getattr(command, "commands", {})
        if not children or command.invoke_without_command:
            yield name, command
        for child, subcommand in children.items():
            yield f"{name} {child}", subcommand


def summary(command: Any) -> str:
    """The first paragraph of its help."""
    return " ".join(str(command.help).split("\n\n")[0].split())


def options(command: Any) -> list[str]:
    """Its own options, by their long names."""
    return [param.opts[0] for param in command.params if param.param_type_name == "option"]


def table() -> str:
    rows = ["| Command | Options of its own | Which Watchtower | What it does |", "|---|---|---|---|"]
    for path, command in commands():
        taken = options(command)
        own = ", ".join(f"`{name}`" for name in taken if name not in SHARED and name != "--help")
        shared = [name for name in taken if name in SHARED]
        which = "all" if len(shared) == len(SHARED) else ", ".join(f"`{name}`" for name in shared)
        arguments = [_shown(param) for param in command.params if param.param_type_name == "argument"]
        rows.append(f"| `{' '.join([path, *arguments])}` | {own or '–'} | {which or '–'} | {summary(command)} |")
    return "\n".join(rows) + "\n"


def replaced() -> str:
    return _MARKED.sub(lambda found: found[1] + table() + found[2], PAGE.read_text(encoding="utf-8"))


def _shown(param: Any) -> str:
    name = param.metavar or param.name.upper()
    return name if param.required or name.startswith("[") else f"[{name}]"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(replaced(), encoding="utf-8")
    sys.exit(int(PAGE.read_text(encoding="utf-8") != replaced()))
