"""What the kernel's probes cannot tell, asked of the host each tick: queues, names, CPU times."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from sockscope.errors import SockscopeError
from sockscope.host import netns, pid_namespace
from sockscope.host.inet_diag import InetDiag
from sockscope.host.netns_counters import NetnsCounters
from sockscope.host.processes import process
from sockscope.host.threads import ThreadClocks
from sockscope.records.batch import QUEUE, Batch, HostCounters

_NAMES_TICKS = 10
#: Counting handshakes under way makes the kernel walk over all its TCP sockets: not at every tick.
_HANDSHAKES_TICKS = 5


class HostSampler:
    """Completes a kernel batch with samples of listen queues, processes and CPU times.

    Namespaces are entered when a traced listener lives in them, and left alone when they vanish.
    """

    def __init__(self) -> None:
        self._queues: dict[int, InetDiag] = {}
        self._hosts: dict[int, NetnsCounters] = {}
        self._syn_queues: dict[int, int] = {}
        self._out_of_reach: set[int] = set()
        self._clocks = ThreadClocks()
        self._pids: set[int] = set()
        self._working: set[int] = set()
        self._ticks = 0
        self._own = netns.own().inode

    def complete(self, batch: Batch) -> Batch:
        """The batch, with what this host says now of its listeners and processes."""
        open_listeners = batch.listeners[batch.listeners["closed_ns"] == 0]
        inodes: dict[int, list[int]] = {}
        for row in open_listeners:
            inodes.setdefault(int(row["netns"]), []).append(int(row["inode"]))
        for number in self._queues.keys() - inodes.keys():
            self._leave(number)
        queues = [self._sample(number, wanted) for number, wanted in inodes.items()]
        mentioned = (batch.workers["pid"], batch.workers["parent_pid"], batch.owners["pid"])
        pids = {int(pid) for pid in np.unique(np.concatenate(mentioned)) if pid > 1}
        if not pid_namespace.is_initial():  # /proc shows other processes under these numbers
            pids = set()
        fresh = pids - self._pids
        self._pids |= pids
        self._ticks += 1
        named = self._pids if self._ticks % _NAMES_TICKS == 0 else fresh
        found = {pid: process(pid) for pid in sorted(named)}
        self._pids -= {pid for pid, known in found.items() if known is None}
        self._working &= self._pids
        return replace(
            batch,
            queues=np.concatenate(queues) if queues else np.empty(0, QUEUE),
            threads=self._clocks.sample(self._pids - self._parents(batch)),
            processes=tuple(known for known in found.values() if known is not None),
            hosts=tuple(self._counters(inodes)),
        )

    def forget(self) -> None:
        """Tell every process anew with the next batch."""
        self._pids.clear()

    def close(self) -> None:
        for number in list(self._queues):
            self._leave(number)
        self._clocks.close()

    def _parents(self, batch: Batch) -> set[int]:
        """Processes that are only named as parents: a shell's threads are nobody's workers."""
        self._working |= {
            int(pid) for pid in np.unique(np.concatenate([batch.workers["pid"], batch.owners["pid"]]))
        }
        return self._pids - self._working

    def _sample(self, number: int, inodes: list[int]) -> Any:
        if number in self._out_of_reach:
            return np.empty(0, QUEUE)
        try:
            if number not in self._queues:
                namespace = None if number == self._own else netns.resolve(str(number))
                self._queues[number], self._hosts[number] = InetDiag(namespace), NetnsCounters(namespace)
            queues = self._queues[number].sample(inodes, handshakes=self._ticks % _HANDSHAKES_TICKS == 0)
            if self._ticks % _HANDSHAKES_TICKS == 0:
                self._syn_queues.update(
                    zip(queues["inode"].tolist(), queues["syn_queue"].tolist(), strict=True)
                )
            else:
                queues["syn_queue"] = [self._syn_queues.get(inode, 0) for inode in queues["inode"].tolist()]
            return queues
        except SockscopeError:  # it vanished, or may not be entered: its queues stay unknown
            self._out_of_reach.add(number)
            return np.empty(0, QUEUE)

    def _leave(self, number: int) -> None:
        """No listener of ours is left in this namespace: a socket into it would keep it alive."""
        self._queues.pop(number).close()
        self._hosts.pop(number).close()

    def _counters(self, numbers: Iterable[int]) -> Iterable[HostCounters]:
        for number in numbers:
            if number in self._hosts:
                with suppress(OSError, SockscopeError):
                    yield self._hosts[number].read()
