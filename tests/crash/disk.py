"""What a disk may show after the power was lost, made from the system calls of a process that was traced.

A write that no sync followed may be there, may not be, or may be there in part: sector by sector, in any order. A new
name, a removed one and a new folder may be missing until their folder was synced; those of one folder come in order, as
journals keep them. What a sync that had come to its end covered is there. Nothing else is assumed of any file system.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512
TRACED = (
    "openat,mkdir,mkdirat,write,pwrite64,writev,pwritev,lseek,ftruncate,fsync,fdatasync,rename,renameat,"
    "renameat2,link,linkat,unlink,unlinkat,rmdir,sendto"
)
OPTIONS = ("-y", "-s", "1000000", "-e", f"trace={TRACED}")  # of strace

_FOLDER = -1
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)", re.DOTALL)
_SENDS = re.compile(r"(sendto|write)\(\d+<socket:")
_FILE = re.compile(r"(\d+)<([^>]*)>")
_DATA = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that came to its end (of what is sent: that began). text: all its arguments."""

    name: str
    text: str
    result: int

    @property
    def sent(self) -> bytes:
        return _unescaped(found[1]) if (found := _DATA.search(self.text)) else b""


def calls_of(log: Path) -> Iterator[Call]:
    """In the order in which they ended; what is sent counts from its beginning: its reader may have it by then."""
    open_calls: dict[str, str] = {}
    for line in log.read_text(errors="surrogateescape").splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            open_calls[pid] = rest = rest.removesuffix("<unfinished ...>").strip()
            if _SENDS.match(rest):
                yield Call("sendto", rest, 0)
            continue
        if rest.startswith("<... "):
            end = rest.partition(" resumed>")[2]
            rest = open_calls.pop(pid)
            if _SENDS.match(rest):
                continue
            rest += end
        if (found := _CALL.match(rest)) and found[3] != "?" and int(found[3]) >= 0:
            yield Call("sendto" if _SENDS.match(rest) else found[1], found[2], int(found[3]))


@dataclass(frozen=True, slots=True)
class Write:
    offset: int
    data: bytes


@dataclass(slots=True)
class Body:
    """Of a file. unsynced: writes, and sizes to which it was cut, in order."""

    synced: bytearray = field(default_factory=bytearray)
    unsynced: list[Write | int] = field(default_factory=list[Write | int])

    def size(self) -> int:
        size = len(self.synced)
        for change in self.unsynced:
            size = change if isinstance(change, int) else max(size, change.offset + len(change.data))
        return size

    def sync(self) -> None:
        for change in self.unsynced:
            _apply(self.synced, change)
        self.unsynced.clear()

    def after_power_loss(self, random: Random, kept: float) -> bytes:
        """kept: with which probability a sector that was not synced is there."""
        shown = bytearray(self.synced)
        for change in self.unsynced:
            if isinstance(change, int):
                if random.random() < kept:
                    _apply(shown, change)
                continue
            for piece in _sectors(change):
                if random.random() < kept:
                    _apply(shown, piece)
        return bytes(shown)


