"""Linux system calls that the standard library does not wrap."""

import ctypes
import functools
import os
import resource
import signal
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def set_thread_name(name: str) -> None:
    """Set the name of the calling thread (comm, at most 15 bytes)."""
    _libc().prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]), 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """End this process when `parent` ends for any reason.

    SIGKILL and not SIGTERM: a worker that is blocked in accept() cannot act on anything less, because
    the process that would have woken it is the one that is gone.
    """
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request took effect
        os.kill(os.getpid(), signal.SIGKILL)


def allow_many_descriptors() -> None:
    """Raise the soft limit of open descriptors to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def inode_of(descriptor: int) -> int:
    """Return the inode of a socket, as in /proc/net/tcp and inet_diag."""
    return os.fstat(descriptor).st_ino
