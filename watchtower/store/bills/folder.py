"""The folder of bills: `<source>/<period>/v<version>.parquet`, each file whole or not there at all."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

SCRATCH: Final = ".work"  # what an import writes before it is done; gone when the next one begins


class BillFolder:
    """root: below the state directory; made when it is first needed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def fresh_scratch(self) -> Path:
        """An empty folder for temporary files, on the same file system."""
        scratch = self.root / SCRATCH
        self.clear()
        scratch.mkdir(mode=0o700, parents=True)
        return scratch

    def clear(self) -> None:
        shutil.rmtree(self.root / SCRATCH, ignore_errors=True)

    def place(self, file: Path, source: str, period: str, version: int) -> str:
        """Give a finished file its name, durably. Its path relative to the root."""
        relative = Path(source, period, f"v{version}.parquet")
        target = self.root / relative
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(file)
        file.replace(target)
        for folder in (target.parent, target.parent.parent, self.root):
            _sync(folder)
        return str(relative)

    def path(self, relative: str) -> Path:
        return self.root / relative

    def remove(self, relative: str) -> None:
        (self.root / relative).unlink(missing_ok=True)

    def sweep(self, known: Collection[str]) -> list[str]:
        """Remove the files that no import names: of imports that were interrupted."""
        orphans = [
            file
            for file in self.root.glob("*/*/v*.parquet")
            if str(file.relative_to(self.root)) not in known and SCRATCH not in file.parts
        ]
        for file in orphans:
            file.unlink(missing_ok=True)
        return [str(file.relative_to(self.root)) for file in orphans]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
