"""Backups: the store, the bills beside it and what waits in the spool, with a signed list of all that must be in it.

A backup is a folder, or the same in one file `NAME.tar.zst`. It is read back before it counts as made. The keys are not
in it unless that is asked for: with them, a stolen backup opens what it must not. docs/operations.md, "Backups".
"""

import hashlib
import hmac
import json
import logging
import os
import shutil
import tarfile
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import zstandard

from watchtower import __version__
from watchtower.app.bills import FOLDER as BILLS
from watchtower.app.state import KEYS, SPOOL, StateDir, StoreFile
from watchtower.errors import UsageError
from watchtower.ports import Clock
from watchtower.pulse import beat
from watchtower.spool import segment_paths
from watchtower.store import audit, backups, migrations
from watchtower.store.backups import Copied
from watchtower.store.bills.folder import SCRATCH
from watchtower.store.database import Database, file_of
from watchtower.store.keys import KEY_NAMES, Keys, bind_keys, load_keys

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
FORMAT = 1
_BLOCK = 1 << 20
ARCHIVE = ".tar.zst"
PREFIX = "watchtower-"
_WHAT = b"watchtower backup"


@dataclass(frozen=True, slots=True)
class Backup:
    """Where one is, and what is in it. bytes: of all files."""

    path: Path
    made_at: str
    copied: Copied
    bytes: int
    keys: bool


def make(url: str, state: Path, to: Path, clock: Clock, *, with_keys: bool = False) -> Backup:
    """Back up the store at url and what belongs to it in state. to: a folder, in which a new one is made, or a file
    `NAME.tar.zst`. Raises StoreError, or UsageError with a remedy."""
    keys = load_keys(state / KEYS)
    now = clock.now()
    archive = to.name.endswith(ARCHIVE)
    parent = to.parent if archive else to
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".backup-", dir=parent) as scratch:
            folder = Path(scratch) / f"{PREFIX}{now:%Y%m%dT%H%M%SZ}"
            folder.mkdir(mode=0o700)
            made = _fill(folder, url, state, keys, now, with_keys=with_keys)
            _verify(folder, keys)
            done = _packed(folder, to) if archive else folder.rename(_free(to / folder.name))
    except OSError as error:
        raise UsageError(f"the backup cannot be written to {to}: {error.strerror or error}") from error
    return Backup(
        done, made["made_at"], Copied(**made["store"]), sum(each["size"] for each in made["files"]), with_keys
    )


@dataclass(frozen=True, slots=True)
class Restored:
    """look_first: messages that are looked up before anything is told; aside: where what stood there before lies."""

    made_at: str
    last_entry: str | None
    look_first: int
    aside: Path | None


def restore(
    source: Path, url: str, state: Path, clock: Clock, *, keys: Path | None = None, replace: bool = False
) -> Restored:
    """Make the store at url, and what belongs to it in state, of the backup at source. keys: the folder that belongs to
    it, where it is neither in the backup nor in state. replace: what is there is put aside, never deleted. Raises
    UsageError with a remedy, or StoreError; nothing is changed then."""
    with _opened(source) as folder, closing(StateDir(state)), closing(StoreFile(file_of(url))):
        known = _keys_for(folder, state, keys)
        manifest = _verify(folder, load_keys(known))
        copied = Copied(**manifest["store"])
        _check_target(url, copied, replace=replace)
        aside = _put_aside(url, state, clock.now())
        if known != state / KEYS:
            _copy_keys(known, state / KEYS)
        _put_store(folder, url, copied, clock)
        _put_files(folder, state)
        waiting = _go_on(url, load_keys(state / KEYS), state / KEYS, manifest, clock)
    return Restored(manifest["made_at"], copied.last_entry, waiting, aside)


