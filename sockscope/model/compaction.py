"""What has ended: the latest one by one, what was before that put together.

A server that begins a thread or a process for each connection has millions of them a day, and one
that is started anew every minute as many listeners.  What is kept of them, and looked at for each
frame, must not grow with that; nor may what they did be forgotten.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from sockscope.model.snapshot import Listener, Worker

_Thing = TypeVar("_Thing")

#: What adds up.  Of times the first or the last counts, of what was longest the longest.
_OF_THREADS = (
    "threads", "accepts", "accepts_eagain", "accepts_failed", "reads", "bytes_read", "reads_eagain",
    "eof_reads", "writes", "bytes_written", "waits", "wakeups", "wakeups_spurious", "read_turns",
    "deferred_replies", "wait_ns", "busy_ns", "cpu_ns", "cpu_wait_ns", "queue_wait", "data_wait", "answer", "stall",
)  # fmt: skip
_OF_LISTENERS = (
    "sockets", "drops", "established", "accepted", "samples", "samples_several", "samples_changed", "waiters",
    "exclusive",
)  # fmt: skip


class Compactor(Generic[_Thing]):
    """Which of some things have ended, in that order, and what the earlier ones became part of.

    :param keep: how many to tell one by one
    :param both: makes one of two, with the id of the first
    """

    def __init__(self, keep: int, both: Callable[[_Thing, _Thing], _Thing]) -> None:
        self._keep, self._both = keep, both
        self._order: dict[int, None] = {}
        self._left = 0  # the last time, of those that are needed there may be more than are kept
        self._together: dict[Hashable, int] = {}

    def add(self, number: int) -> None:
        """The one with this id has ended."""
        self._order[number] = None

    def is_long(self) -> bool:
        """Whether it is time to put some together: at a tenth more than there should be, since it takes a while."""
        return len(self._order) > max(self._keep, self._left) + self._keep // 10

    def compact(
        self, things: dict[int, _Thing], kind: Callable[[_Thing], Hashable], needed: Container[int]
    ) -> dict[int, int]:
        """Put the earliest together, in ``things``, until no more are told one by one than are kept.

        :param kind: those of one kind become one
        :param needed: ids that something else still tells of: those stay by themselves
        :returns: id → the id of what it is part of now
        """
        earliest = [number for number in self._order if number not in needed]
        surplus = earliest[: max(len(self._order) - self._keep, 0)]
        for before, number in list(self._together.items()):
            if kind(things[number]) != before:
                surplus.append(self._together.pop(before))
        renamed = {}
        for number in surplus:
            self._order.pop(number, None)
            into = self._together.setdefault(kind(things[number]), number)
            if into != number:
                things[into] = self._both(things[into], things.pop(number))
                renamed[number] = into
        self._left = len(self._order)
        return renamed

    def forget(self, numbers: Iterable[int]) -> None:
        """These are not told any more."""
        gone = set(numbers)
        self._order = {number: None for number in self._order if number not in gone}
        self._together = {kind: number for kind, number in self._together.items() if number not in gone}
        self._left = len(self._order)


def merge_threads(one: Worker, other: Worker) -> Worker:
    """Two threads that have ended as one record; its ``tid`` is 0, which is no thread's."""
    longest = max(one, other, key=lambda worker: worker.stall_max_ns)
    return replace(
        one,
        tid=0,
        start_ns=min(one.start_ns, other.start_ns),
        first_seen_ns=min(one.first_seen_ns, other.first_seen_ns),
        ended_ns=max(one.ended_ns, other.ended_ns),
        stall_max_ns=longest.stall_max_ns,
        stall_max_at_ns=longest.stall_max_at_ns,
        **_added(_OF_THREADS, one, other),
    )


def merge_listeners(one: Listener, other: Listener) -> Listener:
    """Two listening sockets of one address that were closed as one record; its ``inode`` is 0."""
    return replace(
        one,
        inode=0,
        queue_max=max(one.queue_max, other.queue_max),
        listened_ns=min(one.listened_ns, other.listened_ns),
        closed_ns=max(one.closed_ns, other.closed_ns),
        **_added(_OF_LISTENERS, one, other),
    )


def thread_group_key(living: Container[int]) -> Callable[[Worker], Hashable]:
    """Threads of a process that lives become one; of those that are gone, those with one parent and name.

    :param living: processes
    """

    def kind(worker: Worker) -> Hashable:
        name = re.sub(r"\d+", "#", worker.comm)
        return (worker.pid if worker.pid in living else 0, worker.parent_pid, name)

    return kind


def listener_group_key(listener: Listener) -> Hashable:
    """Those of one address, of which a listen group is made."""
    return (listener.netns, listener.address, listener.port, listener.family)


def of_old_addresses(listeners: Mapping[int, Listener], keep: int) -> list[int]:
    """The listeners of addresses at which nobody listens any more, but for the last so many addresses."""
    last: dict[Hashable, float] = {}
    for listener in listeners.values():
        address = listener_group_key(listener)
        last[address] = max(last.get(address, 0), listener.closed_ns or math.inf)
    left = sorted((closed, address) for address, closed in last.items() if closed < math.inf)
    old = {address for _, address in left[: max(len(left) - keep, 0)]}
    return [number for number, listener in listeners.items() if listener_group_key(listener) in old]


def _added(names: tuple[str, ...], one: object, other: object) -> dict[str, Any]:
    return {name: getattr(one, name) + getattr(other, name) for name in names}
