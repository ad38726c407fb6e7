"""Names that outlive a loss of power: what was written and synced is only found again if the folder that names it was
synced, too."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """What is in folder by name now stays so."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Only this user's, and those above it where there are none; in vain if it is there already."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in reversed(new):
        sync_folder(path.parent)
