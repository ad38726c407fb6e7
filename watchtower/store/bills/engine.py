"""DuckDB with bounds: memory, threads and disk are limited, and it reaches no file but those it was given."""

from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

MEMORY: Final = "256MiB"  # beside Python and the decompressors; 512 MiB for the process is promised
SPILL: Final = "64GiB"  # of temporary files
THREADS: Final = 2

Engine = duckdb.DuckDBPyConnection
EngineError = duckdb.Error


@contextmanager
def engine(files: Collection[Path], scratch: Path, *, in_order: bool = False) -> Generator[Engine]:
    """A database in memory that reads files, and writes in scratch. in_order: lines keep their order, for more memory
    and time."""
    opened = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY,
            "threads": THREADS,
            "temp_directory": str(scratch),
            "max_temp_directory_size": SPILL,
            "preserve_insertion_order": in_order,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    try:
        opened.execute("SET TimeZone = 'UTC'")
        opened.execute(f"SET allowed_paths = {literals(map(str, files))}")
        opened.execute(f"SET allowed_directories = {literals([str(scratch)])}")
        opened.execute("SET enable_external_access = false")
        opened.execute("SET lock_configuration = true")
        yield opened
    finally:
        opened.close()


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def literals(texts: "Collection[str] | map[str]") -> str:
    return f"[{', '.join(map(literal, texts))}]"


def name(text: str) -> str:
    """As an identifier."""
    return '"' + text.replace('"', '""') + '"'
