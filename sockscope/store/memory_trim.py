"""Giving back memory that DuckDB needed for a moment.

Starting DuckDB touches 25 MB of its code, most of it never used again, and a checkpoint leaves
free memory in the allocator.  Both count as resident until somebody else wants them.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

_MADV_DONTNEED = 4


def trim_memory() -> None:
    """Give back free memory, and code pages: those that are needed come back from the page cache."""
    libc = _libc()
    for start, size in _code():
        libc.madvise(start, size, _MADV_DONTNEED)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


@functools.cache
def _code() -> tuple[tuple[int, int], ...]:
    """Where DuckDB's code is mapped: only what is read-only and shared with its file."""
    found = []
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[1] == "r-xp" and "duckdb" in fields[5].rsplit("/", 1)[-1]:
            start, end = (int(number, 16) for number in fields[0].split("-"))
            found.append((start, end - start))
    return tuple(found)
