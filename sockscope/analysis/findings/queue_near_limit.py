"""Detect an accept queue that came close to its limit."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import ServerContext, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class QueueNearLimit:
    id = "queue-near-limit"
    title = "The accept queue is close to its limit"
    cause = "Connections arrive in bursts faster than they are accepted."
    effect = "When the queue is full, handshakes are dropped and clients retry after 1 s or more."
    verify = "ss -ltn sport = :{port}: Recv-Q stays well below Send-Q under the same load."
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        for listener in context.listeners:
            if listener.backlog < 1 or listener.queue_max > listener.backlog:
                continue
            fill = listener.queue_max / listener.backlog
            if fill < context.thresholds.queue_fill:
                continue
            yield diagnosis(
                self,
                context,
                "notice",
                f"{context.name}, socket {listener.inode}",
                f"{listener.queue_max} connections waited in an accept queue with a limit of {listener.backlog}"
                f" ({percent(fill)}).",
                {"backlog": listener.backlog, "queue_max": listener.queue_max, "fill": round(fill, 3)},
                (
                    "Accept faster first: accept until EAGAIN at each wake-up.",
                    f"Then raise the backlog of listen() above {2 * listener.backlog}, and net.core.somaxconn"
                    " with it.",
                ),
                weight=min(fill, 1),
            )


DETECTOR = QueueNearLimit()
