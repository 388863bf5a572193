"""Whether process numbers here are those that the kernel reports to BPF programs.

BPF helpers report the numbers of the initial PID namespace.  In another one /proc shows other processes under
these numbers, or none.
"""

from __future__ import annotations

import functools
from pathlib import Path

#: Inode of the initial PID namespace: PROC_PID_INIT_INO of include/linux/proc_ns.h.
_INITIAL = 0xEFFFFFFC


@functools.cache
def is_initial() -> bool:
    """Return whether this process is in the initial PID namespace; assume so where /proc does not show it."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino == _INITIAL
    except OSError:
        return True
