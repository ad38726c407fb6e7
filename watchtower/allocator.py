"""How many heaps glibc's malloc may keep for the threads of a server: two instead of eight for each core.

Each heap keeps what was freed in it for its own threads. Under a burst of events such leftovers were a third of a
server's memory and most of its growth; under the interpreter's lock few threads allocate at once, so two will do.
"""

import ctypes
import os

HEAPS = 2
_M_ARENA_MAX = -8  # malloc.h


def share_heaps() -> bool:
    """Before threads start. False where an operator chose another number, and where malloc is not glibc's."""
    chosen = "MALLOC_ARENA_MAX" in os.environ or "malloc.arena_max" in os.environ.get("GLIBC_TUNABLES", "")
    mallopt = None if chosen else getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, HEAPS))
