"""Which threads sleep until something happens at a listening socket, as /proc tells it.

A thread that sleeps says in which system call, with which arguments (proc(5), /proc/PID/task/TID/syscall);
what an epoll instance watches is told by its fdinfo; what poll and select were asked for stands in the
thread's own memory.  Nothing of it comes from BPF.
"""

from __future__ import annotations

import contextlib
import platform
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

_CALLS = {
    "x86_64": {
        43: "accept", 288: "accept", 232: "epoll", 281: "epoll", 441: "epoll", 7: "poll", 271: "poll",
        23: "select", 270: "select", 426: "ring",
    },
    "aarch64": {202: "accept", 242: "accept", 22: "epoll", 441: "epoll", 73: "poll", 72: "select", 426: "ring"},
}  # fmt: skip
_POLLFD = struct.Struct("=ihh")
_EPOLL = "anon_inode:[eventpoll]"
#: IORING_OP_ACCEPT (include/uapi/linux/io_uring.h), as a ring's fdinfo writes what waits in it.
_WAITS_TO_ACCEPT = "op=13,"


def asleep_for(listener: int, pids: Iterable[int]) -> set[tuple[int, int]]:
    """(pid, tid) of the threads that sleep in a call which a connection for the listener would end.

    :param listener: the socket's inode
    """
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    if _waits(pid, task, listener):
                        found.add((pid, int(task.name)))
    return found


def _waits(pid: int, task: Path, listener: int) -> bool:
    if (task / "stat").read_text().rpartition(")")[2].split()[0] != "S":
        return False
    words = (task / "syscall").read_text().split()
    if not words[0].isdecimal():  # "running", or -1 outside of any call
        return False
    first, second = int(words[1], 16), int(words[2], 16)
    kind = _CALLS[platform.machine()].get(int(words[0]), "")
    if kind == "accept":
        return _leads_to(pid, first) == f"socket:[{listener}]"
    if kind == "epoll":
        return _watches(pid, first, listener)
    if kind == "ring":
        return _WAITS_TO_ACCEPT in _fdinfo(pid, first)
    asked: Iterable[int] = ()
    if kind == "poll":
        asked = _polled(pid, first, second)
    elif kind == "select":
        asked = _selected(pid, first, second)
    return any(_leads_to(pid, number) == f"socket:[{listener}]" for number in asked)


def _watches(pid: int, epoll: int, listener: int) -> bool:
    """Whether an epoll instance, or one inside it, watches the listener (fs/eventpoll.c, ep_show_fdinfo)."""
    for line in _fdinfo(pid, epoll).splitlines():
        if not line.startswith("tfd:"):
            continue
        words = line.split()
        if int(words[-2].removeprefix("ino:"), 16) == listener:
            return True
        if _leads_to(pid, int(words[1])) == _EPOLL and _watches(pid, int(words[1]), listener):
            return True
    return False


def _polled(pid: int, where: int, count: int) -> Iterator[int]:
    for number, _, _ in _POLLFD.iter_unpack(_memory(pid, where, count * _POLLFD.size)):
        yield number


def _selected(pid: int, count: int, to_read: int) -> Iterator[int]:
    bits = int.from_bytes(_memory(pid, to_read, (count + 7) // 8), "little") if to_read else 0
    return (number for number in range(count) if bits >> number & 1)


def _memory(pid: int, where: int, size: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(where)
        return memory.read(size)


def _leads_to(pid: int, number: int) -> str:
    return str(Path(f"/proc/{pid}/fd/{number}").readlink())


def _fdinfo(pid: int, number: int) -> str:
    return Path(f"/proc/{pid}/fdinfo/{number}").read_text()