def let_go(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest backups in folder; those that are gone."""
    names = sorted(path for path in folder.glob(f"{PREFIX}*") if (path / MANIFEST).is_file())
    gone = names[:-keep]
    for path in gone:
        shutil.rmtree(path)
    return gone


# -- making ---------------------------------------------------------------------------------------------------------


def _fill(folder: Path, url: str, state: Path, keys: Keys, now: datetime, *, with_keys: bool) -> dict[str, Any]:
    """In the order in which things leave one place for the next: from the spool into the store, so that what is stored
    meanwhile is in both; a file of a bill is there before the row that names it."""
    for path in segment_paths(state / SPOOL):
        _copy_file(path, folder / SPOOL / path.name)
    copied = backups.copy(url, folder)
    for path in _bill_files(state / BILLS):
        _copy_file(path, folder / BILLS / path.relative_to(state / BILLS))
    if with_keys:
        _copy_keys(state / KEYS, folder / KEYS)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "watchtower": __version__,
        "made_at": now.isoformat(),
        "store": asdict(copied),
        "files": [_described(path, folder) for path in _files(folder)],
    }
    manifest["signature"] = _signature(keys, manifest)
    _write(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    return manifest


def _bill_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*/v*.parquet") if SCRATCH not in path.parts)


def _copy_file(source: Path, target: Path) -> None:
    """Of a file that was let go meanwhile nothing is left to copy, and no row that counts names it."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        log.info("a file was let go while it was backed up", extra={"file": str(source)})
        return
    target.chmod(0o600)
    with target.open("rb") as copied:
        os.fsync(copied.fileno())


def _copy_keys(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in KEY_NAMES:
        _write(target / name, (source / name).read_bytes())


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


def _described(path: Path, folder: Path) -> dict[str, Any]:
    return {"name": str(path.relative_to(folder)), "size": path.stat().st_size, "sha256": _digest(path)}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            beat()
    return digest.hexdigest()


def _signature(keys: Keys, manifest: dict[str, Any]) -> str:
    told = {name: value for name, value in manifest.items() if name != "signature"}
    text = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    return hmac.digest(keys.audit, _WHAT + text, hashlib.sha256).hex()


def _packed(folder: Path, to: Path) -> Path:
    draft = to.with_name(f".{to.name}.new")
    compressor = zstandard.ZstdCompressor()
    with (
        draft.open("wb") as file,
        compressor.stream_writer(file, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        tar.add(folder, arcname=folder.name)
    draft.chmod(0o600)
    return draft.replace(to)


def _free(path: Path) -> Path:
    """path, or with a number behind it: two within a second."""
    names = (path, *(path.with_name(f"{path.name}-{number}") for number in range(1, 100)))
    return next(name for name in names if not name.exists())


# -- reading --------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(source: Path) -> Generator[Path]:
    """The folder of a backup, unpacked where it is one file."""
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise UsageError(f"there is no backup at {source}")
    try:
        with TemporaryDirectory(prefix="watchtower-restore-") as scratch:
            with (
                source.open("rb") as file,
                zstandard.ZstdDecompressor().stream_reader(file) as unpacked,
                tarfile.open(fileobj=unpacked, mode="r|") as tar,
            ):
                tar.extractall(scratch, filter="data")
            (folder,) = Path(scratch).iterdir()
            for path in (folder, *folder.rglob("*")):  # as the keys have to be; an archive does not say so
                path.chmod(0o700 if path.is_dir() else 0o600)
            yield folder
    except (tarfile.TarError, zstandard.ZstdError, ValueError) as error:
        raise UsageError(f"{source} is no backup that can be unpacked: {error}") from error


def _verify(folder: Path, keys: Keys) -> dict[str, Any]:
    """The manifest, if it is ours and all that it names is there, unchanged, and can be read."""
    try:
        manifest = cast("dict[str, Any]", json.loads((folder / MANIFEST).read_bytes()))
        signature, files = str(manifest["signature"]), cast("list[dict[str, Any]]", manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} is no backup: {MANIFEST} cannot be read ({error})") from error
    if manifest.get("format") != FORMAT:
        raise UsageError(
            f"{folder} was made by another version ({manifest.get('watchtower')}); restore it with that one"
        )
    if not hmac.compare_digest(signature, _signature(keys, manifest)):
        raise UsageError(
            f"the signature of {folder} is not of these keys: it was changed, or belongs to another Watchtower; "
            "name the folder of its keys by --keys"
        )
    there = [_described(path, folder) for path in _files(folder)]
    if there != files:
        named, found = ({each["name"]: each for each in some} for some in (files, there))
        wrong = sorted(name for name in named.keys() | found.keys() if named.get(name) != found.get(name))
        raise UsageError(f"{folder} is damaged: {_listed(wrong)} missing, changed or added since it was made")
    backups.check(folder, Copied(**manifest["store"]))
    return manifest


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# -- restoring --------------------------------------------------------------------------------------------------------


def _keys_for(folder: Path, state: Path, named: Path | None) -> Path:
    candidates: Iterable[Path] = (named,) if named is not None else (folder / KEYS, state / KEYS)
    for candidate in candidates:
        if all((candidate / name).is_file() for name in KEY_NAMES):
            return candidate
    raise UsageError(
        f"the keys of this backup are neither in it nor in {state / KEYS}; name the folder in which they are kept "
        "by --keys (they are backed up apart from the store)"
    )


def _check_target(url: str, copied: Copied, *, replace: bool) -> None:
    file = file_of(url)
    engine = backups.SQLITE if file is not None else backups.POSTGRESQL
    if engine != copied.engine:
        raise UsageError(f"the backup is of a {copied.engine} store and the configuration names one on {engine}")
    if copied.step > migrations.STEPS[-1].number:
        raise UsageError(
            f"the backup has schema step {copied.step}, which a newer Watchtower made; restore it with that"
        )
    if replace:
        return
    if file is not None and file.exists():
        raise UsageError(f"there is a store at {file}; --replace puts it aside and restores the backup in its place")
    if file is None and not _is_empty(url):
        raise UsageError("the database holds tables; name an empty one, or --replace what is in it")


def _is_empty(url: str) -> bool:
    with closing(Database(url)) as database:
        return migrations.state(database).kind is migrations.Standing.EMPTY


def _put_aside(url: str, state: Path, now: datetime) -> Path | None:
    """What stands where the restored store will be, kept beside it."""
    file = file_of(url)
    there = [state / BILLS]
    if file is not None:
        there += [file.with_name(f"{file.name}{suffix}") for suffix in ("", "-wal", "-shm", "-journal")]
    there = [path for path in there if path.exists()]
    if not there:
        return None
    aside = _free((file.parent if file is not None else state) / f"before-restore-{now:%Y%m%dT%H%M%SZ}")
    aside.mkdir(mode=0o700)
    for path in there:
        shutil.move(path, aside / path.name)
    return aside


def _put_store(folder: Path, url: str, copied: Copied, clock: Clock) -> None:
    file = file_of(url)
    if file is None:
        with closing(Database(url)) as database:
            migrations.migrate(database, clock)
        backups.load_tables(url, folder / backups.TABLES)
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.restoring")
    shutil.copyfile(folder / backups.DATABASE, draft)
    draft.chmod(0o600)
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    draft.replace(file)


def _put_files(folder: Path, state: Path) -> None:
    """Bills as they were. Of the spool what is not there yet: what came in since the backup is worth keeping."""
    for path in _bill_files(folder / BILLS):
        _copy_file(path, state / BILLS / path.relative_to(folder / BILLS))
    spool = state / SPOOL
    for path in segment_paths(folder / SPOOL):
        target = spool / path.name
        if target.exists() and target.read_bytes().startswith(path.read_bytes()):
            continue
        number = int(path.stem)
        while target.exists():
            number += 1
            target = spool / f"{number:016d}{path.suffix}"
        _copy_file(path, target)


def _go_on(url: str, keys: Keys, folder: Path, manifest: dict[str, Any], clock: Clock) -> int:
    """The first words of the restored store: what it owes is looked up first, and the audit chain says why."""
    with closing(Database(url)) as database:
        migrations.migrate(database, clock)
        database.write(lambda connection: bind_keys(connection, keys, folder))
        waiting = database.write(backups.mark_restored)
        after = {"made_at": manifest["made_at"], "look_first": waiting}
        entry = audit.Entry(clock.now(), "system", "store.restore", "store", after=after)
        database.write(lambda connection: audit.append(connection, keys.audit, entry))
    return waiting
