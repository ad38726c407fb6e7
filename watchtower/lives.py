"""Which piece of work ended the process: a mark that is set before an attempt and taken away after it.

What is found at the next start was under way when the process died. The same piece three times in a row is poison: it
is set aside, so that it does not end every life that comes after (promise P20). A mark needs no sync: it has to outlive
a process and not a power failure.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

POISON_AFTER = 3  # lives that died of it


class Lives:
    """folder: of this process alone; None: nothing is remembered. Any thread may use it, each for pieces of its own."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._died: dict[str, int] = {}
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for mark in folder.iterdir():
                with suppress(OSError, ValueError):
                    self._died[mark.name] = int(mark.read_text())

    def died_of(self, piece: str) -> int:
        """How many lives before this one have died of it, one after the other."""
        return self._died.get(mark_of(piece), 0)

    @contextmanager
    def attempt(self, piece: str) -> Generator[None]:
        """An attempt at piece is under way."""
        if self._folder is None:
            yield
            return
        mark = self._folder / mark_of(piece)
        with suppress(OSError):  # a full disk must not keep anybody from being told
            mark.write_text(str(self.died_of(piece) + 1))
        try:
            yield
        finally:
            self._died.pop(mark.name, None)
            with suppress(OSError):
                mark.unlink(missing_ok=True)


def mark_of(piece: str) -> str:
    return blake2b(piece.encode(), digest_size=12).hexdigest()
