"""The numbered steps that lead from an empty store to the schema in force; forward only, one transaction each.

To change the schema: change the tables in `watchtower.store.schema`, write the step's statements for both engines
into `sql/`, and append a line to STEPS. A step that old replicas can live beside while it happens (new tables, new
nullable columns, new indexes) is an *expand* step; everything else is a *contract* step and needs the operator.
Until the first release the schema may still change within step 1: `python -m watchtower.store.migrations freeze`.
"""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from importlib.resources import files

# The newest step that a release contains: such steps never change again.
RELEASED = 0


class StepKind(StrEnum):
    EXPAND = "expand"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the schema. name: a word for the file `sql/<number>_<name>.<engine>.sql`."""

    number: int
    name: str
    kind: StepKind

    def file_name(self, engine: str) -> str:
        return f"{self.number:04}_{self.name}.{engine}.sql"

    def script(self, engine: str) -> str:
        """engine: `sqlite` or `postgresql`."""
        return (files("watchtower.store.migrations") / "sql" / self.file_name(engine)).read_text(encoding="utf-8")

    def statements(self, engine: str) -> list[str]:
        """A statement ends at a semicolon at the end of a line; lines that begin with `--` are comments."""
        lines = [line for line in self.script(engine).splitlines() if not line.startswith("--")]
        return [text for part in "\n".join(lines).split(";\n") if (text := part.strip().removesuffix(";"))]

    def digest(self, engine: str) -> str:
        return sha256(";\n".join(self.statements(engine)).encode()).hexdigest()[:16]


STEPS = (Step(1, "spine", StepKind.EXPAND),)
