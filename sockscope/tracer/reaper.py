"""Find connections whose end was missed, by a periodic scan of their sockets.

A kernel in a virtual machine can withhold single events from all BPF programs (docs/reliability.md), and
one that is withheld at a socket's end would leave the connection open indefinitely.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sockscope.bpf.maps import Records
from sockscope.bpf.slot_array import SlotArray
from sockscope.host import clock
from sockscope.records.layout import ConnectionFlag
from sockscope.records.structured import concat, take
from sockscope.tracer.socket_liveness import Ids

#: What was touched a moment ago is not worth a look: the next one is for it.
_UNTOUCHED_NS = 10_000_000_000
#: Between two looks; and a look may take a hundredth of the time.
_BETWEEN_NS = 30_000_000_000
_AT_MOST = 100


class Reaper:
    """Tells each such connection once, as closed and inexact.

    Its record stays where it is until its socket's address is used again, or tracing ends: only the probes
    give room back, and what they say of it then is left out.

    :param connections: their records
    :param gone: tells the ids of those whose socket is gone; OSError when this kernel does not let it
    """

    def __init__(self, connections: SlotArray, gone: Callable[[], Ids]) -> None:
        self._connections, self._gone = connections, gone
        #: What a report must say: that nobody looks.
        self.notes: tuple[str, ...] = ()
        self._found = np.empty(0, np.uint64)
        self._told = np.empty(0, np.uint64)
        self._due_ns = clock.now_ns() + _BETWEEN_NS

    def look(self, now_ns: int) -> None:
        """Now and then, look for the sockets of all connections, if some did nothing for a while.

        :param now_ns: of the monotonic clock
        """
        if now_ns < self._due_ns:
            return
        if self._connections.has_untouched_since(now_ns - _UNTOUCHED_NS):
            self.look_at_all()
        self._due_ns = now_ns + max(_BETWEEN_NS, _AT_MOST * (clock.now_ns() - now_ns))

    def look_at_all(self) -> None:
        """Look for the sockets of all connections.  Call it before the ring of closed ones is drained."""
        if self.notes:
            return
        try:
            found = self._gone()
            # twice, so that nothing depends on in which order another CPU's writes become visible
            self._found = np.intersect1d(found, self._gone()) if len(found) else found
        except OSError as error:
            why = f"this kernel does not run a program for us ({error.strerror})"
            self.notes = (f"whether a connection's end went unseen is not known: {why}",)

    def tell(self, closed: Records, connections: Records) -> tuple[Records, Records]:
        """Closed and open connections, with those that were found among the closed ones, once.

        :param closed: drained after the last look
        """
        if not len(self._found) and not len(self._told):
            return closed, connections
        seen_to_end = closed["id"]
        closed = take(closed, ~np.isin(seen_to_end, self._told))
        fresh = np.setdiff1d(self._found, np.concatenate([seen_to_end, self._told]))
        self._told = np.setdiff1d(np.concatenate([self._told, fresh]), seen_to_end)
        self._found = np.empty(0, np.uint64)
        ended = self._connections.of(fresh)
        # the end of an MPTCP connection is seen; only that no process refers to its socket any more is not
        seen = (ended["flags"] & int(ConnectionFlag.MPTCP) > 0) & (ended["closed_ns"] > 0)
        ended["closed_ns"] = np.where(ended["closed_ns"] > 0, ended["closed_ns"], ended["touched_ns"])
        ended["flags"] |= int(ConnectionFlag.CLOSED)
        ended["flags"][~seen] |= int(ConnectionFlag.BEST_EFFORT)
        is_over = np.isin(connections["id"], np.concatenate([self._told, seen_to_end]))
        return concat([closed, ended]), take(connections, ~is_over)
