"""32-bit programs: the tracepoints of single system calls are not raised for them."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable

from sockscope.tracer.attach_methods import Hook

#: Attached only while a 32-bit process owns a traced listener: it costs every system call of the host.
COMPAT_ACCEPTS = Hook("raw", "sys_exit", "on_compat_exit")

#: Where ``struct pt_regs`` has the first argument of a 32-bit call, and the flag that marks one.
FIELDS = {
    "COMPAT_STATUS": ("task_struct", "thread_info.status"),
    "COMPAT_FIRST": ("pt_regs", "bx"),
}

_EI_CLASS, _ELFCLASS32 = 4, 1


def is_supported() -> bool:
    """Return whether this machine has 32-bit programs whose accepts can be followed."""
    return platform.machine() == "x86_64"


def find_32_bit(pids: Iterable[int]) -> list[int]:
    """Return those of ``pids`` whose program is a 32-bit one."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/exe", "rb") as program:
            if program.read(_EI_CLASS + 1)[_EI_CLASS:] == bytes([_ELFCLASS32]):
                found.append(pid)
    return found


def note(pids: Iterable[int]) -> str:
    """Say what is not known of 32-bit processes."""
    numbers = ", ".join(str(pid) for pid in sorted(pids))
    return (
        f"32-bit program (pid {numbers}): its waits for events are not traced, so busy time and loop stalls are not "
        "known, and connections accepted before it was recognised have an inferred acceptor"
    )
