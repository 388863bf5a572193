"""Detect an accept queue from which nothing is accepted."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.findings._stuck import describe_owners, stuck_waits


class QueueStuck:
    id = "queue-stuck"
    title = "The accept queue is not emptied"
    cause = (
        "The process that should accept does not: it is stopped, deadlocked, waits for a device, or its "
        "accepting thread has ended."
    )
    effect = "Clients complete the handshake and then hang until they time out."
    verify = "ss -ltn sport = :{port} shows Recv-Q at 0 again."
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        found = [
            (listener, waits) for listener in context.listeners if (waits := stuck_waits(context, listener))
        ]
        # one member of several that does not accept is a finding of its own
        if not found or len(found) < len(context.listeners):
            return
        listener, waits = max(found, key=lambda pair: float(pair[1].ns.max()))
        oldest = float(waits.ns.max())
        if oldest < context.thresholds.queue_wait_severe_ns:
            return
        owners = describe_owners(context, listener)
        pids = ",".join(str(held.pid) for held in listener.owners)
        number = sum(len(waits) for _, waits in found)
        yield diagnosis(
            self,
            context,
            "critical",
            context.name,
            f"{number} connections wait in the accept queue (limit {listener.backlog}), the longest for at least "
            f"{formatting.duration(oldest)}; nothing was accepted during that time. The socket is held by {owners}. "
            "These clients hang.",
            {
                "waiting": number,
                "oldest_ms": round(oldest / 1e6, 1),
                "backlog": listener.backlog,
                "accepted": sum(one.accepted for one in context.listeners),
                "owners": owners,
            },
            (
                (
                    f"See what its threads do: `ps -L -o pid,tid,stat,wchan:24,cmd -p {pids}`. State T is stopped "
                    "(`kill -CONT PID`), D waits for a device, S in futex_wait waits for a lock."
                    if pids
                    else f"Find the process: `ss -ltnp sport = :{listener.port}`."
                ),
                "Look at the stack of the thread that accepts, with `cat /proc/PID/task/TID/stack` or a debugger, and "
                "restart the process if it does not recover.",
            ),
            weight=1.0,
            explains=(
                "queue-wait-high",
                "queue-overflow",
                "queue-near-limit",
                "backlog-clamped",
                "idle-workers",
                "reuseport-unused",
                "accept-lock-contention",
            ),
        )


DETECTOR = QueueStuck()
