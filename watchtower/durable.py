"""Names that outlive a loss of power: what was written and synced is only found again if the folder that names it was
synced, too."""

import os


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """What is in folder by name now stays so."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Only this user's, and those above it where there are none; in vain if it is there already."""
    new: list[str] = []
    path = os.path.abspath(folder)
    while not os.path.exists(path):
        new.append(path)
        path = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for path in reversed(new):
        sync_folder(os.path.dirname(path))
