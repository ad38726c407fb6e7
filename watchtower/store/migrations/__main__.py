"""`python -m watchtower.store.migrations freeze`: write step 1 from the tables, as long as no release contains it."""

import sys
from pathlib import Path

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from watchtower.store.migrations.steps import RELEASED, STEPS
from watchtower.store.schema import metadata

_DIALECTS: dict[str, Dialect] = {"postgresql": postgresql.dialect(), "sqlite": sqlite.dialect()}
_HEADER = "-- {name}, as frozen by `python -m watchtower.store.migrations freeze`. Not to be edited by hand.\n\n"


def ddl(dialect: Dialect) -> str:
    """All tables and indexes, tables in the order of their dependencies, indexes by name."""
    lines: list[str] = []
    for table in metadata.sorted_tables:
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        for element in (CreateTable(table), *(CreateIndex(index) for index in indexes)):
            text = str(element.compile(dialect=dialect)).strip().replace("\t", "    ") + ";"
            lines += [line.rstrip() for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    if arguments != ["freeze"]:
        print("usage: python -m watchtower.store.migrations freeze", file=sys.stderr)
        return 2
    if RELEASED or len(STEPS) > 1:
        print("step 1 is frozen for good: append a new step to STEPS, with its SQL for both engines", file=sys.stderr)
        return 2
    for engine, dialect in _DIALECTS.items():
        file = Path(__file__).with_name("sql") / STEPS[0].file_name(engine)
        file.write_text(_HEADER.format(name=f"{STEPS[0].name}, {engine}") + ddl(dialect), encoding="utf-8")
        print(f"wrote {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
