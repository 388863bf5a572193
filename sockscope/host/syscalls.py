"""Names of the system calls in which threads block, by machine.

include/uapi/asm-generic/unistd.h (aarch64) and arch/x86/entry/syscalls/syscall_64.tbl.
"""

from __future__ import annotations

import platform

_NUMBERS = {
    "x86_64": {
        "read": 0,
        "write": 1,
        "poll": 7,
        "ioctl": 16,
        "pread64": 17,
        "pwrite64": 18,
        "readv": 19,
        "writev": 20,
        "select": 23,
        "pause": 34,
        "nanosleep": 35,
        "sendfile": 40,
        "connect": 42,
        "accept": 43,
        "sendto": 44,
        "recvfrom": 45,
        "sendmsg": 46,
        "recvmsg": 47,
        "wait4": 61,
        "fcntl": 72,
        "flock": 73,
        "fsync": 74,
        "fdatasync": 75,
        "truncate": 76,
        "ftruncate": 77,
        "getdents": 78,
        "rename": 82,
        "mkdir": 83,
        "unlink": 87,
        "open": 2,
        "close": 3,
        "stat": 4,
        "rt_sigsuspend": 130,
        "rt_sigtimedwait": 128,
        "sync": 162,
        "futex": 202,
        "getdents64": 217,
        "clock_nanosleep": 230,
        "epoll_wait": 232,
        "waitid": 247,
        "openat": 257,
        "unlinkat": 263,
        "renameat": 264,
        "pselect6": 270,
        "ppoll": 271,
        "splice": 275,
        "sync_file_range": 277,
        "epoll_pwait": 281,
        "fallocate": 285,
        "accept4": 288,
        "preadv": 295,
        "pwritev": 296,
        "recvmmsg": 299,
        "sendmmsg": 307,
        "syncfs": 306,
        "io_uring_enter": 426,
        "epoll_pwait2": 441,
        "restart_syscall": 219,
        "mmap": 9,
        "munmap": 11,
        "mprotect": 10,
        "brk": 12,
        "msync": 26,
        "madvise": 28,
        "exit": 60,
        "exit_group": 231,
        "execve": 59,
        "vfork": 58,
        "clone": 56,
    },
    "aarch64": {
        "read": 63,
        "write": 64,
        "ppoll": 73,
        "ioctl": 29,
        "pread64": 67,
        "pwrite64": 68,
        "readv": 65,
        "writev": 66,
        "pselect6": 72,
        "nanosleep": 101,
        "sendfile": 71,
        "connect": 203,
        "accept": 202,
        "sendto": 206,
        "recvfrom": 207,
        "sendmsg": 211,
        "recvmsg": 212,
        "wait4": 260,
        "fcntl": 25,
        "flock": 32,
        "fsync": 82,
        "fdatasync": 83,
        "truncate": 45,
        "ftruncate": 46,
        "getdents64": 61,
        "close": 57,
        "rt_sigsuspend": 133,
        "rt_sigtimedwait": 137,
        "sync": 81,
        "futex": 98,
        "clock_nanosleep": 115,
        "waitid": 95,
        "openat": 56,
        "unlinkat": 35,
        "renameat": 38,
        "splice": 76,
        "sync_file_range": 84,
        "epoll_pwait": 22,
        "fallocate": 47,
        "accept4": 242,
        "preadv": 69,
        "pwritev": 70,
        "recvmmsg": 243,
        "sendmmsg": 269,
        "syncfs": 267,
        "io_uring_enter": 426,
        "epoll_pwait2": 441,
        "restart_syscall": 128,
        "mmap": 222,
        "munmap": 215,
        "mprotect": 226,
        "brk": 214,
        "msync": 227,
        "madvise": 233,
        "exit": 93,
        "exit_group": 94,
        "execve": 221,
        "clone": 220,
    },
}

#: Calls that wait for events of a loop, or for a connection.
WAIT_FOR_EVENTS = frozenset(
    {"epoll_wait", "epoll_pwait", "epoll_pwait2", "select", "pselect6", "io_uring_enter", "poll", "ppoll"}
)
ACCEPT = frozenset({"accept", "accept4"})
POLL = frozenset({"poll", "ppoll"})
SLEEP = frozenset({"nanosleep", "clock_nanosleep"})
#: Calls whose first argument is the descriptor that they work on.
TAKES_DESCRIPTOR = frozenset(
    {
        *(
            "read",
            "write",
            "pread64",
            "pwrite64",
            "readv",
            "writev",
            "preadv",
            "pwritev",
            "ioctl",
            "fcntl",
            "flock",
        ),
        *(
            "fsync",
            "fdatasync",
            "ftruncate",
            "getdents",
            "getdents64",
            "sync_file_range",
            "fallocate",
            "syncfs",
        ),
        *(
            "sendfile",
            "splice",
            "connect",
            "sendto",
            "recvfrom",
            "sendmsg",
            "recvmsg",
            "recvmmsg",
            "sendmmsg",
        ),
        *("accept", "accept4", "close"),
    }
)
#: Calls that work on the file system by path.
ON_PATHS = frozenset(
    {
        *("open", "openat", "stat", "rename", "renameat", "unlink", "unlinkat", "mkdir", "truncate", "sync"),
        *("msync", "getdents", "getdents64", "execve"),
    }
)


def syscall_numbers() -> dict[str, int]:
    """Return name → number on this machine."""
    return dict(_NUMBERS.get(platform.machine(), {}))


def syscall_names() -> dict[int, str]:
    """Return number → name on this machine."""
    return {number: name for name, number in syscall_numbers().items()}
