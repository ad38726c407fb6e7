"""Secrets by reference: `env:NAME` and `file:PATH`, read when they are needed, shown as `***` everywhere else.

A file is read again within a minute of its rotation, and its last good value serves for an hour while it cannot be
read (promises SR-18, SR-19). What was ever revealed is also redacted from log records, as a second net.
"""

import hmac
import logging
import os
import re
import stat
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from watchtower.clock import SystemClock
from watchtower.errors import ConfigError, Fault
from watchtower.ports import Clock

log = logging.getLogger(__name__)

MASK = "***"
SCHEMES = ("env:", "file:")
RESERVED_SCHEMES = ("vault:", "aws-sm:", "gcp-sm:", "azure-kv:")  # of a secret manager; none can be read yet
REREAD_AFTER_S = 30.0  # SR-18 allows 60
KEEP_LAST_GOOD_S = 3600.0  # SR-18
MAX_BYTES = 64 * 1024
_WORTH_REDACTING = 6  # characters; a shorter value would black out ordinary words
_WORTH_REDACTING_BEHIND = 16  # of an address, without its host: it can be words
_CREDENTIALS = re.compile(r"(?i:(?<=\bbearer )|(?<=\bbasic ))[\w.~+/=-]{8,}")
_GROUP_OR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Secret:
    """A value that shows itself only to who asks by `reveal`. reference: `env:NAME`, `file:PATH`, or the value itself.

    As a field of a pydantic model it takes a text; validation context `secrets` (a SecretStore) is what reads it.
    """

    __slots__ = ("_reference", "_store")

    def __init__(self, reference: str, store: "SecretStore | None" = None) -> None:
        self._reference = reference
        self._store = store

    def reveal(self) -> str:
        """The value as it is now. Raises ConfigError that names the reference and the remedy, never the value."""
        return (self._store or DEFAULT_STORE).resolve(self._reference)

    @property
    def is_literal(self) -> bool:
        return is_literal(self._reference)

    @property
    def reference(self) -> str:
        """`env:NAME` or `file:PATH`; `***` for a literal."""
        return MASK if self.is_literal else self._reference

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        """In constant time over the values; a text is never equal to a Secret."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash(Secret)

    def __bool__(self) -> bool:
        return bool(self._reference)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        return Secret, (MASK,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _validated,
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "format": "password", "description": "env:NAME or file:PATH"}


def _validated(value: Any, info: core_schema.ValidationInfo) -> Secret:
    """The value itself stands in no message."""
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value.strip():
        raise PydanticCustomError("secret", "a secret is a text: env:NAME or file:PATH")
    message = unavailable(value)
    if message:
        raise PydanticCustomError("secret", "{message}", {"message": message})
    context: dict[str, Any] = info.context or {}
    return Secret(value.strip(), context.get("secrets"))


def is_literal(reference: str) -> bool:
    return not reference.startswith((*SCHEMES, *RESERVED_SCHEMES))


def unavailable(reference: str) -> str | None:
    """Why a reference can never be read by this release; None for what may be."""
    for scheme in RESERVED_SCHEMES:
        if reference.startswith(scheme):
            return f"{scheme} is not available yet; known: {', '.join(SCHEMES)}"
    for scheme in SCHEMES:
        if reference.strip() == scheme:
            return f"{scheme} names nothing; write {scheme}{'NAME' if scheme == 'env:' else 'PATH'}"
    return None


@dataclass(slots=True)
class _Kept:
    value: str
    read_at: float
    good_at: float


class SecretStore:
    """Reads references. base_dir: what a relative `file:` starts from (the folder of the configuration file)."""

    def __init__(
        self,
        clock: Clock | None = None,
        base_dir: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._clock = clock or SystemClock()
        self._base_dir = base_dir
        self._environ = environ
        self._files: dict[Path, _Kept] = {}
        self._lock = threading.Lock()

    def resolve(self, reference: str) -> str:
        """The value behind reference; a literal is its own value. Raises ConfigError."""
        message = unavailable(reference)
        if message:
            raise ConfigError([Fault("", message)])
        if reference.startswith("env:"):
            value = self._from_environment(reference.removeprefix("env:").strip())
        elif reference.startswith("file:"):
            value = self._from_file(self.path(reference))
        else:
            value = reference
        REDACTOR.learn(value)
        return value

    def path(self, reference: str) -> Path:
        """The file that a `file:` reference means."""
        named = Path(reference.removeprefix("file:").strip()).expanduser()
        return named if named.is_absolute() or self._base_dir is None else self._base_dir / named

    def complaint(self, reference: str) -> str | None:
        """What speaks against reference though it can be read: a file that others may read. None: nothing does."""
        if not reference.startswith("file:"):
            return None
        path = self.path(reference)
        try:
            mode = path.stat().st_mode
        except OSError:
            return None
        return f"{path} can be read by others (mode {mode & 0o777:03o})" if mode & _GROUP_OR_OTHERS & 0o044 else None

    def _from_environment(self, name: str) -> str:
        value = self._environ.get(name)
        if value is None:
            raise ConfigError([Fault("", f"environment variable {name} is not set", f"set {name} or use file:PATH")])
        if not value.strip():
            raise ConfigError([Fault("", f"environment variable {name} is empty", f"give {name} a value")])
        return value.strip()

    def _from_file(self, path: Path) -> str:
        with self._lock:
            kept, now = self._files.get(path), self._clock.boottime()
            if kept is not None and now - kept.read_at < REREAD_AFTER_S:
                return kept.value
            try:
                value = _read(path)
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                if kept is not None and now - kept.good_at < KEEP_LAST_GOOD_S:
                    kept.read_at = now
                    log.warning("a secret file cannot be read: its last value is used", extra={"file": str(path)})
                    return kept.value
                fault = Fault("", f"secret file {path}: {why}", "create it, readable by Watchtower's user only")
                raise ConfigError([fault]) from error
            self._files[path] = _Kept(value, now, now)
            return value


def _read(path: Path) -> str:
    """Without surrounding white space. An empty file is one that is being rotated: an error."""
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes")
    try:
        value = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    if not value:
        raise ValueError("is empty")
    return value


class Redactor(logging.Filter):
    """Replaces known secret values, in log records (message, arguments, extra fields and traceback) and in whatever is
    handed to `redact`: the values themselves, as a URL spells them, and credentials of an Authorization header."""

    def __init__(self) -> None:
        super().__init__()
        self._known: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def learn(self, value: str) -> None:
        if len(value) >= _WORTH_REDACTING and value not in self._known:
            with self._lock:
                self._known |= {form for form in _forms(value) if len(form) >= _WORTH_REDACTING}

    def redact(self, text: str) -> str:
        for value in sorted(self._known, key=len, reverse=True):
            text = text.replace(value, MASK)
        return _CREDENTIALS.sub(MASK, text)

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if self.redact(message) != message:
            record.msg, record.args = self.redact(message), ()
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        for name, value in record.__dict__.items():
            if name != "msg" and isinstance(value, str):
                record.__dict__[name] = self.redact(value)
        return True


def _forms(value: str) -> set[str]:
    """How value may be met: as it is, as a form or a URL spells it, and, of an address, what follows the host."""
    scheme, mark, rest = value.partition("://")
    behind = rest.partition("/")[2] if mark and scheme in ("http", "https") else ""
    behind = behind if len(behind) >= _WORTH_REDACTING_BEHIND else ""
    return {value, quote(value, safe=""), quote_plus(value), behind}


REDACTOR = Redactor()
DEFAULT_STORE = SecretStore()
