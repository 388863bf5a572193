"""Reading /proc while processes come and go: what vanishes in the middle was never there."""

from __future__ import annotations

import os

PROC = "/proc"

#: More than any file read here has, short of a hostile one.
LARGEST = 1 << 24


def pids(proc: str = PROC) -> list[int]:
    """All processes that /proc shows, lowest pid first."""
    return sorted(int(name) for name in os.listdir(proc) if name.isascii() and name.isdigit())


def read(path: str, largest: int = LARGEST) -> bytes | None:
    """A file's first ``largest`` bytes, or None when it, or its process, is gone.

    :raises PermissionError: when it is there and we may not read it
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return None
    try:
        found = chunk = os.read(descriptor, largest)
        while chunk and len(found) < largest:
            chunk = os.read(descriptor, largest - len(found))
            found += chunk
        return found
    except ProcessLookupError:
        return None
    finally:
        os.close(descriptor)


def text(raw: bytes) -> str:
    """A name as it was found: control characters stay; bytes that are no UTF-8 become U+FFFD."""
    return raw.decode("utf-8", "replace")