class Disk:
    """Everything below root, which is there from the beginning."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._bodies: dict[int, Body] = {}
        self._names: dict[str, int] = {}  # as a process sees them
        self._synced_names: dict[str, int] = {}
        self._unsynced_names: dict[str, list[dict[str, int | None]]] = {}  # by folder
        self._places: dict[int, int] = {}  # by descriptor: where it writes next

    def follow(self, call: Call) -> bool:
        """Whether it concerns this disk."""
        handle = getattr(self, f"_{call.name}", None)
        return handle is not None and bool(handle(call))

    def after_power_loss(self, random: Random) -> dict[str, bytes]:
        """The files that are there, by their paths."""
        kept = random.choice((0.0, 0.3, 0.5, 0.9, 1.0))
        names = dict(self._synced_names)
        for changes in self._unsynced_names.values():
            for change in changes[: random.randint(0, len(changes))]:
                for path, ident in change.items():
                    if ident is None:
                        names.pop(path, None)
                    else:
                        names[path] = ident
        return {
            path: self._bodies[ident].after_power_loss(random, kept)
            for path, ident in names.items()
            if ident != _FOLDER and all(parent in names for parent in self._folders_above(path))
        }

    # -- the calls ------------------------------------------------------------------------------------------------

    def _openat(self, call: Call) -> bool:
        path = _path(call)
        if not self._is_mine(path):
            return False
        if path not in self._names and "O_CREAT" in call.text:
            ident = len(self._bodies)
            self._bodies[ident] = Body()
            self._renamed({path: ident})
        body = self._body(path)
        if body is not None:
            if "O_TRUNC" in call.text:
                body.unsynced.append(0)
            self._places[call.result] = -1 if "O_APPEND" in call.text else 0
        return body is not None

    def _mkdir(self, call: Call) -> bool:
        path = _path(call)
        return self._is_mine(path) and self._renamed({path: _FOLDER})

    _mkdirat = _mkdir

    def _write(self, call: Call) -> bool:
        fd, body = self._open_body(call)
        if body is None:
            return False
        place = self._places.get(fd, 0)
        place = body.size() if place < 0 else place
        body.unsynced.append(Write(place, call.sent[: call.result]))
        if self._places.get(fd, 0) >= 0:
            self._places[fd] = place + call.result
        return True

    def _pwrite64(self, call: Call) -> bool:
        _, body = self._open_body(call)
        if body is not None:
            body.unsynced.append(Write(_last_number(call), call.sent[: call.result]))
        return body is not None

    def _writev(self, call: Call) -> bool:
        _, body = self._open_body(call)
        assert body is None, f"not understood: {call.name}"
        return False

    _pwritev = _writev

    def _lseek(self, call: Call) -> bool:
        fd, body = self._open_body(call)
        if body is not None:
            self._places[fd] = call.result
        return False

    def _ftruncate(self, call: Call) -> bool:
        _, body = self._open_body(call)
        if body is not None:
            body.unsynced.append(_last_number(call))
        return body is not None

    def _fsync(self, call: Call) -> bool:
        if (found := _FILE.match(call.text)) is None or not self._is_mine(f"{found[2]}/"):
            return False
        if (body := self._body(found[2])) is not None:
            body.sync()
            return True
        for change in self._unsynced_names.pop(found[2], ()):
            for path, ident in change.items():
                if ident is None:
                    self._synced_names.pop(path, None)
                else:
                    self._synced_names[path] = ident
        return True

    _fdatasync = _fsync

    def _rename(self, call: Call) -> bool:
        old, new = (_text(each) for each in _DATA.findall(call.text)[:2])
        if not self._is_mine(new) or old not in self._names:
            return False
        return self._renamed({new: self._names[old], old: None})

    _renameat = _renameat2 = _rename

    def _link(self, call: Call) -> bool:
        old, new = (_text(each) for each in _DATA.findall(call.text)[:2])
        return old in self._names and self._is_mine(new) and self._renamed({new: self._names[old]})

    _linkat = _link

    def _unlink(self, call: Call) -> bool:
        path = _path(call)
        return path in self._names and self._renamed({path: None})

    _unlinkat = _rmdir = _unlink

    # -- parts ----------------------------------------------------------------------------------------------------

    def _renamed(self, change: dict[str, int | None]) -> bool:
        for path, ident in change.items():
            if ident is None:
                del self._names[path]
            else:
                self._names[path] = ident
        folder = next(iter(change)).rpartition("/")[0]
        self._unsynced_names.setdefault(folder, []).append(change)
        return True

    def _body(self, path: str) -> Body | None:
        ident = self._names.get(path, _FOLDER)
        return None if ident == _FOLDER else self._bodies[ident]

    def _open_body(self, call: Call) -> tuple[int, Body | None]:
        if (found := _FILE.match(call.text)) is None or not self._is_mine(found[2]):
            return 0, None
        return int(found[1]), self._body(found[2])

    def _is_mine(self, path: str) -> bool:
        return path.startswith(f"{self._root}/") and not path.endswith("-shm")  # that is memory

    def _folders_above(self, path: str) -> Iterator[str]:
        while (path := path.rpartition("/")[0]) != self._root:
            yield path


def _apply(data: bytearray, change: Write | int) -> None:
    size = change if isinstance(change, int) else change.offset
    if len(data) < size:
        data.extend(bytes(size - len(data)))
    if isinstance(change, int):
        del data[change:]
    else:
        data[change.offset : change.offset + len(change.data)] = change.data


def _sectors(write: Write) -> Iterator[Write]:
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        upto = min(end, at - at % SECTOR + SECTOR)
        yield Write(at, write.data[at - write.offset : upto - write.offset])
        at = upto


def _path(call: Call) -> str:
    found = _DATA.search(call.text)
    return _text(found[1]) if found else ""


def _text(escaped: str) -> str:
    return _unescaped(escaped).decode(errors="surrogateescape")


def _unescaped(escaped: str) -> bytes:
    return codecs.escape_decode(escaped.encode("latin-1"))[0]  # pyright: ignore


def _last_number(call: Call) -> int:
    return int(call.text.rpartition(",")[2])
