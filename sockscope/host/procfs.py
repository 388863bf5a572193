"""Read /proc while processes start and exit: what vanishes meanwhile is treated as absent."""

from __future__ import annotations

import os
from pathlib import Path

PROC = "/proc"
_FIRST_PID_NAMESPACE = 0xEFFF_FFFC  # PROC_PID_INIT_INO

#: Larger than any file read here, except a hostile one.
LARGEST = 1 << 24


def pids(proc: str = PROC) -> list[int]:
    """Return the numeric directories of /proc (or of task/), in ascending order."""
    with os.scandir(proc) as entries:
        return sorted(int(entry.name) for entry in entries if entry.name.isascii() and entry.name.isdigit())


def read(path: str, largest: int = LARGEST) -> bytes | None:
    """Return the first ``largest`` bytes of a file, or None if it or its process is gone.

    :raises PermissionError: when it exists and must not be read
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
    """Decode a name: control characters stay, bytes that are not UTF-8 become U+FFFD."""
    return raw.decode("utf-8", "replace")


def hidepid_reasons(proc: str = PROC) -> tuple[str, ...]:
    """Return why /proc hides processes; empty if it shows all."""
    found = []
    if os.geteuid() and _hidepid(read(f"{proc}/self/mountinfo") or b""):
        found.append("/proc hides other users' processes (hidepid)")
    try:
        if Path(f"{proc}/self/ns/pid").stat().st_ino != _FIRST_PID_NAMESPACE:
            found.append("processes outside this container are hidden")
    except OSError:
        found.append("it cannot be told whether processes are hidden")
    return tuple(found)


def _hidepid(mountinfo: bytes) -> bool:
    """Return whether the topmost mount at /proc has the option hidepid."""
    answer = False
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(b" - ")
        if place.split(b" ")[4:5] == [PROC.encode()]:
            answer = kind.startswith(b"proc ") and b"hidepid=" in kind and b"hidepid=0" not in kind
    return answer
