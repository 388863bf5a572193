"""Detect connections that were reset in the accept queue when their listener was closed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.model.snapshot import Listener
from sockscope.records.layout import ConnectionFlag

#: The kernel resets what is queued while it closes the listener.
_TOGETHER_NS = 200_000_000


class ConnectionsLostInQueue:
    id = "connections-lost-in-queue"
    title = "Queued connections lost with their listener"
    cause = (
        "A listening socket was closed while connections were in its accept queue: the kernel resets them."
    )
    effect = "For these clients connect() succeeded; then they got ECONNRESET."
    verify = (
        "Repeat the reload or restart under load: sockscope check --fail-on connections-lost-in-queue passes."
    )
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        rows = context.columns
        ended = np.where(rows["ending_ns"] > 0, rows["ending_ns"], rows["closed_ns"]).astype(np.int64)
        never = (rows["accepted_ns"] == 0) & (ended > 0)
        born = np.where(
            rows["established_ns"] > 0, rows["established_ns"], context.snapshot.started_ns
        ).astype(np.int64)
        known = (rows["flags"] & int(ConnectionFlag.OPEN_BEFORE)) == 0
        waited_before = (rows["flags"] & int(ConnectionFlag.UNACCEPTED_BEFORE)) != 0
        never &= known | waited_before
        lost: list[tuple[Listener, int, int]] = []
        for listener in context.group.listeners:
            if not listener.closed_ns:
                continue
            mine = (
                never & (rows["listener"] == listener.id) & (abs(ended - listener.closed_ns) <= _TOGETHER_NS)
            )
            if mine.any():
                lost.append((listener, int(mine.sum()), int((ended - born)[mine].max())))
        if not lost:
            return
        number = sum(count for _, count, _ in lost)
        longest = max(waited for _, _, waited in lost)
        listener = max(lost, key=lambda entry: entry[1])[0]
        worker = context.snapshot.workers.get(listener.listened_by)
        held = ", ".join(f"process {one.pid}" for one in listener.owners[:4])
        holder = f" It was held by {held}." if held else ""
        if worker is not None:
            state = "has ended" if worker.ended_ns else "still runs"
            holder = f" {worker.comm} (process {worker.pid}), which listened there, {state}."
        total = max(context.server.connections, number)
        yield diagnosis(
            self,
            context,
            "critical" if number >= 3 else "warning",
            context.name,
            f"{number} connections were in the accept queue of {len(lost)} listening "
            f"socket{'s' if len(lost) > 1 else ''} when {'they were' if len(lost) > 1 else 'it was'} closed, and the "
            f"kernel reset them. The longest had waited {formatting.duration(longest)}.{holder} For these clients the "
            "connection was established, and then failed with ECONNRESET.",
            {
                "lost": number,
                "listeners": len(lost),
                "longest_ms": round(longest / 1e6, 1),
                "part": round(number / total, 4),
            },
            (
                "Before a worker closes its listening socket, let it accept what is queued (stop new arrivals first, "
                "for example at the load balancer).",
                "With SO_REUSEPORT set net.ipv4.tcp_migrate_req=1 (Linux 5.14 or later: `sysctl -w "
                "net.ipv4.tcp_migrate_req=1`): the kernel then moves queued connections to another member.",
                "Or keep one listening socket across restarts: socket activation (systemd), or passing the descriptor "
                "to the new process.",
            ),
            weight=min(number / total, 1.0),
            explains=("queue-wait-high", "queue-near-limit", "member-stalled", "queue-stuck"),
        )


DETECTOR = ConnectionsLostInQueue()
