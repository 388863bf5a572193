"""The threads of a process: ids, blocking system call, and CPU time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from sockscope.host import procfs
from sockscope.records.batch import THREAD_CPU, Records

# in /proc/PID/stat behind the name; proc(5) counts from 1 and calls the first of these field 3
_UTIME, _STIME, _STARTTIME, _PROCESSOR = 14 - 3, 15 - 3, 22 - 3, 39 - 3
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")


class Thread(NamedTuple):
    """A thread: ``start_ns`` since boot (CLOCK_BOOTTIME, to 10 ms), ``comm`` as it was found."""

    tid: int
    start_ns: int
    comm: str


def threads(pid: int, proc: str = procfs.PROC) -> list[Thread]:
    """Return the threads of a process, lowest tid first; none if it has ended or is hidden (hidepid)."""
    found = []
    for tid in _tids(pid, proc):
        told = procfs.read(f"{proc}/{pid}/task/{tid}/stat") or b""
        opening, closing = told.find(b"("), told.rfind(b")")
        fields = told[closing + 1 :].split()
        if 0 <= opening < closing and len(fields) > _STARTTIME and fields[_STARTTIME].isdigit():
            start_ns = int(fields[_STARTTIME]) * _TICK_NS
            found.append(Thread(tid, start_ns, procfs.text(told[opening + 1 : closing])))
    return found


def blocked_in(pid: int, tid: int, proc: str = procfs.PROC) -> int | None:
    """Return the number of the system call that a thread sleeps in.

    None if it runs, sleeps outside a system call (a page fault) or has ended, or if this process may
    not trace it (root may, or the same user unless Yama forbids it).
    """
    try:
        first = (procfs.read(f"{proc}/{pid}/task/{tid}/syscall") or b"").split(None, 1)
    except PermissionError:
        return None
    return int(first[0]) if first and first[0].isdigit() else None


class ThreadClocks:
    """Sample the CPU time of all threads of some processes; needs no privileges.

    Opening a file of /proc costs more than reading it (40 µs per thread against 20), so up to ``budget``
    files stay open between samples; use this as a context manager or close it.
    """

    def __init__(self, budget: int = 512, proc: str = procfs.PROC) -> None:
        self._budget = budget
        self._proc = proc
        self._open: dict[tuple[int, int], tuple[int, ...]] = {}
        # without CONFIG_SCHED_INFO there is no schedstat, switched off at boot it tells 0
        self._files = ("stat", "schedstat") if Path(f"{proc}/self/schedstat").exists() else ("stat",)

    def sample(self, pids: Iterable[int]) -> Records:
        """Return THREAD_CPU records of the threads of ``pids``; ended threads are missing.

        ``cpu_ns`` is exact, for a running thread up to the last scheduler tick; without schedstat it is
        taken from stat with a resolution of 10 ms, and ``cpu_wait_ns`` is 0 (Documentation/scheduler/sched-stats.rst).
        """
        alive = {(pid, tid) for pid in set(pids) for tid in _tids(pid, self._proc)}
        for thread in self._open.keys() - alive:
            self._forget(thread)
        told = [(*thread, *times) for thread in sorted(alive) if (times := self._times(thread))]
        return np.array(told, THREAD_CPU)

    def close(self) -> None:
        """Close all files; a later sample opens them again."""
        for thread in list(self._open):
            self._forget(thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _times(self, thread: tuple[int, int]) -> tuple[int, int, int] | None:
        """Return CPU time and time runnable without a CPU in ns, and the last CPU."""
        if thread in self._open:
            try:
                return _clock(*(os.pread(descriptor, 1024, 0) for descriptor in self._open[thread]))
            except ProcessLookupError:  # its number was given to a new thread
                self._forget(thread)
        path = f"{self._proc}/{thread[0]}/task/{thread[1]}"
        opened: list[int] = []
        try:
            for name in self._files:
                opened.append(os.open(f"{path}/{name}", os.O_RDONLY | os.O_CLOEXEC))
            times = _clock(*(os.pread(descriptor, 1024, 0) for descriptor in opened))
            if len(self._open) < self._budget // len(self._files):
                self._open[thread], opened = tuple(opened), []
            return times
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        finally:
            _close(opened)

    def _forget(self, thread: tuple[int, int]) -> None:
        _close(self._open.pop(thread))


def _tids(pid: int, proc: str) -> list[int]:
    try:
        return procfs.pids(f"{proc}/{pid}/task")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def _clock(stat: bytes, schedstat: bytes = b"") -> tuple[int, int, int] | None:
    """Return CPU time, time runnable without a CPU, last CPU; None for an unexpected format."""
    fields = stat[stat.rfind(b")") + 1 :].split()
    if len(fields) <= _PROCESSOR or not all(fields[at].isdigit() for at in (_UTIME, _STIME, _PROCESSOR)):
        return None
    exact = schedstat.split()
    last_cpu, waited = int(fields[_PROCESSOR]), 0
    spent = (int(fields[_UTIME]) + int(fields[_STIME])) * _TICK_NS
    if len(exact) >= 2 and exact[0] != b"0" and exact[0].isdigit() and exact[1].isdigit():
        spent, waited = int(exact[0]), int(exact[1])
    return (spent, waited, last_cpu) if last_cpu < 1 << 16 and spent < 1 << 63 and waited < 1 << 63 else None


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
