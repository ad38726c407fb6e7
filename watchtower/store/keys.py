"""The keys that stay outside the store: the pepper of tokens, and those of the audit chain, form tokens and hooks.

Each is a file of 32 random bytes (hexadecimal) in a folder of its own that only this user may enter, so that a stolen
store or backup opens nothing.
"""

import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, select

from watchtower.durable import make_folder, sync_folder
from watchtower.errors import UsageError
from watchtower.store import dialect
from watchtower.store.schema.observed import meta

_SIZE = 32  # bytes
_MARK = "keys_mark"
KEY_NAMES = ("pepper", "audit", "forms", "hooks")


@dataclass(frozen=True, slots=True)
class Keys:
    pepper: bytes = field(repr=False)
    audit: bytes = field(repr=False)
    forms: bytes = field(repr=False)
    hooks: bytes = field(repr=False)

    @staticmethod
    def random() -> "Keys":
        return Keys(*(secrets.token_bytes(_SIZE) for _ in KEY_NAMES))


def load_keys(folder: Path) -> Keys:
    """Read the keys in folder, making those that are missing. Raises UsageError if others may read them."""
    make_folder(folder)
    _refuse_open(folder)
    missing = any(not (folder / name).exists() for name in KEY_NAMES)
    keys = Keys(*(_load(folder / name) for name in KEY_NAMES))
    if missing:
        sync_folder(folder)  # a store that is bound to keys which a loss of power took away could not be opened again
    return keys


def bind_keys(connection: Connection, keys: Keys, folder: Path) -> None:
    """Remember that this store belongs to these keys. Raises UsageError if it belongs to others: with wrong keys
    every token and session would be refused and the audit chain would look broken."""
    mark = hmac.digest(keys.pepper, b"watchtower keys", hashlib.sha256).hex()
    dialect.insert_new(connection, meta, [{"key": _MARK, "value": mark}])
    stored = connection.execute(select(meta.c.value).where(meta.c.key == _MARK)).scalar_one()
    if not hmac.compare_digest(stored, mark):
        raise UsageError(
            f"the keys in {folder} are not those of this store; restore the folder that belongs to it "
            "(it is backed up apart from the store), or point --state at the right one; a further replica needs a copy "
            "of the folder of the first"
        )


def _load(path: Path) -> bytes:
    try:
        # Made whole under another name and linked, so that a crash or a second process never leaves half a key.
        if not path.exists():
            draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            draft.touch(mode=0o600, exist_ok=False)
            with draft.open("w") as file:
                file.write(secrets.token_hex(_SIZE))
                file.flush()
                os.fsync(file.fileno())
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        _refuse_open(path)
        key = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"key {path} cannot be read: {why}; it must belong to Watchtower's own user") from error
    except ValueError as error:
        raise UsageError(f"key {path} is no key of {_SIZE} bytes in hexadecimal; restore it from its backup") from error
    if len(key) != _SIZE:
        raise UsageError(f"key {path} has {len(key)} bytes, not {_SIZE}; restore it from its backup")
    return key


def _refuse_open(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        wanted = "700" if path.is_dir() else "600"
        raise UsageError(f"{path} has mode {mode:o}: other users may read the keys; run `chmod {wanted} {path}`")
