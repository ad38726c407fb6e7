"""What the store is known to hold already, so that hearing it again costs nothing.

Most events repeat what others said of the same job and the same datasets a moment ago. State only grows: folding words
into a state that holds them changes nothing (watchtower.model.fold), whatever other replicas wrote since, and rows of
jobs, datasets and edges are never deleted. So what this process folded *and committed* need not be loaded and folded
again. What is not remembered is merely folded once more.
"""

import threading
import weakref
from collections.abc import Hashable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from sqlalchemy import Engine

MOST = 32_768  # entries of a few hundred bytes; the older half is forgotten beyond it
_encoder = msgspec.msgpack.Encoder(enc_hook=dict, order="deterministic")  # dict: tags may be any Mapping


def fingerprint(patch: msgspec.Struct) -> bytes:
    """What to remember of a patch: with the columns of a wide table in it one takes hundreds of kilobytes, and tens of
    thousands are remembered."""
    return blake2b(_encoder.encode(patch), digest_size=16).digest()


class Known:
    """By key, the last value that was committed. Read by the writer, kept by whoever hears of the commit."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._values: dict[Hashable, Any] = {}

    def get(self, key: Hashable) -> Any:
        return self._values.get(key)

    def keep(self, learned: Mapping[Hashable, Any]) -> None:
        """Only after the commit of the transaction that folded it."""
        with self._guard:
            for key, value in learned.items():
                self._values.pop(key, None)  # to the end: it is young again
                self._values[key] = value
            if len(self._values) > self._most:
                for key in list(self._values)[: len(self._values) - self._most // 2]:
                    del self._values[key]


_by_engine: "weakref.WeakKeyDictionary[Engine, Known]" = weakref.WeakKeyDictionary()


def known_of(engine: Engine) -> Known:
    """What was committed through engine: one per open Database, gone with it."""
    found = _by_engine.get(engine)
    if found is None:
        found = _by_engine[engine] = Known()
    return found
